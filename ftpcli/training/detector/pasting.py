"""People pasted over people: the augmentation that teaches the detector two boxes where two people overlap.

People with an outline in the data are pasted along it; without one, a rounded piece with a soft edge is. Pieces of
people-free pictures are pasted in the same way, or the network would take the edge itself for a sign of a person.
"""

from __future__ import annotations

import cv2
import numpy as np

from ftpcli.datasets.cutouts import Cutout
from ftpcli.datasets.scenes import Picture
from ftpcli.training.detector.samples import Sample, Scenes, draw, recolour
from ftpcli.training.mixture import Mixture
from ftpcli.training.pasting import ENLARGE, lay, layer, lowered, placement

_SMALLEST = 24  # pixels: people less high are neither pasted nor pasted over
_TRIES = 6
_OUTLINED = 0.8  # share of pasted people cut out along an outline, where the data has outlines


def paste(sample: Sample, mixture: Mixture[Scenes], rng: np.random.Generator) -> Sample:
    """Lay one or two people, or pieces without people, partly over people of ``sample``; none found: unchanged.

    Boxes keep their full extent behind what covers them. Somebody more than 60 % covered becomes an ignore region.
    """
    for _ in range(1 + (rng.random() < 0.3)):
        sample = _paste_one(sample, mixture, rng, person=rng.random() < 0.7)
    return sample


def _paste_one(sample: Sample, mixture: Mixture[Scenes], rng: np.random.Generator, *, person: bool) -> Sample:
    tall = sample.people[sample.people[:, 3] - sample.people[:, 1] >= _SMALLEST]
    piece = _piece(mixture, rng, person=person)
    if not len(tall) or piece is None:
        return sample
    x0, y0, x1, y1 = (float(v) for v in tall[rng.integers(len(tall))])
    height = (y1 - y0) * np.exp(rng.uniform(-0.35, 0.35)) * (1.0 if person else rng.uniform(0.3, 0.8))
    scale = min(height / len(piece.alpha), ENLARGE)
    extent = np.array(piece.alpha.shape[::-1]) * scale
    x = (x0 + x1) / 2 + rng.uniform(-0.45, 0.45) * (x1 - x0 + extent[0])
    y = y1 + (lowered(rng) - 0.5) * extent[1] if person else rng.uniform(y0, y1)
    middle, size = np.array([x, y]), sample.image.shape[:2]
    box = np.concatenate([middle - extent / 2, middle + extent / 2]).clip(0, size[0]).astype(np.float32)
    if (box[2:] - box[:2]).prod() < 0.4 * extent.prod():
        return sample
    piece = Cutout(recolour(piece.image, rng), piece.alpha)
    above, alpha = layer(piece, placement(piece, middle - 0.5, scale, size), size, rng.uniform(0.4, 1.2))
    hidden = _covered(sample.people, alpha) > 0.6
    people, ignore = sample.people[~hidden], np.concatenate([sample.ignore, sample.people[hidden]])
    return Sample(lay(sample.image, above, alpha), np.concatenate([people, box[None]]) if person else people, ignore)


def _piece(mixture: Mixture[Scenes], rng: np.random.Generator, *, person: bool) -> Cutout | None:
    """One person, or a part of a people-free picture; None where none came up."""
    if person and mixture.lenders and rng.random() < _OUTLINED:
        cutout = mixture.lenders[rng.integers(len(mixture.lenders))]()
        if cutout is not None and rng.random() < 0.5:
            cutout = Cutout(cv2.flip(cutout.image, 1), cv2.flip(cutout.alpha, 1))
        return cutout
    for _ in range(_TRIES):
        picture = draw(mixture, rng)
        if not person and not len(picture.people) and not len(picture.ignore):
            height, width = picture.image.shape[:2]
            h, w = (int(side * rng.uniform(0.2, 0.6)) for side in (height, width))
            y, x = int(rng.integers(height - h)), int(rng.integers(width - w))
            return _rounded(picture.image[y : y + h, x : x + w], rng)
        if person and len(picture.people):
            box = picture.people[rng.integers(len(picture.people))]
            x0, y0, x1, y1 = (int(v) for v in box.round().clip(0))
            if y1 - y0 >= _SMALLEST and x1 - x0 >= _SMALLEST / 3 and _alone(picture, box):
                return _rounded(picture.image[y0:y1, x0:x1], rng)
    return None


def _alone(picture: Picture, box: np.ndarray) -> bool:
    """Whether nobody else, certain or doubtful, fills a fifth of the box."""
    others = np.concatenate([picture.people, picture.ignore])
    low, high = np.maximum(others[:, :2], box[:2]), np.minimum(others[:, 2:], box[2:])
    shared = np.clip(high - low, 0, None).prod(1) / (box[2:] - box[:2]).prod()
    return int((shared > 0.2).sum()) == 1  # the person


def _covered(boxes: np.ndarray, over: np.ndarray) -> np.ndarray:
    """(N,) share of each xyxy box that lies under ``over``, (H, W) in 0..1."""
    corners = boxes.round().astype(int).clip(0)
    return np.array([over[y0:y1, x0:x1].sum() / max((y1 - y0) * (x1 - x0), 1) for x0, y0, x1, y1 in corners])


def _rounded(image: np.ndarray, rng: np.random.Generator) -> Cutout:
    """The rectangle as a superellipse, between ellipse and rectangle, with a soft edge."""
    height, width = image.shape[:2]
    power = rng.uniform(2.2, 6.0)
    x = np.abs(np.linspace(-1, 1, width, dtype=np.float32)) ** power
    y = np.abs(np.linspace(-1, 1, height, dtype=np.float32)) ** power
    away = (x[None] + y[:, None]) ** (1 / power)  # 1 on the outline
    return Cutout(image, np.clip((1.02 - away) / rng.uniform(0.04, 0.2), 0, 1).astype(np.float32))
