"""What the sources share: the protocol and cached pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ftpcli.datasets.cutouts import Lender
from ftpcli.files.pictures import read_picture
from ftpcli.training.augment import Example

#: Joints that a teacher made weigh this much beside human labels of weight 1.
PSEUDO_WEIGHT = 0.5
#: Decoded pictures are kept up to this many bytes a source; beyond it they are decoded each time.
CACHE_BYTES = 6 * 1024**3


class Source(Protocol):
    """Examples by number.

    Attributes:
        groups: each example's origin, for figures per source.
        lenders: outlined people, to be pasted over others.
        warnings: what was left out or assumed, one line each that names the file.
    """

    name: str
    groups: list[str]
    lenders: Sequence[Lender] = ()
    warnings: Sequence[str] = ()

    def __len__(self) -> int: ...

    def example(self, index: int, frames: int) -> Example: ...


class ImageCache:
    """Decoded pictures by path, kept while they fit."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._images: dict[Path, np.ndarray] = {}
        self._room = limit

    def read(self, path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
        """(H, W, 3) uint8 RGB; arguments and errors as for `read_picture`."""
        if path in self._images:
            return self._images[path]
        image = read_picture(path, size)
        if image.nbytes <= self._room:
            self._room -= image.nbytes
            self._images[path] = image
        return image
