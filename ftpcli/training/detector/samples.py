"""Augmented pictures for the detector: mosaics of pictures that are moved, recoloured and joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from ftpcli.datasets.cutouts import Cutout, Lender
from ftpcli.datasets.scenes import Picture, load_pictures
from ftpcli.people.inference import GREY
from ftpcli.training.augment import coloured, smeared
from ftpcli.training.mixture import Mixture

_NINE = 0.25  # share of mosaics with nine tiles, for small people
_VISIBLE = 0.2  # share of a box that must remain inside a tile for it to stay a person


class Scenes:
    """The pictures of a COCO detection file, kept in memory at no more than ``longest`` pixels a side.

    Raises:
        InputError: see `load_pictures`.
    """

    def __init__(self, name: str, path: Path, longest: int = 448) -> None:
        self.name = name
        self.pictures, cutouts = load_pictures(path, longest)
        self.lenders: Sequence[Lender] = [partial(_itself, cutout) for cutout in cutouts]

    def __len__(self) -> int:
        return len(self.pictures)


def _itself(cutout: Cutout) -> Cutout:
    return cutout


def draw(mixture: Mixture[Scenes], rng: np.random.Generator) -> Picture:
    """A picture by chance."""
    scenes, index = mixture.draw(rng)
    return scenes.pictures[index]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An augmented square picture."""

    image: np.ndarray  # (S, S, 3) uint8 RGB
    people: np.ndarray  # (N, 4) float32 xyxy pixels
    ignore: np.ndarray  # (M, 4)


def make_sample(mixture: Mixture[Scenes], size: int, rng: np.random.Generator, mosaic: float) -> Sample:
    """One augmented picture: a mosaic with probability ``mosaic``, of four or now and then nine, else a single one."""
    canvas = np.full((size, size, 3), GREY, np.uint8)
    if rng.random() < mosaic:
        if rng.random() < _NINE:
            cuts = [[(1 + i + rng.uniform(-0.2, 0.2)) / 3 for i in range(2)] for _ in "xy"]
        else:
            cuts = [[rng.uniform(0.3, 0.7)] for _ in "xy"]
        columns, rows = ([0, *(int(size * c) for c in cut), size] for cut in cuts)
        tiles = [(x0, y0, x1, y1) for y0, y1 in pairwise(rows) for x0, x1 in pairwise(columns)]
        # people of all sizes: a tile shows its whole picture, or a part of it enlarged
        ranges = (0.7, 2.2)
    else:
        tiles, ranges = [(0, 0, size, size)], (0.6, 1.5)
    people, ignore = [], []
    for x0, y0, x1, y1 in tiles:
        picture = draw(mixture, rng)
        image, boxes, holes = _place(picture, x1 - x0, y1 - y0, ranges, rng)
        canvas[y0:y1, x0:x1] = recolour(image, rng)
        offset = np.array([x0, y0, x0, y0], np.float32)
        people.append(boxes + offset)
        ignore.append(holes + offset)
    return Sample(canvas, np.concatenate(people), np.concatenate(ignore))


def _place(
    picture: Picture, width: int, height: int, ranges: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a picture into a tile, mirrored, scaled, stretched, turned and moved at random."""
    h, w = picture.image.shape[:2]
    fit = min(width / w, height / h)
    empty = not len(picture.people) and not len(picture.ignore)
    # people-free pictures are few and have no upright that matters: look into them closely, from any side
    most = 2 * ranges[1] if empty else ranges[1]
    scale = fit * np.exp(rng.uniform(np.log(ranges[0]), np.log(most)))
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    sx, sy = scale * stretch, scale / stretch
    chance = rng.random()
    if empty:
        angle = np.deg2rad(rng.uniform(-180, 180)) if chance < 0.5 else 0.0
    else:
        angle = np.deg2rad(rng.uniform(-8, 8)) if chance < 0.3 else 0.0
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos * sx * mirror, -sin * sy], [sin * sx * mirror, cos * sy]])
    # where the picture is smaller than the tile it lies anywhere inside, where larger any part of it shows
    slack = np.abs(np.array([width - w * sx, height - h * sy]))
    if len(picture.people) and rng.random() < 0.7:
        # a tile that is to show people: keep the centre of one of them inside, though the edge may cut them in half
        box = picture.people[rng.integers(len(picture.people))]
        anchor = linear @ np.array([(box[0] + box[2] - w) / 2, (box[1] + box[3] - h) / 2])
        inside = rng.uniform(0, 0.3) * np.array([box[2] - box[0], box[3] - box[1]]) * scale
        limit = np.maximum(np.array([width, height]) / 2 - inside, 0)
        shift = np.clip(rng.uniform(-0.5, 0.5, 2) * slack, -limit - anchor, limit - anchor)
    else:
        shift = rng.uniform(-0.5, 0.5, 2) * slack
    move = np.array([width / 2, height / 2]) + shift - linear @ np.array([w / 2, h / 2])
    matrix = np.concatenate([linear, move[:, None]], 1)
    source = picture.image
    if scale < 0.6:  # bilinear sampling alone would alias
        shrink = max(scale * 1.3, 0.05)
        source = cv2.resize(source, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.array([[w / source.shape[1], 0, 0], [0, h / source.shape[0], 0], [0, 0, 1.0]])
    image = cv2.warpAffine(
        source, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY,) * 3
    )
    full = np.concatenate([linear, move[:, None]], 1)
    return image, _move(picture.people, full, width, height, _VISIBLE), _move(picture.ignore, full, width, height, 0.05)


def _move(boxes: np.ndarray, matrix: np.ndarray, width: int, height: int, visible: float) -> np.ndarray:
    """(N, 4) boxes after the affine map, cut to the tile; those hardly left in it are dropped."""
    if not len(boxes):
        return np.zeros((0, 4), np.float32)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) @ matrix[:, :2].T + matrix[:, 2]
    low, high = corners.min(1), corners.max(1)
    # a turned rectangle's extent is larger than the turned person's: shrink it half way back
    middle = (low + high) / 2
    plain = (boxes[:, 2:] - boxes[:, :2]) * np.linalg.norm(matrix[:, :2], axis=0)
    half = ((high - low) + np.minimum(plain, high - low)) / 4
    low, high = middle - half, middle + half
    area = (high - low).prod(1)
    low, high = np.clip(low, 0, (width, height)), np.clip(high, 0, (width, height))
    sides = high - low
    keep = (sides.prod(1) >= visible * area) & (sides.min(1) >= 2)
    return np.concatenate([low, high], 1)[keep].astype(np.float32)


def recolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, tint, saturation, blur and noise, each at random."""
    if rng.random() < 0.7:
        image = coloured(image, rng)
    if rng.random() < 0.4:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        share = rng.uniform(-0.4, 0.8)
        image = cv2.addWeighted(image, 1 - share, grey, share, 0)
    chance = rng.random()
    if chance < 0.06:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6))
    elif chance < 0.1:
        image = smeared(image, 3, 8, rng)
    elif chance < 0.16:
        noise = rng.normal(0, rng.uniform(3, 12), image.shape).astype(np.int16)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image
