"""The crops of :mod:`ftpcli.pose.crops`, cut on an accelerator: those of a batch in a few dozen operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ftpcli.pose.crops import invert, shrinking


def cut_together(images: Sequence[Tensor], matrices: np.ndarray, size: tuple[int, int]) -> Tensor:
    """As :func:`ftpcli.pose.crops.cut` for each picture and its affine.

    Args:
        images: (H, W, 3) uint8 each, on one device; sizes may differ, and a picture may come several times.
        matrices: (B, 2, 3), from picture to crop, that scale and move alone, as ``box_affine``'s do.
        size: height and width of the crops.

    Returns:
        (B, height, width, 3) float32, whole levels from 0 to 255.
    """
    device = images[0].device
    averaged: dict[tuple[int, int], tuple[Tensor, int]] = {}  # and the place of its first pixel among those of all
    places, total = [], 0
    factors = shrinking(matrices)
    for image, factor in zip(images, factors.tolist(), strict=True):
        key = image.data_ptr(), factor
        if key not in averaged:
            averaged[key] = _averaged(image, factor), total
            total += (image.shape[0] // factor) * (image.shape[1] // factor)
        small, first = averaged[key]
        places.append((small.shape[1], small.shape[0], first))
    back = invert(matrices)
    back[..., 2] -= (factors[:, None] - 1) / 2  # a small pixel's index i stands for factor * i + (factor - 1) / 2
    affines = back[:, (0, 0, 1, 1), (0, 2, 1, 2)] / factors[:, None]
    nothing = torch.zeros(1, 3, dtype=torch.uint8, device=device)
    pixels = torch.cat([*(small.flatten(0, 1) for small, _ in averaged.values()), nothing])
    scale_x, shift_x, scale_y, shift_y = torch.from_numpy(affines.astype(np.float32)).to(device)[..., None].unbind(1)
    widths, heights, starts = torch.tensor(places).to(device)[..., None].unbind(1)
    columns = _neighbours(scale_x * torch.arange(size[1], device=device) + shift_x, widths)
    rows = _neighbours(scale_y * torch.arange(size[0], device=device) + shift_y, heights)
    crops = torch.zeros(len(images), *size, 3, device=device)
    for row, down in rows:
        line = (starts + row * widths)[:, :, None]
        across = [_at(pixels, line + column[:, None]) * share[:, None, :, None] for column, share in columns]
        crops += (across[0] + across[1]) * down[:, :, None, None]
    return crops.round_()


def _neighbours(x: Tensor, count: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The pixels (int64) before and after places on lines of ``count`` pixels, each with its share of linear
    interpolation: 0 beyond the ends."""
    low = x.floor()
    share, before = x - low, low.long()
    return [
        (pixel.clamp_min(0).minimum((count - 1).clamp_min(0)), part * ((pixel >= 0) & (pixel < count)))
        for pixel, part in ((before, 1 - share), (before + 1, share))
    ]


def _at(pixels: Tensor, places: Tensor) -> Tensor:
    return pixels.index_select(0, places.flatten()).view(*places.shape, 3)


def _averaged(image: Tensor, factor: int) -> Tensor:
    """(H, W, 3) uint8 -> (H // factor, W // factor, 3) uint8, the means of blocks."""
    if factor == 1:
        return image
    if min(image.shape[:2]) < factor:
        return image[:0, :0]
    means = nn.functional.avg_pool2d(image.permute(2, 0, 1)[None].float(), factor)
    return (means[0] + 0.5).byte().permute(1, 2, 0)
