"""Every number of a detector's training."""

from __future__ import annotations

from dataclasses import dataclass

from ftpcli.training.recipe import BaseRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorRecipe(BaseRecipe):
    """How to train the detector.

    Attributes:
        architecture: an architecture file of ultralytics, without .yaml.
        end2end: the one-to-one head of YOLO26 and v10, which needs no suppression.
        sized_for: see `ftpcli.people.network.DetectorConfig`.
        image_size: longer side of the pictures that the detector is used with, pixels.
        min_size, max_size: side of the square training pictures, the same within a batch: multiples of 32 from one to
            the other, smaller ones more often.
        optimiser: ``musgd`` (ultralytics' Muon with SGD; it learned two to three times as fast in our trials) or
            ``adamw``.
        muon: learning rate of MuSGD's orthogonalised part, as a share of ``lr``.
        mosaic: share of mosaics among the pictures; the last ``plain`` of the training has fewer.
        paste: share of the pictures in which people are pasted over people.
    """

    epochs: float = 13.5
    lr: float = 0.01
    optimiser: str = "musgd"
    weight_decay: float = 5e-4
    warmup: float = 40
    final: float = 0.02
    clip: float = 10.0
    ema: float = 0.999
    architecture: str = "yolo11n"
    end2end: bool = False
    sized_for: int = 80
    image_size: int = 512
    min_size: int = 256
    max_size: int = 640
    muon: float = 2.0
    momentum: float = 0.9
    mosaic: float = 0.7
    plain: float = 0.12
    paste: float = 0.6
