"""Where the pictures of a COCO file lie, in the layouts of COCO itself, CVAT, FiftyOne and others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ftpcli.datasets.frames import base_name
from ftpcli.errors import InputError, counted

Key = TypeVar("Key")


def find_pictures(file: Path, names: Mapping[Key, str], folder: Path | None = None) -> dict[Key, Path | None]:
    """The path of each picture, None where it is nowhere.

    Searched are the file's folder and the one above, in each also ``images``, ``data`` and a folder named like the
    split (``person_keypoints_val2017.json``: ``val2017``), that also in ``images``. A name that is absolute or leads
    out of a folder is searched by its end, with as many of its folders as fit; any by its last part alone where that
    leaves no two alike.

    Args:
        file: the JSON file.
        names: ``file_name`` of each image.
        folder: searched instead, where the user names it.

    Raises:
        InputError: two names lead to the same picture.
    """
    split = file.stem.rpartition("_")[2]
    bases = [file.parent, file.absolute().parent.parent] if folder is None else [folder]
    inner = ("", "images", "data", split, f"images/{split}")
    places = [place for base in bases for place in dict.fromkeys(base / name for name in inner) if place.is_dir()]
    short = len({base_name(name) for name in names.values()}) == len(names)
    found: dict[Key, Path | None] = {}
    for key, name in names.items():
        found[key] = None
        for relative in _relative_names(name, short):
            place = next((place for place in places if (place / relative).is_file()), None)
            if place is not None:
                found[key] = place / relative
                places.remove(place)  # most likely the next one is there as well
                places.insert(0, place)
                break
    first: dict[Path, str] = {}
    for key, place in found.items():
        if place is not None and first.setdefault(place, names[key]) != names[key]:
            raise InputError(
                f"{file}: {first[place]} and {names[key]} would both be the picture {place}; name the folder "
                "that their own folders lie in with --images"
            )
    return found


def all_pictures(file: Path, names: Mapping[Key, str], folder: Path | None = None) -> dict[Key, Path]:
    """`find_pictures`, where none may be missing. Raises InputError."""
    found = find_pictures(file, names, folder)
    if absent := [names[key] for key, path in found.items() if path is None]:
        raise missing_pictures(file, absent)
    return {key: path for key, path in found.items() if path is not None}


def _relative_names(name: str, short: bool) -> list[str]:
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.name or "\0" in name:
        return []
    parts = list(path.parts)
    if ".." in parts:
        return [path.name] if ":" not in path.name else []
    if path.is_absolute() or ":" in name:
        last = max(n for n, part in enumerate(parts) if part in ("/", "//") or ":" in part)
        ends = ["/".join(parts[n:]) for n in range(last + 1, len(parts))]
    else:
        ends = [str(path), path.name]
    return ends if short else [end for end in ends if "/" in end or end == str(path)]


def missing_pictures(file: Path, names: Iterable[str], then: str = "") -> InputError:
    """The error where pictures were not found."""
    absent = sorted(names)
    if nameless := absent.count(""):
        images = counted(nameless, "image has", "images have")
        return InputError(f"{file}: {images} no 'file_name', so that their pictures cannot be found; add it{then}")
    missing = counted(len(absent), "picture is", "pictures are")
    return InputError(f"{file}: {missing} missing, first {absent[0]}; name their folder with --images{then}")
