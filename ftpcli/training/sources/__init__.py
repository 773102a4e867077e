"""Where training examples come from. Joints are matched by name; what is not labelled is not taught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftpcli.errors import UsageError
from ftpcli.skeleton import Skeleton
from ftpcli.training.sources.clips import Clips
from ftpcli.training.sources.coco import CocoKeypoints
from ftpcli.training.sources.common import Source
from ftpcli.training.sources.poses import Poses
from ftpcli.training.sources.posetrack import PoseTrack

__all__ = ["KINDS", "Clips", "CocoKeypoints", "DataSpec", "PoseTrack", "Poses", "Source", "open_data"]

_Opener = Callable[[Path, Skeleton, str, bool], Source]

KINDS: dict[str, _Opener] = {
    "coco": lambda path, skeleton, split, skip: CocoKeypoints(
        path, skeleton, skip_missing=skip, human_only=split != "train"
    ),
    "clips": lambda path, skeleton, split, skip: Clips(path, skeleton, split),
    "posetrack17": lambda path, skeleton, split, skip: PoseTrack(path, "17", skeleton, split, skip_missing=skip),
    "posetrack18": lambda path, skeleton, split, skip: PoseTrack(path, "18", skeleton, split, skip_missing=skip),
    "posetrack21": lambda path, skeleton, split, skip: PoseTrack(path, "21", skeleton, split, skip_missing=skip),
    "poses": lambda path, skeleton, split, skip: Poses(path, skeleton),
}


@dataclass(frozen=True, slots=True)
class DataSpec:
    """One ``--data KIND=PATH[:WEIGHT]``: a weight of 0.5 shows half of the source an epoch, 2 shows it twice."""

    kind: str
    path: Path
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> DataSpec:
        """Raises UsageError for an unknown kind or a weight that is not above 0."""
        kind, equals, rest = text.partition("=")
        if not equals or not rest:
            raise UsageError(f"--data {text}: give KIND=PATH or KIND=PATH:WEIGHT, kinds are {', '.join(KINDS)}")
        if kind not in KINDS:
            raise UsageError(f"--data {text}: unknown kind '{kind}'; there are {', '.join(KINDS)}")
        path, colon, weight = rest.rpartition(":")
        if not colon or Path(rest).exists():
            return cls(kind, Path(rest))
        try:
            value = float(weight)
        except ValueError:
            return cls(kind, Path(rest))  # a path with a colon in it
        if not 0 < value < 1e6:
            raise UsageError(f"--data {text}: the weight must be above 0")
        return cls(kind, Path(path), value)


def open_data(spec: DataSpec, skeleton: Skeleton, split: str, *, skip_missing: bool = False) -> Source:
    """The source behind a specification; raises InputError where it cannot be read or is empty."""
    return KINDS[spec.kind](spec.path, skeleton, split, skip_missing)
