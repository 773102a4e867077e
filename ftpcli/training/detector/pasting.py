"""People pasted over people: the augmentation that teaches the detector two boxes where two people overlap.

People with an outline in the data are pasted along it; without one, a rounded piece with a soft edge is. Pieces of
people-free pictures are pasted in the same way, or the network would take the edge itself for a sign of a person.
"""

from __future__ import annotations

import cv2
import numpy as np

from ftpcli.datasets.cutouts import Cutout
from ftpcli.datasets.scenes import Mixture, Picture, Sample, recolour

_SMALLEST = 24  # pixels: people less high are neither pasted nor pasted over
_ENLARGE = 2.5  # a pasted person is enlarged at most so much
_TRIES = 6
_OUTLINED = 0.8  # share of pasted people cut out along an outline, where the data has outlines


def paste(sample: Sample, mixture: Mixture, rng: np.random.Generator) -> Sample:
    """Lay one or two people, or pieces without people, partly over people of ``sample``; none found: unchanged.

    Boxes keep their full extent behind what covers them. Somebody more than 60 % covered becomes an ignore region.
    """
    for _ in range(1 + (rng.random() < 0.3)):
        sample = _paste_one(sample, mixture, rng, person=rng.random() < 0.7)
    return sample


def _paste_one(sample: Sample, mixture: Mixture, rng: np.random.Generator, *, person: bool) -> Sample:
    tall = sample.people[sample.people[:, 3] - sample.people[:, 1] >= _SMALLEST]
    piece = _piece(mixture, rng, person=person)
    if not len(tall) or piece is None:
        return sample
    x0, y0, x1, y1 = (float(v) for v in tall[rng.integers(len(tall))])
    height = (y1 - y0) * np.exp(rng.uniform(-0.35, 0.35)) * (1.0 if person else rng.uniform(0.3, 0.8))
    height = min(height, _ENLARGE * piece.image.shape[0])
    width = piece.image.shape[1] * height / piece.image.shape[0]
    w, h = max(4, round(width)), max(4, round(height))
    left = round((x0 + x1 - w) / 2 + rng.uniform(-0.5, 0.5) * (x1 - x0 + w) * 0.9)
    # a level camera sees people who overlap on the same ground, one that looks down the nearer one lower
    lower = rng.uniform(-0.15, 0.15) if rng.random() < 0.5 else rng.uniform(-0.2, 0.8)
    top = round(y1 - h + lower * h if person else rng.uniform(y0, y1) - h / 2)
    size = sample.image.shape[0]
    a, b, c, d = max(left, 0), max(top, 0), min(left + w, size), min(top + h, size)
    if (c - a) * (d - b) < 0.4 * w * h:
        return sample
    how = cv2.INTER_AREA if h < piece.image.shape[0] else cv2.INTER_LINEAR
    cut = np.s_[b - top : d - top, a - left : c - left]
    alpha = cv2.GaussianBlur(cv2.resize(piece.alpha, (w, h), interpolation=how), (0, 0), rng.uniform(0.4, 1.2))[cut]
    content = recolour(cv2.resize(piece.image, (w, h), interpolation=how)[cut], rng)
    image = sample.image.copy()
    image[b:d, a:c] = (alpha[..., None] * content + (1 - alpha[..., None]) * image[b:d, a:c]).astype(np.uint8)
    over = np.zeros(image.shape[:2], np.float32)
    over[b:d, a:c] = alpha
    hidden = _covered(sample.people, over) > 0.6
    people, ignore = sample.people[~hidden], np.concatenate([sample.ignore, sample.people[hidden]])
    box = np.array([[a, b, c, d]], np.float32)
    return Sample(image, np.concatenate([people, box]) if person else people, ignore)


def _piece(mixture: Mixture, rng: np.random.Generator, *, person: bool) -> Cutout | None:
    """One person, or a part of a people-free picture; None where none came up."""
    if person and mixture.cutouts and rng.random() < _OUTLINED:
        cutout = mixture.cutouts[rng.integers(len(mixture.cutouts))]
        if rng.random() < 0.5:
            cutout = Cutout(cv2.flip(cutout.image, 1), cv2.flip(cutout.alpha, 1))
        return cutout
    for _ in range(_TRIES):
        picture = mixture.draw(rng)
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
