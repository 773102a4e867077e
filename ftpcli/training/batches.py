"""Batches of windows for the pose model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from ftpcli.model.choices import Codec
from ftpcli.pose.crops import normalise
from ftpcli.skeleton import PERSON19, Skeleton
from ftpcli.training.augment import make_window
from ftpcli.training.mixture import Mixture
from ftpcli.training.recipe import Augmentation
from ftpcli.training.sources.common import Source


@dataclass(frozen=True, slots=True)
class Batch:
    """(B, T, H, W, 3) uint8 RGB crops, (B, K, 2) joints in crop pixels, (B, K) weights, see ``make_window``."""

    crops: torch.Tensor
    joints: torch.Tensor
    weight: torch.Tensor

    def windows(self, device: torch.device) -> torch.Tensor:
        """(B, T, 3, H, W) float32 on ``device``, as the model takes them."""
        return normalise(self.crops, device)

    def split(self, parts: int) -> list[Batch]:
        """Consecutive parts, for accumulation."""
        columns = zip(self.crops.chunk(parts), self.joints.chunk(parts), self.weight.chunk(parts), strict=True)
        return [Batch(*column) for column in columns]


class Examples(Dataset):
    """The run's examples by number, each made from random numbers of its own.

    Args:
        repeat: after so many examples the first ones come again; 0 for never. Those from ``known`` on have been seen
            by this run, and are None where they come again.
        kept: all that come again have been seen, and are None from the start.
    """

    def __init__(
        self,
        mixture: Mixture[Source],
        size: tuple[int, int],
        frames: int,
        how: Augmentation,
        seed: int,
        joints: tuple[str, ...] = PERSON19.joints,
        codec: str = Codec.CENTRED,
        repeat: int = 0,
        known: int = 0,
        kept: bool = False,
    ) -> None:
        self._repeat, self._known = repeat, -repeat if kept else known
        self.mixture, self.size, self.frames, self.how, self.seed = mixture, size, frames, how, seed
        self._skeleton, self._codec = Skeleton("model", joints), codec
        self._epoch = -1
        self._order: list[tuple[int, int]] = []

    def __getitem__(self, counter: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        if self._repeat:
            if counter - self._repeat >= self._known:
                return None
            counter %= self._repeat
        epoch, position = divmod(counter, len(self.mixture))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self.mixture.order(epoch)
        source, index = self._order[position]
        example = self.mixture.sources[source].example(index, self.frames)
        rng = np.random.default_rng([self.seed, counter])
        return make_window(
            example, self.size, self.frames, self.how, rng, self._skeleton, self.mixture.lenders, self._codec
        )


def collate(rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Batch:
    """The windows, joints and weights of ``make_window`` as one batch."""
    crops, joints, weight = (np.stack(column) for column in zip(*rows, strict=True))
    return Batch(torch.from_numpy(crops), torch.from_numpy(joints).float(), torch.from_numpy(weight).float())


def plain_batches(
    source: Source,
    indices: Sequence[int],
    size: tuple[int, int],
    frames: int,
    batch: int,
    codec: str = Codec.CENTRED,
) -> Iterator[tuple[Batch, list[int]]]:
    """Unaugmented batches of chosen examples, for validation."""
    nothing = Augmentation.none()
    rng = np.random.default_rng(0)
    for start in range(0, len(indices), batch):
        part = list(indices[start : start + batch])
        examples = [source.example(i, frames) for i in part]
        yield collate([make_window(e, size, frames, nothing, rng, codec=codec) for e in examples]), part
