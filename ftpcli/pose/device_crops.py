"""The crops of :mod:`ftpcli.pose.crops`, cut on an accelerator: those of a batch in a few dozen operations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ftpcli.pose.crops import invert, shrinking


def cut_together(images: Sequence[Tensor], matrices: Sequence[np.ndarray], size: tuple[int, int]) -> Tensor:
    """As :func:`ftpcli.pose.crops.cut` for each picture and its affine.

    Args:
        images: (H, W, 3) uint8 each, on one device; sizes may differ, and a picture may come several times.
        matrices: (2, 3) each, from picture to crop.
        size: height and width of the crops.

    Returns:
        (B, height, width, 3) float32, whole levels from 0 to 255.
    """
    device = images[0].device
    averaged: dict[tuple[int, int], tuple[Tensor, int]] = {}  # and the place of its first pixel among those of all
    affines, places, total = [], [], 0
    for image, matrix in zip(images, matrices, strict=True):
        factor = shrinking(matrix)
        if (id(image), factor) not in averaged:
            averaged[id(image), factor] = _averaged(image, factor), total
            total += (image.shape[0] // factor) * (image.shape[1] // factor)
        small, first = averaged[id(image), factor]
        back = invert(matrix)
        back[:, 2] -= (factor - 1) / 2  # a small pixel's index i stands for factor * i + (factor - 1) / 2
        affines.append(back / factor)
        places.append((small.shape[1], small.shape[0], first))
    nothing = torch.zeros(1, 3, dtype=torch.uint8, device=device)
    pixels = torch.cat([*(small.flatten(0, 1) for small, _ in averaged.values()), nothing])
    to_picture = torch.from_numpy(np.stack(affines).astype(np.float32)).to(device)
    widths, heights, starts = torch.tensor(places).to(device)[:, :, None, None].unbind(1)

    u, v = torch.arange(size[1], device=device), torch.arange(size[0], device=device)
    x, y = (
        to_picture[:, n, 0, None, None] * u
        + to_picture[:, n, 1, None, None] * v[:, None]
        + to_picture[:, n, 2, None, None]
        for n in (0, 1)
    )
    crops = torch.zeros(len(images), *size, 3, device=device)
    for column, across in _neighbours(x):
        for row, down in _neighbours(y):
            within = (column >= 0) & (column < widths) & (row >= 0) & (row < heights)
            place = torch.where(within, starts + row * widths + column, total)
            crops += (across * down)[..., None] * pixels[place]
    return crops.round_()


def _neighbours(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The whole numbers (int64) below and above, each with its share of linear interpolation."""
    low = x.floor()
    share = x - low
    return [(low.long(), 1 - share), (low.long() + 1, share)]


def _averaged(image: Tensor, factor: int) -> Tensor:
    """(H, W, 3) uint8 -> (H // factor, W // factor, 3) uint8, the means of blocks."""
    if factor == 1:
        return image
    if min(image.shape[:2]) < factor:
        return image[:0, :0]
    means = nn.functional.avg_pool2d(image.permute(2, 0, 1)[None].float(), factor)
    return (means[0] + 0.5).byte().permute(1, 2, 0)
