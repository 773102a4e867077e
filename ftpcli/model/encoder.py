"""The Multi-Grained Feature Encoder (paper section II-C): two branches, pruning, shared blocks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from ftpcli.model.choices import Head
from ftpcli.model.config import ModelConfig
from ftpcli.model.movenet import FINE
from ftpcli.model.pruning import gather_tokens, select_tokens


class Encoded(NamedTuple):
    """What the encoder hands to the head. h, w are the token grid, s the upsampling factor."""

    key: Tensor  # (B, h * w, C) the key frame's tokens, refined where the low-resolution branch kept them
    low: Tensor  # (B, Nc, C) F_c
    high: Tensor | None  # (B, Nf, C) F_f, None without the high-resolution branch
    high_index: Tensor | None  # (B, Nf) int64 cells of F_f on the (h * s, w * s) grid, row order


def attention_heads(width: int) -> int:
    """Heads of 64 channels, as in ViT."""
    return max(1, width // 64)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # one table serves inference and training
def sine_cosine(rows: int, columns: int, width: int, device: torch.device) -> Tensor:
    """(rows * columns, width) fixed position embedding; cell centres span 0..1 whatever the grid's size.

    The same tensor each time: not to be changed in place.
    """
    quarter = width // 4
    frequency = 10000 ** (-torch.arange(quarter, device=device, dtype=torch.float32) / max(1, quarter))
    y = (torch.arange(rows, device=device) + 0.5)[:, None] / rows * 100 * frequency
    x = (torch.arange(columns, device=device) + 0.5)[:, None] / columns * 100 * frequency
    y = torch.cat([y.sin(), y.cos()], dim=1)[:, None].expand(rows, columns, -1)
    x = torch.cat([x.sin(), x.cos()], dim=1)[None].expand(rows, columns, -1)
    table = torch.cat([y, x], dim=2).reshape(rows * columns, -1)
    return nn.functional.pad(table, (0, width - table.shape[1]))


def _part(block: Any, tokens: Tensor, count: int) -> Tensor:
    """(B, N, C) -> (B, count, C): what ``block`` makes of the first tokens, which see all of them."""
    attention, width = block.attn, tokens.shape[2]
    seen, weight, bias = block.norm1(tokens), attention.qkv.weight, attention.qkv.bias
    query = nn.functional.linear(seen[:, :count], weight[:width], bias[:width])
    query, key, value = (
        x.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
        for x in (query, *nn.functional.linear(seen, weight[width:], bias[width:]).chunk(2, dim=2))
    )
    attended = nn.functional.scaled_dot_product_attention(query, key, value)
    tokens = tokens[:, :count] + attention.proj(attended.transpose(1, 2).flatten(2))
    return tokens + block.mlp(block.norm2(tokens))


class MultiGrainedFeatureEncoder(nn.Module):
    """Both branches; which of them and which ratios is the configuration's choice.

    The residual branches start at zero, so an encoder put behind a trained single-frame backbone begins with that
    model's output.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.time = nn.Parameter(torch.zeros(config.frames, width))
        self.coarse = nn.ModuleList(self._block(width) for _ in range(config.coarse_blocks))
        self.shared = nn.ModuleList(self._block(width) for _ in range(config.shared_blocks))
        self.fine = None
        if config.fine_maps and config.branches == "both":
            self.fine = nn.Linear(FINE * (4 // config.upsample) ** 2, width, bias=False)
            nn.init.zeros_(self.fine.weight)

    def _block(self, width: int) -> Block:
        block = Block(width, attention_heads(width), mlp_ratio=self.config.mlp_ratio, qkv_bias=True)
        for name in ("attn.proj", "mlp.fc2"):
            for parameter in block.get_submodule(name).parameters():
                nn.init.zeros_(parameter)
        return block

    def _select(self, tokens: Tensor, ratio: int) -> Tensor:
        c = self.config
        return select_tokens(tokens, ratio, c.selector, c.neighbours, c.temperature)

    def _select_low(self, tokens: Tensor, count: int) -> Tensor:
        """(B, T count, C) tokens of all frames -> (B, n) indices of those that are kept."""
        frames, ratio = tokens.shape[1] // count, self.config.low_ratio
        if not self.config.keep_key:
            return self._select(tokens, ratio)
        if frames == 1:
            return self._select(tokens, 1)
        first = frames // 2 * count
        others = self._select(torch.cat([tokens[:, :first], tokens[:, first + count :]], dim=1), ratio)
        others = others + count * (others >= first)
        own = torch.arange(first, first + count, device=tokens.device) + torch.zeros_like(others[:, :1])
        return torch.cat([own, others], dim=1)

    def _refine(self, tokens: Tensor, needed: int | None = None) -> Tensor:
        """Through the shared blocks; only the first ``needed`` tokens come back."""
        *blocks, last = self.shared
        for block in blocks:
            tokens = block(tokens)
        return last(tokens) if needed is None else _part(last, tokens, needed)

    def forward(self, tokens: Tensor, grid: tuple[int, int], detail: Tensor | None = None) -> Encoded:
        """(B, T, N, C) tokens of a window's frames on an (h, w) grid -> :class:`Encoded`.

        ``detail`` (B, N, D): what the key frame's tokens carry besides, see ``Backbone.detail``.
        """
        key, low = self._low_resolution(tokens, grid)
        if self.config.branches != "both":
            return Encoded(key, low, None, None)
        high, index = self._high_resolution(tokens[:, tokens.shape[1] // 2], grid, detail)
        return Encoded(key, low, high, index)

    def _low_resolution(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Spatio-temporal context of all frames: (B, T, N, C) -> key tokens (B, N, C) and F_c (B, Nc, C).

        The blocks see each token with its position, or they could hardly find a place again in another frame; the
        key tokens for the dense map and the pruning, which judges features alone, do without it.
        """
        batch, frames, count, width = tokens.shape
        place = sine_cosine(*grid, width, tokens.device).repeat(frames, 1)
        x = given = (tokens + self.time[None, :, None]).reshape(batch, frames * count, width) + place
        for block in self.coarse:
            x = block(x)
        index = self._select_low(x - place, count)
        middle = frames // 2
        part = slice(middle * count, (middle + 1) * count)
        chosen = gather_tokens(x, index)
        if self.config.keep_key and self.config.branches != "both":  # nobody reads what becomes of the other frames
            refined = low = self._refine(chosen, needed=count)
        else:
            low = self._refine(chosen)
            refined = x.to(low.dtype).scatter(1, index[:, :, None].expand(-1, -1, width), low)[:, part]
        if self.config.head == Head.DENSE:
            return refined - place[part], low
        # What the blocks changed, put on the tokens themselves: adding and taking away a place would round them, and
        # a single-frame model's output would not be met bit for bit before training.
        return tokens[:, middle] + (refined - given[:, part]), low

    def _high_resolution(self, key: Tensor, grid: tuple[int, int], detail: Tensor | None) -> tuple[Tensor, Tensor]:
        """Fine detail of the key frame: (B, N, C) -> F_f (B, N s^2 // ratio, C) and its cells."""
        batch, _, width = key.shape
        rows, columns = grid[0] * self.config.upsample, grid[1] * self.config.upsample
        image = key.transpose(1, 2).reshape(batch, width, *grid)
        fine = nn.functional.interpolate(image, size=(rows, columns), mode="bilinear", align_corners=False)
        fine = fine.flatten(2).transpose(1, 2)
        if self.fine is not None and detail is not None:
            cells = nn.functional.pixel_shuffle(detail.transpose(1, 2).unflatten(2, grid), 4)
            cells = nn.functional.pixel_unshuffle(cells, 4 // self.config.upsample)
            fine = fine + self.fine(cells.flatten(2).transpose(1, 2))
        index = self._select(fine, self.config.high_ratio)
        # Pruning judges features alone; the position is added afterwards, since upsampling blurred it.
        fine = fine + sine_cosine(rows, columns, width, key.device)
        return self._refine(gather_tokens(fine, index)), index
