"""MOT text: one person a line, comma or blank between frame, id, left, top, width, height and what may follow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ftpcli.datasets.left_out import AREALESS, LeftOut
from ftpcli.errors import InputError
from ftpcli.files.checked_json import unreadable

#: Classes of MOTChallenge ground truth that are people: pedestrian, person on a vehicle, static person.
_CHALLENGE_PEOPLE = frozenset((1, 2, 7))


@dataclass(frozen=True, slots=True, eq=False)
class MotBox:
    """One line."""

    line: int
    frame: int  # 0-based
    track: int
    box: np.ndarray  # (4,) float64 xyxy
    score: float  # 0..1, 1 where the file's is outside of that


def read_mot(path: Path) -> tuple[list[MotBox], LeftOut]:
    """The people of a file, and which boxes were left out.

    The seventh number is a confidence; the eighth of eight or nine is a class (of ten, a place in the world). In
    MOTChallenge ground truth, where the seventh is always 0 or 1, lines with 0 are to be ignored and 1, 2 and 7 are
    people. Elsewhere class 0 is the person, as detectors number them, or 1 in a file without any 0; a negative
    class says nothing.

    Raises:
        InputError: unreadable, wrong numbers, or no person is left of what the file holds.
    """
    rows: list[tuple[int, list[float]]] = []
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if (text := line.strip()) and not text.startswith("#"):
                    rows.append((number, _numbers(path, number, text)))
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    classed = [row for _, row in rows if len(row) in (8, 9) and row[7] >= 0]
    truth = all(row[6] in (0, 1) for row in classed)
    zero = any(row[7] == 0 for row in classed)
    people = frozenset((0,)) if zero else _CHALLENGE_PEOPLE if truth else frozenset((1,))
    named = " or ".join(map(str, sorted(people)))
    boxes: list[MotBox] = []
    left_out = LeftOut("box", "boxes")
    for number, row in rows:
        if len(row) in (8, 9) and row[7] >= 0:
            if row[7] not in people:
                left_out.add(f"of class {row[7]:g}, where people are class {named}")
                continue
            if truth and row[6] == 0:
                left_out.add("marked with 0, to be ignored")
                continue
        score = row[6] if len(row) > 6 and 0 <= row[6] <= 1 else 1.0
        x, y, w, h = row[2:6]
        if not w or not h:
            left_out.add(AREALESS)
            continue
        boxes.append(MotBox(number, int(row[0]) - 1, int(row[1]), np.array([x, y, x + w, y + h]), score))
    if left_out.counts and not boxes:
        raise InputError(f"{path}: no person is left{left_out.why()}")
    return boxes, left_out


def _numbers(path: Path, line: int, text: str) -> list[float]:
    """The checked numbers of one line."""
    place = f"line {line}"
    try:
        row = [float(value) for value in (text.split(",") if "," in text else text.split())]
    except ValueError as error:
        raise InputError(f"{path}: {place} is not MOT text (frame, id, left, top, width, height, ...)") from error
    if not 6 <= len(row) <= 10:
        raise InputError(f"{path}: {place} has {len(row)} numbers; MOT text has 6 to 10")
    if not all(math.isfinite(value) and abs(value) < 1e9 for value in row[:6]):
        raise InputError(f"{path}: {place} holds a number that is not finite or far too large")
    if row[0] != int(row[0]) or row[0] < 1:
        raise InputError(f"{path}: {place} has frame number {row[0]:g}; frames are counted from 1")
    if row[1] != int(row[1]) or row[1] < 0:
        raise InputError(
            f"{path}: {place} has id {row[1]:g}; every person needs a track id of 0 or more (detections without ids "
            "must be tracked first)"
        )
    if row[4] < 0 or row[5] < 0:
        raise InputError(f"{path}: {place} has a box of {row[4]:g} x {row[5]:g} pixels")
    return row
