"""Boxes of people out of a list of detections, as detectors write them: COCO's form of results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from ftpcli.datasets.coco import Annotation, Id, read_results
from ftpcli.datasets.left_out import AREALESS, LeftOut
from ftpcli.errors import InputError
from ftpcli.files import checked_json as checks

Key = TypeVar("Key")


def read_detections(
    path: Path, key: Callable[[Annotation], Key | None], min_score: float, people: Id = 1
) -> tuple[dict[Key, np.ndarray], LeftOut]:
    """The boxes of each picture, in the file's order, and what was left out.

    Args:
        key: the picture of a detection, None where it is not one of those that are looked at.
        min_score: weaker detections are left out.
        people: the category of people; entries that name none count as people.

    Returns:
        (N, 5) float64 xyxy and score by picture.

    Raises:
        InputError: unreadable, not such a list, a box or score is missing, or nothing is left of it.
    """
    found: dict[Key, list[np.ndarray]] = {}
    left_out = LeftOut("box", "boxes")
    for entry in read_results(path):
        if entry.category not in (None, people):
            left_out.add(f"of category {entry.category}, where people are {people}")
            continue
        for name in ("score", "bbox"):
            checks.field(entry.entry, name, entry.where)
        place, box, score = key(entry), entry.own_box, entry.score or 0.0
        if place is None:
            left_out.add("of pictures that the data set does not list")
        elif box is None:
            left_out.add(AREALESS)
        elif score < min_score:
            left_out.add(f"weaker than {min_score:g}")
        else:
            found.setdefault(place, []).append(np.append(box, score))
    if left_out.counts and not found:
        raise InputError(f"{path}: no box is left{left_out.why()}; is it of this data set?")
    return {place: np.array(rows) for place, rows in found.items()}, left_out
