"""Training of the person detector from random or given weights: ultralytics' network and loss, our own small loop.

ultralytics' Trainer turns mixed precision off on a CPU and keeps its checkpoints as pickles; this loop runs bf16
autocast on any device, keeps checkpoints as safetensors, and every batch depends on the seed and the step alone.
"""

from __future__ import annotations

import copy
import json
import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from ftpcli.datasets.scenes import Mixture, Sample, make_sample
from ftpcli.errors import InputError, UsageError
from ftpcli.evaluation.on_scenes import SCORE_FLOOR, evaluate
from ftpcli.people.inference import find_people
from ftpcli.people.loading import BUNDLED
from ftpcli.people.network import DetectorConfig, build_network, load_network, save_network
from ftpcli.pose.weights import sha256
from ftpcli.training.detector.checkpoint import read_checkpoint, restore_checkpoint, save_checkpoint
from ftpcli.training.detector.gradients import MaskedLoss, collate, make_optimizer, on_device, to_float
from ftpcli.training.detector.pasting import paste
from ftpcli.training.workers import loader


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """How to train. Sizes are the sides of the square training pictures, pixels."""

    architecture: str = "yolo26n"
    end2end: bool = False
    image_size: int = 320  # the size that is shipped, and that the last part of the training uses
    first_size: int = 224  # the size at the start: cheaper, and enough for the coarse things learned first
    full_from: float = 0.85  # share of the training after which ``image_size`` is used throughout
    epochs: float = 13.5
    steps: int | None = None  # in place of epochs
    batch: int = 32
    optimizer: str = "musgd"  # or adamw
    lr: float = 0.01
    muon: float = 2.0  # learning rate of MuSGD's orthogonalised part, as a share of ``lr``
    final_lr: float = 0.02  # share of ``lr`` at the end
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.03  # share of the training
    ema: float = 0.999
    mosaic: float = 0.7  # share of mosaics; the last ``plain`` of the training has fewer
    plain: float = 0.12
    paste: float = 0.6  # share of the pictures in which people are pasted over people
    seed: int = 0


def train_detector(
    data: Mapping[str, tuple[Path | str, float]],
    val: Path | str | None,
    out_dir: Path | str,
    *,
    recipe: DetectorRecipe | None = None,
    weights: Path | str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    workers: int = 0,
    resume: bool = False,
    checkpoint_minutes: float = 3.0,
    evaluate_minutes: float = 8.0,
    provenance: Mapping[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Train a person detector and write it to ``out_dir/detector.safetensors``.

    Args:
        data: name -> (COCO detection file, weight). Category 1 is the person; ``iscrowd`` 1 marks regions that
            are neither learned as person nor as background. A picture counts ``weight`` times in an epoch.
        val: COCO detection file for the regular check (its pictures labelled ``gt``); None: no check.
        out_dir: gets ``detector.safetensors``, ``log.jsonl`` and ``checkpoint/``.
        recipe: how to train; single fields may be given as keyword arguments (``epochs=3``).
        weights: detector file of `save_network` to start from, "default" for the bundled one; None: random weights.
        threads: torch threads; None leaves them as they are.
        workers: processes that prepare batches; 0 prepares them here.
        resume: go on from the checkpoint in ``out_dir`` where there is one. The recipe's length may change.
        provenance: added to the file's header.

    Returns:
        the last evaluation (see `ftpcli.evaluation.on_scenes.evaluate`), with ``interrupted`` and ``step``. SIGINT
        and SIGTERM end the training after the running step, with a checkpoint.

    Raises:
        UsageError: an unknown architecture, optimizer or recipe field, or ``out_dir`` holds another training.
        InputError: data or weights that cannot be read, or weights of another architecture.
    """
    try:
        chosen = replace(recipe or DetectorRecipe(), **changes)
    except TypeError as error:
        raise UsageError(f"no such training option: {error}") from error
    if threads:
        torch.set_num_threads(threads)
    out = Path(out_dir)
    if (out / "checkpoint").exists() and not resume:
        raise UsageError(f"{out}: holds a training already; resume it or choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    training = _Training(data, val, out, chosen, torch.device(device), dict(provenance or {}), workers)
    if weights is not None:
        training.start_from(BUNDLED if str(weights) == "default" else Path(weights))
    return training.run(checkpoint_minutes * 60, evaluate_minutes * 60)


class _Training:
    """One training: state, schedule, step, checkpoints."""

    def __init__(
        self,
        data: Mapping[str, tuple[Path | str, float]],
        val: Path | str | None,
        out: Path,
        recipe: DetectorRecipe,
        device: torch.device,
        provenance: dict[str, Any],
        workers: int = 0,
    ) -> None:
        self.workers = workers
        self.val, self.out, self.recipe, self.device = val, out, recipe, device
        self.config = DetectorConfig(recipe.architecture, recipe.image_size, recipe.end2end)
        torch.manual_seed(recipe.seed)
        self.network: Any = build_network(self.config).to(device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.mixture = Mixture(data)
        self.steps = recipe.steps or max(1, math.ceil(recipe.epochs * len(self.mixture) / recipe.batch))
        self.optimizer = make_optimizer(
            self.network,
            recipe.optimizer,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            muon=recipe.muon,
        )
        epochs = self.steps * recipe.batch / len(self.mixture)
        vars(self.network.args)["epochs"] = max(2, math.ceil(epochs))  # the end-to-end loss counts them
        self.criterion: Any = self.network.init_criterion()
        self.network.criterion = self.criterion
        self.masked = MaskedLoss()
        for part in (self.criterion, *(getattr(self.criterion, head, None) for head in ("one2many", "one2one"))):
            if hasattr(part, "bce"):
                part.bce = self.masked
        self.step = 0
        self.provenance = provenance | {
            "recipe": asdict(recipe),
            "data": {name: {"pictures": n, "weight": data[name][1]} for name, n in self.mixture.counts.items()},
        }

    def start_from(self, path: Path) -> None:
        """Network and average begin as the tensors of a detector file.

        Raises:
            InputError: it cannot be read, or is of another architecture, head or list of classes.
        """
        network, config = load_network(path)
        for name in ("architecture", "end2end", "classes"):
            has, wanted = getattr(config, name), getattr(self.config, name)
            if has != wanted:
                raise InputError(f"{path}: its {name} is {has}, this training's {wanted}; start from another file")
        for mine in self._networks().values():
            mine.load_state_dict(network.state_dict())
        self.provenance["start"] = {"sha256": sha256(path), "provenance": config.provenance}

    def run(self, checkpoint_seconds: float, evaluate_seconds: float) -> dict[str, Any]:
        self._restore()
        report: dict[str, Any] = {}
        saved = checked = begun = time.monotonic()
        losses: dict[str, float] = {}
        first = self.step
        with _stop_signals() as stop:
            for batch in self.batches():
                for name, value in self.one_step(batch).items():
                    losses[name] = losses.get(name, 0.0) * 0.98 + value * (0.02 if name in losses else 1.0)
                now = time.monotonic()
                if self.step % 50 == 0 or self.step == self.steps:
                    rate = (self.step - first) * self.recipe.batch / max(now - begun, 1e-9)
                    size = _size(self.recipe, self.step, self.steps)
                    self._log({"loss": losses, "lr": self._lr(), "size": size, "images_per_second": rate})
                if now - saved >= checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
                if self.val and now - checked >= evaluate_seconds and self.step < self.steps:
                    report = self._check()
                    checked = time.monotonic()
                if stop:
                    break
        self._save()
        if self.val:
            report = self._check()
            self._export(report)
        return report | {"step": self.step, "steps": self.steps, "interrupted": self.step < self.steps}

    # -- schedule

    def _lr(self) -> float:
        done, recipe = self.step / self.steps, self.recipe
        if done < recipe.warmup:
            return recipe.lr * (done / recipe.warmup) + 1e-6
        share = (done - recipe.warmup) / max(1 - recipe.warmup, 1e-9)
        return recipe.lr * (recipe.final_lr + (1 - recipe.final_lr) * 0.5 * (1 + math.cos(math.pi * share)))

    # -- one step

    def batches(self) -> Iterator[dict[str, torch.Tensor]]:
        """Those from the next step to the last."""
        steps = _Batches(self.mixture, self.recipe, self.steps)
        yield from loader(steps, self.workers, batch_size=None, sampler=range(self.step, self.steps))

    def one_step(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        recipe, lr, done = self.recipe, self._lr(), self.step / self.steps
        batch = on_device(batch, self.device)
        self.masked.ignore = batch.pop("ignore")
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["share"]
            if "momentum" in group:
                group["momentum"] = recipe.momentum - max(0.0, 1 - done / max(recipe.warmup, 1e-9)) * 0.1
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            output = self.network(batch["img"])
        loss, items = self.network.loss(batch, to_float(output))
        self.optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 10.0 if recipe.optimizer == "musgd" else 1e9)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        self._average()
        self._balance()
        return {name: float(value) for name, value in items.items()}

    def _balance(self) -> None:
        """After each epoch of an end-to-end network the weight moves on from the one-to-many to the one-to-one head."""
        while hasattr(self.criterion, "updates") and self.criterion.updates < self.step * self.recipe.batch // len(
            self.mixture
        ):
            self.criterion.update()

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average of the weights; quick at first. The running statistics of BatchNorm as well."""
        keep = min(self.recipe.ema, (1 + self.step) / (20 + self.step))
        mean, now = self.average.state_dict(), self.network.state_dict()
        floats = [name for name, value in mean.items() if value.is_floating_point()]
        torch._foreach_lerp_([mean[n] for n in floats], [now[n] for n in floats], 1 - keep)

    # -- reports and checkpoints

    def _check(self) -> dict[str, Any]:
        assert self.val is not None

        def detect(images: list[np.ndarray]) -> list[np.ndarray]:
            return find_people(
                self.average,
                images,
                size=self.recipe.image_size,
                device=self.device,
                floor=SCORE_FLOOR,
                overlap=self.config.overlap,
            )

        report = evaluate(detect, self.val)
        self._log({"val": report})
        return report

    def _log(self, record: dict[str, Any]) -> None:
        record = {"step": self.step, "steps": self.steps, "time": round(time.time(), 1), **record}
        with open(self.out / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _save(self) -> None:
        state = {"step": self.step, "recipe": asdict(self.recipe), "pictures": self.mixture.counts}
        state["start"] = self.provenance.get("start")
        save_checkpoint(self.out / "checkpoint", self._networks(), self.optimizer, state)
        self._export()

    def _networks(self) -> dict[str, nn.Module]:
        return {"network": self.network, "average": self.average}

    def _export(self, report: Mapping[str, Any] | None = None) -> None:
        """Write the averaged weights as a detector that can be used at once, complete or not."""
        about = self.provenance | {"steps": self.step}
        if report:
            numbers = {k: v for k, v in report.items() if not isinstance(v, dict)}
            about["val"] = {k: round(v, 4) if isinstance(v, float) else v for k, v in numbers.items()}
        save_network(self.average, replace(self.config, provenance=about), self.out / "detector.safetensors")

    def _restore(self) -> None:
        found = read_checkpoint(self.out / "checkpoint")
        if not found:
            return
        state, tensors = found
        now = asdict(self.recipe)
        for name in ("architecture", "end2end", "optimizer"):
            if state["recipe"][name] != now[name]:
                raise UsageError(f"{self.out}: was trained with {name} {state['recipe'][name]}, not {now[name]}")
        restore_checkpoint(tensors, self._networks(), self.optimizer)
        self.step = state["step"]
        if state.get("start"):
            self.provenance["start"] = state["start"]


class _Batches(Dataset):
    """The batch of every step."""

    def __init__(self, mixture: Mixture, recipe: DetectorRecipe, steps: int) -> None:
        self.mixture, self.recipe, self.steps = mixture, recipe, steps

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        recipe, size = self.recipe, _size(self.recipe, step, self.steps)
        rng = np.random.default_rng([recipe.seed, step, 0])
        mosaic = recipe.mosaic if step / self.steps < 1 - recipe.plain else recipe.mosaic * 0.4
        return collate([self._sample(size, rng, mosaic) for _ in range(recipe.batch)])

    def _sample(self, size: int, rng: np.random.Generator, mosaic: float) -> Sample:
        sample = make_sample(self.mixture, size, rng, mosaic)
        return paste(sample, self.mixture, rng) if rng.random() < self.recipe.paste else sample


def _size(recipe: DetectorRecipe, step: int, steps: int) -> int:
    """Side of a step's pictures: grows with the training; a few steps each are a size smaller or larger."""
    share = min(step / steps / max(recipe.full_from, 1e-9), 1.0)
    size = recipe.first_size + share * (recipe.image_size - recipe.first_size)
    jitter = (-32, 0, 0, 0, 32)[np.random.default_rng([recipe.seed, step, 1]).integers(5)]
    return max(64, round(size / 32) * 32 + jitter)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that gets the signal's number when the process is asked to stop."""
    got: list[int] = []
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, lambda n, _: got.append(n))
        except ValueError:  # not in the main thread: leave signals alone
            break
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
