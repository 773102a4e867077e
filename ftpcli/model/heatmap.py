"""The heatmap codec: joints to targets, heatmaps to joints.

Coordinates are pixel indices of the crop (the first pixel's centre is 0). Cell i of a heatmap is centred on
``4 i + 1.5``, with the ``udp`` codec on ``i (4 n - 1) / (n - 1)``, n cells a row; with either, mirroring a crop mirrors
its heatmap.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ftpcli.model.choices import Codec

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 4
_OFFSET = (STRIDE - 1) / 2
#: DARK's blur in cells, its reach, and the value that weaker cells are raised to, as in transformers' processor.
_DARK_SIGMA, _DARK_REACH, DARK_FLOOR = 0.8, 5, 0.001
#: Added to its curvatures, so that a plateau has some.
DARK_EPSILON = float(np.finfo(np.float32).eps)
#: Cells beyond which the vertex of DARK's surface says nothing about the peak that it was fitted to.
DARK_FARTHEST = 2.0


#: Shares below this one are 0: with them products would leave float32's normal numbers, and take twenty times as long.
_NEGLIGIBLE = 1e-15


def spacing(codec: str, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Pixels between cells, (2,) x and y, and the first cell's pixel, on a map of ``size`` (rows, columns)."""
    if codec == Codec.UDP:
        cells = np.array([size[1], size[0]], np.float64)
        return (STRIDE * cells - 1) / np.maximum(cells - 1, 1), 0.0
    return np.array([STRIDE, STRIDE], np.float64), _OFFSET


def gaussian_targets(joints: Tensor, size: tuple[int, int], sigma: float = 2.0, codec: str = Codec.CENTRED) -> Tensor:
    """Gaussians of peak 1 about the joints, not rounded to cells.

    Args:
        joints: (B, K, 2) x, y in crop pixels.
        size: rows and columns of the heatmap.
        sigma: in cells.

    Returns:
        (B, K, rows, columns) float32.
    """
    import torch

    step, first = spacing(codec, size)
    cells = (joints.float() - first) / torch.from_numpy(step).to(joints.device, torch.float32)
    y = torch.arange(size[0], device=joints.device) - cells[..., 1:2]
    x = torch.arange(size[1], device=joints.device) - cells[..., 0:1]
    scale = 2 * sigma * sigma
    return torch.exp(-y.square() / scale)[..., :, None] * torch.exp(-x.square() / scale)[..., None, :]


def decode_heatmaps(
    heatmaps: np.ndarray, kind: str = "gaussian", sigma: float = 2.0, codec: str = Codec.CENTRED
) -> tuple[np.ndarray, np.ndarray]:
    """The most likely place of every joint, to a fraction of a cell, and how sure it is.

    Distributions are smoothed by the target's own Gaussian first: the place sought is the one with most probability
    about it, not the highest cell, which hangs on the network's noise. The peak is refined by a parabola through the
    logarithms of its neighbours, which is exact for a Gaussian (smoothed: further than 3 cells from the map's border;
    up to a cell inwards there). With the ``udp`` codec Gaussian maps are refined by DARK instead.

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
        probability[probability < _NEGLIGIBLE] = 0.0
        probability = probability.reshape(-1, rows, columns)
        smoothed = (blur(rows, sigma) @ probability).reshape(-1, columns) @ blur(columns, sigma)
        logs = np.log(np.maximum(smoothed, 1e-30)).reshape(-1, rows * columns)
        peak = logs.argmax(axis=1)
        confidence = _mass_near(probability, peak, sigma)
    else:
        peak = maps.argmax(axis=1)
        logs = np.log(np.maximum(maps, 1e-6))
        confidence = np.clip(top, 0.0, 1.0)
    y, x = np.divmod(peak, columns)
    logs = logs.reshape(-1, rows, columns)
    if codec == Codec.UDP and kind == "gaussian":
        offset = _dark(maps.reshape(-1, rows, columns), y, x)
    else:
        offset = np.stack([_parabola(logs, y, x, 0, 1), _parabola(logs, y, x, 1, 0)], axis=1)
    step, first = spacing(codec, (rows, columns))
    points = (np.stack([x, y], axis=1) + offset) * step + first
    return points.reshape(batch, joints, 2), confidence.reshape(batch, joints)


def blur(count: int, sigma: float) -> np.ndarray:
    """(count, count) float32: Gaussian smoothing of a line of cells as a matrix; nothing lies beyond the line."""
    cells = np.arange(count)
    kernel = np.exp(-((cells[:, None] - cells) ** 2) / (2 * sigma * sigma))
    kernel[kernel < _NEGLIGIBLE] = 0.0
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


def _dark(maps: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(M, 2) offsets dx, dy of DARK's vertex from the peak cells; 0 where the vertex is too far to be about that peak.

    The logarithm of the blurred map is taken for a quadratic surface about the peak cell (Zhang et al. 2020).
    Differences reach over the map's edge as ``transformers`` has them: the edge's own values, repeated.
    """
    count, rows, columns = maps.shape
    blurred = reflecting_blur(rows) @ maps @ reflecting_blur(columns).T
    logs = np.log(np.clip(blurred, DARK_FLOOR, 50))
    at = np.arange(count)

    def value(dy: int, dx: int) -> np.ndarray:
        return logs[at, np.clip(y + dy, 0, rows - 1), np.clip(x + dx, 0, columns - 1)]

    here, right, left, down, up = value(0, 0), value(0, 1), value(0, -1), value(1, 0), value(-1, 0)
    gx, gy = 0.5 * (right - left), 0.5 * (down - up)
    xx, yy = right - 2 * here + left + DARK_EPSILON, down - 2 * here + up + DARK_EPSILON
    xy = 0.5 * (value(1, 1) - right - down + 2 * here - left - up + value(-1, -1))
    determinant = xx * yy - xy * xy
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = np.stack([xy * gy - yy * gx, xy * gx - xx * gy], axis=1) / determinant[:, None]
        near = (np.abs(offset) <= DARK_FARTHEST).all(axis=1, keepdims=True)
    return np.where(near, offset, 0.0)


@lru_cache(maxsize=16)
def reflecting_blur(count: int) -> np.ndarray:
    """(count, count): DARK's blur of a line of cells as a matrix; the line is mirrored about its ends."""
    steps = np.arange(-_DARK_REACH, _DARK_REACH + 1)
    kernel = np.exp(-(steps**2) / (2 * _DARK_SIGMA**2))
    blur = np.zeros((count, count))
    for cell in range(count):
        turned = (cell + steps) % (2 * count)
        np.add.at(blur[cell], np.minimum(turned, 2 * count - 1 - turned), kernel / kernel.sum())
    return blur


def _mass_near(probability: np.ndarray, peak: np.ndarray, sigma: float) -> np.ndarray:
    """Share of each map's probability in the square of 1.5 sigma about its peak; 1 for the target's own Gaussian."""
    radius = round(1.5 * sigma)
    padded = np.pad(probability, ((0, 0), (radius, radius), (radius, radius)))
    y, x = np.divmod(peak, probability.shape[2])
    reach = np.arange(2 * radius + 1)
    at = np.arange(len(probability))
    mass = padded[at[:, None, None], (y[:, None] + reach)[:, :, None], (x[:, None] + reach)[:, None]].sum(axis=(1, 2))
    return np.clip(mass / square_share(sigma), 0.0, 1.0)


def square_share(sigma: float) -> np.float64:
    """What a Gaussian has in the square of 1.5 sigma about its peak."""
    radius = round(1.5 * sigma)
    line = np.exp(-(np.arange(-10 * radius, 10 * radius + 1) ** 2) / (2 * sigma * sigma))
    return np.float64(line[9 * radius : 11 * radius + 1].sum() / line.sum()) ** 2
