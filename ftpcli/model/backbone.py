"""The ViT backbone: one frame's crop in, its grid of tokens out."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from ftpcli.errors import UsageError
from ftpcli.model.config import ModelConfig
from ftpcli.model.movenet import FINE, MoveNetTrunk


class Backbone(nn.Module):
    """A timm vision transformer without its class token and classifier.

    Crops of other sizes than the configuration's, multiples of 16, are taken too: the position embedding is resampled
    to their grid.

    Args:
        pretrained: load timm's weights for the name (downloads them: only where the user named it).

    Raises:
        UsageError: timm does not know the name.
    """

    def __init__(self, config: ModelConfig, pretrained: bool = False) -> None:
        super().__init__()
        stem = config.stem
        try:
            vit: Any = timm.create_model(
                config.backbone,
                pretrained=pretrained,
                img_size=config.image_size,
                num_classes=0,
                global_pool="",
                dynamic_img_size=True,
                depth=config.depth,
                num_heads=config.heads,  # None leaves it to the name
                class_token=None if config.class_token else False,
            )
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"backbone '{config.backbone}' cannot be built: {error}") from error
        self.width: int = vit.embed_dim
        self.depth: int = len(vit.blocks)
        self._prefix: int = vit.num_prefix_tokens
        if stem == "patch":
            vit.patch_embed.proj.padding = (config.patch_padding, config.patch_padding)
        else:
            vit.patch_embed = _MapEmbed(MoveNetTrunk.token_channels, self.width, vit.patch_embed.grid_size)
        self.vit = vit
        self.trunk = MoveNetTrunk() if stem == "movenet" else None

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> (B, N, C) tokens in row order, N = H/16 * W/16.

        Those of the ``movenet`` stem have the 16 cells of its finest map behind their own numbers: (B, N, C + D),
        D = ``detail``.
        """
        if self.trunk is None:
            return self._tokens(images)
        seen = self.trunk(images)
        detail = seen[:, : self.detail].flatten(2).transpose(1, 2)
        return torch.cat([self._tokens(seen), detail], dim=2)

    @property
    def detail(self) -> int:
        """Numbers behind a token's own ``width``."""
        return 16 * FINE if self.trunk is not None else 0

    def _tokens(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.vit.forward_features(images)  # type: ignore[operator]
        return tokens[:, self._prefix :]


class _MapEmbed(nn.Module):
    """In place of timm's patch embedding: a map of features, a cell a token, instead of a picture.

    (B, I, h, w) -> (B, h, w, C). The features' strengths differ a hundredfold, hence the norm.
    """

    def __init__(self, inputs: int, width: int, grid_size: tuple[int, int]) -> None:
        super().__init__()
        self.grid_size = grid_size  # timm asks for it
        self.norm = nn.BatchNorm2d(inputs)
        self.proj = nn.Conv2d(inputs, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(self.norm(x)).permute(0, 2, 3, 1)
