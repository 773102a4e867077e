"""From pictures to person boxes with any network: letterbox, forward pass, suppression, back to pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import cv2
import numpy as np

#: Value of the padding around a picture, as ultralytics pads.
GREY = 114
#: Weakest detection that is passed on. ByteTrack's second stage lives on weak ones.
FLOOR = 0.05
#: From this score on a box is a person, where a weights file does not say otherwise.
SCORE = 0.3
#: IoU from which suppression drops the weaker box, where a weights file does not say otherwise.
OVERLAP = 0.55
#: A box with a longer share than this of the picture's width or height is a large one, for `look_again`.
_LARGE = 0.5
#: Further looks: the size as a share of the first one's, and the score from which a large box is worth it.
_LOOKS = ((5 / 8, 0.02), (7 / 8, 0.05))
_STRIDE = 32
_MOST = 300  # detections a picture


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """How to rebuild a detector and feed it."""

    architecture: str = "yolo11n"  # an architecture file of ultralytics, without .yaml
    image_size: int = 320  # longer side of the network's input, pixels, a multiple of 32
    end2end: bool = False  # True: the one-to-one head of YOLO26 and v10; False: one-to-many head and NMS
    classes: tuple[str, ...] = ("person",)
    sized_for: int = 0  # the class branch is as wide as for this number of classes; 0: for those it has
    score: float = SCORE  # from this score on a detection may start a track
    overlap: float = OVERLAP  # IoU from which non-maximum suppression drops the weaker box; unused where end2end
    provenance: dict[str, Any] = field(default_factory=dict)  # data, recipe, seed, measured numbers


class Fit(NamedTuple):
    """Where a picture is in the network's input: its longer side scaled, each side padded to the next multiple of 32,
    the picture in the middle. Pairs are x and y."""

    side: float  # the longer side's scale
    scaled: tuple[int, int]  # the picture's size
    full: tuple[int, int]  # the input's
    offset: tuple[int, int]  # left and top
    scale: tuple[float, float]  # padded pixels per picture pixel

    @classmethod
    def of(cls, height: int, width: int, size: int) -> Self:
        """``size``: the longer side's."""
        scale = size / max(height, width)
        w, h = max(1, round(width * scale)), max(1, round(height * scale))
        full_w, full_h = -(-w // _STRIDE) * _STRIDE, -(-h // _STRIDE) * _STRIDE
        offset = (full_w - w) // 2, (full_h - h) // 2
        return cls(scale, (w, h), (full_w, full_h), offset, (w / width, h / height))


def letterbox(image: np.ndarray, fit: Fit) -> np.ndarray:
    """The network's (h, w, 3) uint8 input for a picture, (H, W, 3) uint8."""
    scale, (w, h), (full_w, full_h), (left, top), _ = fit
    if scale < 0.5:  # to average all pixels of a large picture takes five times as long for the same precision
        image = cv2.resize(image, (2 * w, 2 * h), interpolation=cv2.INTER_LINEAR)
    if (w, h) != image.shape[1::-1]:
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    padded = cv2.copyMakeBorder(
        image, top, full_h - h - top, left, full_w - w - left, cv2.BORDER_CONSTANT, value=(GREY,) * 3
    )
    return np.asarray(padded)


def tidy(rows: np.ndarray, width: int, height: int) -> np.ndarray:
    """(N, 5) float32: boxes cut to the picture, empty and non-finite ones dropped, best score first, ties by place."""
    rows = np.asarray(rows, np.float32).reshape(-1, 5).copy()
    rows = rows[np.isfinite(rows).all(1)]
    rows[:, [0, 2]] = rows[:, [0, 2]].clip(0, width)
    rows[:, [1, 3]] = rows[:, [1, 3]].clip(0, height)
    rows = rows[(rows[:, 2] - rows[:, 0] >= 1) & (rows[:, 3] - rows[:, 1] >= 1)]
    return rows[np.lexsort((rows[:, 3], rows[:, 2], rows[:, 1], rows[:, 0], -rows[:, 4]))]


def find_boxes(
    network: Callable[[Sequence[Any]], np.ndarray],
    images: Sequence[np.ndarray],
    *,
    size: int,
    person: int = 0,
    floor: float = FLOOR,
    overlap: float = OVERLAP,
    letterbox: Callable[[np.ndarray, Fit], Any] = letterbox,
) -> list[np.ndarray]:
    """Person boxes of RGB pictures, each (N, 5) float32 xyxy and score in the picture's own pixels.

    Pictures of one padded shape go through the network together. A picture's boxes don't depend on which other
    pictures are in the batch, except for rounding.

    Args:
        network: B pictures as ``letterbox`` gives them, of one shape -> (B, 4 + classes, N) float32 boxes as middle,
            width and height, with the scores of each class; or (B, N, 6), boxes as edges, score and class, which need
            no suppression.
        images: (H, W, 3) uint8 RGB each; sizes may differ.
        size: longer side of the network's input, pixels.
        person: index of the class to keep.
        floor: detections below this score are dropped.
        overlap: IoU from which non-maximum suppression drops the weaker box (heads that need none: unused).
        letterbox: makes the network's input.
    """
    fits = [Fit.of(image.shape[0], image.shape[1], size) for image in images]
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, fit in enumerate(fits):
        groups.setdefault(fit.full, []).append(i)
    results: list[np.ndarray] = [np.zeros((0, 5), np.float32)] * len(images)
    for members in groups.values():
        for i, raw in zip(members, network([letterbox(images[i], fits[i]) for i in members]), strict=True):
            (left, top), (sx, sy) = fits[i].offset, fits[i].scale
            height, width = images[i].shape[:2]
            values = _people(raw, person, floor, overlap).astype(np.float64)
            values[:, :4] = (values[:, :4] - (left, top, left, top)) / (sx, sy, sx, sy)
            results[i] = tidy(values, width, height)
    return results


def look_again(
    find: Callable[..., list[np.ndarray]],
    images: Sequence[np.ndarray],
    *,
    size: int,
    floor: float,
    overlap: float,
    score: float,
) -> list[np.ndarray]:
    """Boxes as `find_boxes` gives them, of pictures with a doubtful large box after further looks at smaller sizes.

    A network is surer of people who fill the picture, and lack head or feet, where they are small. Of all looks' large
    boxes suppression keeps the stronger one. There is a third look where the second one leaves doubt. Most pictures
    have no such boxes.

    Args:
        find: `find_boxes` of pictures, ``size`` and ``floor``.
        score: a weaker box is doubtful.
    """
    least = min(floor, *(hint for _, hint in _LOOKS))
    found = find(images, size=size, floor=least)

    def large(rows: np.ndarray, image: np.ndarray) -> np.ndarray:
        return np.asarray(((rows[:, 2:4] - rows[:, :2]) > _LARGE * np.array(image.shape[1::-1])).any(axis=1))

    def is_doubtful(rows: np.ndarray, image: np.ndarray, hint: float) -> bool:
        return bool((large(rows, image) & (rows[:, 4] > hint) & (rows[:, 4] < score)).any())

    for share, hint in _LOOKS:
        doubtful = [i for i, rows in enumerate(found) if is_doubtful(rows, images[i], hint)]
        again = find([images[i] for i in doubtful], size=round(size * share), floor=least) if doubtful else []
        for i, rows in zip(doubtful, again, strict=True):
            both = np.concatenate([found[i], rows[large(rows, images[i])]])
            kept = both[_strongest(both[:, :2], both[:, 2:4], both[:, 4], overlap)]
            found[i] = tidy(kept, images[i].shape[1], images[i].shape[0])
    return [rows[rows[:, 4] > floor] for rows in found]


def _people(raw: np.ndarray, person: int, floor: float, overlap: float) -> np.ndarray:
    """(N, 5) xyxy and score of the people in a network's output for one picture, see `find_boxes`."""
    if raw.shape[-1] == 6 and raw.shape[0] != 6:  # the one-to-one head's
        return raw[(raw[:, 4] > floor) & (raw[:, 5] == person)][:_MOST, :5]
    scores = raw[4:]
    rows = raw[:, (scores[person] > floor) & (scores.argmax(axis=0) == person)]
    boxes, scores = rows[:4].T, rows[4 + person]
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    kept = _strongest(low, high, scores, overlap)
    return np.concatenate([low, high, scores[:, None]], axis=1)[kept]


def _strongest(low: np.ndarray, high: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Places of the boxes, (N, 2) edges each, that suppression keeps, best first."""
    sides = np.concatenate([low, high - low], axis=1)
    return np.asarray(cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, overlap), np.int64).reshape(-1)[:_MOST]
