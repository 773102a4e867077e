"""FTP-Pose: a window of crops of one person in, heatmaps of the key frame's joints out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ftpcli.model.backbone import Backbone
from ftpcli.model.choices import Head
from ftpcli.model.config import ModelConfig
from ftpcli.model.encoder import Encoded, MultiGrainedFeatureEncoder
from ftpcli.model.head import PoseHead, ViTPoseHead


class FTPPose(nn.Module):
    """The whole model. ``encode`` looks at one frame, ``decode`` at a window's tokens; ``forward`` does both."""

    def __init__(self, config: ModelConfig, pretrained_backbone: bool = False) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config, pretrained_backbone)
        self.project = (
            nn.Identity() if self.backbone.width == config.width else nn.Linear(self.backbone.width, config.width)
        )
        self.encoder = MultiGrainedFeatureEncoder(config) if config.branches != "none" else None
        self.head: PoseHead | ViTPoseHead = PoseHead(config) if config.head == Head.DENSE else ViTPoseHead(config)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB crops -> (B, N, C + D) tokens; D is 0, or see ``Backbone.detail``."""
        return self._projected(self.backbone(images))

    def _projected(self, tokens: Tensor) -> Tensor:
        """The backbone's tokens, their own numbers in the encoder's width."""
        if not self.backbone.detail:
            return self.project(tokens)
        width = self.backbone.width
        return torch.cat([self.project(tokens[..., :width]), tokens[..., width:]], dim=-1)

    def decode(self, tokens: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """(B, T, N, C + D) tokens of a window's frames -> (B, K, H/4, W/4) heatmaps of the middle frame.

        ``grid`` is the tokens' rows and columns where the crops are not of the configured size.
        """
        grid = grid or self.config.grid
        key = tokens[:, tokens.shape[1] // 2]
        width = self.config.width
        detail = key[..., width:] if self.backbone.detail else None
        if self.encoder is None:
            key = key[..., :width]
            return self.head(Encoded(key, key, None, None), grid, detail)
        return self.head(self.encoder(tokens[..., :width], grid, detail), grid, detail)

    def forward(self, windows: Tensor, key_gradient_only: bool = False, are_tokens: bool = False) -> Tensor:
        """(B, T, 3, H, W) -> (B, K, H/4, W/4).

        With ``are_tokens`` the windows are (B, T, N, C + D) tokens of the backbone, for crops of the configured size.
        With ``key_gradient_only`` the backbone learns from the key frames alone: the neighbours' tokens are taken as
        given, which saves most of a training step's backward pass.
        """
        if are_tokens:
            return self.decode(self._projected(windows))
        frames = windows.shape[1]
        if self.encoder is None:  # the neighbours would not be looked at
            windows, frames = windows[:, frames // 2 : frames // 2 + 1], 1
        grid = (windows.shape[3] // 16, windows.shape[4] // 16)
        if key_gradient_only and frames > 1:
            key = frames // 2
            with torch.no_grad():
                others = self._tokens(torch.cat([windows[:, :key], windows[:, key + 1 :]], dim=1))
            tokens = torch.cat([others[:, :key], self._tokens(windows[:, key : key + 1]), others[:, key:]], dim=1)
        else:
            tokens = self._tokens(windows)
        return self.decode(tokens, grid)

    def backbone_tokens(self, windows: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, T, N, C + D) tokens of the backbone, see ``forward``."""
        images = windows.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.backbone(images).unflatten(0, tuple(windows.shape[:2]))

    def _tokens(self, windows: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> (B, T, N, C + D)."""
        return self._projected(self.backbone_tokens(windows))
