"""From the encoder's tokens to heatmaps (paper section II-D): cross-attention, MLP, pose head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ftpcli.model.choices import Head
from ftpcli.model.config import ModelConfig
from ftpcli.model.encoder import Encoded, attention_heads
from ftpcli.model.movenet import MoveNetHead


class CrossAttention(nn.Module):
    """Eq. 3: query F_f, key and value F_c, in heads of 64 channels, with the usual residual and norms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = attention_heads(width)
        self.norm_query = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.project = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """(B, Nf, C), (B, Nc, C) -> (B, Nf, C)."""
        low = self.norm_context(low)
        attended = nn.functional.scaled_dot_product_attention(
            self._split(self.query(self.norm_query(high))), self._split(self.key(low)), self._split(self.value(low))
        )
        return high + self.project(attended.transpose(1, 2).flatten(2))


class _FineHead(nn.Module):
    """What heads have in common: the high-resolution tokens, after cross-attention and MLP, put where they came from.

    What is added is zero before training.
    """

    def _build_fine(self, config: ModelConfig, channels: int) -> None:
        width = config.width
        self.cross = CrossAttention(width)
        hidden = int(width * config.cross_mlp_ratio)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.scatter = nn.Linear(width, channels)
        nn.init.zeros_(self.scatter.weight)
        nn.init.zeros_(self.scatter.bias)

    def _add_fine(self, image: Tensor, encoded: Encoded) -> Tensor:
        """(B, channels, h s, w s) -> the same with what the pruned tokens know added at their cells."""
        if encoded.high is None or encoded.high_index is None:
            return image
        fine = self.cross(encoded.high, encoded.low)
        fine = self.scatter(fine + self.mlp(fine)).transpose(1, 2)
        cells = encoded.high_index[:, None].expand(-1, fine.shape[1], -1)
        flat = image.flatten(2)
        return flat.scatter_add(2, cells, fine.to(flat.dtype)).unflatten(2, image.shape[2:])


class PoseHead(_FineHead):
    """Tokens to heatmaps.

    The key frame's tokens are projected and rearranged into a dense map of the high-resolution grid (each token
    fills its own cells); the pruned high-resolution tokens, after cross-attention and MLP, are added at the cells
    they came from. Convolutions bring that map to a quarter of the crop's size. With the ``movenet`` stem its finest
    map is read there as well.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, channels, factor = config.width, config.head_width, config.upsample
        self.factor = factor
        self.dense = nn.Linear(width, channels * factor * factor)
        if config.branches == "both":
            self._build_fine(config, channels)
        layers: list[nn.Module] = [
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
        if factor == 2:
            layers += [
                nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
        self.fine = MoveNetHead(channels, len(config.joints)) if config.stem == "movenet" else None
        if self.fine is None:
            layers.append(nn.Conv2d(channels, len(config.joints), 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, encoded: Encoded, grid: tuple[int, int], detail: Tensor | None = None) -> Tensor:
        """Encoder output on an (h, w) token grid -> (B, K, 4 h, 4 w) heatmaps.

        ``detail`` (B, h w, D): what the key frame's tokens carry besides, see ``Backbone.detail``.
        """
        image = self.dense(encoded.key).transpose(1, 2).unflatten(2, grid)
        image = self._add_fine(nn.functional.pixel_shuffle(image, self.factor), encoded)
        image = self.layers(image.contiguous(memory_format=torch.channels_last))
        if self.fine is None or detail is None:
            return image
        fine = nn.functional.pixel_shuffle(detail.transpose(1, 2).unflatten(2, grid), 4)
        return self.fine(image, fine)


class ViTPoseHead(_FineHead):
    """ViTPose's heads (Xu et al. 2022): two deconvolutions, or bilinear interpolation, and one convolution.

    The high-resolution tokens are added to the map of their own grid.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, kernel = config.width, 3
        self.stages = nn.ModuleList()
        if config.head == Head.DECONVOLUTION:
            for inputs in (config.width, config.head_width):
                deconvolution = nn.ConvTranspose2d(inputs, config.head_width, 4, stride=2, padding=1, bias=False)
                norm = nn.BatchNorm2d(config.head_width)
                self.stages.append(nn.Sequential(deconvolution, norm, nn.ReLU(inplace=True)))
            channels, kernel = config.head_width, 1
        else:
            self.stages.append(nn.Sequential(nn.ReLU(), nn.Upsample(scale_factor=4, mode="bilinear")))
        if config.branches == "both":
            self._build_fine(config, channels)
        self.factor = config.upsample
        self.final = nn.Conv2d(channels, len(config.joints), kernel, padding=kernel // 2)

    def forward(self, encoded: Encoded, grid: tuple[int, int], detail: Tensor | None = None) -> Tensor:
        """Encoder output on an (h, w) token grid -> (B, K, 4 h, 4 w) heatmaps. ``detail`` is for other heads."""
        image = encoded.key.transpose(1, 2).unflatten(2, grid)
        image = image.contiguous(memory_format=torch.channels_last)
        size = (grid[0] * self.factor, grid[1] * self.factor)
        for stage in self.stages:
            image = stage(image)
            if image.shape[2:] == size:
                image = self._add_fine(image, encoded).contiguous(memory_format=torch.channels_last)
        if len(self.stages) == 1 and self.factor == 2 and encoded.high is not None:  # its only map is twice as fine
            fine = self._add_fine(image.new_zeros(*image.shape[:2], *size), encoded)
            image = image + nn.functional.interpolate(fine, scale_factor=2, mode="bilinear")
        return self.final(image)
