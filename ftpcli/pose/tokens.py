"""Tokens of crops that several windows show: computed once, dropped when no later window can show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ftpcli.pose.engine import Tokens
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
    """Holds the tokens of crops from the first window that shows them to the last, over several chunks of windows.

    Key frames follow each other, so that the windows of the next chunk can show the last key frame of this one and
    the frames after it. Their tokens are kept until the next chunk begins.

    Chunks whose poses are known already can be passed over. Crops that a later chunk shows as well are then encoded
    for it, in the batches of an unbroken run: tokens from other batches differ in their last bits.
    """

    def __init__(self) -> None:
        self._uses: Counter[Crop] = Counter()
        self._last = -1
        self._of: dict[Crop, Tokens] = {}
        self._late: dict[Crop, list[Crop]] = {}  # passed over: the batch that each is in

    def begin(self, windows: Sequence[Sequence[Crop]], last: int) -> None:
        """The next chunk: the crops of all its windows, and the index of its last key frame."""
        self._uses, self._last = Counter(crop for crops in windows for crop in crops), last
        self._of = {crop: tokens for crop, tokens in self._of.items() if crop in self._uses}
        self._late = {crop: batch for crop, batch in self._late.items() if crop in self._uses}

    def due(self, windows: Iterable[Sequence[Crop]]) -> list[list[Crop]]:
        """Batches of crops to be encoded before these windows of the chunk can be decoded, in order."""
        shown = list(dict.fromkeys(crop for crops in windows for crop in crops))
        late = {id(batch): batch for crop in shown if (batch := self._late.get(crop))}
        new = self._new(shown)
        return [*late.values(), *([new] if new else [])]

    def pass_over(self, windows: Iterable[Sequence[Crop]]) -> None:
        """These windows of the chunk are not decoded: their poses are known."""
        batch = self._new(dict.fromkeys(crop for crops in windows for crop in crops))
        self._late.update((crop, batch) for crop in batch)

    def _new(self, shown: Iterable[Crop]) -> list[Crop]:
        return [crop for crop in shown if crop not in self._of and crop not in self._late]

    def add(self, crops: Sequence[Crop], tokens: Iterable[Tokens]) -> None:
        """Tokens of each of the crops; those of a crop that no window shows any more are not kept."""
        for crop, one in zip(crops, tokens, strict=True):
            self._late.pop(crop, None)
            if self._uses[crop]:
                self._of[crop] = one

    def window(self, crops: Sequence[Crop]) -> list[Tokens]:
        """Tokens of each of a window's crops."""
        return [self._of[crop] for crop in crops]

    def done(self, windows: Iterable[Sequence[Crop]]) -> None:
        """Windows with these crops are decoded: release tokens that no later window can show."""
        for crop in (crop for crops in windows for crop in crops):
            self._uses[crop] -= 1
            if not self._uses[crop] and crop.frame.index < self._last:
                self._of.pop(crop, None)
                self._late.pop(crop, None)
