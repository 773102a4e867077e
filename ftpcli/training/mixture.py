"""Which examples a training sees, and in which order: a function of seed and position, so a resumed run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from ftpcli.datasets.cutouts import Lender
from ftpcli.errors import InputError


class Sized(Protocol):
    """A source of examples, as far as a mixture looks at it; ``lenders``: outlined people, to be pasted over others."""

    lenders: Sequence[Lender]

    def __len__(self) -> int: ...


S = TypeVar("S", bound=Sized)


class Mixture(Generic[S]):
    """Several sources, each passed over ``weight`` times an epoch; one of weight 0 only lends its outlined people.

    Raises:
        InputError: there is no example.
    """

    def __init__(self, sources: Sequence[tuple[S, float]], seed: int) -> None:
        self.sources = [source for source, _ in sources]
        self._quota = [
            max(1, round(len(source) * weight)) if weight and len(source) else 0 for source, weight in sources
        ]
        self._seed = seed
        self.lenders = [lender for source in self.sources for lender in source.lenders]
        if not len(self):
            raise InputError("nothing to train on: every source is empty or has weight 0")

    def __len__(self) -> int:
        """Examples an epoch."""
        return sum(self._quota)

    def order(self, epoch: int) -> list[tuple[int, int]]:
        """(source, example) pairs of an epoch. A source of weight under 1 goes on where its last epoch ended."""
        pairs: list[tuple[int, int]] = []
        for number, (source, quota) in enumerate(zip(self.sources, self._quota, strict=True)):
            if not quota:
                continue
            start = epoch * quota
            passes = range(start // len(source), (start + quota - 1) // len(source) + 1)
            shuffled = [np.random.default_rng([self._seed, number, p]).permutation(len(source)) for p in passes]
            chosen = np.concatenate(shuffled)[start % len(source) :][:quota]
            pairs += [(number, int(index)) for index in chosen]
        np.random.default_rng([self._seed, 1_000_003, epoch]).shuffle(pairs)
        return pairs

    def draw(self, rng: np.random.Generator) -> tuple[S, int]:
        """A source and the number of one of its examples, each example as likely as its source's weight says."""
        at = int(rng.integers(len(self)))
        number = int(np.searchsorted(np.cumsum(self._quota), at, side="right"))
        return self.sources[number], int(rng.integers(len(self.sources[number])))
