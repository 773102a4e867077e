"""The training loop, for both models: steps, validation, checkpoints, log."""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ftpcli.device import signals_held
from ftpcli.errors import FtpError, UsageError
from ftpcli.training import distributed
from ftpcli.training.averages import Average, State
from ftpcli.training.checkpoint import check_signature, load_checkpoint, save_checkpoint
from ftpcli.training.log import Log, Row, Tell
from ftpcli.training.mixture import Mixture
from ftpcli.training.recipe import BaseRecipe, Schedule
from ftpcli.training.runtime import Clock, autocast, peak_memory, random_state, set_random_state

#: Whether a run was asked to stop.
Stop = Callable[[], bool]


def never() -> bool:
    """A run that nobody stops."""
    return False


class DivergedError(FtpError):
    """The loss stopped being a number."""


@dataclass(slots=True, kw_only=True)
class RunOptions:
    """How a run goes on this machine.

    Attributes:
        workers: processes that prepare batches.
        validate_every: steps between validations.
        save_minutes: between checkpoints.
        stop_at: end after this step as if interrupted (checkpoint written), for tests; 0 for never.
        provenance: added to that of the weights files.
    """

    resume: bool = False
    device: str = "cpu"
    workers: int = 0
    validate_every: int = 1000
    save_minutes: float = 5.0
    log_every: int = 50
    stop_at: int = 0
    tensorboard: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)


def rate(step: int, steps: int, recipe: BaseRecipe) -> float:
    """Factor of every group's learning rate at a step (0-based)."""
    warm = min(1.0, (step + 1) / max(recipe.warmup_of(steps), 1.0))
    if recipe.schedule == Schedule.STEP:
        return warm * (0.1 if step >= recipe.drop_at * steps else 1.0)
    down = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))
    return warm * (recipe.final + (1 - recipe.final) * down)


class Trainer(ABC):
    """A run, from its first step or a checkpoint to its last step, an interruption, or a loss that is no number.

    A subclass says what a batch is and what is learnt from it (``examples``, ``collate``, ``learn``), and what is
    measured and written (``validate``, ``export``). Its ``__init__`` calls ``prepare`` last.
    """

    model: nn.Module
    #: Whether there is anything to measure the weights on.
    validates: bool
    #: JSON that goes with the run, through its checkpoints.
    notes: dict[str, Any]

    def __init__(self, options: RunOptions, recipe: BaseRecipe, out: Path, tell: Tell) -> None:
        self.options, self.out, self._recipe = options, out, recipe
        self.rank, world = distributed.rank_and_world()
        if recipe.batch % world:
            raise UsageError(f"batch {recipe.batch} does not divide by {world} processes")
        self.device = torch.device(options.device)
        self.autocast = autocast(recipe.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.autocast == torch.float16)
        self.log = Log(out, tell, tensorboard=options.tensorboard)
        self.step, self.best = 0, -1.0
        self._slow_loader = False
        self.notes = {}
        torch.manual_seed(recipe.seed)

    def prepare(self, model: nn.Module, optimisers: Sequence[torch.optim.Optimizer], mixture: Mixture[Any]) -> None:
        """Take the parts of the run. Every group of the optimisers has a ``scale``, relative to the recipe's rate.

        Raises:
            InputError, UsageError: there is no checkpoint to resume from, or one of another run.
        """
        recipe = self._recipe
        self.model, self.optimisers, self.mixture = model, optimisers, mixture
        self.average = Average(model, recipe.ema) if recipe.ema else None
        self.steps = recipe.steps or max(1, int(recipe.epochs * len(mixture) / recipe.batch))
        self.out.mkdir(parents=True, exist_ok=True)
        if self.options.resume:
            self._restore()
        self.parallel = distributed.wrap(model)

    # What a subclass gives

    @abstractmethod
    def examples(self) -> Dataset:
        """The run's examples by number."""

    @abstractmethod
    def collate(self, rows: list[Any]) -> Any:
        """Examples as a batch."""

    @abstractmethod
    def learn(self, batch: Any) -> dict[str, float]:
        """Forward and backward pass (`backward`), with ``parallel`` in training mode; the loss by its parts."""

    @abstractmethod
    def signature(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed, as JSON."""

    @abstractmethod
    def validate(self) -> None:
        """Measure the averaged weights and log it."""

    @abstractmethod
    def export(self) -> None:
        """Write the averaged weights."""

    def finish(self) -> None:
        """After the last step, also when resumed there."""
        return

    def report(self) -> Row:
        """More fields for the log's rows of steps."""
        return {}

    # What it may use

    def backward(self, loss: torch.Tensor) -> None:
        self.scaler.scale(loss).backward()

    def averaged(self) -> State:
        """The averaged weights, or the current ones where none are averaged."""
        return self.average.state if self.average else self.model.state_dict()

    @contextmanager
    def weights(self, state: State) -> Iterator[None]:
        """While it lasts, the model has these weights and is in evaluation mode."""
        kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(state)
        self.model.eval()
        try:
            yield
        finally:
            self.model.load_state_dict(kept)

    # The run

    def run(self, stop: Stop = never) -> dict[str, Any]:
        """Train until the recipe's last step, an interruption, or a loss that is not a number; ``log.jsonl`` and
        ``checkpoint.pt`` go into the run's folder.

        Args:
            stop: asked after every step; True ends the run with a checkpoint.

        Returns:
            ``step``, ``steps``, whether it is ``finished``, and the ``best`` score of its validations (else -1).

        Raises:
            DivergedError: the last checkpoint is kept.
            InputError, UsageError: data, weights or options do not fit, or a resumed run has others.
        """
        self._describe()
        finished = self._train(stop)
        return {"step": self.step, "steps": self.steps, "finished": finished, "best": self.best}

    def _describe(self) -> None:
        parameters = sum(p.numel() for p in self.model.parameters())
        trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        # Weights, gradients and two moments in fp32; activations show after the first step.
        memory = 4 * (parameters + 3 * trained) / 2**20
        row = {"event": "start", "step": self.step, "steps": self.steps, "examples_per_epoch": len(self.mixture)}
        for warning in (line for source in self.mixture.sources for line in source.warnings):
            self.log({"event": "data", "warning": warning})
        self.log({**row, "parameters": parameters, "state_mib": round(memory), "device": str(self.device)})

    def _train(self, stop: Stop) -> bool:
        options, first = self.options, self.step
        clock = Clock()
        losses: list[dict[str, float]] = []
        for batch in batches(
            self.examples(),
            self.collate,
            batch=self._recipe.batch,
            first=first,
            steps=self.steps,
            workers=options.workers,
        ):
            clock.waited()
            losses.append(self.one_step(batch))
            clock.worked()
            if self.step == first + 1:
                hours = clock.working * (self.steps - first) / 3600  # the first step is slower than the others
                self.log({"event": "estimate", "hours_at_most": round(hours, 2), "peak_memory_mib": peak_memory()})
            if self.step % options.log_every == 0 or self.step == self.steps:
                self._report(losses, clock)
                losses, clock = [], Clock(clock.saved)
            done = self.step == self.steps
            stopping = distributed.any_process(stop()) or self.step == options.stop_at
            if self.validates and not self.rank and (done or self.step % options.validate_every == 0):
                self.validate()
            if done or stopping or time.monotonic() - clock.saved > options.save_minutes * 60:
                self._save()
                clock.saved = time.monotonic()
            if stopping and not done:
                self.log({"event": "interrupted", "step": self.step})
                return False
            clock.mark = time.monotonic()
        if not self.rank:
            self.finish()
        return True

    def one_step(self, batch: Any) -> dict[str, float]:
        """Learn from a batch; the loss by its parts.

        Raises:
            DivergedError: the loss or its gradient is no number; the last checkpoint is kept.
        """
        recipe = self._recipe
        factor = rate(self.step, self.steps, recipe)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = recipe.lr * group["scale"] * factor
        self.parallel.train()
        losses = self.learn(batch)
        for optimiser in self.optimisers:
            self.scaler.unscale_(optimiser)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip or float("inf"))
        # With fp16 the scaler skips a step whose gradients overflowed, and tries a smaller scale.
        sound = self.scaler.is_enabled() or math.isfinite(norm.item())
        if not (sound and all(math.isfinite(value) for value in losses.values())):
            self._diverged(sum(losses.values()))
        for optimiser in self.optimisers:
            self.scaler.step(optimiser)
            optimiser.zero_grad(set_to_none=True)
        self.scaler.update()
        self.step += 1
        if self.average:
            self.average.update(self.model, self.step)
        return losses

    def _diverged(self, loss: float) -> None:
        step = self.step
        self.log({"event": "diverged", "step": step, "loss": str(loss)})
        if self._checkpoint.is_file():
            kept = load_checkpoint(self._checkpoint)["step"]
            advice = f"the checkpoint of step {kept} is kept; resume from it with a lower --lr"
        else:
            advice = "no checkpoint was written yet; start again with a lower --lr"
        raise DivergedError(f"{self.out}: training diverged at step {step} (loss {loss}); {advice}")

    def _report(self, losses: list[dict[str, float]], clock: Clock) -> None:
        recipe = self._recipe
        samples = len(losses) * recipe.batch
        speed = samples / max(clock.waiting + clock.working, 1e-9)
        parts = {name: round(sum(loss[name] for loss in losses) / len(losses), 5) for name in losses[0]}
        row: Row = {
            "event": "step",
            "step": self.step,
            "steps": self.steps,
            "loss": round(sum(parts.values()), 5),
            "lr": recipe.lr * rate(self.step, self.steps, recipe),
            "samples_per_second": round(speed, 1),
            "loader_samples_per_second": round(samples / max(clock.waiting, 1e-9), 1),
            "eta_seconds": round((self.steps - self.step) * recipe.batch / speed),
            "peak_memory_mib": peak_memory(),
        }
        self.log(row | ({"parts": parts} if len(parts) > 1 else {}) | self.report())
        if clock.waiting > clock.working and not self._slow_loader:
            self._slow_loader = True
            advice = "raise --workers" if self.options.workers else "add --workers"
            self.log({"event": "data", "warning": f"more than half of the time goes into preparing batches; {advice}"})

    # Checkpoints

    @property
    def _checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def _save(self) -> None:
        if self.rank:
            return
        content = {
            "format": "ftp-checkpoint",
            "signature": json.dumps(self.signature()),
            "notes": json.dumps(self.notes),
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "average": self.average.state if self.average else {},
            "scaler": self.scaler.state_dict(),
            **random_state(self.device),
            "step": self.step,
            "best": self.best,
        }
        save_checkpoint(self._checkpoint, content)
        self.export()

    def _restore(self) -> None:
        content = load_checkpoint(self._checkpoint)
        check_signature(self._checkpoint, content["signature"], self.signature())
        self.model.load_state_dict(content["model"])
        for optimiser, state in zip(self.optimisers, content["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        if self.average:
            self.average.state = {k: v.to(self.device) for k, v in content["average"].items()}
        self.scaler.load_state_dict(content["scaler"])
        set_random_state(content, self.device)
        self.step, self.best, self.notes = content["step"], content["best"], json.loads(content["notes"])


def batches(
    examples: Dataset, collate: Callable[[list[Any]], Any], *, batch: int, first: int, steps: int, workers: int = 0
) -> Iterator[Any]:
    """Batches ``first`` to ``steps`` of a run; of several processes each takes its share of every batch.

    Each process that prepares them gets one thread of OpenCV, since there is a process for every core already. That is
    set before they start, because a forked process that inherits OpenCV's running threads hangs when it asks for fewer.

    Args:
        examples: by their number in the run, counted from 0; step s has those from s * batch on.
        workers: processes that prepare batches; without any they are made where they are used.
    """
    rank, world = distributed.rank_and_world()
    share = batch // world
    lists = [list(range(s * batch + rank * share, s * batch + (rank + 1) * share)) for s in range(first, steps)]
    if workers:
        cv2.setNumThreads(1)
    loader = DataLoader(
        examples,
        batch_sampler=lists,
        collate_fn=collate,
        num_workers=workers,
        generator=torch.Generator(),  # a seed for workers is drawn, not from the numbers that the training draws from
    )
    # A terminal or a cluster sends its signals to the whole group: the training process ends after its step, with a
    # checkpoint, and needs its batches until then.
    with signals_held():
        made = iter(loader)
    yield from made
