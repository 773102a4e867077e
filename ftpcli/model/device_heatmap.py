"""Heatmaps to joints on an accelerator: the numbers of :func:`ftpcli.model.heatmap.decode_heatmaps`, in float32."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ftpcli.model.choices import Codec
from ftpcli.model.heatmap import (
    DARK_EPSILON,
    DARK_FARTHEST,
    DARK_FLOOR,
    blur,
    reflecting_blur,
    spacing,
    square_share,
)


def decode_on_device(
    heatmaps: Tensor, kind: str = "gaussian", sigma: float = 2.0, codec: str = Codec.CENTRED
) -> tuple[np.ndarray, np.ndarray]:
    """See ``decode_heatmaps``; (B, K, 2) and (B, K) float64, which come from the device in one piece."""
    batch, joints, rows, columns = heatmaps.shape
    down, across, step = _constants(rows, columns, kind, sigma, codec, heatmaps.device)
    maps = heatmaps.flatten(0, 1).float()
    maps = torch.where(maps.isfinite(), maps, -torch.inf if kind == "softmax" else 0.0)
    if kind == "softmax":
        top = maps.amax(dim=(1, 2), keepdim=True)
        chances = (maps - torch.where(top.isfinite(), top, 0.0)).exp()
        chances = chances / chances.sum(dim=(1, 2), keepdim=True).clamp_min(1e-30)
        logs = (down @ chances @ across).clamp_min(1e-30).log()
        peak = logs.flatten(1).argmax(dim=1)
        radius = round(1.5 * sigma)
        confidence = (_around(chances, peak, radius, outside=0.0).sum(dim=(1, 2)) / square_share(sigma)).clamp(0, 1)
    else:
        peak = maps.flatten(1).argmax(dim=1)
        logs = maps.clamp_min(1e-6).log()
        confidence = maps.amax(dim=(1, 2)).clamp(0, 1)
    y, x = peak // columns, peak % columns
    if codec == Codec.UDP and kind == "gaussian":
        offset = _dark(_around((down @ maps @ across).clamp(DARK_FLOOR, 50).log(), peak, 1))
    else:
        near = _around(logs, peak, 1)
        inside = torch.stack([(x > 0) & (x < columns - 1), (y > 0) & (y < rows - 1)], dim=1)
        before = torch.stack([near[:, 1, 0], near[:, 0, 1]], dim=1)
        after = torch.stack([near[:, 1, 2], near[:, 2, 1]], dim=1)
        curvature = 2 * near[:, 1, 1, None] - before - after
        usable = inside & (curvature > 1e-9)
        offset = (0.5 * (after - before) / torch.where(usable, curvature, 1.0)).clamp(-0.5, 0.5)
        offset = torch.where(usable, offset, 0.0)
    points = (torch.stack([x, y], dim=1) + offset) * step + spacing(codec, (rows, columns))[1]
    found = torch.cat([points, confidence[:, None]], dim=1).unflatten(0, (batch, joints)).cpu().numpy()
    return found[..., :2].astype(np.float64), found[..., 2].astype(np.float64)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _constants(
    rows: int, columns: int, kind: str, sigma: float, codec: str, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """What blurs a map's columns (rows, rows) and rows (columns, columns), and the pixels between cells (2,)."""
    lines = [blur(n, sigma) if kind == "softmax" else reflecting_blur(n) for n in (rows, columns)]
    values = (lines[0], lines[1].T, spacing(codec, (rows, columns))[0])
    down, across, step = (torch.from_numpy(np.ascontiguousarray(v, np.float32)).to(device) for v in values)
    return down, across, step


def _around(maps: Tensor, peak: Tensor, radius: int, outside: float | None = None) -> Tensor:
    """(M, 2 r + 1, 2 r + 1) values about the peak cells; beyond the map ``outside``, else those of its edge."""
    rows, columns = maps.shape[1:]
    reach = torch.arange(-radius, radius + 1, device=maps.device)
    y, x = (peak // columns)[:, None, None] + reach[:, None], (peak % columns)[:, None, None] + reach
    at = y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1)
    values = maps.flatten(1).gather(1, at.flatten(1)).view(at.shape)
    if outside is None:
        return values
    return torch.where((y >= 0) & (y < rows) & (x >= 0) & (x < columns), values, outside)


def _dark(near: Tensor) -> Tensor:
    """(M, 3, 3) logarithms about the peaks -> (M, 2) offsets dx, dy, see ``heatmap._dark``."""
    here, left, right, up, down = near[:, 1, 1], near[:, 1, 0], near[:, 1, 2], near[:, 0, 1], near[:, 2, 1]
    gx, gy = 0.5 * (right - left), 0.5 * (down - up)
    xx, yy = right - 2 * here + left + DARK_EPSILON, down - 2 * here + up + DARK_EPSILON
    xy = 0.5 * (near[:, 2, 2] - right - down + 2 * here - left - up + near[:, 0, 0])
    offset = torch.stack([xy * gy - yy * gx, xy * gx - xx * gy], dim=1) / (xx * yy - xy * xy)[:, None]
    return torch.where((offset.abs() <= DARK_FARTHEST).all(dim=1, keepdim=True), offset, 0.0)
