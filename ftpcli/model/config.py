"""Every number of the model in one place; the paper's tables are configurations of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ftpcli.errors import UsageError
from ftpcli.model.choices import ADAPTIVE, Branches, Codec, Head, Heatmap, Preset, Selector, Stem
from ftpcli.skeleton import COCO17, PERSON19

#: Left out of :meth:`ModelConfig.to_dict` where they are not changed.
_SELDOM = ("fine_maps", "keep_key", "heads", "class_token", "patch_padding", "head", "codec")


def check_size(height: int, width: int) -> None:
    """Raises UsageError for a crop that no model takes."""
    if height % 16 or width % 16 or not 32 <= min(height, width) <= max(height, width) <= 4096:
        raise UsageError(f"image size {height}x{width}: both sides must be multiples of 16, at least 32, at most 4096")


#: What is beyond is a slip, or a file that is to take the machine's memory.
_MOST = {"depth": 128, "shared_blocks": 128, "coarse_blocks": 128, "width": 8192, "head_width": 8192}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The configuration stored with the weights.

    Attributes:
        backbone: a timm ``vit_*_patch16_*`` name.
        stem: ``patch`` is ViT's 16x16 projection; ``movenet`` is MoveNet Thunder's trunk, whose finest map the head
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
        keep_key: the low-resolution branch keeps the key frame whole, and prunes the other frames.
        neighbours: k of eq. 1, the token itself not counted.
        temperature: tau of eq. 1; None is the token width, because LayerNormed tokens are about sqrt(2 C) apart
            and rho would vanish for all of them with tau = 1. ``adaptive`` is the median of a sample's mean squared
            distances to the neighbours, in each branch, so that density counts however far apart its tokens are.
        selector: ``dpc`` (density peaks); ``grid`` and ``random`` are controls for ablation.
        head_width: channels of the dense map and of the pose head.
        mlp_ratio, cross_mlp_ratio: hidden width over C, in the blocks and after the cross-attention.
        heatmap: ``gaussian``: values regress a Gaussian of peak 1 (eq. 4); ``softmax``: values are the logits of a
            distribution over the cells (cross-entropy), which trains from random weights.
        joints: names of the output channels.
        fine_maps: the high-resolution branch also sees the ``movenet`` stem's finest map; upsampled tokens alone have
            no more detail than the tokens.
        heads: attention heads of the backbone's blocks; None is what its name has. ViTPose-S has 12 where timm's
            vit_small has 6.
        class_token: the backbone has a class token, as timm's and MAE's; ViTPose's has none.
        patch_padding: zeros about the picture before the ``patch`` stem's projection, in pixels; ViTPose has 2.
        head: ``dense`` rearranges tokens into the fine grid; ``deconvolution`` is ViTPose's head of two 4x4
            deconvolutions of ``head_width`` channels; ``simple`` is its simple head, four times the grid by bilinear
            interpolation and one convolution.
        codec: ``centred``: cell i of a heatmap is centred on pixel 4 i + 1.5 of the crop; ``udp``: unbiased data
            processing (Huang et al. 2020), first and last cells on the first and last pixels, Gaussian peaks refined
            by DARK (Zhang et al. 2020), as ViTPose's.
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
    temperature: float | str | None = None
    selector: str = "dpc"
    head_width: int = 64
    mlp_ratio: float = 4.0
    cross_mlp_ratio: float = 4.0
    heatmap: str = "gaussian"
    joints: tuple[str, ...] = PERSON19.joints
    fine_maps: bool = False
    keep_key: bool = False
    heads: int | None = None
    class_token: bool = True
    patch_padding: int = 0
    head: str = "dense"
    codec: str = "centred"

    def __post_init__(self) -> None:
        if not (self.backbone.startswith("vit_") and "_patch16_" in self.backbone):
            raise UsageError(f"unknown backbone '{self.backbone}': name a timm vit_*_patch16_* model")
        choices = (
            ("stem", self.stem, list(Stem)),
            ("branches", self.branches, list(Branches)),
            ("selector", self.selector, list(Selector)),
            ("heatmap", self.heatmap, list(Heatmap)),
            ("head", self.head, list(Head)),
            ("codec", self.codec, list(Codec)),
            ("upsample", self.upsample, (2, 4)),
            ("frames", self.frames, (1, 3, 5)),
        )
        for name, value, allowed in choices:
            if value not in allowed:
                raise UsageError(f"model option {name} = {value!r}: choose one of {', '.join(map(str, allowed))}")
        check_size(*self.image_size)
        counts = (self.width, self.shared_blocks, self.high_ratio, self.low_ratio, self.neighbours, self.head_width)
        least = 0 if self.stem == Stem.MOVENET else 1
        if self.depth is not None and self.depth < least:
            raise UsageError(f"model option depth = {self.depth}: it must be at least {least}")
        if min(counts) < 1 or self.coarse_blocks < 0 or not self.joints:
            raise UsageError("model widths, blocks, ratios and joints must be at least 1")
        for name, most in _MOST.items():
            if (getattr(self, name) or 0) > most:
                raise UsageError(f"model option {name} = {getattr(self, name)}: it must be at most {most}")
        if self.heads is not None and self.heads < 1:
            raise UsageError(f"model option heads = {self.heads}: it must be at least 1")
        if not 0 <= self.patch_padding <= 7:  # more would give a row of patches besides
            raise UsageError(f"model option patch_padding = {self.patch_padding}: it must lie between 0 and 7")
        if self.stem == Stem.MOVENET and self.head != Head.DENSE:
            raise UsageError(f"model option head = {self.head!r}: the movenet stem has a head of its own")
        if self.fine_maps and self.stem != Stem.MOVENET:
            raise UsageError("model option fine_maps: only the movenet stem has finer maps")
        if self.temperature not in (None, ADAPTIVE) and not (
            isinstance(self.temperature, int | float) and self.temperature > 0
        ):
            raise UsageError(f"model option temperature = {self.temperature}: a number above 0, or {ADAPTIVE}")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a frame's token grid."""
        return self.image_size[0] // 16, self.image_size[1] // 16

    def replace(self, **changes: Any) -> ModelConfig:
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """As files record it. Options that only foreign models change are left out where they are not changed."""
        seldom = {f.name: f.default for f in dataclasses.fields(self) if f.name in _SELDOM}
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in seldom or v != seldom[k]}

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


_VITPOSE = ModelConfig(
    backbone="vit_small_patch16_224",
    width=384,
    heads=12,
    class_token=False,
    patch_padding=2,
    joints=COCO17.joints,
    head=Head.DECONVOLUTION,
    head_width=256,
    codec=Codec.UDP,
)
PRESETS: dict[Preset, ModelConfig] = {
    Preset.TINY: ModelConfig(  # the bundled weights'
        stem=Stem.MOVENET,
        depth=1,
        image_size=(240, 160),
        branches=Branches.LOW,
        coarse_blocks=0,
        shared_blocks=1,
        low_ratio=2,
        keep_key=True,
        cross_mlp_ratio=2.0,
        heatmap="softmax",
    ),
    Preset.SMALL: ModelConfig(
        backbone="vit_small_patch16_224", width=384, coarse_blocks=2, shared_blocks=4, head_width=128
    ),
    Preset.BASE: ModelConfig(
        backbone="vit_small_patch16_224",
        width=768,
        coarse_blocks=3,
        shared_blocks=4,
        head_width=96,
        cross_mlp_ratio=2.5,
    ),
    Preset.VITPOSE_SMALL: _VITPOSE,
    Preset.VITPOSE_BASE: _VITPOSE.replace(backbone="vit_base_patch16_224", width=768, heads=None),
}
