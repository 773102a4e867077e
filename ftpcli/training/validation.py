"""PCK of a model on labelled examples, boxes from the labels."""

from __future__ import annotations

import math

import numpy as np
import torch

from ftpcli.evaluation.pck import pck
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.model.heatmap import decode_heatmaps
from ftpcli.training.batches import plain_batches
from ftpcli.training.sources.common import Source


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
