"""ViTPose as its authors' program has it, and the files in which it is passed on.

The network is written after the published one with its names, apart from ours, so that a file is more than its names.
"""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn


class _Mlp(nn.Module):
    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        part = width // 4 if experts else 0
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width - part)
        if experts:
            self.experts = nn.ModuleList(nn.Linear(4 * width, part) for _ in range(experts))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.gelu(self.fc1(x))
        return torch.cat([self.fc2(x), self.experts[0](x)], dim=-1) if hasattr(self, "experts") else self.fc2(x)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, count, width))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, experts: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = _Attention(width, heads), _Mlp(width, experts)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _ViT(nn.Module):
    def __init__(self, width: int, depth: int, heads: int, experts: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, 16, stride=16, padding=2)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid[0] * grid[1] + 1, width))
        self.blocks = nn.ModuleList(_Block(width, heads, experts) for _ in range(depth))
        self.last_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        x = x + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            x = block(x)
        return self.last_norm(x).transpose(1, 2).unflatten(2, self.grid)


class _Head(nn.Module):
    def __init__(self, width: int, joints: int, simple: bool) -> None:
        super().__init__()
        self.simple = simple
        if not simple:
            layers: list[nn.Module] = []
            for inputs in (width, 256):
                layers += [nn.ConvTranspose2d(inputs, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU()]
            self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(width, joints, 3, padding=1) if simple else nn.Conv2d(256, joints, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.simple:
            x = nn.functional.interpolate(torch.relu(x), scale_factor=4, mode="bilinear", align_corners=False)
        else:
            x = self.deconv_layers(x)
        return self.final_layer(x)


class OriginalViTPose(nn.Module):
    """Random weights; batch statistics, biases and position embedding that are not those of a fresh network."""

    def __init__(
        self,
        width: int = 384,
        depth: int = 2,
        heads: int = 12,
        *,
        experts: int = 0,
        simple: bool = False,
        joints: int = 17,
        grid: tuple[int, int] = (16, 12),
    ) -> None:
        super().__init__()
        self.backbone = _ViT(width, depth, heads, experts, grid)
        self.keypoint_head = _Head(width, joints, simple)
        if experts:
            self.associate_keypoint_heads = nn.ModuleList(_Head(width, 14, simple) for _ in range(experts - 1))
        for name, value in self.state_dict().items():
            if value.is_floating_point():
                fan = value[0].numel() if value.ndim > 1 else 100
                nn.init.normal_(value, std=0.5 if name.endswith("pos_embed") else 1.5 * fan**-0.5)
            if "norm" in name and name.endswith("weight"):
                value += 1
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, joints, H/4, W/4)."""
        return self.keypoint_head(self.backbone(images))


def write_vitpose(path: Path, model: OriginalViTPose) -> None:
    """As mmcv's runner writes checkpoints."""
    meta = {"mmcv_version": "1.4.8", "epoch": 210, "CLASSES": None, "config": "model = dict(type='TopDown')"}
    optimiser = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-5}]}
    torch.save({"meta": meta, "state_dict": OrderedDict(model.state_dict()), "optimizer": optimiser}, path)


def mmpose_names(model: OriginalViTPose) -> dict[str, Tensor]:
    """The same tensors as mmpretrain's vision transformer and mmpose 1.x's heatmap head call them."""
    names = (
        (r"^backbone\.last_norm\.", "backbone.ln1."),
        (r"^backbone\.blocks\.", "backbone.layers."),
        (r"^backbone\.patch_embed\.proj\.", "backbone.patch_embed.projection."),
        (r"\.norm([12])\.", r".ln\1."),
        (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
        (r"\.mlp\.fc2\.", ".ffn.layers.1."),
        (r"^keypoint_head\.", "head."),
    )
    state = {}
    for name, value in model.state_dict().items():
        if name == "backbone.pos_embed":
            value = value[:, 1:] + value[:, :1]
        for old, new in names:
            name = re.sub(old, new, name)
        state[name] = value
    return state


def write_mmpose(path: Path, model: OriginalViTPose) -> None:
    """As mmengine writes checkpoints, with statistics of its own and numpy's numbers in them."""
    import sys
    import types

    import numpy as np

    package, logging = types.ModuleType("mmengine.logging"), types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self) -> None:
            self.values, self.last = np.arange(3.0), np.float64(2.5)

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = logging.__name__, "HistoryBuffer"
    logging.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    mine = {"mmengine": types.ModuleType("mmengine"), package.__name__: package, logging.__name__: logging}
    sys.modules.update(mine)
    try:
        meta = {"mmengine_version": "0.7.1", "experiment_name": "td-hm_ViTPose", "epoch": 210}
        hub = {"log_scalars": OrderedDict({"train/loss": HistoryBuffer()}), "runtime_info": {"epoch": 209}}
        state = OrderedDict(mmpose_names(model))
        torch.save({"meta": meta, "message_hub": hub, "state_dict": state}, path)
    finally:
        for name in mine:
            del sys.modules[name]


def transformers_names(original: OriginalViTPose) -> dict[str, Tensor]:
    """The same tensors as transformers calls them, with a pose head for COCO alone."""
    state = {}
    names = (
        ("backbone.pos_embed", "backbone.embeddings.position_embeddings"),
        ("backbone.patch_embed.proj.", "backbone.embeddings.patch_embeddings.projection."),
        ("backbone.last_norm.", "backbone.layernorm."),
        ("backbone.blocks.", "backbone.encoder.layer."),
        (".norm1.", ".layernorm_before."),
        (".norm2.", ".layernorm_after."),
        (".attn.proj.", ".attention.output.dense."),
        ("keypoint_head.deconv_layers.0.", "head.deconv1."),
        ("keypoint_head.deconv_layers.1.", "head.batchnorm1."),
        ("keypoint_head.deconv_layers.3.", "head.deconv2."),
        ("keypoint_head.deconv_layers.4.", "head.batchnorm2."),
        ("keypoint_head.final_layer.", "head.conv."),
    )
    for name, value in original.state_dict().items():
        if name.startswith("associate"):
            continue
        for old, new in names:
            name = name.replace(old, new)
        if ".attn.qkv." in name:
            for part, one in zip(("query", "key", "value"), value.chunk(3), strict=True):
                state[name.replace(".attn.qkv.", f".attention.attention.{part}.")] = one.contiguous()
        else:
            state[name] = value
    return state


def write_mae(path: Path, width: int = 192, depth: int = 2) -> dict[str, Tensor]:
    """As MAE writes pretraining checkpoints, with its command line's options."""
    import timm

    vit = timm.create_model(f"vit_{'tiny' if width == 192 else 'base'}_patch16_224", depth=depth, num_classes=0)
    state = dict(vit.state_dict())
    state |= {"mask_token": torch.zeros(1, 1, 512), "decoder_pos_embed": torch.zeros(1, 197, 512)}
    state |= {"decoder_embed.weight": torch.zeros(512, width), "decoder_blocks.0.norm1.weight": torch.ones(512)}
    options = argparse.Namespace(batch_size=64, model="mae_vit_base_patch16", blr=1.5e-4)
    torch.save({"model": state, "optimizer": {}, "epoch": 799, "scaler": {}, "args": options}, path)
    return state
