"""What the sources share: the protocol and cached pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ftpcli.datasets.cutouts import Lender
from ftpcli.files.pictures import read_picture
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


def taught(points: np.ndarray, weights: np.ndarray, columns: Sequence[int | None], joints: int) -> Labels:
    """The model's ``joints``, (joints, 2), and what they weigh, (joints,): 0 where a joint has no label.

    Args:
        points, weights: (K, 2) and (K,) of the data's joints.
        columns: of the data's joints the place among the model's, None where it lacks one.
    """
    found, weight = np.zeros((joints, 2)), np.zeros(joints)
    for point, worth, column in zip(points, weights, columns, strict=True):
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
