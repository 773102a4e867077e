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

    Distributions are smoothed by the target's own Gaussian first: the place sought is the one with most probability
    about it, not the highest cell, which hangs on the network's noise. The peak is refined by a parabola through the
    logarithms of its neighbours, which is exact for a Gaussian (smoothed: further than 3 cells from the map's border;
    up to a cell inwards there).

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
    maps = heatmaps.reshape(batch * joints, rows * columns).astype(np.float32 if kind == "softmax" else np.float64)
    maps[~np.isfinite(maps)] = -np.inf if kind == "softmax" else 0.0
    top = maps.max(axis=1)
    if kind == "softmax":
        probability = np.exp(maps - np.where(np.isfinite(top), top, 0.0)[:, None])
        probability /= np.maximum(probability.sum(axis=1, keepdims=True), 1e-30)
        probability = probability.reshape(-1, rows, columns)
        smoothed = (_blur(rows, sigma) @ probability).reshape(-1, columns) @ _blur(columns, sigma)
        logs = np.log(np.maximum(smoothed, 1e-30)).reshape(-1, rows * columns)
        peak = logs.argmax(axis=1)
        confidence = _mass_near(probability, peak, sigma)
    else:
        peak = maps.argmax(axis=1)
        logs = np.log(np.maximum(maps, 1e-6))
        confidence = np.clip(top, 0.0, 1.0)
    y, x = np.divmod(peak, columns)
    logs = logs.reshape(-1, rows, columns)
    fine_x = x + _parabola(logs, y, x, 0, 1)
    fine_y = y + _parabola(logs, y, x, 1, 0)
    points = np.stack([fine_x, fine_y], axis=1) * STRIDE + _OFFSET
    return points.reshape(batch, joints, 2), confidence.reshape(batch, joints)


def _blur(count: int, sigma: float) -> np.ndarray:
    """(count, count) float32: Gaussian smoothing of a line of cells as a matrix; nothing lies beyond the line."""
    cells = np.arange(count)
    kernel = np.exp(-((cells[:, None] - cells) ** 2) / (2 * sigma * sigma))
    return (kernel / (sigma * np.sqrt(2 * np.pi))).astype(np.float32)


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
    radius = round(1.5 * sigma)
    padded = np.pad(probability, ((0, 0), (radius, radius), (radius, radius)))
    y, x = np.divmod(peak, probability.shape[2])
    reach = np.arange(2 * radius + 1)
    at = np.arange(len(probability))
    mass = padded[at[:, None, None], (y[:, None] + reach)[:, :, None], (x[:, None] + reach)[:, None]].sum(axis=(1, 2))
    line = np.exp(-(np.arange(-10 * radius, 10 * radius + 1) ** 2) / (2 * sigma * sigma))
    inside = line[9 * radius : 11 * radius + 1].sum() / line.sum()
    return np.clip(mass / inside**2, 0.0, 1.0)
