"""The training loop: steps, validation, checkpoints, log."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftpcli import __version__
from ftpcli.errors import FtpError, UsageError
from ftpcli.model.config import ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.training import distributed
from ftpcli.training.batches import Batch, Mixture, training_batches
from ftpcli.training.checkpoint import load_checkpoint, save_checkpoint
from ftpcli.training.losses import heatmap_loss, joint_weights
from ftpcli.training.optimiser import Average, build_optimisers, rate
from ftpcli.training.recipe import Recipe
from ftpcli.training.runtime import (
    Clock,
    autocast,
    make_fast,
    peak_memory,
    random_state,
    set_drop_path,
    set_random_state,
    split,
    tensorboard,
)
from ftpcli.training.sources.common import Source
from ftpcli.training.validation import validate
from ftpcli.weights import load_weights, save_weights, sha256, transfer


class DivergedError(FtpError):
    """The loss stopped being a number."""


@dataclass(slots=True)
class Run:
    """What to train, on what, and where it goes.

    Attributes:
        sources: training sources with their weights.
        validation: sources that PCK is measured on; the mean of their ``all`` figures picks the best weights.
        init: weights file to start from (tensors of the same name and shape are taken).
        start: tensors of the model by name (see ``initialise``), also in place of those of ``init``; or None.
        average_with: weights files of the same configuration. At the end, the mean of these and of the trained weights
            is written as well (Wortsman et al. 2022, Robust fine-tuning of zero-shot models; Model soups).
        validate_every: steps between validations.
        save_minutes: between checkpoints.
        stop_at: end after this step as if interrupted (checkpoint written), for tests; 0 for never.
    """

    config: ModelConfig
    recipe: Recipe
    out: Path
    sources: Sequence[tuple[Source, float]]
    validation: Sequence[Source] = ()
    init: Path | None = None
    start: dict[str, torch.Tensor] | None = None
    pretrained: bool = False
    average_with: Sequence[Path] = ()
    resume: bool = False
    device: str = "cpu"
    workers: int = 0
    validate_every: int = 1000
    validation_limit: int = 500
    save_minutes: float = 5.0
    log_every: int = 50
    stop_at: int = 0
    tensorboard: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)


def train(run: Run, tell: Callable[[dict[str, Any]], None] = lambda row: None) -> dict[str, Any]:
    """Train until the recipe's last step, an interruption, or a loss that is not a number.

    Writes into ``run.out``: ``log.jsonl``, ``checkpoint.pt``, ``last.safetensors``, ``best.safetensors``.

    Args:
        tell: called with every row of the log.

    Returns:
        ``{"step", "steps", "finished", "best"}``.

    Raises:
        DivergedError: after putting the last good checkpoint's weights in place.
        InputError, UsageError, OutputError.
    """
    return _Trainer(run, tell).run()


class _Trainer:
    def __init__(self, run: Run, tell: Callable[[dict[str, Any]], None]) -> None:
        self.run_, self.tell = run, tell
        self._board = tensorboard(run.out) if run.tensorboard else None
        recipe, config = run.recipe, run.config
        self.rank, self.world = distributed.rank_and_world()
        if recipe.batch % (self.world * recipe.accumulate):
            raise UsageError(f"batch {recipe.batch} does not divide by {self.world} processes x {recipe.accumulate}")
        torch.manual_seed(recipe.seed)
        self.device = torch.device(run.device)
        self.model = FTPPose(config, run.pretrained).to(self.device)
        self.model.to(memory_format=torch.channels_last)
        make_fast(self.model)
        if recipe.drop_path:
            set_drop_path(self.model.backbone, recipe.drop_path)
        self.size = (recipe.size[0], recipe.size[1]) if recipe.size else config.image_size
        self._initialise()
        self.optimisers = build_optimisers(self.model, recipe)
        self.average = Average(self.model, recipe.ema) if recipe.ema else None
        self.mixture = Mixture(run.sources, recipe.seed)
        for path in run.average_with:
            if load_weights(path)[0] != config:
                raise UsageError(f"--average-with {path}: weights of another configuration cannot be averaged")
        self.steps = recipe.steps or max(1, recipe.epochs * len(self.mixture) // recipe.batch)
        self.step = 0
        self.best = -1.0
        self.autocast = autocast(recipe.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.autocast == torch.float16)
        self.joint_weights = joint_weights(config.joints).to(self.device) if recipe.weigh_joints else None
        self.signalled = False
        run.out.mkdir(parents=True, exist_ok=True)
        if run.resume:
            self._restore()
        self.parallel: nn.Module = distributed.wrap(self.model)

    def _initialise(self) -> None:
        run = self.run_
        if run.init is not None and not run.resume:
            _, state, _ = load_weights(run.init)
            taken, left = transfer(self.model, state)
            if not taken:
                raise UsageError(f"{run.init}: no tensor of these weights fits the model")
            self._log({"event": "init", "from": run.init.name, "taken": len(taken), "fresh": len(left)})
        if run.start is not None and not run.resume:  # named by themselves, so they win over those in `init`
            self.model.load_state_dict(run.start, strict=False)
            self._log({"event": "backbone", "taken": len(run.start)})

    @property
    def _checkpoint(self) -> Path:
        return self.run_.out / "checkpoint.pt"

    def _signature(self) -> dict[str, Any]:
        return {
            "config": self.run_.config.to_dict(),
            "recipe": self.run_.recipe.to_dict(),
            "sources": [[source.name, len(source), weight] for source, weight in self.run_.sources],
        }

    def _restore(self) -> None:
        content = load_checkpoint(self._checkpoint)
        saved, now = json.loads(content["signature"]), json.loads(json.dumps(self._signature()))
        for part in now:
            if saved.get(part) != now[part]:
                raise UsageError(f"{self._checkpoint}: made with another {part}; resume with the same options")
        self.model.load_state_dict(content["model"])
        for optimiser, state in zip(self.optimisers, content["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        if self.average:
            self.average.state = {k: v.to(self.device) for k, v in content["average"].items()}
        self.scaler.load_state_dict(content["scaler"])
        set_random_state(content, self.device)
        self.step, self.best = content["step"], content["best"]

    def _save(self) -> None:
        if self.rank:
            return
        content = {
            "format": "ftp-checkpoint",
            "signature": json.dumps(self._signature()),
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "average": self.average.state if self.average else {},
            "scaler": self.scaler.state_dict(),
            **random_state(self.device),
            "step": self.step,
            "best": self.best,
        }
        save_checkpoint(self._checkpoint, content)
        self._export("last")

    def _state(self) -> dict[str, torch.Tensor]:
        return self.average.state if self.average else self.model.state_dict()

    def _write_average(self, paths: Sequence[Path]) -> None:
        """Also resumed after its last step, a run writes it."""
        others = [load_weights(path)[1] for path in paths]
        state = {
            name: torch.stack([value.cpu(), *(other[name].float() for other in others)]).mean(dim=0)
            if value.is_floating_point()
            else value.cpu()
            for name, value in self._state().items()
        }
        self._export("averaged", state, averaged_with=[sha256(path) for path in paths])
        row: dict[str, Any] = {"event": "averaged", "with": [path.name for path in paths]}
        if self.run_.validation:
            pck, score = self._measure(state)
            row |= {"pck_0.2": pck, "score": round(score, 4)}
        self._log(row)

    def _export(self, name: str, state: dict[str, torch.Tensor] | None = None, **more: Any) -> None:
        run = self.run_
        provenance = {
            "version": __version__,
            "step": self.step,
            "recipe": run.recipe.to_dict(),
            "data": [[Path(source.name).name, len(source), weight] for source, weight in run.sources],
            "init": sha256(run.init) if run.init else None,
            **run.provenance,
            **more,
        }
        save_weights(run.out / f"{name}.safetensors", state or self._state(), run.config, provenance)

    def _log(self, row: dict[str, Any]) -> None:
        if distributed.rank_and_world()[0]:
            return
        self.run_.out.mkdir(parents=True, exist_ok=True)
        with open(self.run_.out / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        if self._board is not None and row["event"] in ("step", "validation"):
            for name in ("loss", "lr", "samples_per_second", "score"):
                if name in row:
                    self._board.add_scalar(name, row[name], row["step"])
        self.tell(row)

    def run(self) -> dict[str, Any]:
        previous = self._catch_signals()
        try:
            self._describe()
            finished = self._train()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return {"step": self.step, "steps": self.steps, "finished": finished, "best": self.best}

    def _catch_signals(self) -> dict[int, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}

        def stop(number: int, frame: Any) -> None:
            self.signalled = True

        return {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def _describe(self) -> None:
        parameters = sum(p.numel() for p in self.model.parameters())
        trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        # Weights, gradients and AdamW's two moments in fp32; activations are told after the first steps.
        memory = 4 * (parameters + 3 * trained) / 2**20
        row = {"event": "start", "step": self.step, "steps": self.steps, "examples_per_epoch": len(self.mixture)}
        self._log({**row, "parameters": parameters, "state_mib": round(memory), "device": str(self.device)})

    def _train(self) -> bool:
        run, recipe = self.run_, self.run_.recipe
        batches = training_batches(
            self.mixture,
            size=self.size,
            frames=run.config.frames,
            augmentation=recipe.augmentation,
            batch=recipe.batch,
            seed=recipe.seed,
            first=self.step,
            steps=self.steps,
            workers=run.workers,
            rank=self.rank,
            world=self.world,
        )
        clock = Clock()
        losses: list[float] = []
        first = self.step
        for batch in batches:
            clock.waited()
            losses.append(self._one_step(batch))
            clock.worked()
            if self.step == first + 1:
                hours = clock.working * (self.steps - first) / 3600  # the first step is slower than the others
                self._log({"event": "estimate", "hours_at_most": round(hours, 2), "peak_memory_mib": peak_memory()})
            if self.step % run.log_every == 0 or self.step == self.steps:
                self._report(losses, clock)
                losses, clock = [], Clock(clock.saved)
            done = self.step == self.steps
            stopping = distributed.any_process(self.signalled) or self.step == run.stop_at
            if run.validation and (done or self.step % run.validate_every == 0):
                self._validate()
            if done or stopping or time.monotonic() - clock.saved > run.save_minutes * 60:
                self._save()
                clock.saved = time.monotonic()
            if stopping and not done:
                self._log({"event": "interrupted", "step": self.step})
                return False
            clock.mark = time.monotonic()
        if run.average_with and not self.rank:
            self._write_average(run.average_with)
        return True

    def _one_step(self, batch: Batch) -> float:
        recipe = self.run_.recipe
        factor = rate(self.step, self.steps, recipe)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = recipe.lr * group["scale"] * factor
        self.parallel.train()
        if not recipe.backbone_lr:
            self.model.backbone.eval()  # frozen means its batch statistics too
        total = 0.0
        for part in split(batch, recipe.accumulate):
            weight = part.weight.to(self.device)
            if self.joint_weights is not None:
                weight = weight * self.joint_weights
            with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
                heatmaps = self.parallel(part.windows(self.device), key_gradient_only=recipe.key_gradient_only)
            loss = heatmap_loss(
                heatmaps, part.joints.to(self.device), weight, self.run_.config, recipe.sigma, recipe.foreground
            )
            self.scaler.scale(loss / recipe.accumulate).backward()
            total += loss.item() / recipe.accumulate
        for optimiser in self.optimisers:
            self.scaler.unscale_(optimiser)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip or float("inf"))
        # With fp16 the scaler skips a step whose gradients overflowed, and tries a smaller scale.
        if not (math.isfinite(total) and (self.scaler.is_enabled() or math.isfinite(norm.item()))):
            self._diverged(total)
        for optimiser in self.optimisers:
            self.scaler.step(optimiser)
            optimiser.zero_grad(set_to_none=True)
        self.model.zero_grad(set_to_none=True)  # kernels that an optimiser holds as matrices
        self.scaler.update()
        self.step += 1
        if self.average:
            self.average.update(self.model, self.step)
        return total

    def _diverged(self, loss: float) -> None:
        step = self.step
        self._log({"event": "diverged", "step": step, "loss": str(loss)})
        if self._checkpoint.is_file():
            kept = load_checkpoint(self._checkpoint)["step"]
            advice = f"the checkpoint of step {kept} is kept; resume from it with a lower --lr"
        else:
            advice = "no checkpoint was written yet; start again with a lower --lr"
        raise DivergedError(f"{self.run_.out}: training diverged at step {step} (loss {loss}); {advice}")

    def _report(self, losses: list[float], clock: Clock) -> None:
        recipe = self.run_.recipe
        samples = len(losses) * recipe.batch
        speed = samples / max(clock.waiting + clock.working, 1e-9)
        row: dict[str, Any] = {
            "event": "step",
            "step": self.step,
            "steps": self.steps,
            "loss": round(sum(losses) / len(losses), 5),
            "lr": recipe.lr * rate(self.step, self.steps, recipe),
            "samples_per_second": round(speed, 1),
            "loader_samples_per_second": round(samples / max(clock.waiting, 1e-9), 1),
            "eta_seconds": round((self.steps - self.step) * recipe.batch / speed),
            "peak_memory_mib": peak_memory(),
        }
        self._log(row)

    def _validate(self) -> None:
        if self.rank:
            return
        pck, score = self._measure(self._state())
        self._log({"event": "validation", "step": self.step, "pck_0.2": pck, "score": round(score, 4)})
        if score > self.best:
            self.best = score
            self._export("best")

    def _measure(self, state: dict[str, torch.Tensor]) -> tuple[dict[str, Any], float]:
        """PCK on every validation source with these weights, and the mean of the ``all`` figures."""
        run = self.run_
        kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(state)
        figures = [
            validate(
                self.model,
                source,
                size=self.size,
                limit=run.validation_limit,
                batch=32,
                sigma=run.recipe.sigma,
                autocast=self.autocast is not None,
            )
            for source in run.validation
        ]
        self.model.load_state_dict(kept)
        score = sum(f.get("all", 0.0) for f in figures) / len(figures)
        return {Path(source.name).name: f for source, f in zip(run.validation, figures, strict=True)}, score
