"""What turns samples into gradients: batches for ultralytics' loss, ignore regions, and the optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ftpcli.errors import UsageError
from ftpcli.people._ultralytics import MuSGD, newton_schulz
from ftpcli.training.detector.recipe import DetectorRecipe
from ftpcli.training.detector.samples import Sample
from ftpcli.training.muon import needs_float32, orthogonalise


class MaskedLoss(nn.Module):
    """Binary cross-entropy that leaves out the anchors of ignore regions, unless they belong to a person."""

    def __init__(self) -> None:
        super().__init__()
        self.ignore: torch.Tensor | None = None  # (B, anchors, 1) bool

    def forward(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = nn.functional.binary_cross_entropy_with_logits(scores, target, reduction="none")
        if self.ignore is not None:
            loss = loss.masked_fill(self.ignore & (target == 0), 0.0)
        return loss


class Float32MuSGD(MuSGD):
    """ultralytics' MuSGD, orthogonalising in float32: see `ftpcli.training.muon`."""

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        with newton_schulz(orthogonalise):
            return super().step(closure)


def make_optimiser(network: nn.Module, recipe: DetectorRecipe) -> torch.optim.Optimizer:
    """Weights of convolutions with decay, everything else without.

    Raises:
        UsageError: an unknown optimiser.
    """
    matrices = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    rows: list[dict[str, Any]] = [
        {"params": matrices, "scale": 1.0, "weight_decay": recipe.weight_decay},
        {"params": others, "scale": 1.0, "weight_decay": 0.0},
    ]
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(rows, lr=recipe.lr, betas=(recipe.momentum, 0.99))
    if recipe.optimiser == "musgd":
        for row, muon in zip(rows, (True, False), strict=True):
            row |= {"momentum": recipe.momentum, "nesterov": True, "use_muon": muon}
        kind = Float32MuSGD if needs_float32(next(network.parameters()).device) else MuSGD
        return kind(rows, lr=recipe.lr, muon=recipe.muon, sgd=1.0)
    raise UsageError(f"unknown optimiser '{recipe.optimiser}': musgd or adamw")


def collate(samples: list[Sample]) -> dict[str, torch.Tensor]:
    """A batch as ultralytics' loss wants it, with ``ignore`` (B, anchors, 1): anchors inside ignore regions.

    ``img`` is (B, S, S, 3) uint8 still: see `on_device`.
    """
    size = samples[0].image.shape[0]
    boxes = torch.from_numpy(np.concatenate([s.people for s in samples])) / size
    which = torch.cat([torch.full((len(s.people),), float(i)) for i, s in enumerate(samples)])
    centres = np.concatenate(
        [
            np.stack(np.meshgrid(*[(np.arange(size // stride) + 0.5) * stride] * 2), -1).reshape(-1, 2)
            for stride in (8, 16, 32)
        ]
    )
    ignore = np.zeros((len(samples), len(centres), 1), bool)
    for i, sample in enumerate(samples):
        for x0, y0, x1, y1 in sample.ignore:
            inside = (centres[:, 0] >= x0) & (centres[:, 0] <= x1) & (centres[:, 1] >= y0) & (centres[:, 1] <= y1)
            ignore[i, inside, 0] = True
    return {
        "img": torch.from_numpy(np.stack([s.image for s in samples])),
        "batch_idx": which,
        "cls": torch.zeros(len(boxes), 1),
        "bboxes": torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1).float(),
        "ignore": torch.from_numpy(ignore),
    }


def on_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """The batch on ``device``, its pictures (B, 3, S, S) float32 in 0..1."""
    batch = {name: value.to(device) for name, value in batch.items()}
    batch["img"] = (batch["img"].permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)
    return batch


def to_float(value: Any) -> Any:
    """The network's nested output in fp32: the loss is computed outside autocast."""
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, dict):
        return {k: to_float(v) for k, v in value.items()}
    return type(value)(to_float(v) for v in value)
