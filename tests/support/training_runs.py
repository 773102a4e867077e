"""Short trainings of a very small pose model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from ftpcli.model.config import ModelConfig
from ftpcli.training.recipe import RECIPES, Recipe

CONFIG = ModelConfig(
    backbone="vit_tiny_patch16_224",
    depth=2,
    image_size=(64, 48),
    width=64,
    shared_blocks=1,
    head_width=16,
    heatmap="softmax",
)


def quick(**changes: object) -> Recipe:
    return dataclasses.replace(RECIPES["scratch"], steps=20, batch=4, warmup=2, precision="fp32", **changes)


def state_of(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)
