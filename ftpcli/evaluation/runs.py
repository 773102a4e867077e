"""What evaluations of a model on a data set have in common: options, box sources, windows through the estimator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ftpcli.errors import UsageError
from ftpcli.files.output import check_target, writing
from ftpcli.records import Frame, Person, Pose, Window

Tag = TypeVar("Tag")
#: Where the predictions of pictures and clips go, in the folder for predictions.
PREDICTIONS = "predictions.json"


class PoseModel(Protocol):
    """What is asked of a model: see ``ftpcli.pose.estimator.Estimator``."""

    batch: int
    provenance: dict[str, Any]

    @property
    def joints(self) -> tuple[str, ...]: ...
    @property
    def window(self) -> int: ...
    def estimate(self, windows: list[Window]) -> list[Pose]: ...


@dataclass(frozen=True, slots=True)
class BoxSource:
    """Where person boxes come from; stands next to every figure."""

    file: Path | None = None  # None: the annotations

    @classmethod
    def parse(cls, text: str) -> BoxSource:
        """``gt`` or ``detected:FILE``."""
        kind, _, file = text.partition(":")
        if text == "gt":
            return cls()
        if kind == "detected" and file:
            return cls(Path(file))
        raise UsageError(f"--boxes {text}: unknown; give gt or detected:FILE")

    @property
    def label(self) -> str:
        return "gt" if self.file is None else f"detected:{self.file.name}"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to evaluate a model on a data set.

    Attributes:
        data: the data set's folder (or file, for COCO JSON).
        predictions: folder for the prediction files.
        images: folder of the pictures, where a COCO file lies elsewhere.
        metric: posetrack or posetrack21, to use instead of the data set's own.
        single: replace all neighbours by the key frame.
        blur: longest motion blur in pixels put on every picture, 0 for none.
        every: evaluate every N-th frame of clips only.
        hold_views: see ``ftpcli.pose.views.HoldViews``; of clips only.
        results: of COCO pictures: the predictions' file, in place of one in ``predictions``.
        min_score: weaker detected boxes are not used.
    """

    data: Path
    dataset: str
    predictions: Path
    split: str = "val"
    boxes: BoxSource = BoxSource()
    images: Path | None = None
    metric: str | None = None
    single: bool = False
    blur: int = 0
    every: int = 1
    hold_views: float = 0.0
    results: Path | None = None
    min_score: float = 0.2
    overwrite: bool = False

    def prepare(self, names: Iterable[str]) -> None:
        """Make the folder for the prediction files; refuse before any work what would replace a file.

        Raises:
            OutputError: a file exists, or the folder cannot be made.
        """
        with writing(self.predictions):
            self.predictions.mkdir(parents=True, exist_ok=True)
        for name in names:
            check_target(self.predictions / name, overwrite=self.overwrite)

    def describe(self, model: PoseModel) -> dict[str, Any]:
        """What the report says of the run, besides the boxes."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "model": model.provenance,
            "window": model.window,
            "neighbours": "key frame" if self.single else "true",
            "blur": self.blur,
            "every": self.every,
            "hold_views": self.hold_views,
            "flip_test": bool(model.provenance.get("flip_test")),
        }


class Progress(Protocol):
    """Told of finished work."""

    def __call__(self, done: int, total: int | None) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class KeyFrame:
    """A frame to be estimated: its window of pictures and the people in it."""

    frames: tuple[Frame, ...]
    padded: tuple[bool, ...]
    people: tuple[Person, ...]

    def windows(self, single: bool) -> list[Window]:
        """One window a person; with ``single`` made of the key frame alone."""
        frames, padded = self.frames, self.padded
        if single:
            middle = len(frames) // 2
            frames, padded = (frames[middle],) * len(frames), tuple(i != middle for i in range(len(frames)))
        return [Window(person, frames, padded) for person in self.people]


def estimate(model: PoseModel, keys: Iterable[tuple[Tag, KeyFrame]], single: bool) -> Iterator[tuple[Tag, list[Pose]]]:
    """Poses of key frames in their order, in full batches; holds the pictures of about one batch."""
    tags: list[tuple[Tag, int]] = []
    windows: list[Window] = []

    def flush() -> Iterator[tuple[Tag, list[Pose]]]:
        poses = iter(model.estimate(windows))
        for tag, count in tags:
            yield tag, [next(poses) for _ in range(count)]
        tags.clear()
        windows.clear()

    for tag, key in keys:
        mine = key.windows(single)
        tags.append((tag, len(mine)))
        windows += mine
        if len(windows) >= model.batch:
            yield from flush()
    yield from flush()
