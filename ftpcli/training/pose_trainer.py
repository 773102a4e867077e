"""Training of the pose model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ftpcli.errors import UsageError
from ftpcli.evaluation.pck import pck
from ftpcli.files.tensors import sha256
from ftpcli.model.config import ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.model.heatmap import decode_heatmaps
from ftpcli.model.quantised import measure_ranges
from ftpcli.pose.weights import load_weights, save_weights, transfer
from ftpcli.training.averages import State, mean_state
from ftpcli.training.batches import Batch, Examples, collate, plain_batches
from ftpcli.training.distributed import over_all, rank_and_world
from ftpcli.training.initialise import fresh_model
from ftpcli.training.log import Tell
from ftpcli.training.loop import RunOptions, Stop, Trainer, never
from ftpcli.training.losses import heatmap_loss, joint_weights
from ftpcli.training.mixture import Mixture
from ftpcli.training.optimiser import build_optimisers
from ftpcli.training.recipe import Recipe
from ftpcli.training.runtime import make_fast, set_drop_path
from ftpcli.training.sources.common import Source
from ftpcli.training.token_cache import TokenCache, Tokens
from ftpcli.version import __version__

#: Crops that the ranges of quantisation are measured on.
_RANGE_CROPS = 64


@dataclass(slots=True)
class Run(RunOptions):
    """What to train, on what, and where it goes.

    Attributes:
        sources: training sources with their weights.
        validation: sources that PCK is measured on; the mean of their ``all`` figures picks the best weights.
        init: weights file to start from (tensors of the same name and shape are taken).
        start: tensors of the model by name (see ``initialise``), also in place of those of ``init``; or None.
        average_with: weights files of the same configuration. At the end, the mean of these and of the trained weights
            is written as well.
        validation_limit: examples of each validation source.
        tokens: the full cache of an earlier run with the same backbone, data, augmentation, seed and batch.
    """

    config: ModelConfig
    recipe: Recipe
    out: Path
    sources: Sequence[tuple[Source, float]]
    validation: Sequence[Source] = ()
    init: Path | None = None
    start: State | None = None
    pretrained: bool = False
    average_with: Sequence[Path] = ()
    validation_limit: int = 500
    tokens: TokenCache | None = None


def train(run: Run, tell: Tell = lambda row: None, stop: Stop = never) -> dict[str, Any]:
    """See `Trainer.run`. Writes ``last.safetensors`` and ``best.safetensors``."""
    return PoseTrainer(run, tell).run(stop)


class PoseTrainer(Trainer):
    """FTP-Pose on windows, with the heatmap's loss."""

    model: FTPPose

    def __init__(self, run: Run, tell: Tell) -> None:
        super().__init__(run, run.recipe, run.out, tell)
        self.settings, self.recipe, self.validates = run, run.recipe, bool(run.validation)
        self._sample: Batch | None = None
        recipe, config, world = run.recipe, run.config, rank_and_world()[1]
        if recipe.batch % (world * recipe.accumulate):
            raise UsageError(f"batch {recipe.batch} does not divide by {world} processes x {recipe.accumulate}")
        for path in run.average_with:
            if load_weights(path)[0] != config:
                raise UsageError(f"--average-with {path}: weights of another configuration cannot be averaged")
        model = fresh_model(config, run.pretrained).to(self.device)
        model.to(memory_format=torch.channels_last)
        make_fast(model)
        if recipe.drop_path:
            set_drop_path(model.backbone, recipe.drop_path)
        self.size = (recipe.size[0], recipe.size[1]) if recipe.size else config.image_size
        self.joint_weights = joint_weights(config.joints).to(self.device) if recipe.weigh_joints else None
        self.cache = None
        if recipe.token_cache:
            if recipe.backbone_lr:
                raise UsageError("--token-cache: is for a frozen backbone; add --backbone-lr 0")
            grid = (self.size[0] // 16, self.size[1] // 16)
            if grid != config.grid:
                raise UsageError("--token-cache: is for crops of the model's own size; leave out --size")
            self.cache = run.tokens or TokenCache(
                recipe.token_cache, model.backbone, grid, config.frames, recipe.batch // world
            )
        if not run.resume:
            self._initialise(model)
        self.prepare(model, build_optimisers(model, recipe), Mixture(run.sources, recipe.seed))

    def _initialise(self, model: FTPPose) -> None:
        run = self.settings
        if run.init is not None:
            given, state, _ = load_weights(run.init)
            taken, left = transfer(model, state, given)
            if not taken:
                raise UsageError(f"{run.init}: no tensor of these weights fits the model")
            self.log({"event": "init", "from": run.init.name, "taken": len(taken), "fresh": len(left)})
        if run.start is not None:  # named by themselves, so they win over those in `init`
            model.load_state_dict(run.start, strict=False)
            self.log({"event": "backbone", "taken": len(run.start)})

    def signature(self) -> dict[str, Any]:
        return {
            "config": self.settings.config.to_dict(),
            "recipe": self.recipe.to_dict(),
            "sources": [[source.name, len(source), weight] for source, weight in self.settings.sources],
        }

    def examples(self) -> Examples:
        recipe = self.recipe
        config = self.settings.config
        how, joints = recipe.augmentation, config.joints
        repeat = self.cache.steps * recipe.batch if self.cache else 0
        known = self.step * recipe.batch
        kept = self.cache is not None and self.cache.full
        more: dict[str, Any] = {"repeat": repeat, "known": known, "kept": kept}
        return Examples(self.mixture, self.size, config.frames, how, recipe.seed, joints, config.codec, **more)

    def collate(self, rows: list[Any]) -> Batch | None:
        return None if rows[0] is None else collate(rows)

    def learn(self, batch: Batch | None) -> dict[str, float]:
        recipe, world = self.recipe, rank_and_world()[1]
        if not recipe.backbone_lr:
            self.model.backbone.eval()  # frozen means its batch statistics too
        if not recipe.head_lr:
            self.model.head.eval()
        parts: Sequence[Batch | Tokens] = batch.split(recipe.accumulate) if batch else self._again()
        # Every labelled joint of the whole batch counts alike, whichever part and process it is in.
        weights = [part.weight.to(self.device) for part in parts]
        if self.joint_weights is not None:
            weights = [weight * self.joint_weights for weight in weights]
        labelled, total = over_all(sum(weight.clamp_min(0).sum().item() for weight in weights)), 0.0
        for i, weight in enumerate(weights):
            part = parts[i]
            with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
                heatmaps = self._heatmaps(part)
            joints = part.joints.to(self.device)
            config, absent = self.model.config, recipe.absent
            loss = heatmap_loss(
                heatmaps, joints, weight, config, recipe.sigma, recipe.foreground, labelled, absent=absent
            )
            self.backward(loss * world)  # gradients are averaged over processes
            total += loss.item()
        return {"heatmap": over_all(total)}

    def _again(self) -> list[Tokens]:
        assert self.cache is not None  # only then does an example come again
        return self.cache.get(self.step)

    def _heatmaps(self, part: Batch | Tokens) -> torch.Tensor:
        if isinstance(part, Tokens):
            return self.parallel(part.tokens.to(self.device), are_tokens=True)
        windows = part.windows(self.device)
        if self.cache is None:
            return self.parallel(windows, key_gradient_only=self.recipe.key_gradient_only)
        with torch.no_grad():
            tokens = self.model.backbone_tokens(windows)
        kept = self.cache.put(self.step, Tokens(tokens, part.joints, part.weight))
        return self.parallel(kept.tokens.to(self.device), are_tokens=True)

    def validate(self) -> None:
        figures, score = self._measure(self.averaged())
        self.log({"event": "validation", "step": self.step, "pck_0.2": figures, "score": round(score, 4)})
        if score > self.best:
            self.best = score
            self._write("best", self.averaged())

    def export(self) -> None:
        self._write("last", self.averaged())

    def finish(self) -> None:
        """The mean of the trained weights and of others, where asked for."""
        paths = self.settings.average_with
        if not paths:
            return
        state = mean_state([self.averaged(), *(load_weights(path)[1] for path in paths)])
        self._write("averaged", state, averaged_with=[sha256(path) for path in paths])
        row: dict[str, Any] = {"event": "averaged", "with": [path.name for path in paths]}
        if self.validates:
            figures, score = self._measure(state)
            row |= {"pck_0.2": figures, "score": round(score, 4)}
        self.log(row)

    def _write(self, name: str, state: State, **more: Any) -> None:
        run = self.settings
        provenance = {
            "version": __version__,
            "step": self.step,
            "recipe": run.recipe.to_dict(),
            "data": [[Path(source.name).name, len(source), weight] for source, weight in run.sources],
            "init": sha256(run.init) if run.init else None,
            **self._ranges(state),
            **run.provenance,
            **more,
        }
        save_weights(run.out / f"{name}.safetensors", state, run.config, provenance)

    def _ranges(self, state: State) -> dict[str, Any]:
        """What the stem's quantisation needs to know, from the run's first examples; nothing for other stems."""
        trunk, config, recipe = self.model.backbone.trunk, self.settings.config, self.recipe
        if trunk is None:
            return {}
        if self._sample is None:
            how, joints = recipe.augmentation, config.joints
            found = Examples(self.mixture, config.image_size, 1, how, recipe.seed, joints, config.codec)
            rows = (found[number] for number in range(_RANGE_CROPS))
            self._sample = collate([row for row in rows if row is not None])
        crops = self._sample.windows(self.device)[:, 0]
        with self.weights(state):
            return {"ranges": measure_ranges(trunk, crops.split(8))}

    def _measure(self, state: State) -> tuple[dict[str, Any], float]:
        """PCK on every validation source with these weights, and the mean of the ``all`` figures."""
        run = self.settings
        with self.weights(state):
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
        score = sum(f.get("all", 0.0) for f in figures) / len(figures)
        return {Path(source.name).name: f for source, f in zip(run.validation, figures, strict=True)}, score


@torch.no_grad()
def validate(
    model: FTPPose, source: Source, *, size: tuple[int, int], limit: int, batch: int, sigma: float, autocast: bool
) -> dict[str, float]:
    """PCK@0.2 of the torso by group, and over ``all``; at most ``limit`` evenly spaced examples.

    The torso is the longer of the two shoulder-hip diagonals; persons without one do not count; the mean is over
    the twelve body joints, all labelled joints pooled.
    """
    config = model.config
    device = next(model.parameters()).device
    indices = np.unique(np.linspace(0, len(source) - 1, min(limit, len(source))).astype(int)).tolist()
    model.eval()
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for data, _ in plain_batches(source, indices, size, config.frames, batch, config.codec):
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            heatmaps = model(data.windows(device))
        points, _ = decode_heatmaps(heatmaps.float().cpu().numpy(), config.heatmap, sigma, config.codec)
        rows.append((points, data.joints.numpy(), data.weight.numpy() > 0))
    found, truth, visible = (np.concatenate(column) for column in zip(*rows, strict=True))
    groups = [source.groups[index] for index in indices]
    figures = pck(found, truth, visible, config.joints, [0.2], groups)["0.2"]
    shares = {"all": figures["mean"], **figures["per_source"]}
    return {group: round(share, 4) for group, share in shares.items() if not math.isnan(share)}
