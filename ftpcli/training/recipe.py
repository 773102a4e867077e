"""Every number of a training run: what both trainings have, and the pose model's recipes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ftpcli.errors import UsageError


class Precision(StrEnum):
    """What matrix products are computed in. ``auto``: bf16 where the device multiplies it natively, else fp32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Schedule(StrEnum):
    """How the learning rate falls: along a cosine, or tenfold at one step."""

    COSINE = "cosine"
    STEP = "step"


class RecipeName(StrEnum):
    """The pose model's recipes: the paper's, from random weights, the encoder alone, on one's own footage."""

    PAPER = "paper"
    SCRATCH = "scratch"
    TEMPORAL = "temporal"
    FINETUNE = "finetune"


class AugmentationName(StrEnum):
    """How strongly windows are changed.

    ``paper``: the numbers of the DCPose family (shared by TDMI, which the paper follows), geometry only.
    ``moderate``: for models that start from random weights and see each picture a few times; more would slow them
    down. ``strong``: for models that know their training pictures.
    """

    NONE = "none"
    PAPER = "paper"
    MODERATE = "moderate"
    STRONG = "strong"


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Strengths. Probabilities are per window; ``none()`` switches everything off.

    Attributes:
        scale: relative size is 1 + scale * n, clipped to 1 +- scale (n standard normal).
        rotation: degrees times n, clipped to twice that.
        turn: any angle instead: gymnasts, divers and climbers are upside down.
        cut: the picture ends within the person, as at the edge of a photograph, and the box with it.
        shift: of the centre, as a fraction of the box's width, uniform.
        motion: of stills made into windows: shift per frame as a fraction of the width (and a little turn, zoom).
        people: other people, where the data outlines any, pasted partly over the person or behind.
        key_damage: strong blur or an occlusion in the key frame alone, which only its neighbours can make good.
    """

    flip: float = 0.5
    half_body: float = 0.3
    scale: float = 0.35
    rotate: float = 0.6
    rotation: float = 45.0
    turn: float = 0.0
    cut: float = 0.0
    shift: float = 0.0
    colour: float = 0.0
    blur: float = 0.0
    low_resolution: float = 0.0
    occlude: float = 0.0
    people: float = 0.0
    motion: float = 0.03
    key_damage: float = 0.0

    @classmethod
    def none(cls) -> Augmentation:
        return cls(**{f.name: 0.0 for f in dataclasses.fields(cls)})


_MODERATE = Augmentation(
    half_body=0.1,
    scale=0.2,
    rotate=0.5,
    rotation=25.0,
    cut=0.15,
    shift=0.04,
    colour=0.3,
    blur=0.2,
    low_resolution=0.05,
    occlude=0.1,
    people=0.3,
    key_damage=0.1,
)
_STRONG = dataclasses.replace(
    _MODERATE,
    half_body=0.2,
    scale=0.3,
    rotate=0.6,
    rotation=40.0,
    turn=0.2,
    cut=0.2,
    shift=0.06,
    colour=0.5,
    blur=0.25,
    low_resolution=0.15,
    occlude=0.3,
    people=0.4,
)
AUGMENTATIONS: dict[AugmentationName, Augmentation] = {
    AugmentationName.NONE: Augmentation.none(),
    AugmentationName.PAPER: Augmentation(),
    AugmentationName.MODERATE: _MODERATE,
    AugmentationName.STRONG: _STRONG,
}


def augmentation(name: str, like: Augmentation) -> Augmentation:
    """The named strengths; how key frames are damaged stays as in ``like``, since that is a recipe's own purpose."""
    return dataclasses.replace(AUGMENTATIONS[AugmentationName(name)], key_damage=like.key_damage)


#: What numbers of recipes must be, by what is said of others. Those of a training command are called like its options.
_RULES: dict[str, tuple[Callable[[float], bool], tuple[str, ...]]] = {
    "above 0": (lambda v: v > 0, ("epochs", "sigma")),
    "from 1 to 65536": (lambda v: 1 <= v <= 65536, ("batch", "accumulate")),
    "at least 0": (
        lambda v: v >= 0,
        (
            "lr",
            "weight_decay",
            "warmup",
            "steps",
            "clip",
            "backbone_lr",
            "stem_lr",
            "head_lr",
            "token_cache",
            "foreground",
            "absent",
        ),
    ),
    "from 0 to 2^63 - 1": (lambda v: 0 <= v < 2**63, ("seed",)),
    "from 0 to 1": (lambda v: 0 <= v <= 1, ("final", "drop_at", "layer_decay")),
    "at least 0 and less than 1": (lambda v: 0 <= v < 1, ("ema", "drop_path")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRecipe:
    """What every training is told; stored in its checkpoints and with its weights.

    Attributes:
        epochs: passes over the data; ``steps`` overrides it where above 0.
        batch: examples a step, over all processes.
        lr: of parameters whose group has the scale 1.
        warmup: steps in which the rate rises from 0; below 1 the share of the run.
        schedule: ``cosine`` down to ``final`` times the rate, or ``step``: tenfold down at ``drop_at`` (a fraction of
            the run).
        clip: longest gradient; 0 for no limit.
        ema: decay of the averaged weights; 0 for none.

    Raises:
        UsageError: a number that no training can have.
    """

    epochs: float
    batch: int = 32
    steps: int = 0
    lr: float
    optimiser: str
    weight_decay: float
    warmup: float
    schedule: str = Schedule.COSINE
    drop_at: float = 0.8
    final: float = 0.0
    clip: float
    ema: float = 0.0
    precision: str = Precision.AUTO
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError for a number that no training can have."""
        for must, (holds, names) in _RULES.items():
            for name in names:
                value = getattr(self, name, None)
                if value is not None and not (math.isfinite(value) and holds(value)):
                    raise UsageError(f"--{name.replace('_', '-')} {value:g}: must be {must}")

    def warmup_of(self, steps: int) -> float:
        """The steps of the warm-up of a run of so many."""
        return self.warmup * steps if self.warmup < 1 else self.warmup

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(BaseRecipe):
    """How to train the pose model.

    Attributes:
        accumulate: parts that a batch is computed in, one after the other.
        backbone_lr: the backbone's rate relative to ``lr``, each of its blocks ``layer_decay`` times the one above;
            0 freezes the backbone. ``lr`` itself is that of new modules.
        stem_lr: of MoveNet's trunk, relative to the backbone's first layer.
        head_lr: of the head but for what serves the high-resolution branch, relative to ``lr``; 0 freezes it.
        optimiser: ``adamw``; or ``muon``, which orthogonalises the updates of the Transformer blocks' matrices
            (Jordan et al. 2024, at AdamW's rates) and leaves the rest to AdamW.
        key_gradient_only: the backbone learns from key frames alone; saves half of a three-frame step.
        absent: what a joint known to lie outside the crop counts beside one that is seen; its map is to be flat.
        token_cache: GiB of memory for the tokens of a frozen backbone, in each process; 0 for none. The windows that
            fit, as they were augmented first, are passed over again and again.
        drop_path: rate at which the backbone's last block is skipped, less in those before it (stochastic depth,
            Huang et al. 2016).
        size: training crops where they differ from the model's (a curriculum may start small); () for the model's.
    """

    epochs: float = 20
    lr: float = 2e-3
    optimiser: str = "adamw"
    weight_decay: float = 0.05
    warmup: float = 500
    schedule: str = Schedule.STEP
    clip: float = 1.0
    accumulate: int = 1
    backbone_lr: float = 0.1
    layer_decay: float = 0.75
    stem_lr: float = 1.0
    head_lr: float = 1.0
    sigma: float = 2.0
    foreground: float = 0.0
    absent: float = 0.0
    weigh_joints: bool = False
    key_gradient_only: bool = False
    token_cache: float = 0.0
    drop_path: float = 0.0
    size: tuple[int, ...] = ()
    augmentation: Augmentation = AUGMENTATIONS[AugmentationName.PAPER]


#: Few pictures and random weights: everything at one rate, Muon, cosine, averaged weights.
_SCRATCH = Recipe(
    epochs=100,
    batch=64,
    lr=1e-3,
    backbone_lr=1.0,
    layer_decay=1.0,
    optimiser="muon",
    warmup=100,
    schedule=Schedule.COSINE,
    final=0.1,
    ema=0.998,
    foreground=20.0,
    absent=0.2,
    weigh_joints=True,
    augmentation=_MODERATE,
)

RECIPES: dict[RecipeName, Recipe] = {
    # The paper: 20 epochs, lr 2e-3, tenfold down at epoch 16, sigma 2, squared error, TDMI's augmentation. It does
    # not say what trains at that rate: a pretrained ViT tolerates far less, so new modules do, the backbone a tenth
    # with layer-wise decay (ViTPose's 0.75), and AdamW stands in for the optimiser it does not name.
    RecipeName.PAPER: Recipe(),
    RecipeName.SCRATCH: _SCRATCH,
    # The encoder behind a trained single-frame backbone, which stays as it is. Half of the key frames are damaged: on
    # pictures it knows the backbone is so sure that nothing else would make the encoder look at the neighbours. Frames
    # blurred differently teach it to take each joint from where it is seen best.
    RecipeName.TEMPORAL: dataclasses.replace(
        _SCRATCH,
        epochs=3,
        batch=32,
        lr=2e-3,
        backbone_lr=0.0,
        layer_decay=0.75,
        warmup=30,
        final=0.02,
        ema=0.99,
        augmentation=dataclasses.replace(_MODERATE, blur=0.4, key_damage=0.5),
    ),
    # From our own weights on a user's own footage: ten corrected frames are to be steps enough.
    RecipeName.FINETUNE: Recipe(
        epochs=10,
        batch=4,
        lr=2e-4,
        backbone_lr=0.5,
        layer_decay=0.9,
        warmup=0.1,
        schedule=Schedule.COSINE,
        ema=0.995,
        foreground=20.0,
        absent=0.2,
        augmentation=_MODERATE,
    ),
}
