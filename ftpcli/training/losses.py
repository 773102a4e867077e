"""Heatmap losses. Unlabelled joints carry weight 0 and teach nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from ftpcli.model.config import ModelConfig
from ftpcli.model.heatmap import gaussian_targets

#: Weights of the joints that move most, as in the DCPose family's "different joint weights".
JOINT_WEIGHTS = {"elbow": 1.2, "knee": 1.2, "wrist": 1.5, "ankle": 1.5}


def joint_weights(joints: tuple[str, ...]) -> Tensor:
    """(K,) float."""
    return torch.tensor([JOINT_WEIGHTS.get(joint.rpartition("_")[2], 1.0) for joint in joints])


def heatmap_loss(
    heatmaps: Tensor,
    joints: Tensor,
    weight: Tensor,
    config: ModelConfig,
    sigma: float,
    foreground: float,
    total: float | None = None,
    absent: float = 0.0,
) -> Tensor:
    """The loss that the configuration's kind of heatmap asks for, averaged over the batch's labelled joints.

    ``gaussian``: squared error (eq. 4); with ``foreground`` f each cell counts 1 + f * target, since from random
    weights the empty background outweighs the joints. ``softmax``: cross-entropy of the heatmap's distribution
    against the normalised target.

    A joint known to lie outside the crop has a target of zeros, or of equal probability everywhere.

    Args:
        heatmaps: (B, K, rows, columns).
        joints: (B, K, 2) crop pixels.
        weight: (B, K), below 0 for joints known to lie outside the crop.
        total: sum of the weights above 0 of the whole batch, where this is a part of it: the parts' losses add up to
            the batch's. None: that of ``weight``.
        absent: what joints outside the crop count beside others.
    """
    seen = weight > 0
    target = gaussian_targets(joints, (heatmaps.shape[2], heatmaps.shape[3]), sigma, config.codec).flatten(2)
    values = heatmaps.float().flatten(2)
    if config.heatmap == "softmax":
        target = target / target.sum(dim=2, keepdim=True).clamp_min(1e-6)
        target = torch.where(seen[..., None], target, 1 / target.shape[2])
        each = -(target * torch.log_softmax(values, dim=2)).sum(dim=2)
    else:
        target = torch.where(seen[..., None], target, 0.0)
        each = ((values - target).square() * (1 + foreground * target)).mean(dim=2)
    total = weight[seen].sum().item() if total is None else total
    return (each * torch.where(seen, weight, absent * -weight)).sum() / max(total, 1.0)
