"""The pose model's optimisers, with layer-wise rates."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ftpcli.model.ftp_pose import FTPPose
from ftpcli.training.muon import Float32Muon, needs_float32
from ftpcli.training.recipe import Recipe

#: The part of the movenet stem that others trained.
_TRAINED_STEM = "backbone.trunk."
#: Parts of the head that serve the encoder's high-resolution branch.
_FINE = ("head.cross.", "head.mlp.", "head.scatter.")


def build_optimisers(model: FTPPose, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW, with Muon before it for the blocks' matrices where the recipe says so.

    Every group carries a ``scale``: new modules 1, the backbone's layers and the head as the recipe
    says; biases and norms do not decay.
    """
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        scale = 1.0
        if name.startswith("backbone."):
            depth = model.backbone.depth
            scale = recipe.backbone_lr * recipe.layer_decay ** (depth - _layer(name, depth))
            if name.startswith(_TRAINED_STEM):
                scale *= recipe.stem_lr
        elif name.startswith("head.") and not name.startswith(_FINE):
            scale = recipe.head_lr
        if scale == 0:
            parameter.requires_grad_(False)
            continue
        decays = parameter.ndim > 1 and "pos_embed" not in name and not name.endswith("time")
        in_block = ".blocks." in name or name.startswith(("encoder.", "head.cross", "head.mlp"))
        muon = recipe.optimiser == "muon" and decays and parameter.ndim == 2 and in_block
        groups.setdefault((muon, scale, decays), []).append(parameter)

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


def _layer(name: str, depth: int) -> int:
    parts = name.split(".")
    if parts[:3] == ["backbone", "vit", "blocks"]:  # the trunk has blocks, too
        return int(parts[3]) + 1
    return depth if ".norm." in name else 0
