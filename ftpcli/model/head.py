"""From the encoder's tokens to heatmaps (paper section II-D): cross-attention, MLP, pose head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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


class PoseHead(nn.Module):
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
            self.cross = CrossAttention(width)
            hidden = int(width * config.cross_mlp_ratio)
            self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
            self.scatter = nn.Linear(width, channels)
            nn.init.zeros_(self.scatter.weight)
            nn.init.zeros_(self.scatter.bias)
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
        image = nn.functional.pixel_shuffle(image, self.factor)
        if encoded.high is not None and encoded.high_index is not None:
            fine = self.cross(encoded.high, encoded.low)
            fine = self.scatter(fine + self.mlp(fine)).transpose(1, 2)
            cells = encoded.high_index[:, None].expand(-1, fine.shape[1], -1)
            flat = image.flatten(2)
            image = flat.scatter_add(2, cells, fine.to(flat.dtype)).unflatten(2, image.shape[2:])
        image = self.layers(image.contiguous(memory_format=torch.channels_last))
        if self.fine is None or detail is None:
            return image
        fine = nn.functional.pixel_shuffle(detail.transpose(1, 2).unflatten(2, grid), 4)
        return self.fine(image, fine)
