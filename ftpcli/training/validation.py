"""PCK of a model on labelled examples, boxes from the labels."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch

from ftpcli.evaluation.pck import torso_lengths
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.model.heatmap import decode_heatmaps
from ftpcli.skeleton import BODY12
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
    body = [config.joints.index(joint) for joint in BODY12 if joint in config.joints]
    right: dict[str, float] = defaultdict(float)
    count: dict[str, float] = defaultdict(float)
    model.eval()
    for data, part in plain_batches(source, indices, size, config.frames, batch, config.codec):
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            heatmaps = model(data.windows(device))
        points, _ = decode_heatmaps(heatmaps.float().cpu().numpy(), config.heatmap, sigma, config.codec)
        truth, weight = data.joints.numpy(), data.weight.numpy() > 0
        torso = torso_lengths(truth, weight, config.joints)
        hit = np.linalg.norm(points - truth, axis=2) <= 0.2 * torso[:, None]
        counted = weight & (torso > 0)[:, None]
        for row, index in enumerate(part):
            for group in ("all", source.groups[index]):
                right[group] += (hit & counted)[row, body].sum()
                count[group] += counted[row, body].sum()
    return {group: round(float(right[group] / count[group]), 4) for group in count if count[group]}
