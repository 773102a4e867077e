"""Every number of a training run, and the recipes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ftpcli.errors import UsageError
from ftpcli.training.augment import MODERATE, PAPER, Augmentation


@dataclass(frozen=True, slots=True)
class Recipe:
    """Options of a run; stored in its checkpoints and with its weights.

    Attributes:
        epochs: passes over the mixture; ``steps`` overrides it where above 0.
        batch: windows a step, over all processes and accumulation steps.
        lr: of new modules. The backbone trains at ``backbone_lr`` times it, and each of its blocks ``layer_decay``
            times the rate of the one above; 0 freezes the backbone.
        stem_lr: of the part of a stem that others trained (EfficientNet's, MoveNet's), relative to the backbone's first
            layer.
        optimiser: ``adamw``; or ``muon``, which orthogonalises the updates of the Transformer blocks' matrices
            (Jordan et al. 2024, at AdamW's rates) and leaves the rest to AdamW.
        schedule: ``cosine`` down to ``final`` times the rate, or ``step``: tenfold down at ``drop_at`` (a fraction of
            the run).
        key_gradient_only: the backbone learns from key frames alone; saves half of a three-frame step.
        drop_path: rate at which the backbone's last block is passed over, less in those before it (stochastic depth,
            Huang et al. 2016).
        size: training crops where they differ from the model's (a curriculum may start small); () for the model's.
    """

    epochs: int = 20
    steps: int = 0
    batch: int = 32
    accumulate: int = 1
    lr: float = 2e-3
    backbone_lr: float = 0.1
    layer_decay: float = 0.75
    stem_lr: float = 1.0
    weight_decay: float = 0.05
    optimiser: str = "adamw"
    warmup: int = 500
    schedule: str = "step"
    drop_at: float = 0.8
    final: float = 0.0
    clip: float = 1.0
    ema: float = 0.0
    sigma: float = 2.0
    foreground: float = 0.0
    weigh_joints: bool = False
    key_gradient_only: bool = False
    drop_path: float = 0.0
    precision: str = "auto"
    seed: int = 0
    size: tuple[int, ...] = ()
    augmentation: Augmentation = PAPER

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        values = dict(values)
        values["augmentation"] = Augmentation(**values["augmentation"])
        values["size"] = tuple(values["size"])
        return cls(**values)


#: Few pictures and random weights: everything at one rate, Muon, cosine, averaged weights.
_SCRATCH = Recipe(
    epochs=100,
    batch=64,
    lr=1e-3,
    backbone_lr=1.0,
    layer_decay=1.0,
    optimiser="muon",
    warmup=100,
    schedule="cosine",
    final=0.1,
    ema=0.998,
    foreground=20.0,
    weigh_joints=True,
    augmentation=MODERATE,
)

RECIPES: dict[str, Recipe] = {
    # The paper: 20 epochs, lr 2e-3, tenfold down at epoch 16, sigma 2, squared error, TDMI's augmentation. It does
    # not say what trains at that rate: a pretrained ViT tolerates far less, so new modules do, the backbone a tenth
    # with layer-wise decay (ViTPose's 0.75), and AdamW stands in for the optimiser it does not name.
    "paper": Recipe(),
    "scratch": _SCRATCH,
    # The encoder behind a trained single-frame backbone, which stays as it is. Half of the key frames are damaged: on
    # pictures it knows the backbone is so sure that nothing else would make the encoder look at the neighbours. Frames
    # blurred differently teach it to take each joint from where it is seen best.
    "temporal": dataclasses.replace(
        _SCRATCH,
        epochs=3,
        batch=32,
        lr=2e-3,
        backbone_lr=0.0,
        layer_decay=0.75,
        warmup=30,
        final=0.02,
        ema=0.99,
        augmentation=dataclasses.replace(MODERATE, blur=0.4, key_damage=0.5),
    ),
    # From our own weights on a user's own footage.
    "finetune": Recipe(
        epochs=10,
        batch=32,
        lr=2e-4,
        backbone_lr=0.5,
        layer_decay=0.9,
        warmup=100,
        schedule="cosine",
        ema=0.995,
        foreground=20.0,
        augmentation=MODERATE,
    ),
}


def recipe(name: str) -> Recipe:
    """The named recipe; raises UsageError with the list of names."""
    if name not in RECIPES:
        raise UsageError(f"unknown recipe '{name}': choose one of {', '.join(RECIPES)}")
    return RECIPES[name]
