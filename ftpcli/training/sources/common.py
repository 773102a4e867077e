"""What the sources share: the protocol and cached pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ftpcli.datasets.cutouts import Lender
from ftpcli.errors import InputError
from ftpcli.files.pictures import read_picture
from ftpcli.skeleton import Skeleton
from ftpcli.training.augment import Example
from ftpcli.training.mixture import Sized

Labels = tuple[np.ndarray, np.ndarray]

#: Joints that a teacher made weigh this much beside human labels of weight 1.
PSEUDO_WEIGHT = 0.5


class Source(Sized, Protocol):
    """Examples by number.

    Attributes:
        groups: each example's origin, for figures per source.
        lenders, warnings: see `Sized`; the warnings name the file.
    """

    name: str
    groups: list[str]
    lenders: Sequence[Lender] = ()
    warnings: Sequence[str] = ()

    def example(self, index: int, frames: int) -> Example: ...


class Taught:
    """Labels of a data set's joints as the model has them.

    Attributes:
        unknown: joints that the model lacks.

    Raises:
        InputError: it lacks all.
    """

    def __init__(self, path: Path, joints: Sequence[str], skeleton: Skeleton) -> None:
        self._columns, self._count = skeleton.indices(joints), len(skeleton.joints)
        self.unknown = [joint for joint in joints if joint not in skeleton.joints]
        if len(self.unknown) == len(joints):
            raise InputError(f"{path}: none of its joints ({', '.join(self.unknown)}) is among the model's")

    def __call__(self, points: np.ndarray, weights: np.ndarray) -> Labels:
        """(K, 2) and (K,) of the data's joints -> the model's, and what they weigh: 0 where a joint has no label."""
        found, weight = np.zeros((self._count, 2)), np.zeros(self._count)
        for point, worth, column in zip(points, weights, self._columns, strict=True):
            if column is not None and worth:
                found[column], weight[column] = point, worth
        return found, weight


class PictureCache:
    """Decoded pictures by path, for all sources of a run. The first that fit are kept.

    Examples come in a random order, so pictures that make room for others would not be found more often.

    Args:
        limit: bytes; 0 keeps none.
    """

    def __init__(self, limit: int = 0) -> None:
        self._pictures: dict[Path, np.ndarray] = {}
        self._room = limit

    def read(self, path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
        """(H, W, 3) uint8 RGB; arguments and errors as for `read_picture`."""
        if path in self._pictures:
            return self._pictures[path]
        picture = read_picture(path, size)
        if picture.nbytes <= self._room:
            self._room -= picture.nbytes
            self._pictures[path] = picture
        return picture
