"""What every format's reader and writer offer."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from ftpcli.errors import OutputError
from ftpcli.files.output import OutputStream
from ftpcli.formats.checks import MAX_COORDINATE
from ftpcli.records import FramePoses, Header, Pose

#: Decimals of pixels in finished files: a thousandth of a pixel.
DECIMALS = 3


class PosesReader(ABC):
    """The poses of one video, read frame by frame. A context manager; iterate as often as you like, one loop at a time.

    Attributes:
        path: the file, as given.
        format: "jsonl", "coco", "posetrack" or "posetrack17".
        header: joint names in the order of the poses' rows, source and run; a foreign file's may be nearly empty.
        records: how many frames the file holds, None where only reading to the end would tell.
        timed: False for a foreign file without times: ``pts`` is then the index and ``seconds`` is NaN.
    """

    path: str
    format: str
    header: Header
    records: int | None
    timed: bool

    @abstractmethod
    def __iter__(self) -> Iterator[FramePoses]:
        """Frames by rising index. A joint that is not there has confidence 0. Raises InputError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Choices that some formats offer.

    Attributes:
        joints: "default" (the format's own: COCO's 17 in COCO files) or "all" (every joint of the model, COCO only).
        frame_name: the picture's file name for a frame index, where the source is a folder of pictures.
    """

    joints: str = "default"
    frame_name: Callable[[int], str] | None = None


class Sink(ABC):
    """Writes one format to an open stream, frame by frame, in bounded memory."""

    def __init__(self, stream: OutputStream, header: Header, options: WriteOptions) -> None:
        self.stream = stream
        self.header = header
        self.options = options

    @abstractmethod
    def write(self, frame: FramePoses) -> None:
        """Add a frame. Frames come by rising index."""

    @abstractmethod
    def close(self, frames: int) -> None:
        """Write what comes last, now that the number of frames is known."""

    def release(self) -> None:  # noqa: B027 (most sinks hold nothing)
        """Let go of what the sink holds besides its stream, whether it was closed or not."""


def dumps(value: Any) -> str:
    """JSON on one line, plain ASCII, numpy values as what they hold.

    Raises:
        OutputError: NaN, infinity, or something that JSON has no form for.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError) as error:
        raise OutputError(f"a value cannot be written as JSON: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def rounded(values: np.ndarray) -> np.ndarray:
    """Pixels at DECIMALS, without negative zeros."""
    return np.round(values, DECIMALS) + 0.0


def box_xywh(box: np.ndarray, where: str) -> np.ndarray:
    """(4,) float64 [x, y, w, h] of an xyxy box.

    Raises:
        OutputError: a value is not finite, or millions of pixels away.
    """
    x1, y1, x2, y2 = np.asarray(box, dtype=np.float64)
    xywh = np.array([x1, y1, x2 - x1, y2 - y1])
    if not (np.abs(xywh) <= MAX_COORDINATE).all():
        raise OutputError(f"{where}: a person's box is not a number; this is a fault of the program, please report it")
    return xywh


def filled_mark(pose: Pose) -> dict[str, bool]:
    """What a file says of a person whose box was filled in; nothing of the others."""
    return {"filled": True} if pose.filled else {}


def seconds_value(seconds: float) -> float | None:
    """Seconds for a file: null where they are unknown."""
    return None if math.isnan(seconds) else float(seconds)
