"""Training of the person detector from random weights: ultralytics' network and loss, our own small loop.

ultralytics' Trainer turns mixed precision off on a CPU and keeps its checkpoints as pickles; this loop runs bf16
autocast on any device, keeps checkpoints as safetensors, and every batch depends on the seed and the step alone.
"""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ftpcli.detector._ultralytics import MuSGD
from ftpcli.detector.data import Mixture, Sample, make_sample
from ftpcli.detector.evaluation import evaluate
from ftpcli.detector.inference import find_people
from ftpcli.detector.network import DetectorConfig, build_network, save_network
from ftpcli.errors import InputError, UsageError


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """How to train. Sizes are the sides of the square training pictures, pixels."""

    architecture: str = "yolo26n"
    end2end: bool = False
    image_size: int = 320  # the size that is shipped, and that the last part of the training uses
    first_size: int = 224  # the size at the start: cheaper, and enough for the coarse things learned first
    full_from: float = 0.6  # share of the training after which ``image_size`` is used throughout
    epochs: float = 60.0
    batch: int = 32
    optimizer: str = "musgd"  # or adamw
    lr: float = 0.01
    muon: float = 0.4  # learning rate of MuSGD's orthogonalised part, as a share of ``lr``
    final_lr: float = 0.02  # share of ``lr`` at the end
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.03  # share of the training
    ema: float = 0.999
    mosaic: float = 0.7  # share of mosaics; the last ``plain`` of the training has fewer
    plain: float = 0.12
    seed: int = 0


def train_detector(
    data: Mapping[str, tuple[Path | str, float]],
    val: Path | str | None,
    out_dir: Path | str,
    *,
    recipe: DetectorRecipe | None = None,
    device: str = "cpu",
    threads: int | None = None,
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
        threads: torch threads; None leaves them as they are.
        resume: go on from the checkpoint in ``out_dir`` where there is one. The recipe's ``epochs`` may change.
        provenance: added to the file's header.

    Returns:
        the last evaluation (see `ftpcli.detector.evaluation.evaluate`), with ``interrupted`` and ``step``. SIGINT
        and SIGTERM end the training after the running step, with a checkpoint.

    Raises:
        UsageError: an unknown architecture, optimizer or recipe field, or ``out_dir`` holds another training.
        InputError: data that cannot be read.
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
    return _Training(data, val, out, chosen, torch.device(device), dict(provenance or {})).run(
        checkpoint_minutes * 60, evaluate_minutes * 60
    )


class _MaskedLoss(nn.Module):
    """Binary cross-entropy that leaves out the anchors of ignore regions, unless they belong to a person."""

    def __init__(self) -> None:
        super().__init__()
        self.ignore: torch.Tensor | None = None  # (B, anchors, 1) bool

    def forward(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = nn.functional.binary_cross_entropy_with_logits(scores, target, reduction="none")
        if self.ignore is not None:
            loss = loss.masked_fill(self.ignore & (target == 0), 0.0)
        return loss


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
    ) -> None:
        self.val, self.out, self.recipe, self.device = val, out, recipe, device
        self.config = DetectorConfig(recipe.architecture, recipe.image_size, recipe.end2end)
        torch.manual_seed(recipe.seed)
        self.network: Any = build_network(self.config).to(device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.mixture = Mixture(data)
        self.steps = max(1, math.ceil(recipe.epochs * len(self.mixture) / recipe.batch))
        self.optimizer = _optimizer(self.network, recipe)
        vars(self.network.args)["epochs"] = max(2, math.ceil(recipe.epochs))  # the end-to-end loss counts them
        self.criterion: Any = self.network.init_criterion()
        self.network.criterion = self.criterion
        self.masked = _MaskedLoss()
        for part in (self.criterion, *(getattr(self.criterion, head, None) for head in ("one2many", "one2one"))):
            if hasattr(part, "bce"):
                part.bce = self.masked
        self.step = 0
        self.provenance = provenance | {
            "recipe": asdict(recipe),
            "data": {name: {"pictures": n, "weight": data[name][1]} for name, n in self.mixture.counts.items()},
        }

    def run(self, checkpoint_seconds: float, evaluate_seconds: float) -> dict[str, Any]:
        self._restore()
        report: dict[str, Any] = {}
        saved = checked = begun = time.monotonic()
        losses: dict[str, float] = {}
        first = self.step
        with _stop_signals() as stop:
            while self.step < self.steps and not stop:
                for name, value in self._one_step().items():
                    losses[name] = losses.get(name, 0.0) * 0.98 + value * (0.02 if name in losses else 1.0)
                now = time.monotonic()
                if self.step % 50 == 0 or self.step == self.steps:
                    rate = (self.step - first) * self.recipe.batch / max(now - begun, 1e-9)
                    self._log({"loss": losses, "lr": self._lr(), "size": self._size(), "images_per_second": rate})
                if now - saved >= checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
                if self.val and now - checked >= evaluate_seconds and self.step < self.steps:
                    report = self._check()
                    checked = time.monotonic()
        self._save()
        if self.val:
            report = self._check()
            self._export(report)
        return report | {"step": self.step, "steps": self.steps, "interrupted": self.step < self.steps}

    # -- schedule

    def _progress(self) -> float:
        return self.step / self.steps

    def _lr(self) -> float:
        done, recipe = self._progress(), self.recipe
        if done < recipe.warmup:
            return recipe.lr * (done / recipe.warmup) + 1e-6
        share = (done - recipe.warmup) / max(1 - recipe.warmup, 1e-9)
        return recipe.lr * (recipe.final_lr + (1 - recipe.final_lr) * 0.5 * (1 + math.cos(math.pi * share)))

    def _size(self) -> int:
        """Side of this step's pictures: grows with the training; a few steps each are a size smaller or larger."""
        recipe = self.recipe
        share = min(self._progress() / max(recipe.full_from, 1e-9), 1.0)
        size = recipe.first_size + share * (recipe.image_size - recipe.first_size)
        jitter = (-32, 0, 0, 0, 32)[np.random.default_rng([recipe.seed, self.step, 1]).integers(5)]
        return max(64, round(size / 32) * 32 + jitter)

    # -- one step

    def _one_step(self) -> dict[str, float]:
        recipe = self.recipe
        size, lr = self._size(), self._lr()
        rng = np.random.default_rng([recipe.seed, self.step, 0])
        mosaic = recipe.mosaic if self._progress() < 1 - recipe.plain else recipe.mosaic * 0.4
        batch = _collate([make_sample(self.mixture, size, rng, mosaic) for _ in range(recipe.batch)], self.device)
        self.masked.ignore = batch.pop("ignore")
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["share"]
            if "momentum" in group:
                group["momentum"] = recipe.momentum - max(0.0, 1 - self._progress() / max(recipe.warmup, 1e-9)) * 0.1
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            output = self.network(batch["img"])
        loss, items = self.network.loss(batch, _to_float(output))
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
            return find_people(self.average, images, size=self.recipe.image_size, device=self.device, floor=0.01)

        report = evaluate(detect, self.val)
        self._log({"val": report})
        return report

    def _log(self, record: dict[str, Any]) -> None:
        record = {"step": self.step, "steps": self.steps, "time": round(time.time(), 1), **record}
        with open(self.out / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _save(self) -> None:
        """Everything needed to go on: weights, average, optimizer. The state file, written last, makes it valid."""
        folder = self.out / "checkpoint"
        folder.mkdir(exist_ok=True)
        name = f"{self.step}.safetensors"
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / name)
        partial = folder / "state.json.partial"
        state = {"step": self.step, "tensors": name, "recipe": asdict(self.recipe), "pictures": self.mixture.counts}
        partial.write_text(json.dumps(state), encoding="utf-8")
        os.replace(partial, folder / "state.json")
        for old in folder.glob("*.safetensors"):
            if old.name != name:
                old.unlink()
        self._export()

    def _export(self, report: Mapping[str, Any] | None = None) -> None:
        """Write the averaged weights as a detector that can be used at once, complete or not."""
        about = self.provenance | {"steps": self.step}
        if report:
            numbers = {k: v for k, v in report.items() if not isinstance(v, dict)}
            about["val"] = {k: round(v, 4) if isinstance(v, float) else v for k, v in numbers.items()}
        save_network(self.average, replace(self.config, provenance=about), self.out / "detector.safetensors")

    def _restore(self) -> None:
        path = self.out / "checkpoint" / "state.json"
        if not path.exists():
            return
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            tensors = load_file(path.parent / state["tensors"])
            before, now = dict(state["recipe"]), asdict(self.recipe)
        except Exception as error:
            raise InputError(f"{path}: the checkpoint cannot be read ({error})") from error
        for name in ("architecture", "end2end", "optimizer"):
            if before[name] != now[name]:
                raise UsageError(f"{self.out}: was trained with {name} {before[name]}, not {now[name]}")
        split: dict[str, dict[str, torch.Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for key, tensor in tensors.items():
            kind, _, rest = key.partition(".")
            split[kind][rest] = tensor
        self.network.load_state_dict(split["network"])
        self.average.load_state_dict(split["average"])
        states: dict[int, dict[str, torch.Tensor]] = {}
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for key, tensor in split["optimizer"].items():
            index, _, rest = key.partition(".")
            if tensor.ndim:  # in the parameter's own memory order, which decides the order of sums
                tensor = torch.empty_like(parameters[int(index)]).copy_(tensor)
            states.setdefault(int(index), {})[rest] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": groups})
        self.step = state["step"]


def _optimizer(network: nn.Module, recipe: DetectorRecipe) -> torch.optim.Optimizer:
    """Weights of convolutions with decay, everything else without. ``share`` scales the group's learning rate."""
    matrices = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            [{"params": matrices, "share": 1.0}, {"params": others, "share": 1.0, "weight_decay": 0.0}],
            lr=recipe.lr,
            betas=(recipe.momentum, 0.99),
            weight_decay=recipe.weight_decay,
        )
    if recipe.optimizer == "musgd":
        plain = {"momentum": recipe.momentum, "nesterov": True}
        return MuSGD(
            [
                {"params": matrices, **plain, "share": 1.0, "use_muon": True, "weight_decay": recipe.weight_decay},
                {"params": others, **plain, "share": 1.0, "use_muon": False, "weight_decay": 0.0},
            ],
            lr=recipe.lr,
            muon=recipe.muon,
            sgd=1.0,
        )
    raise UsageError(f"unknown optimizer '{recipe.optimizer}': musgd or adamw")


def _collate(samples: list[Sample], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch as ultralytics' loss wants it, with ``ignore`` (B, anchors, 1): anchors inside ignore regions."""
    size = samples[0].image.shape[0]
    stack = torch.from_numpy(np.stack([s.image for s in samples])).to(device).permute(0, 3, 1, 2)
    boxes = torch.from_numpy(np.concatenate([s.people for s in samples])) / size
    which = torch.cat([torch.full((len(s.people),), float(i)) for i, s in enumerate(samples)])
    centres = np.concatenate(
        [
            np.stack(np.meshgrid(*[(np.arange(size // stride) + 0.5) * stride] * 2), -1).reshape(-1, 2)
            for stride in (8, 16, 32)
        ]
    )
    ignore = np.zeros((len(samples), len(centres), 1), bool)
    for i, sample in enumerate(samples):
        for x0, y0, x1, y1 in sample.ignore:
            inside = (centres[:, 0] >= x0) & (centres[:, 0] <= x1) & (centres[:, 1] >= y0) & (centres[:, 1] <= y1)
            ignore[i, inside, 0] = True
    return {
        "img": (stack.float() / 255).contiguous(memory_format=torch.channels_last),
        "batch_idx": which.to(device),
        "cls": torch.zeros(len(boxes), 1, device=device),
        "bboxes": torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1).float().to(device),
        "ignore": torch.from_numpy(ignore).to(device),
    }


def _to_float(value: Any) -> Any:
    """The network's nested output in fp32: the loss is computed outside autocast."""
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, dict):
        return {k: _to_float(v) for k, v in value.items()}
    return type(value)(_to_float(v) for v in value)


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
