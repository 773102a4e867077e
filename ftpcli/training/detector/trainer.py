"""Training of the person detector: ultralytics' network and loss in our own loop.

ultralytics' Trainer turns mixed precision off on a CPU and keeps its checkpoints as pickles of code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ftpcli.errors import InputError
from ftpcli.evaluation.on_scenes import SCORE_FLOOR, evaluate
from ftpcli.files.tensors import sha256
from ftpcli.people.network import DetectorConfig, build_network, find_people, load_network, save_network
from ftpcli.training.detector.features import load_features, normalise
from ftpcli.training.detector.gradients import MaskedLoss, collate, make_optimiser, on_device, to_float
from ftpcli.training.detector.pasting import paste
from ftpcli.training.detector.recipe import DetectorRecipe
from ftpcli.training.detector.samples import Sample, Scenes, make_sample
from ftpcli.training.log import Tell
from ftpcli.training.loop import RunOptions, Stop, Trainer, never
from ftpcli.training.mixture import Mixture

_MEASURED = 8  # batches that the batch norms of imported features are measured on


@dataclass(slots=True)
class DetectorRun(RunOptions):
    """What to train, on what, and where it goes.

    Attributes:
        sources: training pictures with their weights; a source of weight 0 only lends its outlined people.
        val: COCO detection file for validation (its pictures labelled ``gt``); None for none.
        weights: detector file to start from, which also decides the architecture; None for random weights.
        features: in its place, an OpenVINO file of ultralytics whose convolutions to start from.
        images: folder of the pictures of ``val``, where they are not found by the file.
    """

    recipe: DetectorRecipe
    out: Path
    sources: Sequence[tuple[Scenes, float]]
    val: Path | None = None
    weights: Path | None = None
    features: Path | None = None
    images: Path | None = None


def train_detector(run: DetectorRun, tell: Tell = lambda row: None, stop: Stop = never) -> dict[str, Any]:
    """See `Trainer.run`; "best" is the highest average precision at IoU 0.5.

    Writes ``detector.safetensors``, the averaged weights as a detector that can be used at once, complete or not.
    """
    return DetectorTrainer(run, tell).run(stop)


class DetectorTrainer(Trainer):
    """A detection network of ultralytics on mosaics, with its loss."""

    def __init__(self, run: DetectorRun, tell: Tell) -> None:
        super().__init__(run, run.recipe, run.out, tell)
        self.settings, self.validates = run, run.val is not None
        start = load_network(run.weights) if run.weights is not None else None
        names = ("architecture", "end2end", "sized_for")
        self.recipe = recipe = replace(run.recipe, **{name: getattr(start[1], name) for name in names if start})
        self.config = DetectorConfig(recipe.architecture, recipe.image_size, recipe.end2end, sized_for=recipe.sized_for)
        network: Any = build_network(self.config).to(self.device).to(memory_format=torch.channels_last)
        self.measured: dict[str, Any] = {}
        mixture = Mixture(run.sources, recipe.seed)
        if not any(len(picture.people) for source, weight in run.sources if weight for picture in source.pictures):
            raise InputError("nobody to learn from: not one picture of the training data shows a person")
        if run.weights is not None and start and not run.resume:
            theirs, config = start
            if config.classes != self.config.classes:
                raise InputError(f"{run.weights}: its classes are {', '.join(config.classes)}, not person alone")
            network.load_state_dict(theirs.state_dict())
            self.notes["start"] = {"sha256": sha256(run.weights), "provenance": config.provenance}
        elif run.features is not None and not run.resume:
            load_features(network, run.features)
            normalise(network, self._some_pictures(mixture))
            self.notes["start"] = {"features": run.features.name, "sha256": sha256(run.features.with_suffix(".bin"))}
        self.prepare(network, [make_optimiser(network, recipe)], mixture)
        epochs = self.steps * recipe.batch / len(self.mixture)
        vars(network.args)["epochs"] = max(2, math.ceil(epochs))  # the end-to-end loss counts them
        self.criterion: Any = network.init_criterion()
        network.criterion = self.criterion
        self.masked = MaskedLoss()
        for part in (self.criterion, *(getattr(self.criterion, head, None) for head in ("one2many", "one2one"))):
            if hasattr(part, "bce"):
                part.bce = self.masked

    def _some_pictures(self, mixture: Mixture[Scenes]) -> Iterator[torch.Tensor]:
        """Of the first steps, (B, 3, S, S)."""
        samples, batch = Samples(mixture, self.recipe, _MEASURED), self.recipe.batch
        for step in range(_MEASURED):
            rows = [samples[counter] for counter in range(step * batch, (step + 1) * batch)]
            yield on_device(collate(rows), self.device)["img"]

    def signature(self) -> dict[str, Any]:
        """The length may change."""
        recipe = {name: value for name, value in self.recipe.to_dict().items() if name not in ("epochs", "steps")}
        return {"recipe": recipe, "sources": self._data()}

    def _data(self) -> dict[str, Any]:
        return {source.name: {"pictures": len(source), "weight": weight} for source, weight in self.settings.sources}

    def examples(self) -> Dataset:
        return Samples(self.mixture, self.recipe, self.steps)

    def collate(self, rows: list[Any]) -> dict[str, torch.Tensor]:
        return collate(rows)

    def report(self) -> dict[str, Any]:
        return {"size": side(self.recipe, self.step)}

    def learn(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        recipe, network = self.recipe, self.model
        batch = on_device(batch, self.device)
        self.masked.ignore = batch.pop("ignore")
        for group in self.optimisers[0].param_groups:
            if "momentum" in group:  # lower while the rate rises
                group["momentum"] = recipe.momentum - 0.1 * max(
                    0.0, 1 - self.step / max(recipe.warmup_of(self.steps), 1)
                )
        epoch = self.step * recipe.batch // len(self.mixture)
        while hasattr(self.criterion, "updates") and self.criterion.updates < epoch:
            self.criterion.update()  # from the one-to-many head's loss to the one-to-one head's, an epoch at a time
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            output = self.parallel(batch["img"])
        loss, items = network.loss(batch, to_float(output))  # type: ignore[operator]
        self.backward(loss.sum())
        return {name: float(value) for name, value in items.items()}

    def validate(self) -> None:
        assert self.settings.val is not None
        with self.weights(self.averaged()):
            detect = partial(
                find_people,
                self.model,
                size=self.recipe.image_size,
                device=self.device,
                floor=SCORE_FLOOR,
                overlap=self.config.overlap,
            )
            report = evaluate(detect, self.settings.val, folder=self.settings.images)
        self.best = max(self.best, report.get("ap50", -1.0))
        numbers = {k: v for k, v in report.items() if not isinstance(v, dict | list)}
        self.measured = {k: round(v, 4) if isinstance(v, float) else v for k, v in numbers.items()} | {
            "step": self.step
        }
        self.log({"event": "validation", "step": self.step, "score": report.get("ap50"), **report})

    def export(self) -> None:
        made = {"recipe": self.recipe.to_dict(), "data": self._data(), "steps": self.step}
        val = {"val": self.measured} if self.measured.get("step") == self.step else {}
        config = replace(self.config, provenance=self.settings.provenance | made | self.notes | val)
        with self.weights(self.averaged()):
            save_network(self.model, config, self.settings.out / "detector.safetensors")


class Samples(Dataset):
    """The run's pictures by number, each made from random numbers of its own."""

    def __init__(self, mixture: Mixture[Scenes], recipe: DetectorRecipe, steps: int) -> None:
        self.mixture, self.recipe, self.steps = mixture, recipe, steps

    def __getitem__(self, counter: int) -> Sample:
        recipe, step = self.recipe, counter // self.recipe.batch
        rng = np.random.default_rng([recipe.seed, counter])
        mosaic = recipe.mosaic if step / self.steps < 1 - recipe.plain else recipe.mosaic * 0.4
        sample = make_sample(self.mixture, side(recipe, step), rng, mosaic)
        return paste(sample, self.mixture, rng) if rng.random() < recipe.paste else sample


def side(recipe: DetectorRecipe, step: int) -> int:
    """Of a step's pictures, uniform on a logarithmic scale."""
    low, high = recipe.min_size, max(recipe.min_size, recipe.max_size)
    share = np.random.default_rng([recipe.seed, step, 1]).random()
    return max(64, round(low * (high / low) ** share / 32) * 32)
