"""The heatmap codec: joints to targets, heatmaps to joints.

Coordinates are pixel indices of the crop (the first pixel's centre is 0). Cell i of a heatmap is centred on
``4 i + 1.5``, with the ``udp`` codec on ``i (4 n - 1) / (n - 1)``, n cells a row; with either, mirroring a crop mirrors
its heatmap.
"""

from __future__ import annotations

import math
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


#: Weights of a blur below this are 0, and a cell has at least this share of the peak. With less, products would leave
#: float32's normal numbers, and take twenty times as long.
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
    maps = heatmaps.reshape(batch * joints, rows * columns)
    if kind == "softmax":
        top = maps.max(axis=1)
        if not (known := np.isfinite(top)).all():
            maps = np.where(np.isfinite(maps), maps, -np.inf)
            top = maps.max(axis=1)
            known = np.isfinite(top)
        # In place, since the maps of a batch are large for the processor's cache.
        shares = np.subtract(maps, np.where(known, top, 0.0)[:, None], dtype=np.float32)
        np.maximum(shares, math.log(_NEGLIGIBLE), out=shares)
        np.exp(shares, out=shares)
        shares[~known] = 0.0
        total = np.where(known, shares.sum(axis=1), 1.0)
        shares = shares.reshape(-1, rows, columns)
        values = (blur(rows, sigma) @ shares).reshape(-1, columns) @ blur(columns, sigma)
        floor = 1e-30
        peak = values.reshape(-1, rows * columns).argmax(axis=1)
        confidence = np.clip(_mass_near(shares, peak, sigma) / total, 0.0, 1.0)
    else:
        maps = np.where(np.isfinite(maps), maps, 0.0).astype(np.float64)
        peak = maps.argmax(axis=1)
        values, floor = maps, 1e-6
        confidence = np.clip(maps.max(axis=1), 0.0, 1.0)
    y, x = np.divmod(peak, columns)
    values = values.reshape(-1, rows, columns)
    if codec == Codec.UDP and kind == "gaussian":
        offset = _dark(values, y, x)
    else:
        offset = np.stack([_parabola(values, floor, y, x, 0, 1), _parabola(values, floor, y, x, 1, 0)], axis=1)
    step, first = spacing(codec, (rows, columns))
    points = (np.stack([x, y], axis=1) + offset) * step + first
    return points.reshape(batch, joints, 2), confidence.reshape(batch, joints)


@lru_cache(maxsize=16)
def blur(count: int, sigma: float) -> np.ndarray:
    """(count, count) float32: Gaussian smoothing of a line of cells as a matrix; nothing lies beyond the line."""
    cells = np.arange(count)
    kernel = np.exp(-((cells[:, None] - cells) ** 2) / (2 * sigma * sigma))
    kernel[kernel < _NEGLIGIBLE] = 0.0
    return (kernel / (sigma * np.sqrt(2 * np.pi))).astype(np.float32)


def _parabola(values: np.ndarray, floor: float, y: np.ndarray, x: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Offset of the vertex from the peak cell along one axis, within half a cell; 0 at a border or on a plateau.

    The parabola goes through the logarithms of the values at the peak and beside it, taken for ``floor`` where less.
    """
    count, rows, columns = values.shape
    inside = (y >= dy) & (y < rows - dy) & (x >= dx) & (x < columns - dx)
    down, right = np.where(inside, dy, 0), np.where(inside, dx, 0)
    at = np.arange(count)
    around = [values[at, y + step * down, x + step * right] for step in (-1, 0, 1)]
    before, here, after = np.log(np.maximum(around, floor))
    curvature = 2 * here - before - after
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


def _mass_near(shares: np.ndarray, peak: np.ndarray, sigma: float) -> np.ndarray:
    """What each map holds in the square of 1.5 sigma about its peak, over what the target's own Gaussian has there."""
    _, rows, columns = shares.shape
    radius = round(1.5 * sigma)
    reach = np.arange(-radius, radius + 1)
    ys, xs = (cells[:, None] + reach for cells in np.divmod(peak, columns))
    near = shares[
        np.arange(len(shares))[:, None, None], ys.clip(0, rows - 1)[:, :, None], xs.clip(0, columns - 1)[:, None]
    ]
    inside = ((ys >= 0) & (ys < rows))[:, :, None] & ((xs >= 0) & (xs < columns))[:, None]
    return np.where(inside, near, 0.0).sum(axis=(1, 2)) / square_share(sigma)


def square_share(sigma: float) -> np.float64:
    """What a Gaussian has in the square of 1.5 sigma about its peak."""
    radius = round(1.5 * sigma)
    line = np.exp(-(np.arange(-10 * radius, 10 * radius + 1) ** 2) / (2 * sigma * sigma))
    return np.float64(line[9 * radius : 11 * radius + 1].sum() / line.sum()) ** 2
