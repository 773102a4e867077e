"""Every number of the model in one place; the paper's tables are configurations of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ftpcli.errors import UsageError
from ftpcli.model.choices import Branches, Heatmap, Preset, Selector, Stem
from ftpcli.skeleton import PERSON19


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The configuration stored with the weights.

    Attributes:
        backbone: a timm ``vit_*_patch16_*`` name.
        stem: ``patch`` is ViT's 16x16 projection; ``residual`` replaces it by a small residual network, which learns
            much faster from random weights; ``efficientnet`` adds the first stages of EfficientNet-Lite0 to that, for
            which weights trained on ImageNet exist; ``movenet`` is MoveNet Thunder's trunk, whose finest map the head
            reads as well.
        depth: Transformer blocks of the backbone; None is what its name has. 0 is for ``movenet`` alone, whose trunk
            has seen the whole crop already.
        image_size: height and width of a crop in pixels, multiples of 16.
        frames: window length T, odd; the key frame is in the middle.
        width: token width C of the encoder. Where it differs from the backbone's, tokens are projected.
        branches: ``both`` is the paper's model, ``low`` its baseline (Table II, first row), ``none`` the backbone
            and the head alone, for single-frame pretraining.
        coarse_blocks: spatio-temporal blocks of the low-resolution branch before pruning.
        shared_blocks: blocks after pruning, one set of parameters for both branches.
        upsample: of the key frame's token grid, per side: 2 (four times the tokens) or 4 (four times a side).
        high_ratio, low_ratio: the pruning ratio epsilon of each branch (Table III); 1 keeps every token.
        neighbours: k of eq. 1, the token itself not counted.
        temperature: tau of eq. 1; None is the token width, because LayerNormed tokens are about sqrt(2 C) apart
            and rho would vanish for all of them with tau = 1.
        selector: ``dpc`` (density peaks); ``grid`` and ``random`` are controls for ablation.
        head_width: channels of the dense map and of the pose head.
        mlp_ratio, cross_mlp_ratio: hidden width over C, in the blocks and after the cross-attention.
        heatmap: ``gaussian``: values regress a Gaussian of peak 1 (eq. 4); ``softmax``: values are the logits of a
            distribution over the cells (cross-entropy), which trains from random weights.
        joints: names of the output channels.
    """

    backbone: str = "vit_tiny_patch16_224"
    stem: str = "patch"
    depth: int | None = None
    image_size: tuple[int, int] = (256, 192)
    frames: int = 3
    width: int = 192
    branches: str = "both"
    coarse_blocks: int = 1
    shared_blocks: int = 3
    upsample: int = 2
    high_ratio: int = 6
    low_ratio: int = 6
    neighbours: int = 5
    temperature: float | None = None
    selector: str = "dpc"
    head_width: int = 64
    mlp_ratio: float = 4.0
    cross_mlp_ratio: float = 4.0
    heatmap: str = "gaussian"
    joints: tuple[str, ...] = PERSON19.joints

    def __post_init__(self) -> None:
        if not (self.backbone.startswith("vit_") and "_patch16_" in self.backbone):
            raise UsageError(f"unknown backbone '{self.backbone}': name a timm vit_*_patch16_* model")
        choices = (
            ("stem", self.stem, list(Stem)),
            ("branches", self.branches, list(Branches)),
            ("selector", self.selector, list(Selector)),
            ("heatmap", self.heatmap, list(Heatmap)),
            ("upsample", self.upsample, (2, 4)),
            ("frames", self.frames, (1, 3, 5)),
        )
        for name, value, allowed in choices:
            if value not in allowed:
                raise UsageError(f"model option {name} = {value!r}: choose one of {', '.join(map(str, allowed))}")
        height, width = self.image_size
        if height % 16 or width % 16 or min(height, width) < 32:
            raise UsageError(f"image size {height}x{width}: both sides must be multiples of 16, at least 32")
        counts = (self.width, self.shared_blocks, self.high_ratio, self.low_ratio, self.neighbours, self.head_width)
        least = 0 if self.stem == Stem.MOVENET else 1
        if self.depth is not None and self.depth < least:
            raise UsageError(f"model option depth = {self.depth}: it must be at least {least}")
        if min(counts) < 1 or self.coarse_blocks < 0 or not self.joints:
            raise UsageError("model widths, blocks, ratios and joints must be at least 1")
        if self.temperature is not None and not self.temperature > 0:
            raise UsageError(f"model option temperature = {self.temperature}: it must be above 0")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a frame's token grid."""
        return self.image_size[0] // 16, self.image_size[1] // 16

    def replace(self, **changes: Any) -> ModelConfig:
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Raises ValueError where a field is unknown or of the wrong type."""
        fields = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise ValueError(f"unknown model option {', '.join(unknown)}")
        values = dict(values)
        for name in ("image_size", "joints"):
            if name in values:
                if not isinstance(values[name], list | tuple):
                    raise ValueError(f"model option {name} must be a list")
                values[name] = tuple(values[name])
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"model options do not fit: {error}") from error


PRESETS: dict[Preset, ModelConfig] = {
    Preset.TINY: ModelConfig(stem="residual", depth=6, cross_mlp_ratio=2.0, heatmap="softmax"),
    Preset.SMALL: ModelConfig(
        backbone="vit_small_patch16_224", width=384, coarse_blocks=2, shared_blocks=4, head_width=128
    ),
    Preset.BASE: ModelConfig(
        backbone="vit_small_patch16_224",
        width=768,
        coarse_blocks=3,
        shared_blocks=4,
        upsample=4,
        head_width=96,
        cross_mlp_ratio=2.5,
    ),
}
