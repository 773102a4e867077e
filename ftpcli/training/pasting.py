"""Cut-out people pasted into pictures; here those of the pose model, in ``detector/pasting.py`` the detector's.

Where people cross, the box of the one behind is full of the one in front. A pose model that never saw that draws the
joints of whoever it sees best. Here the box's owner is pasted over and keeps their labels, hidden joints too.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ftpcli.datasets.cutouts import Cutout, Lender, fill
from ftpcli.pose.crops import affine, cut, transform

ENLARGE = 2.5  # most that a pasted person is enlarged
_HIDDEN = 0.75  # share of the labelled joints that may vanish behind somebody
_APART = 0.3  # the nearest the two bodies' middles come, in mean widths: nearer, and nothing tells whose box it is
_TRIES = 4
_BEHIND = 0.4  # share pasted behind, where the person's own outline is known


def paste_people(
    crops: np.ndarray,
    body: np.ndarray,
    joints: np.ndarray,
    others: Sequence[Lender],
    outlines: Sequence[Sequence[np.ndarray]],
    angle: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Paste one or two people into all frames of a window, standing still or moving slowly past.

    Args:
        crops: (T, h, w, 3) uint8.
        body: (4,) xyxy of the person's box in crop pixels, as far as the crop's turn allows.
        joints: (n, 2) labelled joints in crop pixels.
        outlines: per frame the (n, 2) polygons of the person in crop pixels; empty where they are not known.
        angle: degrees by which the crop is turned; people beside each other turn together.

    Returns:
        New crops; the given ones where nobody would fit.
    """
    size = (crops.shape[1], crops.shape[2])
    own = [fill(outline, *size) for outline in outlines]
    for _ in range(1 + (rng.random() < 0.25)):
        behind = bool(own) and rng.random() < _BEHIND
        for _ in range(_TRIES):
            other = others[int(rng.integers(len(others)))]()
            if other is None:
                continue
            layers = _place(other, len(crops), size, body, angle, rng)
            alpha = layers[len(crops) // 2][1]
            if alpha.mean() > 0.01 and (behind or _hidden(alpha, joints) <= _HIDDEN):
                masks = own if behind else [np.zeros((), np.uint8)] * len(crops)
                crops = np.stack([lay(c, *layer, mask) for c, layer, mask in zip(crops, layers, masks, strict=True)])
                break
    return crops


def _place(
    other: Cutout, frames: int, size: tuple[int, int], body: np.ndarray, angle: float, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per frame (h, w, 3) uint8 and (h, w) float32 in 0..1: the other person somewhere beside the body."""
    low, high = body[:2], body[2:]
    extent, middle = high - low, (low + high) / 2
    rows, columns = other.alpha.shape
    scale = min(max(extent[1], 0.7 * size[0]) * float(np.exp(rng.uniform(-0.35, 0.35))) / rows, ENLARGE)
    mean_width = (extent[0] + columns * scale) / 2
    side = float(rng.uniform(_APART, 0.95)) * (1 if rng.random() < 0.5 else -1)
    away = np.array([side * mean_width, (extent[1] - rows * scale) / 2 + lowered(rng) * rows * scale])
    away = affine(np.zeros(2), size[1], size, angle)[:, :2] @ away
    drift = 0.03 * mean_width * rng.standard_normal(2) if rng.random() < 0.7 else np.zeros(2)
    mirror = bool(rng.random() < 0.5)
    person = Cutout(_tinted(other.image, rng), other.alpha)
    soft = float(rng.uniform(0.4, 1.0))
    matrix = placement(person, middle + away, scale, size, -angle if mirror else angle, mirror)
    steps = range(-(frames // 2), frames - frames // 2)
    return [layer(person, matrix + np.column_stack([np.zeros((2, 2)), t * drift]), size, soft) for t in steps]


def lowered(rng: np.random.Generator) -> float:
    """How much lower than the other's feet those of a pasted person are, as a share of their height.

    A level camera sees people who overlap on the same ground, one that looks down sees the nearer one lower.
    """
    return float(rng.uniform(-0.15, 0.15) if rng.random() < 0.6 else rng.uniform(-0.2, 0.7))


def placement(
    piece: Cutout, middle: np.ndarray, scale: float, size: tuple[int, int], angle: float = 0.0, mirror: bool = False
) -> np.ndarray:
    """(2, 3) affine from a cutout to a picture of ``size`` (height, width) with the cutout's middle at ``middle``."""
    centre = (np.array(piece.alpha.shape[::-1]) - 1) / 2
    matrix = affine(centre, size[1] / scale, size, angle, mirror)
    matrix[:, 2] += middle - (np.array(size[::-1]) - 1) / 2
    return matrix


def layer(piece: Cutout, matrix: np.ndarray, size: tuple[int, int], soft: float) -> tuple[np.ndarray, np.ndarray]:
    """A cutout moved by an affine: (h, w, 3) uint8, and (h, w) float32 opacity, blurred by ``soft`` pixels."""
    # a rim of two pixels: colours go on there, so that the outline's edge does not turn black when sampled
    image = cv2.copyMakeBorder(piece.image, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    mask = cv2.copyMakeBorder(piece.alpha * 255, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0)
    rim = np.column_stack([np.zeros((2, 2)), matrix[:, :2] @ np.array([2.0, 2.0])])
    moved = cut(np.dstack([image, mask.astype(np.uint8)]), matrix - rim, size)
    return moved[..., :3], cv2.GaussianBlur(moved[..., 3].astype(np.float32) / 255, (0, 0), soft)


def lay(image: np.ndarray, above: np.ndarray, alpha: np.ndarray, own: np.ndarray | float = 0.0) -> np.ndarray:
    """A new picture, ``above`` laid over it with opacity ``alpha``, but not where ``own`` is 1."""
    alpha = (alpha * (1 - own))[..., None]
    return (alpha * above + (1 - alpha) * image).astype(np.uint8)


def _hidden(alpha: np.ndarray, joints: np.ndarray) -> float:
    """Share of (n, 2) joints under the layer."""
    at = joints.round().astype(int)
    inside = (at >= 0).all(axis=1) & (at < np.array(alpha.shape[::-1])).all(axis=1)
    at = at[inside]
    return float((alpha[at[:, 1], at[:, 0]] > 0.5).mean()) if len(at) else 1.0


def _tinted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light that differs a little from the scene's."""
    gain = np.exp(rng.uniform(-0.25, 0.25)) * np.exp(rng.uniform(-0.06, 0.06, 3))
    table = np.clip(np.arange(256)[:, None] * gain + rng.uniform(-15, 15), 0, 255)
    return cv2.LUT(image, table.astype(np.uint8)[None])


def body_in_crop(box: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(4,) xyxy in crop pixels of an xyxy box: its middle moved along, its sides scaled, its turn left out."""
    middle = transform(((box[:2] + box[2:]) / 2)[None], matrix)[0]
    half = (box[2:] - box[:2]) / 2 * np.hypot(*matrix[:, 0])
    return np.concatenate([middle - half, middle + half])
