"""Which frame of the source each image of a file is, for files that are not ours."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np

from ftpcli.errors import counted
from ftpcli.files.inputs import STANDARD, numbered_images

#: Our pictures' names, ``00000015.jpg``, below a folder called like the source. Tools that flatten folders may put its
#: name before the number, and Label Studio puts a hash there.
_OURS = re.compile(r"(?:[0-9a-f]{8}-)?(?:(.*)[-_])?(\d{8}|[1-9]\d{8,17})\.\w+")


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
    return split_name(name)[1]


def with_folder(name: str) -> str:
    """A picture's name with the folder it lies in."""
    return "/".join(split_name(name))


def split_name(name: str) -> tuple[str, str]:
    """The name of the folder that a picture lies in, "" where none is named, and its own. Addresses name files in ways
    of their own (``?d=walk%20in%20park/00000015.jpg``)."""
    *folders, own = re.split(r"[/\\]|\?d=", unquote(name) if "://" in name or name.startswith("/data/") else name)
    return (folders[-1] if folders and not name.startswith("/data/upload/") else ""), own


def frame_numbers(
    indices: Sequence[int | None],
    frame_ids: Sequence[int | None],
    names: Sequence[str],
    source: str | None = None,
    recorded: str | None = None,
) -> FrameNumbers:
    """Frames by our ``frame_index``; else by file name, where the source is a folder of pictures or the pictures are
    called as ours of this video; else by CocoVID's ``frame_id``; else by the number in the file name; else by the
    place in the list.

    Where only some images have a ``frame_index`` or ``frame_id``, the others are placed by their names if these go
    with those numbers, or left out.

    Numbers in file names are taken as they are where one is 0 or they are ours; else from 1 where the lowest is 1;
    higher ones tell the order only, since nobody can say where they start.

    Args:
        indices, frame_ids, names: of each image, in the file's order.
        source: path of the video or folder of pictures that the images are of; None where it is not known.
        recorded: name of the video as the file itself has it.

    Raises:
        InputError: the folder cannot be read.
    """
    if not names:
        return FrameNumbers(np.zeros(0, dtype=np.int64))
    parts = [split_name(name) for name in names]
    folder = source not in (None, STANDARD) and os.path.isdir(source or "")
    places, said = _places(parts, Path(source or "")) if folder else (None, "")
    if any(index is not None for index in indices):
        return _completed(indices, parts, "frame_index", places)
    if places is not None and max(places) >= 0:
        return FrameNumbers(np.array(places, dtype=np.int64), True, said)
    unmatched = f"{said}; " if said else ""
    named = [n for n, (_, own) in enumerate(parts) if _number(own) is not None]
    lost = len(names) - len(named)
    if named and lost == list(names).count("") > 0 and not any(number is not None for number in frame_ids):
        nothing = [None] * len(named)
        rest = frame_numbers(nothing, nothing, [names[n] for n in named], None if folder else source, recorded)
        found = np.full(len(names), -1, dtype=np.int64)
        found[named] = rest.indices
        said = f"{unmatched}{rest.warning}; " if rest.warning else unmatched
        who = counted(lost, "image has no name and is", "images have no name and are")
        return FrameNumbers(found, warning=f"{said}{who} left out")
    known = "" if folder else re.sub(r"[:\0]", "_", PurePosixPath(source or recorded or "").stem)
    ours = [_OURS.fullmatch(own) for _, own in parts]
    if all(ours):
        values = np.array([int(match[2]) for match in ours if match], dtype=np.int64)
        called = {match[1] or name for match, (name, _) in zip(ours, parts, strict=True) if match}
        if called == {known} != {""}:
            return FrameNumbers(values)
        # Others count their pictures from 1, without a gap.
        if len(set(called)) == 1 and sorted(values) != list(range(1, len(values) + 1)):
            other = f", though their folder is {called.pop()!r}, not {known!r}" if known and called != {""} else ""
            said = f"{unmatched}frames go by the numbers in their file names, counted from 0{other}"
            return FrameNumbers(values, warning=said)
    if any(number is not None for number in frame_ids):
        done = _completed(frame_ids, parts, "frame_id", None)
        return FrameNumbers(done.indices, warning=unmatched.removesuffix("; ") or done.warning)
    numbers = [_number(own) for _, own in parts]
    if None in numbers or len(set(numbers)) < len(numbers):
        return FrameNumbers(
            np.arange(len(names)),
            warning=f"{unmatched}does not say which frame an image is: they are taken in the file's order",
        )
    values = np.array(numbers, dtype=np.int64)
    first = int(values.min())
    if first > 1:
        ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        said = f"{unmatched}frames are in the order of the numbers in their file names, from {first}"
        return FrameNumbers(ranks, warning=said)
    said = f"{unmatched}frames go by the numbers in their file names, counted from {first}"
    return FrameNumbers(values - first, warning=said)


def _places(parts: Sequence[tuple[str, str]], source: Path) -> tuple[list[int], str]:
    """The place of each image among the pictures of a folder, -1 where it has none, and what is to be said of it. Of
    images in several folders those count whose folder is called like the source, if any is."""
    place = {path.name: n for n, path in enumerate(numbered_images(source))}
    places, own = [place.get(name, -1) for _, name in parts], source.resolve().name
    if max(places) < 0:
        return places, f"none of the names of its {counted(len(places), 'image')} is in the folder {own}"
    lost = [f"{unknown} of its {len(places)} images are not in the folder"] if (unknown := places.count(-1)) else []
    others = sorted({name for (name, _), n in zip(parts, places, strict=True) if n >= 0} - {own, ""})
    if others and any(name == own for name, _ in parts):
        beside = [n for n, (name, _) in enumerate(parts) if name in others and places[n] >= 0]
        lost.append(f"{len(beside)} of its {len(places)} images are of other folders ({', '.join(others[:3])})")
        for n in beside:
            places[n] = -1
    lines = [f"{' and '.join(lost)} and are left out"] if lost else []
    if others and not any(name == own for name, _ in parts):
        lines.append(f"its pictures are of a folder called {', '.join(others[:3])}, the source is {own}")
    return places, "; ".join(lines)


def _completed(
    given: Sequence[int | None], parts: Sequence[tuple[str, str]], field: str, places: Sequence[int] | None
) -> FrameNumbers:
    """The numbers that images have, and for the others those of their names, if these are always as far from them."""
    found = [-1 if number is None else number for number in given]
    if None not in given:
        return FrameNumbers(np.array(found, dtype=np.int64))
    ours = [_OURS.fullmatch(own) for _, own in parts]
    # Our own names of images that say their index are not kept, since they say the same.
    plain = all(own == "" or match for (_, own), match in zip(parts, ours, strict=True))
    guesses: list[tuple[str, list[int | None], set[int]]] = [
        ("place in the folder", [None if place < 0 else place for place in places or [-1] * len(parts)], set()),
        ("number in the file name", [int(match[2]) if match else None for match in ours], {0} if plain else set()),
        ("number in the file name", [_number(own) for _, own in parts], set()),
    ]
    missing = [n for n, number in enumerate(given) if number is None]
    said = f"{counted(len(missing), 'image has', 'images have')} no {field}"
    for way, numbers, apart in guesses:
        both = zip(numbers, given, strict=True)
        apart = {a - b for a, b in both if a is not None and b is not None} or apart
        placed = {n: number for n in missing if (number := numbers[n]) is not None}
        if len(apart) == 1 and placed:
            shift = apart.pop()
            found = [max(placed[n] - shift, -1) if n in placed else number for n, number in enumerate(found)]
            said += f"; {len(placed)} placed by the {way}"
            break
    lost = sum(found[n] < 0 for n in missing)
    if lost:
        said += f"; {lost} of {counted(len(parts), 'image')} left out, since nothing says which frame it is"
    return FrameNumbers(np.array(found, dtype=np.int64), warning=said)


def _number(name: str) -> int | None:
    """The last number in a file's name, without its extension."""
    found = re.findall(r"\d+", PurePosixPath(name).stem)
    return int(found[-1]) if found and len(found[-1]) < 19 else None
