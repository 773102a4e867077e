"""The trunk of MoveNet Thunder (Google, Apache-2.0): a MobileNetV2 with a feature pyramid up to stride 4.

Written anew from the published graph; batch norms are part of the convolutions. Weights: ``--stem-weights``.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_unshuffle

from ftpcli.model.quantised import Joint

#: What the crops' normalisation took away: ImageNet's mean and deviation, as in ``ftpcli.crops``.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Channels of the finest map, which MoveNet's own heads read, and of the maps below it.
FINE = 24
_MIDDLE, _COARSE = 32, 64
#: Channels that the heads have inside.
HEAD_CHANNELS = 96
#: Channels before and after the inverted residual blocks (MobileNetV2 at width 1.75), and the blocks of stride 2.
_CHANNELS = (32, 40, 40, 56, 56, 56, 112, 112, 112, 112, 168, 168, 168, 280, 280, 280, 560)
_STRIDE_2 = (1, 3, 6, 13)


def _three(inputs: int, outputs: int, stride: int = 1, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=bias)


class _InvertedResidual(nn.Module):
    """Widen sixfold, filter each channel, narrow (Sandler et al. 2018): (B, C, h, w) -> (B, C', h/stride, w/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = 6 * inputs
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, inner, 1),
            nn.ReLU6(inplace=True),
            _three(inner, inner, stride, inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, outputs, 1),
        )
        self.joint = Joint() if stride == 1 and inputs == outputs else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y if self.joint is None else self.joint(x + y)


class Separable(nn.Sequential):
    """A 3x3 filter of each channel, then a mixture of the channels, then a rectifier."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            _three(inputs, inputs, groups=inputs, bias=False), nn.Conv2d(inputs, outputs, 1), nn.ReLU(inplace=True)
        )


class MoveNetTrunk(nn.Module):
    """Normalised RGB -> the pyramid's maps, the finest of which is what MoveNet's heads read.

    TensorFlow pads a convolution of stride 2 at the right and the bottom, torch at the left and the top. So the
    picture goes through turned by 180 degrees, with turned kernels, and the maps are turned back: the same numbers
    without a copy of every map for its padding.

    Sides are multiples of 16. A side with an odd number of cells at stride 16 has half a cell of stride 32 more than
    it needs; that half is cut off again where the pyramid goes up.
    """

    #: What :meth:`forward` gives for a token: its 16 cells at stride 4, its 4 at stride 8, its own at stride 16.
    token_channels = 16 * FINE + 4 * _MIDDLE + _COARSE
    #: Blocks after which the pyramid takes the maps of strides 4, 8 and 16.
    taps = (2, 5, 9)
    #: What 8 bits are enough for. The pyramid's maps are few, and joints are read off them.
    quantised = ("first", "blocks", "last")
    _scale: Tensor
    _shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            _three(3, 56, 2),
            nn.ReLU6(inplace=True),
            _three(56, 56, groups=56),
            nn.ReLU6(inplace=True),
            nn.Conv2d(56, _CHANNELS[0], 1),
        )
        shapes = enumerate(pairwise(_CHANNELS), 1)
        self.blocks = nn.ModuleList(_InvertedResidual(i, o, 1 + (n in _STRIDE_2)) for n, (i, o) in shapes)
        self.last = nn.Sequential(nn.Conv2d(_CHANNELS[-1], 1280, 1), nn.ReLU6(inplace=True))
        self.lateral = nn.ModuleList(
            nn.Conv2d(i, o, 1) for i, o in ((1280, _COARSE), (112, _COARSE), (56, _MIDDLE), (40, FINE))
        )
        self.smooth = nn.ModuleList((Separable(_COARSE, _MIDDLE), Separable(_MIDDLE, FINE), Separable(FINE, FINE)))
        # MoveNet takes RGB from -1 to 1, with 2/255 rounded to half precision.
        scale = 255 * torch.tensor(2 / 255).half().float()
        self.register_buffer("_scale", torch.tensor(STD)[:, None, None] * scale, persistent=False)
        self.register_buffer("_shift", torch.tensor(MEAN)[:, None, None] * scale - 1, persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # random weights that keep a map's strength, as the rectifiers expect it
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, token_channels, H/16, W/16); the first 16 FINE channels are the finest map's."""
        coarse, middle, fine = self.pyramid(images)
        return torch.cat([pixel_unshuffle(fine, 4), pixel_unshuffle(middle, 2), coarse], dim=1)

    def pyramid(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) -> maps of 64, 32 and 24 channels at strides 16, 8 and 4."""
        x = self.first((images * self._scale + self._shift).flip(2, 3))
        kept = []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in self.taps:
                kept.append(x)
        x = self.lateral[0](self.last(x))
        sums = []
        for tap, lateral, smooth in zip(reversed(kept), list(self.lateral)[1:], self.smooth, strict=True):
            up = interpolate(x, scale_factor=2, mode="bilinear")
            sums.append(up[:, :, : tap.shape[2], : tap.shape[3]] + lateral(tap))
            x = smooth(sums[-1])
        coarse, middle, fine = (map_.flip(2, 3) for map_ in (sums[0], sums[1], x))
        return coarse, middle, fine


class MoveNetHead(nn.Module):
    """MoveNet's heatmap head, which also reads a map of the tokens.

    Args:
        channels: of that map.
        joints: output channels.
    """

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.mix = Separable(channels + FINE, HEAD_CHANNELS)
        self.out = nn.Conv2d(HEAD_CHANNELS, joints, 1)

    def forward(self, image: Tensor, fine: Tensor) -> Tensor:
        """(B, channels, h, w), (B, FINE, h, w) -> (B, joints, h, w)."""
        return self.out(self.mix(torch.cat([image, fine], dim=1)))
