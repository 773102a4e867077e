"""Where training examples come from. Joints are matched by name; what is not labelled is not taught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftpcli.choices import DataKind
from ftpcli.errors import UsageError
from ftpcli.skeleton import Skeleton
from ftpcli.training.sources.clips import Clips
from ftpcli.training.sources.coco import CocoKeypoints
from ftpcli.training.sources.common import Source
from ftpcli.training.sources.poses import Poses
from ftpcli.training.sources.posetrack import PoseTrack

__all__ = ["KINDS", "Clips", "CocoKeypoints", "DataSpec", "PoseTrack", "Poses", "Source", "open_data"]


@dataclass(frozen=True, slots=True)
class _How:
    split: str
    skip_missing: bool
    images: Path | None


def _posetrack(version: str) -> Callable[[Path, Skeleton, _How], Source]:
    return lambda path, skeleton, how: PoseTrack(path, version, skeleton, how.split, skip_missing=how.skip_missing)


KINDS: dict[DataKind, Callable[[Path, Skeleton, _How], Source]] = {
    DataKind.COCO: lambda path, skeleton, how: CocoKeypoints(
        path, skeleton, skip_missing=how.skip_missing, human_only=how.split != "train", images=how.images
    ),
    DataKind.CLIPS: lambda path, skeleton, how: Clips(path, skeleton, how.split),
    DataKind.POSETRACK17: _posetrack("17"),
    DataKind.POSETRACK18: _posetrack("18"),
    DataKind.POSETRACK21: _posetrack("21"),
    DataKind.POSES: lambda path, skeleton, how: Poses(path, skeleton),
}


@dataclass(frozen=True, slots=True)
class DataSpec:
    """One ``--data KIND=PATH[:WEIGHT]``: a weight of 0.5 shows half of the source an epoch, 2 shows it twice."""

    kind: DataKind
    path: Path
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> DataSpec:
        """Raises UsageError for an unknown kind or a weight that is not above 0."""
        kind, equals, rest = text.partition("=")
        if not equals or not rest:
            raise UsageError(f"--data {text}: give KIND=PATH or KIND=PATH:WEIGHT, kinds are {', '.join(KINDS)}")
        if kind not in list(DataKind):
            raise UsageError(f"--data {text}: unknown kind '{kind}'; there are {', '.join(KINDS)}")
        chosen = DataKind(kind)
        path, colon, weight = rest.rpartition(":")
        if not colon or Path(rest).exists():
            return cls(chosen, Path(rest))
        try:
            value = float(weight)
        except ValueError:
            return cls(chosen, Path(rest))  # a path with a colon in it
        if not 0 < value < 1e6:
            raise UsageError(f"--data {text}: the weight must be above 0")
        return cls(chosen, Path(path), value)


def open_data(
    spec: DataSpec, skeleton: Skeleton, split: str, *, skip_missing: bool = False, images: Path | None = None
) -> Source:
    """The source behind a specification.

    Args:
        skip_missing: leave out people whose picture is missing.
        images: folder of the pictures of COCO files, where they are not found by the file.

    Raises:
        InputError: it cannot be read or is empty.
    """
    return KINDS[spec.kind](spec.path, skeleton, _How(split, skip_missing, images))
