"""Where training examples come from. Joints are matched by name; what is not labelled is not taught."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ftpcli.choices import DataKind
from ftpcli.errors import UsageError
from ftpcli.skeleton import Skeleton
from ftpcli.training.sources.clips import Clips
from ftpcli.training.sources.coco import CocoKeypoints
from ftpcli.training.sources.common import PictureCache, Source
from ftpcli.training.sources.poses import Poses
from ftpcli.training.sources.posetrack import PoseTrack

__all__ = ["Clips", "CocoKeypoints", "DataSpec", "PoseTrack", "Poses", "Source", "open_data"]


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
            raise UsageError(f"--data {text}: give KIND=PATH or KIND=PATH:WEIGHT, kinds are {', '.join(DataKind)}")
        if kind not in list(DataKind):
            raise UsageError(f"--data {text}: unknown kind '{kind}'; there are {', '.join(DataKind)}")
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
    spec: DataSpec,
    skeleton: Skeleton,
    split: str,
    *,
    skip_missing: bool = False,
    images: Path | None = None,
    cache: PictureCache | None = None,
) -> Source:
    """The source behind a specification.

    Args:
        skip_missing: leave out people whose picture is missing.
        images: folder of the pictures of COCO files, where they are not found by the file.
        cache: keeps decoded pictures.

    Raises:
        InputError: it cannot be read or is empty.
    """
    match spec.kind:
        case DataKind.COCO:
            human_only = split != "train"
            return CocoKeypoints(
                spec.path, skeleton, human_only=human_only, skip_missing=skip_missing, images=images, cache=cache
            )
        case DataKind.CLIPS:
            return Clips(spec.path, skeleton, split)
        case DataKind.POSES:
            return Poses(spec.path, skeleton)
    version = spec.kind.removeprefix("posetrack")
    return PoseTrack(spec.path, version, skeleton, split, skip_missing=skip_missing, cache=cache)
