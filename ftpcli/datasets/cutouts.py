"""People cut out along their outline, which both trainings paste over other people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_SMALLEST = 12  # pixels, the shorter side


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """A person cut out along an outline, to be pasted elsewhere."""

    image: np.ndarray  # (h, w, 3) uint8 RGB
    alpha: np.ndarray  # (h, w) float32 in 0..1


#: Cuts a person out when asked, for data that does not fit into memory; None where hardly anything of them is seen.
Lender = Callable[[], Cutout | None]


def fill(outline: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """(height, width) uint8, 1 inside the (n, 2) polygons."""
    mask = np.zeros((height, width), np.uint8)
    for polygon in outline:  # one by one: together, what two of them share would be left out
        cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 1)
    return mask


def cut_out(image: np.ndarray, outline: Sequence[np.ndarray]) -> Cutout | None:
    """The part of an (H, W, 3) image inside the (n, 2) polygons; None where hardly anything is."""
    mask = fill(outline, *image.shape[:2])
    x, y, w, h = cv2.boundingRect(mask)
    if min(w, h) < _SMALLEST:
        return None
    part = np.s_[y : y + h, x : x + w]
    return Cutout(image[part].copy(), mask[part].astype(np.float32))
