"""What every format's writer offers."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ftpcli.errors import OutputError
from ftpcli.files.checked_json import MAX_COORDINATE
from ftpcli.formats.joints import JointMap, skeleton_of
from ftpcli.records import FramePoses, Header, Pose
from ftpcli.skeleton import Skeleton

#: Decimals of pixels in finished files: a thousandth of a pixel.
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Choices that some formats offer.

    Attributes:
        joints: "default" (the format's own: COCO's 17 in COCO files) or "all" (every joint of the model, COCO only).
        frame_name: the picture's file name for a frame index, where the source is a folder of pictures.
        picture: kind of the pictures ("jpg", "png") where there is no ``frame_name``.
        angles: tables hold the joint angles, too (see ``skeleton.joint_angles``).
        image: the encoded picture of the frame that is being written, for forms that hold pictures.
    """

    joints: str = "default"
    frame_name: Callable[[int], str] | None = None
    picture: str = "jpg"
    angles: bool = False
    image: Callable[[], bytes] | None = None


class Sink(ABC):
    """Writes one format, frame by frame, in bounded memory.

    Attributes:
        suffix: of its files' names, "" of folders; a name means the first format with its suffix in ``Format``.
        skeleton: the format's own joints; None where it holds those of the model.
        takes_all: can hold all joints of the model, too.
        folder: the output is a folder, and ``stream`` an ``OutputFolder`` in place of an ``OutputStream``.
        pictures: the output holds the frames' pictures, where ``options.image`` gives them.
        keeps: which of ``Pose.raw`` and ``Pose.filled`` it holds, too.
        people_only: cannot be of frames in which there is nobody.
        library: needed for writing, in the extra ``formats``.
        lacks: what no file of the format holds, such as "boxes and times".
        left_out: counts of what this file could not hold.
        own: the skeleton of the poses.
        held: the skeleton of the file.
        order: gives keypoints (K, 2) and confidence (K,) of a pose in the order of ``held``.
    """

    suffix: ClassVar[str] = ".json"
    skeleton: ClassVar[Skeleton | None] = None
    takes_all: ClassVar[bool] = False
    folder: ClassVar[bool] = False
    pictures: ClassVar[bool] = False
    keeps: ClassVar[tuple[str, ...]] = ()
    people_only: ClassVar[bool] = False
    library: ClassVar[str] = ""
    lacks: ClassVar[str] = ""

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        self.stream = stream
        self.header = header
        self.options = options
        self.left_out: Counter[str] = Counter()
        self.own = skeleton_of(header.joints)
        self.held = self.own if self.skeleton is None or options.joints == "all" else self.skeleton
        self.order = JointMap(self.own.joints, self.held.joints)
        self._begun = False  # whether the list that is being written has an entry

    def text(self, text: str) -> None:
        """Write plain text."""
        self.stream.write(text.encode("ascii"))

    def row(self, cells: Iterable[str]) -> None:
        """Write a line of a table."""
        self.text(",".join(cells) + "\n")

    def entry(self, value: dict[str, Any]) -> None:
        """Write an object of a list on a line of its own."""
        self.text((",\n" if self._begun else "\n") + dumps(value))
        self._begun = True

    @abstractmethod
    def write(self, frame: FramePoses) -> None:
        """Add a frame. Frames come by rising index."""

    def close(self, frames: int) -> None:  # noqa: B027 (most lines stand by themselves)
        """Write what comes last, now that the number of frames is known."""

    def release(self) -> None:  # noqa: B027 (most sinks hold nothing)
        """Let go of what the sink holds besides its stream, whether it was closed or not."""


class ListSink(Sink):
    """Writes a plain list of JSON objects."""

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self.text("[")

    def close(self, frames: int) -> None:
        self.text("\n]\n" if self._begun else "]\n")


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


def box_xywh(boxes: np.ndarray, frame: int) -> np.ndarray:
    """(..., 4) float64 [x, y, w, h] of xyxy boxes in a frame.

    Raises:
        OutputError: a value is not finite, or millions of pixels away.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    xywh = np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)
    if not (np.abs(xywh) <= MAX_COORDINATE).all():
        raise OutputError("a person's box is not a number; this is a fault of the program, please report it", frame)
    return xywh


def needed_size(header: Header, who: str) -> tuple[int, int]:
    """Width and height of the pictures. Raises OutputError where they are not known."""
    width, height = header.source.width, header.source.height
    if not width or not height:
        raise OutputError(f"the poses do not say how large the pictures are, which {who}; give --video")
    return width, height


def filled_mark(pose: Pose) -> dict[str, bool]:
    """What a file says of a person whose box was filled in; nothing of the others."""
    return {"filled": True} if pose.filled else {}


def needed_seconds(frame: FramePoses, who: str) -> float:
    """The frame's time. Raises OutputError where it has none."""
    if math.isnan(frame.seconds):
        raise OutputError(f"has no time, which {who} files need; give --fps or --video", frame.index)
    return float(frame.seconds)


def seconds_value(seconds: float) -> float | None:
    """Seconds for a file: null where they are unknown."""
    return None if math.isnan(seconds) else float(seconds)
