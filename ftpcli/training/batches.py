"""Which examples make which batch: a function of seed and position alone, so that a resumed run goes on exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from ftpcli.pose.crops import normalise
from ftpcli.training.augment import Augmentation, make_window
from ftpcli.training.sources.common import Source
from ftpcli.training.workers import loader


@dataclass(frozen=True, slots=True)
class Batch:
    """(B, T, H, W, 3) uint8 RGB crops, (B, K, 2) joints in crop pixels, (B, K) weights."""

    crops: torch.Tensor
    joints: torch.Tensor
    weight: torch.Tensor

    def windows(self, device: torch.device) -> torch.Tensor:
        """(B, T, 3, H, W) float32 on ``device``, as the model takes them."""
        return normalise(self.crops, device)


class Mixture:
    """Several sources, each passed over ``weight`` times an epoch; ``lenders``: the people they outline."""

    def __init__(self, sources: Sequence[tuple[Source, float]], seed: int) -> None:
        self.sources = [source for source, _ in sources]
        self._quota = [max(1, round(len(source) * weight)) for source, weight in sources]
        self._seed = seed
        self.lenders = [lender for source in self.sources for lender in source.lenders]

    def __len__(self) -> int:
        """Examples an epoch."""
        return sum(self._quota)

    def order(self, epoch: int) -> list[tuple[int, int]]:
        """(source, example) pairs of an epoch. A source of weight under 1 goes on where its last epoch ended."""
        pairs: list[tuple[int, int]] = []
        for number, (source, quota) in enumerate(zip(self.sources, self._quota, strict=True)):
            start = epoch * quota
            passes = range(start // len(source), (start + quota - 1) // len(source) + 1)
            shuffled = [np.random.default_rng([self._seed, number, p]).permutation(len(source)) for p in passes]
            chosen = np.concatenate(shuffled)[start % len(source) :][:quota]
            pairs += [(number, int(index)) for index in chosen]
        np.random.default_rng([self._seed, 1_000_003, epoch]).shuffle(pairs)
        return pairs


class _Examples(Dataset):
    """One stretch of the run's examples, each made from its own random numbers."""

    def __init__(self, mixture: Mixture, size: tuple[int, int], frames: int, how: Augmentation, seed: int) -> None:
        self.mixture, self.size, self.frames, self.how, self.seed = mixture, size, frames, how, seed
        self._epoch = -1
        self._order: list[tuple[int, int]] = []

    def __getitem__(self, counter: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        epoch, position = divmod(counter, len(self.mixture))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self.mixture.order(epoch)
        source, index = self._order[position]
        example = self.mixture.sources[source].example(index, self.frames)
        rng = np.random.default_rng([self.seed, counter])
        return make_window(example, self.size, self.frames, self.how, rng, others=self.mixture.lenders)


def _collate(rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Batch:
    crops, joints, weight = (np.stack(column) for column in zip(*rows, strict=True))
    return Batch(torch.from_numpy(crops), torch.from_numpy(joints).float(), torch.from_numpy(weight).float())


def training_batches(
    mixture: Mixture,
    *,
    size: tuple[int, int],
    frames: int,
    augmentation: Augmentation,
    batch: int,
    seed: int,
    first: int,
    steps: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """Batches ``first`` to ``steps`` of a run; of several processes each takes its share of every batch."""
    examples = _Examples(mixture, size, frames, augmentation, seed)
    share = batch // world
    lists = [range(step * batch + rank * share, step * batch + (rank + 1) * share) for step in range(first, steps)]
    yield from loader(examples, workers, batch_sampler=[list(r) for r in lists], collate_fn=_collate)


def plain_batches(
    source: Source, indices: Sequence[int], size: tuple[int, int], frames: int, batch: int
) -> Iterator[tuple[Batch, list[int]]]:
    """Unaugmented batches of chosen examples, for validation."""
    nothing = Augmentation.none()
    rng = np.random.default_rng(0)
    for start in range(0, len(indices), batch):
        part = list(indices[start : start + batch])
        yield _collate([make_window(source.example(i, frames), size, frames, nothing, rng) for i in part]), part
