"""Small generated pictures with boxes, and short trainings of the detector on them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ftpcli.people.network import DetectorConfig, build_network, save_network
from ftpcli.training.detector.recipe import DetectorRecipe
from ftpcli.training.detector.samples import Scenes
from ftpcli.training.detector.trainer import DetectorRun
from ftpcli.training.mixture import Mixture


def coco_file(folder: Path, count: int = 6, label: str | None = None) -> Path:
    """Pictures with one bright upright rectangle each as the person, every second with an ignore region too."""
    rng = np.random.default_rng(1)
    images, annotations = [], []
    for i in range(count):
        image = rng.integers(0, 90, (60, 80, 3), np.uint8)
        x, y = int(rng.integers(5, 40)), int(rng.integers(5, 20))
        image[y : y + 30, x : x + 15] = (40, 250, 60)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        record = {"id": i, "file_name": f"{i}.png", "width": 80, "height": 60, "source": "ab"[i % 2]}
        images.append(record | ({"label": label} if label else {}))
        annotations.append({"image_id": i, "bbox": [x, y, 15, 30], "iscrowd": 0})
        if i % 2:
            annotations.append({"image_id": i, "bbox": [60, 0, 20, 20], "iscrowd": 1})
    annotations = [a | {"id": n + 1, "category_id": 1, "area": 1.0} for n, a in enumerate(annotations)]
    path = folder / "coco.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1}]}))
    return path


#: A recipe of a second or two.
SMALL: dict[str, Any] = {"batch": 4, "steps": 3, "warmup": 1, "seed": 5} | dict.fromkeys(
    ("image_size", "min_size", "max_size"), 64
)


def detector_run(path: Path, out: Path, *, val: Path | None = None, **changes: Any) -> DetectorRun:
    """A short training on a file of `coco_file`; ``changes`` to its recipe or to the run's other options."""
    names = {field.name for field in dataclasses.fields(DetectorRecipe)}
    recipe = DetectorRecipe(**SMALL | {name: value for name, value in changes.items() if name in names})
    others = {name: value for name, value in changes.items() if name not in names}
    return DetectorRun(recipe, out, [(Scenes("a", path), 1.0)], val, **others)


def mixture_of(path: Path, weight: float = 1.0, lending: Path | None = None) -> Mixture[Scenes]:
    """The pictures of a file, and people of another to paste."""
    more = [(Scenes("lending", lending), 0.0)] if lending else []
    return Mixture([(Scenes("a", path), weight), *more], 0)


def random_network() -> tuple[Any, DetectorConfig]:
    """A detector with random weights, but for one that lets it hold any picture for a person."""
    torch.manual_seed(3)
    config = DetectorConfig(image_size=64, sized_for=80, provenance={"note": "random"})
    network: Any = build_network(config)
    torch.nn.init.constant_(network.model[-1].cv3[-1][-1].bias, 1.0)  # of the coarsest cells
    return network, config


def random_weights(path: Path) -> Path:
    """`random_network` in our format."""
    save_network(*random_network(), path)
    return path
