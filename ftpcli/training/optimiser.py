"""The pose model's optimisers, with layer-wise rates."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ftpcli.model.ftp_pose import FTPPose
from ftpcli.training.muon import Float32Muon, needs_float32
from ftpcli.training.recipe import Recipe

#: Parts of the stems that others trained.
_TRAINED_STEMS = ("backbone.trunk.", "backbone.vit.patch_embed.proj.net.")


def build_optimisers(model: FTPPose, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW, with Muon before it for the blocks' matrices where the recipe says so.

    Convolution kernels of the stem and the head are matrices to Muon as well, one row an output channel.
    Every group carries a ``scale``: new modules 1, the backbone's layers less; biases and norms do not decay.
    """
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        scale = 1.0
        if name.startswith("backbone."):
            depth = model.backbone.depth
            scale = recipe.backbone_lr * recipe.layer_decay ** (depth - _layer(name, depth))
            if name.startswith(_TRAINED_STEMS):
                scale *= recipe.stem_lr
        if scale == 0:
            parameter.requires_grad_(False)
            continue
        decays = parameter.ndim > 1 and "pos_embed" not in name and not name.endswith("time")
        muon = recipe.optimiser == "muon" and decays and _is_matrix(name, parameter)
        members = groups.setdefault((muon, scale, decays), [])
        members.append(_as_matrix(parameter) if muon and parameter.ndim == 4 else parameter)

    def rows(muon: bool) -> list[dict[str, Any]]:
        return [
            {"params": members, "scale": scale, "weight_decay": recipe.weight_decay if decays else 0.0}
            for (is_muon, scale, decays), members in groups.items()
            if is_muon == muon
        ]

    built: list[torch.optim.Optimizer] = []
    if rows(True):
        kind = Float32Muon if needs_float32(next(model.parameters()).device) else torch.optim.Muon
        built.append(kind(rows(True), lr=recipe.lr, adjust_lr_fn="match_rms_adamw"))
    if rows(False):
        built.append(torch.optim.AdamW(rows(False), lr=recipe.lr, betas=(0.9, 0.98)))
    return built


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    if parameter.ndim == 2:
        return ".blocks." in name or name.startswith(("encoder.", "head.cross", "head.mlp"))
    # Kernels, not the picture's own three channels; 4x4 ones are transposed and have their inputs first.
    return parameter.ndim == 4 and parameter.shape[1] > 3 and parameter.shape[2] == 3


def _as_matrix(kernel: nn.Parameter) -> nn.Parameter:
    """A (O, h w I) parameter on the memory of a (O, I, h, w) kernel; its gradient is a view of the kernel's."""
    order = (0, 2, 3, 1) if kernel.is_contiguous(memory_format=torch.channels_last) else (0, 1, 2, 3)
    matrix = nn.Parameter(kernel.detach().permute(order).view(len(kernel), -1))

    def share(kernel: torch.Tensor) -> None:
        assert kernel.grad is not None
        matrix.grad = kernel.grad.permute(order).view(len(kernel), -1)

    kernel.register_post_accumulate_grad_hook(share)
    return matrix


def _layer(name: str, depth: int) -> int:
    parts = name.split(".")
    if parts[:3] == ["backbone", "vit", "blocks"]:  # a stem may have blocks of its own
        return int(parts[3]) + 1
    return depth if ".norm." in name else 0
