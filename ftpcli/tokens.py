"""Tokens of crops that several windows show: computed once, dropped with the last of these windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from ftpcli.records import Frame


class Crop:
    """A frame in a view. Equal where the frame is the same object and the view has the same numbers."""

    __slots__ = ("_key", "frame", "view")

    def __init__(self, frame: Frame, view: np.ndarray) -> None:
        self.frame, self.view = frame, view
        self._key = (id(frame), np.asarray(view, np.float64).tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Crop) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class SharedTokens:
    """Holds the tokens of crops from the first window that shows them to the last.

    Args:
        windows: the crops of every window that there will be.
    """

    def __init__(self, windows: Iterable[Sequence[Crop]]) -> None:
        self._uses = Counter(crop for crops in windows for crop in crops)
        self._of: dict[Crop, torch.Tensor] = {}

    def missing(self, windows: Iterable[Sequence[Crop]]) -> list[Crop]:
        """Each crop of the windows that is not there, once, in their order."""
        return list(dict.fromkeys(crop for crops in windows for crop in crops if crop not in self._of))

    def add(self, crops: Sequence[Crop], tokens: Iterable[torch.Tensor]) -> None:
        """Tokens (...) of each of the crops."""
        self._of.update(zip(crops, tokens, strict=True))

    def window(self, crops: Sequence[Crop]) -> list[torch.Tensor]:
        """Tokens (...) of each of a window's crops."""
        return [self._of[crop] for crop in crops]

    def done(self, windows: Iterable[Sequence[Crop]]) -> None:
        """Windows with these crops are over."""
        for crop in (crop for crops in windows for crop in crops):
            self._uses[crop] -= 1
            if not self._uses[crop]:
                del self._of[crop]
