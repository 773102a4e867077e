"""From pictures to person boxes with a network in memory: letterbox, forward pass, suppression, back to pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from ftpcli.people._ultralytics import non_max_suppression

#: Value of the padding around a picture, as ultralytics pads.
GREY = 114
#: Weakest detection that is passed on. ByteTrack's second stage lives on weak ones.
FLOOR = 0.05
#: IoU from which suppression drops the weaker box, where a weights file does not say otherwise.
OVERLAP = 0.55
_STRIDE = 32
_MOST = 300  # detections a picture


def letterbox(image: np.ndarray, size: int) -> tuple[np.ndarray, tuple[float, float], tuple[int, int]]:
    """Scale the longer side to ``size`` and pad each side to the next multiple of 32, the picture in the middle.

    Returns:
        the padded picture, its scale in x and y (padded pixels per picture pixel), and its left and top offset.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    if (w, h) != (width, height):
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    full_w, full_h = -(-w // _STRIDE) * _STRIDE, -(-h // _STRIDE) * _STRIDE
    left, top = (full_w - w) // 2, (full_h - h) // 2
    padded = cv2.copyMakeBorder(
        image, top, full_h - h - top, left, full_w - w - left, cv2.BORDER_CONSTANT, value=(GREY,) * 3
    )
    return padded, (w / width, h / height), (left, top)


def tidy(rows: np.ndarray, width: int, height: int) -> np.ndarray:
    """(N, 5) float32: boxes cut to the picture, empty and non-finite ones dropped, best score first, ties by place."""
    rows = np.asarray(rows, np.float32).reshape(-1, 5).copy()
    rows = rows[np.isfinite(rows).all(1)]
    rows[:, [0, 2]] = rows[:, [0, 2]].clip(0, width)
    rows[:, [1, 3]] = rows[:, [1, 3]].clip(0, height)
    rows = rows[(rows[:, 2] - rows[:, 0] >= 1) & (rows[:, 3] - rows[:, 1] >= 1)]
    return rows[np.lexsort((rows[:, 3], rows[:, 2], rows[:, 1], rows[:, 0], -rows[:, 4]))]


@torch.inference_mode()
def find_people(
    network: torch.nn.Module,
    images: Sequence[np.ndarray],
    *,
    size: int,
    device: torch.device | str = "cpu",
    precision: torch.dtype = torch.float32,
    person: int = 0,
    floor: float = FLOOR,
    overlap: float = OVERLAP,
) -> list[np.ndarray]:
    """Person boxes of RGB pictures, each (N, 5) float32 xyxy and score in the picture's own pixels.

    Pictures of one padded shape go through the network together. A picture's boxes don't depend on which other
    pictures are in the batch, except for rounding.

    Args:
        network: an ultralytics detection network in evaluation mode.
        images: (H, W, 3) uint8 RGB each; sizes may differ.
        size: longer side of the network's input, pixels.
        person: index of the class to keep.
        floor: detections below this score are dropped.
        overlap: IoU from which non-maximum suppression drops the weaker box (heads that need none: unused).
    """
    boxed = [letterbox(image, size) for image in images]
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, (padded, _, _) in enumerate(boxed):
        groups.setdefault(padded.shape, []).append(i)
    results: list[np.ndarray] = [np.zeros((0, 5), np.float32)] * len(images)
    for members in groups.values():
        stack = torch.from_numpy(np.stack([boxed[i][0] for i in members])).to(device).permute(0, 3, 1, 2)
        with torch.autocast(torch.device(device).type, precision, enabled=precision != torch.float32):
            output: Any = network(stack.float() / 255)
        raw = output[0] if isinstance(output, tuple | list) else output
        ends = raw.shape[-1] == 6 and raw.shape[1] != 6  # the one-to-one head's rows need no suppression
        found = non_max_suppression(
            raw.float(), floor, overlap, classes=[person], max_det=_MOST, max_time_img=60.0, end2end=ends
        )
        for i, rows in zip(members, found, strict=True):
            _, (sx, sy), (left, top) = boxed[i]
            height, width = images[i].shape[:2]
            values = rows[:, :5].float().cpu().numpy().astype(np.float64)
            values[:, :4] = (values[:, :4] - (left, top, left, top)) / (sx, sy, sx, sy)
            results[i] = tidy(values, width, height)
    return results
