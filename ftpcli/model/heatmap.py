"""The heatmap codec: joints to targets, heatmaps to joints.

Coordinates are pixel indices of the crop (the first pixel's centre is 0); cell i of a heatmap is centred on
``4 i + 1.5``, so that mirroring a crop mirrors its heatmap.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

STRIDE = 4
_OFFSET = (STRIDE - 1) / 2


def gaussian_targets(joints: Tensor, size: tuple[int, int], sigma: float = 2.0) -> Tensor:
    """Gaussians of peak 1 about the joints, not rounded to cells.

    Args:
        joints: (B, K, 2) x, y in crop pixels.
        size: rows and columns of the heatmap.
        sigma: in cells.

    Returns:
        (B, K, rows, columns) float32.
    """
    cells = (joints.float() - _OFFSET) / STRIDE
    y = torch.arange(size[0], device=joints.device) - cells[..., 1:2]
    x = torch.arange(size[1], device=joints.device) - cells[..., 0:1]
    scale = 2 * sigma * sigma
    return torch.exp(-y.square() / scale)[..., :, None] * torch.exp(-x.square() / scale)[..., None, :]


def decode_heatmaps(heatmaps: np.ndarray, kind: str = "gaussian", sigma: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """The most likely place of every joint, to a fraction of a cell, and how sure it is.

    The peak is refined by a parabola through the logarithms of its neighbours, which is exact for a Gaussian.

    Args:
        heatmaps: (B, K, rows, columns) float.
        kind: ``gaussian``: confidence is the peak's value; ``softmax``: the values are logits, confidence is the
            probability within 1.5 sigma of the peak, over what a perfect Gaussian has there.
        sigma: of the training targets, in cells.

    Returns:
        (B, K, 2) x, y in crop pixels and (B, K) confidence, 0..1. A map without any finite value gives the first
        cell with confidence 0.
    """
    batch, joints, rows, columns = heatmaps.shape
    maps = heatmaps.reshape(batch * joints, rows * columns).astype(np.float64)
    maps[~np.isfinite(maps)] = -np.inf if kind == "softmax" else 0.0
    peak = maps.argmax(axis=1)
    top = maps[np.arange(len(maps)), peak]
    if kind == "softmax":
        with np.errstate(invalid="ignore"):
            logs = np.where(np.isfinite(maps), maps - top[:, None], -1e4)
        probability = np.exp(logs)
        with np.errstate(invalid="ignore"):
            probability /= probability.sum(axis=1, keepdims=True)
        confidence = _mass_near(probability.reshape(-1, rows, columns), peak, sigma)
        confidence[~np.isfinite(top)] = 0.0
    else:
        logs = np.log(np.maximum(maps, 1e-6))
        confidence = np.clip(top, 0.0, 1.0)
    y, x = np.divmod(peak, columns)
    logs = logs.reshape(-1, rows, columns)
    fine_x = x + _parabola(logs, y, x, 0, 1)
    fine_y = y + _parabola(logs, y, x, 1, 0)
    points = np.stack([fine_x, fine_y], axis=1) * STRIDE + _OFFSET
    return points.reshape(batch, joints, 2), confidence.reshape(batch, joints)


def _parabola(logs: np.ndarray, y: np.ndarray, x: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Offset of the vertex from the peak cell along one axis, within half a cell; 0 at a border or on a plateau."""
    count, rows, columns = logs.shape
    inside = (y >= dy) & (y < rows - dy) & (x >= dx) & (x < columns - dx)
    at = np.arange(count)
    before = logs[at, np.where(inside, y - dy, y), np.where(inside, x - dx, x)]
    after = logs[at, np.where(inside, y + dy, y), np.where(inside, x + dx, x)]
    curvature = 2 * logs[at, y, x] - before - after
    usable = inside & (curvature > 1e-9)
    offset = 0.5 * (after - before) / np.where(usable, curvature, 1.0)
    return np.where(usable, np.clip(offset, -0.5, 0.5), 0.0)


def _mass_near(probability: np.ndarray, peak: np.ndarray, sigma: float) -> np.ndarray:
    """Share of each map's probability in the square of 1.5 sigma about its peak; 1 for the target's own Gaussian."""
    count, rows, columns = probability.shape
    radius = round(1.5 * sigma)
    summed = np.zeros((count, rows + 1, columns + 1))
    summed[:, 1:, 1:] = probability.cumsum(axis=1).cumsum(axis=2)
    y, x = np.divmod(peak, columns)
    top, bottom = np.maximum(y - radius, 0), np.minimum(y + radius + 1, rows)
    left, right = np.maximum(x - radius, 0), np.minimum(x + radius + 1, columns)
    at = np.arange(count)
    mass = summed[at, bottom, right] - summed[at, top, right] - summed[at, bottom, left] + summed[at, top, left]
    line = np.exp(-(np.arange(-10 * radius, 10 * radius + 1) ** 2) / (2 * sigma * sigma))
    inside = line[9 * radius : 11 * radius + 1].sum() / line.sum()
    return np.clip(mass / inside**2, 0.0, 1.0)
