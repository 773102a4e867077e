"""Which frame of the source each image of a file is, for files that are not ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class FrameNumbers:
    """The outcome.

    Attributes:
        indices: (F,) int64 frame of each image, -1 for one that is none of the source's pictures.
        by_name: the indices are places in the list of the source's pictures, not among the decoded frames.
        warning: what had to be assumed, "" where nothing was.
    """

    indices: np.ndarray
    by_name: bool = False
    warning: str = ""


def base_name(name: str) -> str:
    """A picture's name without folders, whatever the slashes."""
    return PurePosixPath(name.replace("\\", "/")).name


def frame_numbers(
    indices: Sequence[int | None],
    frame_ids: Sequence[int | None],
    names: Sequence[str],
    pictures: Sequence[str] | str | None,
) -> FrameNumbers:
    """Frames by our ``frame_index``; else by file name, where the source is a folder of pictures or the pictures are
    called as ours of this video; else by CocoVID's ``frame_id``; else by the number in the file name; else by the
    place in the list.

    Numbers in file names are taken as they are where one is 0, from 1 where the lowest is 1; higher ones tell the
    order only, since nobody can say where they start.

    Args:
        indices, frame_ids, names: of each image, in the file's order.
        pictures: names of the source's pictures in their order; the name of a video; None where it is not known.
    """
    if all(index is not None for index in indices):
        return FrameNumbers(np.array(indices, dtype=np.int64))
    plain = [base_name(name) for name in names]
    if isinstance(pictures, str):
        ours = re.compile(rf"(?:.*/)?{re.escape(PurePosixPath(pictures).stem)}/(\d{{8,18}})\.\w+")
        found = [ours.fullmatch(name.replace("\\", "/")) for name in names]
        if all(found):
            return FrameNumbers(np.array([int(match[1]) for match in found if match], dtype=np.int64))
    elif pictures is not None:
        place = {name: i for i, name in enumerate(pictures)}
        places = np.array([place.get(name, -1) for name in plain], dtype=np.int64)
        unknown = int((places < 0).sum())
        if unknown < len(places):
            lost = f"{unknown} of its {len(places)} images are not in the folder and are left out" if unknown else ""
            return FrameNumbers(places, True, lost)
    if all(number is not None for number in frame_ids):
        return FrameNumbers(np.array(frame_ids, dtype=np.int64))
    numbers = [_number(name) for name in plain]
    if None in numbers or len(set(numbers)) < len(numbers):
        return FrameNumbers(
            np.arange(len(names)), warning="does not say which frame an image is: they are taken in the file's order"
        )
    values = np.array(numbers, dtype=np.int64)
    first = int(values.min())
    if first > 1:
        ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        return FrameNumbers(ranks, warning=f"frames are in the order of the numbers in their file names, from {first}")
    return FrameNumbers(values - first, warning=f"frames go by the numbers in their file names, counted from {first}")


def _number(name: str) -> int | None:
    """The last number in a file's name, without its extension."""
    found = re.findall(r"\d+", PurePosixPath(name).stem)
    return int(found[-1]) if found and len(found[-1]) < 19 else None
