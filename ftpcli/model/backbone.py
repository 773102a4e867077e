"""The ViT backbone: one frame's crop in, its grid of tokens out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from ftpcli.errors import UsageError
from ftpcli.model.config import ModelConfig
from ftpcli.model.movenet import FINE, MoveNetTrunk


class ResidualStem(nn.Module):
    """A small residual network in place of ViT's 16x16 patch projection.

    (B, 3, H, W) -> (B, C, H/16, W/16). Convolutions bring the locality that a small ViT cannot learn from few
    pictures (Xiao et al., Early Convolutions Help Transformers See Better, 2021).

    Args:
        width: C.
        channels: of the maps at strides 2, 4, 8 and 16, before the projection to C.
        blocks: residual blocks at each of these strides.
    """

    def __init__(
        self, width: int, channels: Sequence[int] = (32, 48, 96, 192), blocks: Sequence[int] = (0, 1, 2, 2)
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        last = 3
        for out, count in zip(channels, blocks, strict=True):
            layers += [nn.Conv2d(last, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
            layers += [_Residual(out) for _ in range(count)]
            last = out
        layers.append(nn.Conv2d(last, width, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(x + self.layers(x))


class EfficientNetStem(ResidualStem):
    """A residual stem that also looks through the first five stages of timm's EfficientNet-Lite0.

    (B, 3, H, W) -> (B, C, H/16, W/16). EfficientNet brings what it learned from other pictures (weights by
    ``initialise.stem_state``): the 112 channels of a cell at stride 16, and the 4 x 40 of its four cells at stride 8,
    which are more exact about where things are, are projected to a token and added. The projection begins at zero, so
    that trained weights of a residual stem go on where they are.

    Args:
        width: C.
        pretrained: load timm's weights (downloads them: only where the user asked).
    """

    NAME = "tf_efficientnet_lite0"
    _TAPS = (2, 3)  # of timm's feature_info: strides 8 and 16

    def __init__(self, width: int, pretrained: bool = False) -> None:
        super().__init__(width)
        net: Any = timm.create_model(self.NAME, pretrained=pretrained, num_classes=0, global_pool="")
        net.prune_intermediate_layers(list(self._TAPS), prune_norm=True)  # timm < 1.0.31 keeps the last layers else
        fine, coarse = (net.feature_info[tap]["num_chs"] for tap in self._TAPS)
        self.net = net
        self.project = nn.Conv2d(4 * fine + coarse, width, 1, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Tensor) -> Tensor:
        fine, coarse = self.net.forward_intermediates(
            x, indices=list(self._TAPS), stop_early=True, intermediates_only=True
        )
        seen = torch.cat([nn.functional.pixel_unshuffle(fine, 2), coarse], dim=1)
        return super().forward(x) + self.project(seen)


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
        if stem == "residual":
            vit.patch_embed.proj = ResidualStem(self.width)
        elif stem == "efficientnet":
            vit.patch_embed.proj = EfficientNetStem(self.width, pretrained)
        elif stem == "patch":
            vit.patch_embed.proj.padding = (config.patch_padding, config.patch_padding)
        elif stem == "movenet":
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
