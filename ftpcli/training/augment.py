"""Augmentation of a window of frames: one geometry for all its frames, labels moved along.

The geometry follows the DCPose family (scale, rotation, flip, half body); the pictures are changed by colour, blur,
low resolution, occlusion and other people, which those papers do not do and models trained from random weights need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ftpcli.datasets.cutouts import Lender
from ftpcli.evaluation.pictures import motion_kernel
from ftpcli.model.choices import Codec
from ftpcli.pose.crops import affine, crop_frame, cut, transform
from ftpcli.skeleton import PERSON19, Skeleton
from ftpcli.training.pasting import body_in_crop, paste_people
from ftpcli.training.recipe import Augmentation


@dataclass(slots=True)
class Example:
    """One person's window as the sources give it.

    Attributes:
        images: T pictures, (H, W, 3) uint8 RGB, or a single one (a still).
        box: (4,) xyxy pixels of the key frame.
        joints: (K, 2) pixels of the key frame.
        weight: (K,) 0 where a joint is not labelled, below 0 where it is known to lie beyond the picture.
        outline: (n, 2) polygons around the person of a still, in pixels; empty where nobody drew any.
    """

    images: list[np.ndarray]
    box: np.ndarray
    joints: np.ndarray
    weight: np.ndarray
    outline: Sequence[np.ndarray] = ()


def make_window(
    example: Example,
    size: tuple[int, int],
    frames: int,
    how: Augmentation,
    rng: np.random.Generator,
    skeleton: Skeleton = PERSON19,
    others: Sequence[Lender] = (),
    codec: str = Codec.CENTRED,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut an augmented window out of an example.

    Args:
        size: height and width of the crops.
        frames: T; a still is repeated, with a small motion if ``how.motion``.
        others: people to paste.
        codec: the model's, which decides where crops lie.

    Returns:
        (T, h, w, 3) uint8 crops, (K, 2) joints in crop pixels, (K,) weights; those of joints known to lie outside the
        crop or beyond the picture are below 0.
    """
    if how.cut and rng.random() < how.cut:
        example = _cut_off(example, rng)
    centre, whole = crop_frame(example.box, size, codec)
    width = float(whole)
    if rng.random() < how.half_body:
        centre, width = _half_body(example, size, rng, skeleton) or (centre, width)
    width *= float(np.clip(1 + how.scale * rng.standard_normal(), 1 - how.scale, 1 + how.scale))
    angle = 0.0
    if rng.random() < how.rotate:
        angle = float(np.clip(how.rotation * rng.standard_normal(), -2 * how.rotation, 2 * how.rotation))
    if how.turn and rng.random() < how.turn:
        angle = float(rng.uniform(-180, 180))
    centre = centre + how.shift * width * rng.uniform(-1, 1, 2)
    flip = bool(rng.random() < how.flip)

    joints, weight = example.joints, example.weight
    if flip:  # new arrays: the source's own must stay as they are
        joints, weight = joints[skeleton.flip], weight[skeleton.flip]
    key = affine(centre, width, size, angle, flip, codec)
    joints = transform(joints, key)
    inside = (joints >= -0.5).all(axis=1) & (joints[:, 0] < size[1] - 0.5) & (joints[:, 1] < size[0] - 0.5)
    weight = np.where(inside, weight, -np.abs(weight))

    if len(example.images) == 1 and frames > 1 and how.motion:
        matrices = _motion(centre, width, size, angle, flip, frames, how.motion, rng, codec)
    else:
        matrices = [key] * frames
    images = example.images if len(example.images) == frames else [example.images[len(example.images) // 2]] * frames
    if len(example.images) == 1 and not how.motion:
        crops = np.stack([cut(images[0], key, size)] * frames)
    else:
        crops = np.stack([cut(image, matrix, size) for image, matrix in zip(images, matrices, strict=True)])
    if len(others) and rng.random() < how.people:
        moved = [[transform(polygon, m) for polygon in example.outline] for m in matrices] if example.outline else []
        body = body_in_crop(example.box, key)
        crops = paste_people(crops, body, joints[weight > 0], others, moved, -angle if flip else angle, rng)
    return _change_pictures(crops, how, rng), joints, weight


def _cut_off(example: Example, rng: np.random.Generator) -> Example:
    """The example with a part of the person beyond an edge of the picture, most often the lower one.

    The box ends at the new edge, as a detector's does. Of a person at the side of the picture as little as a strip may
    be left, which whoever stands beside outshines. Where no labelled joint would be left, the example stays as it is.
    """
    low, high = example.box[:2].copy(), example.box[2:].copy()
    side = rng.choice(4, p=(0.25, 0.05, 0.25, 0.45))  # left, top, right, bottom
    axis, share = side % 2, float(rng.uniform(0.1, 0.5 if side % 2 else 0.85))
    height, width = example.images[0].shape[:2]
    start, end = np.zeros(2, int), np.array([width, height])
    edge = low[axis] + share * (high - low)[axis] if side < 2 else high[axis] - share * (high - low)[axis]
    (start if side < 2 else end)[axis] = round(float(np.clip(edge, 1, end[axis] - 1)))
    inside = ((example.joints >= start - 0.5) & (example.joints < end - 0.5)).all(axis=1)
    weight = np.where(inside, example.weight, -np.abs(example.weight))
    box = np.concatenate([np.maximum(low, start), np.minimum(high, end)]) - np.tile(start, 2)
    if not (weight > 0).any() or (box[2:] <= box[:2]).any():
        return example
    images = [image[start[1] : end[1], start[0] : end[0]] for image in example.images]
    outline = [polygon - start for polygon in example.outline]
    return Example(images, box, example.joints - start, weight, outline)


def _half_body(
    example: Example, size: tuple[int, int], rng: np.random.Generator, skeleton: Skeleton
) -> tuple[np.ndarray, float] | None:
    """Centre and width of the upper or lower body's box, where enough joints are labelled."""
    labelled = example.weight > 0
    if labelled.sum() <= 8:
        return None
    lower = np.array([joint.endswith(("_hip", "_knee", "_ankle")) for joint in skeleton.joints])
    upper_joints, lower_joints = labelled & ~lower, labelled & lower
    chosen = upper_joints if upper_joints.sum() > 2 and rng.random() < 0.69 else lower_joints
    if chosen.sum() <= 2:
        chosen = upper_joints
    if chosen.sum() < 2:
        return None
    points = example.joints[chosen]
    extent = np.concatenate([points.min(axis=0), points.max(axis=0)]) + np.array([0.5, 0.5, 0.5, 0.5])
    _, width = crop_frame(extent, size)
    return points.mean(axis=0), max(float(width) / 1.25 * 1.5, 8.0)


def _motion(
    centre: np.ndarray,
    width: float,
    size: tuple[int, int],
    angle: float,
    flip: bool,
    frames: int,
    strength: float,
    rng: np.random.Generator,
    codec: str,
) -> list[np.ndarray]:
    """Affines of a still seen by a camera that moves evenly; the key frame's is the unmoved one."""
    drift = strength * width * rng.standard_normal(2)
    turn, zoom = 40 * strength * rng.standard_normal(), strength * rng.standard_normal()
    steps = range(-(frames // 2), frames // 2 + 1)
    return [
        affine(centre + t * drift, width * (1 + t * zoom * 0.5), size, angle + t * turn, flip, codec) for t in steps
    ]


def _change_pictures(crops: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Colour and low resolution alike in all frames, each frame's own blur or none, occlusion that stays."""
    if rng.random() < how.colour:
        crops = coloured(crops, rng)
    if rng.random() < how.low_resolution:
        factor = rng.uniform(1.5, 4.0)
        height, width = crops.shape[1:3]
        small = (max(8, round(width / factor)), max(8, round(height / factor)))
        crops = np.stack(
            [cv2.resize(cv2.resize(c, small, interpolation=cv2.INTER_AREA), (width, height)) for c in crops]
        )
    if rng.random() < how.blur:
        blurred = rng.random(len(crops)) < 0.6
        blurred[len(crops) // 2] |= not blurred.any()
        longest = max(4, crops.shape[2] // 12)
        crops = np.stack([smeared(c, 3, longest, rng) if b else c for c, b in zip(crops, blurred, strict=True)])
    if rng.random() < how.occlude:
        crops = _occlude(crops, rng)
    if len(crops) > 1 and rng.random() < how.key_damage:
        crops = _damage_key(crops, rng)
    return crops


def _damage_key(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    crops = crops.copy()
    key = len(crops) // 2
    if rng.random() < 0.6:
        crops[key] = smeared(crops[key], crops.shape[2] // 16 + 1, crops.shape[2] // 6 + 2, rng)
    else:
        crops[key] = _occlude(crops[key : key + 1], rng)[0]
    return crops


def smeared(image: np.ndarray, shortest: int, longest: int, rng: np.random.Generator) -> np.ndarray:
    """An (H, W, 3) picture under a straight motion blur of ``shortest`` to ``longest - 1`` pixels in any direction."""
    return cv2.filter2D(image, -1, motion_kernel(float(rng.uniform(0, 180)), int(rng.integers(shortest, longest))))


def coloured(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(..., H, W, 3) uint8 with other brightness, contrast, gamma and tint, alike in all; at times grey."""
    levels = np.arange(256, dtype=np.float32) / 255
    gamma, contrast, brightness = rng.uniform(0.7, 1.4), rng.uniform(0.7, 1.3), rng.uniform(-0.15, 0.15)
    curve = (levels**gamma - 0.5) * contrast + 0.5 + brightness
    table = np.stack([curve * gain for gain in rng.uniform(0.88, 1.12, 3)], axis=1)
    table = (np.clip(table, 0, 1) * 255).astype(np.uint8)[None]
    flat = cv2.LUT(images.reshape(-1, images.shape[-2], 3), table)
    if rng.random() < 0.1:
        flat = cv2.cvtColor(cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return flat.reshape(images.shape)


def _occlude(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One or two rectangles of plain colour or of the picture's own texture, the same place in all frames."""
    crops = crops.copy()
    height, width = crops.shape[1:3]
    for _ in range(int(rng.integers(1, 3))):
        h, w = int(height * rng.uniform(0.08, 0.3)), int(width * rng.uniform(0.1, 0.4))
        y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
        if rng.random() < 0.5:
            crops[:, y : y + h, x : x + w] = rng.integers(0, 256, 3, dtype=np.uint8)
        else:
            sy, sx = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
            crops[:, y : y + h, x : x + w] = crops[:, sy : sy + h, sx : sx + w].copy()
    return crops
