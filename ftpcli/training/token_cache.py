"""Tokens of a frozen backbone, kept in memory: later passes over the same windows train what lies behind it alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ftpcli.errors import UsageError
from ftpcli.model.backbone import Backbone

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a part of a batch, with what they are to teach.

    Attributes:
        tokens: (B, T, N, C + D) of the backbone.
        joints: (B, K, 2) crop pixels.
        weight: (B, K).
    """

    tokens: Tensor
    joints: Tensor
    weight: Tensor


class TokenCache:
    """The first steps' tokens, as half-precision numbers. After the last of them training begins with the first again.

    Numbers behind a token's own width are kept of the key frame alone: nothing reads them of the others.

    Args:
        gib: bound on the memory, GiB, of each process.
        backbone: whose tokens they are.
        grid: rows and columns of a crop's tokens.
        frames: T.
        batch: windows a step in this process.

    Raises:
        UsageError: not even one step's tokens fit.
    """

    def __init__(self, gib: float, backbone: Backbone, grid: tuple[int, int], frames: int, batch: int) -> None:
        step = batch * grid[0] * grid[1] * (frames * backbone.width + backbone.detail) * 2
        self.steps = int(gib * _GIB // step)
        if not self.steps:
            raise UsageError(f"--token-cache {gib:g}: a step's tokens alone take {step / _GIB:.2f} GiB")
        self._width = backbone.width
        self._kept: dict[int, list[tuple[Tensor, Tensor, Tensor, Tensor]]] = {}

    def put(self, step: int, part: Tokens) -> Tokens:
        """Keep the next part of a step's batch; as ``get`` will give it, so that a resumed run sees the same."""
        middle = part.tokens.shape[1] // 2
        numbers = part.tokens[..., : self._width].half().cpu(), part.tokens[:, middle, :, self._width :].half().cpu()
        parts = self._kept.setdefault(step % self.steps, [])
        parts.append((*numbers, part.joints, part.weight))
        return self._given(parts[-1])

    @property
    def full(self) -> bool:
        """Whether it holds all the steps that it can, so that no window has to be made any more."""
        return len(self._kept) == self.steps

    def get(self, step: int) -> list[Tokens]:
        """The parts of a step's batch, rounded to half precision."""
        return [self._given(part) for part in self._kept[step % self.steps]]

    def _given(self, part: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tokens:
        own, detail, joints, weight = part
        behind = own.new_zeros(*own.shape[:3], detail.shape[2])
        behind[:, own.shape[1] // 2] = detail
        return Tokens(torch.cat([own, behind], dim=3).float(), joints, weight)
