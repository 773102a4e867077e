"""Labelled clips: short videos of one person with joints in every frame, listed in ``clips.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ftpcli.datasets.boxes import CLIPS, box_of_joints
from ftpcli.errors import InputError
from ftpcli.files import checked_json as checks


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One labelled clip of T frames, K joints."""

    name: str  # ``file`` as given
    path: Path
    joints: tuple[str, ...]
    points: np.ndarray  # (T, K, 2) float64 pixels
    size: tuple[int, int]  # width and height

    @property
    def inside(self) -> np.ndarray:
        """(T, K) bool: the joint lies in the picture, so that it counts. One at x = width lies outside."""
        return np.all((self.points >= 0) & (self.points < self.size), axis=2)

    def boxes(self) -> np.ndarray:
        """(T, 4) xyxy: the extent of the joints inside and 10 % more a side, clipped; NaN where none is inside."""
        found = [box_of_joints(p[i], CLIPS, self.size) for p, i in zip(self.points, self.inside, strict=True)]
        return np.array([np.full(4, np.nan) if box is None else box for box in found]).reshape(-1, 4)


def read_clips(data: Path, split: str) -> list[Clip]:
    """The clips of a split.

    Args:
        data: the folder with ``clips.json``, or that file: ``joints``, and ``clips`` with ``file``, ``split``,
            ``keypoints`` (frames, joints, 2), and perhaps ``width`` and ``height``, which are else the video's.

    Raises:
        InputError: not such a file, a video is missing, or no clip belongs to the split.
    """
    path = data if data.is_file() else data / "clips.json"
    content, start = checks.as_object(checks.load(path), "the file", str(path)), str(path)
    names = checks.as_list(checks.field(content, "joints", start), "'joints'", start)
    joints = tuple(checks.as_text(name, "a joint's name", start) for name in names)
    clips, missing = [], list[str]()
    for k, value in enumerate(checks.as_list(checks.field(content, "clips", start), "'clips'", start)):
        where = f"{path}, clip {k}"
        entry = checks.as_object(value, "a clip", where)
        if checks.field(entry, "split", where) != split:
            continue
        name = checks.relative_name(checks.field(entry, "file", where), "'file'", where)
        if not (path.parent / name).is_file():
            missing.append(str(path.parent / name))
            continue
        size = checks.picture_size(entry, where) or _size_of(path.parent / name)
        try:
            points = np.array(checks.field(entry, "keypoints", where), dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{where}: 'keypoints' are not numbers") from None
        if points.ndim != 3 or points.shape[1:] != (len(joints), 2) or not np.isfinite(points).all():
            raise InputError(f"{where}: 'keypoints' should be (frames, {len(joints)}, 2) finite numbers")
        clips.append(Clip(name, path.parent / name, joints, points, size))
    if missing:
        raise InputError(f"{path}: {len(missing)} clips are missing, first {missing[0]}")
    if not clips:
        raise InputError(f"{path}: no clip belongs to the split '{split}'")
    return clips


def _size_of(path: Path) -> tuple[int, int]:
    from ftpcli.video import open_source

    with open_source(path) as reader:
        return reader.info.width, reader.info.height
