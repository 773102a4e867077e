"""The rows of the paper's Table II for a preset: what the second branch and pruning cost and save."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ftpcli.device import choose_device, default_batch
from ftpcli.model.choices import Preset
from ftpcli.model.config import PRESETS, ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.pose.torch_engine import TorchEngine


@dataclass(frozen=True, slots=True)
class Row:
    """A model and how long it takes.

    Attributes:
        parameters: in millions.
        paper: seconds a pose where all frames of each window are encoded, as in the paper.
        video: seconds a pose in a video, where each frame of a person is encoded once.
    """

    name: str
    parameters: float
    paper: float
    video: float


def rows_of(preset: Preset) -> dict[str, ModelConfig]:
    """The table's models; their sizes are the preset's."""
    config = PRESETS[preset]
    pruned = config.replace(branches="both", frames=3)
    both = pruned.replace(high_ratio=1, low_ratio=1)
    return {
        "baseline: low-resolution branch, nothing pruned": both.replace(branches="low"),
        "both branches, nothing pruned": both,
        "both branches, pruned": pruned,
    }


def _encode(engine: TorchEngine, crops: Sequence[np.ndarray]) -> Sequence[torch.Tensor]:
    return engine.encode(np.stack(crops))


def table_two(
    preset: Preset, *, device: str = "auto", precision: str = "auto", batch: int | None = None, rounds: int = 5
) -> list[Row]:
    """Time the models with random weights, in turn, after a round that does not count; medians.

    Raises:
        UsageError: the device or precision is not available.
    """
    device = str(choose_device(device))
    torch.manual_seed(0)
    batch = default_batch(device) if batch is None else batch
    models = {name: FTPPose(config).eval() for name, config in rows_of(preset).items()}
    engines = {name: TorchEngine(model, device=device, precision=precision) for name, model in models.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    pixels = np.random.default_rng(0)
    for _ in range(rounds + 1):
        for name, engine in engines.items():
            frames = engine.config.frames
            crops = pixels.integers(0, 256, (batch * frames, *engine.config.image_size, 3)).astype(np.uint8)
            began = time.perf_counter()
            tokens = engine.threads.map(partial(_encode, engine), list(crops))
            tokens[-1].cpu()  # until they are there
            first = time.perf_counter()
            windows = [tokens[n * frames : (n + 1) * frames] for n in range(batch)]
            for heatmaps in engine.threads.map(engine.decode, windows):
                assert heatmaps.shape  # which have come from the device
            encode, decode = first - began, time.perf_counter() - first
            taken[name].append(((encode + decode) / batch, (encode / frames + decode) / batch))
    return [
        Row(
            name,
            sum(p.numel() for p in model.parameters()) / 1e6,
            *(statistics.median(seconds) for seconds in zip(*taken[name][1:], strict=True)),
        )
        for name, model in models.items()
    ]
