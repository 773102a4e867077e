"""What the user named on the command line becomes a list of sources. Imports nothing heavy."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ftpcli.errors import FtpError, InputError, UsageError

_IMAGES = "jpg jpeg jpe png bmp tif tiff webp ppm pgm pnm jp2 tga"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _IMAGES.split())
#: Names taken as videos inside a folder. A file named directly may be called anything.
_VIDEOS = (
    "mp4 m4v mov qt avi mkv webm ts mts m2ts mpg mpeg m2v vob wmv asf flv f4v 3gp 3g2 ogv gif mxf dv y4m ivf nut "
    "mjpeg mjpg h264 264 h265 265 hevc"
)
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _VIDEOS.split())
#: Standard input as an input, standard output as an output.
STANDARD = "-"
_ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")
_SHORT_ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/")  # a Path has one slash of two
_NAMED_AT_MOST = 3
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class Source:
    """One input to annotate.

    Attributes:
        path: as the user would name it; "-" is standard input.
        start, end, boxes: of this input alone, in place of the command's.
    """

    path: str
    kind: Literal["video", "images"]
    start: float | None = None
    end: float | None = None
    boxes: str | None = None

    @property
    def _times(self) -> str:
        """Its own times in seconds, as in ``10-20`` or ``0-end``; empty where it has none."""
        ends = ["0" if self.start is None else f"{self.start:.10g}", "end" if self.end is None else f"{self.end:.10g}"]
        return "" if self.start is None and self.end is None else "-".join(ends)

    @property
    def name(self) -> str:
        """What it is known by among others: its path, and its own times."""
        return f"{self.path} {self._times}" if self._times else self.path

    @property
    def own(self) -> dict[str, Any]:
        """Its own times and boxes, those that it has."""
        given = {"start": self.start, "end": self.end, "boxes": self.boxes}
        return {key: value for key, value in given.items() if value is not None}

    @property
    def stem(self) -> str:
        """The name without folders and without a video's suffix, with its own times, for naming outputs."""
        times = f"_{self._times}" if self._times else ""
        if self.path == STANDARD:
            return "stdin" + times
        path = Path(_ADDRESS.sub("", self.path, count=1))
        if self.kind == "images":
            return (path.name or path.resolve().name or "images") + times
        return (path.stem or path.name) + times


def is_address(name: str) -> bool:
    """Whether a name is a URL, such as ``http://...`` or ``file:///...``, and not a path."""
    return _ADDRESS.match(name) is not None


def is_network_address(name: str) -> bool:
    """Whether a name is a URL of anything but a local file."""
    match = _ADDRESS.match(name)
    return match is not None and match[1].lower() != "file"


def local_path(name: str) -> str:
    """The path of a local file that is named by its path or as ``file://...``."""
    return url2pathname(urlsplit(name).path) if is_address(name) else name


def refuse_address(option: str, value: object) -> None:
    """Raises UsageError where an option that takes a file is given an address."""
    if value is not None and _SHORT_ADDRESS.match(str(value)):
        raise UsageError(f"{option} {value}: is an address; download the file and name it")


def refuse_standard(option: str, folder: str | os.PathLike[str]) -> None:
    """Raises UsageError where a folder to write is called like standard output."""
    if os.fspath(folder) == STANDARD:
        raise UsageError(f"{option} {STANDARD}: is standard output; name a folder")


def network_refusal(name: str) -> UsageError:
    """What to say of a network address that was not allowed."""
    return UsageError(f"{name}: is a network address; download it first, or allow it with --allow-network")


def missing(name: object) -> FtpError:
    """What to say of an input that is not there, whatever it was to be."""
    match = _SHORT_ADDRESS.match(str(name))
    if match and match[1].lower() != "file":
        return UsageError(f"{name}: is an address; download the file and name it")
    return InputError(f"{name}: no such file or folder")


def first_bytes(name: str | os.PathLike[str], count: int = 1 << 16) -> bytes:
    """How a plain file begins; empty where it cannot be read, and of what cannot be read twice."""
    with suppress(OSError, ValueError):
        if os.fspath(name) != STANDARD and os.path.isfile(name):
            with open(name, "rb") as file:
                return file.read(count)
    return b""


def refuse_pointer(name: str | os.PathLike[str]) -> None:
    """Raises InputError where Git LFS has left a pointer in a file's place."""
    if first_bytes(name, len(_LFS_POINTER)) == _LFS_POINTER:
        raise InputError(f"{os.fspath(name)}: is a pointer of Git LFS, not the file; git lfs pull fetches the file")


def require(*names: str | os.PathLike[str] | None) -> None:
    """Raises InputError where one of the inputs that were named is missing, UsageError for an address."""
    for name in names:
        if name is not None:
            if not os.path.exists(name):
                raise missing(os.fspath(name))
            refuse_pointer(name)


def require_file(*names: str | os.PathLike[str] | None) -> None:
    """As `require`; also refused are folders, and pipes, which could be read only once."""
    require(*names)
    for name in names:
        if name is not None and not os.path.isfile(name):
            what = "a folder; name a file" if os.path.isdir(name) else "not a plain file; save it to one"
            raise InputError(f"{os.fspath(name)}: is {what}")


def describe(name: str) -> str:
    """A source's name for messages."""
    return "standard input" if name == STANDARD else name


def camera(name: str) -> str | None:
    """The device of a camera that is named by its number or its device; None for all other names.

    A file that is called like a number is a file.
    """
    if re.fullmatch(r"\d{1,2}", name) and not os.path.lexists(name):
        return name if sys.platform == "darwin" else f"/dev/video{int(name)}"
    return name if re.fullmatch(r"/dev/video\d+", name) else None


def cameras() -> list[str]:
    """The devices of cameras on this machine, where they are files."""
    return sorted(map(str, Path("/dev").glob("video*")), key=natural_key)


def _camera_source(name: str, device: str) -> Source:
    if sys.platform != "darwin" and not os.path.exists(device):
        there = ", ".join(cameras()) or "none"
        raise InputError(f"{name}: there is no camera {device}; cameras here: {there}")
    return Source(device, "video")


def can_reread(name: str) -> bool:
    """Whether a source can be read a second time: a file or a folder, not a pipe, a stream or standard input."""
    return name != STANDARD and (os.path.isfile(name) or os.path.isdir(name))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key by which ``img2`` comes before ``img10``; equal numbers fall back to the text."""
    parts = re.split(r"(\d+)", name.casefold())
    key = [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts if part]
    return (*key, (2, 0, name))


def numbered_images(folder: Path) -> list[Path]:
    """The images of a folder in natural order; hidden files and other kinds are left out.

    Raises:
        InputError: the folder cannot be read.
    """
    return _listed(folder, IMAGE_SUFFIXES)


def _listed(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and Path(entry.name).suffix.lower() in suffixes and entry.is_file()
            ]
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read ({error.strerror})") from error
    return [folder / name for name in sorted(names, key=natural_key)]


def resolve_inputs(
    inputs: Sequence[str | os.PathLike[str]], *, allow_network: bool = False
) -> tuple[list[Source], list[FtpError]]:
    """Turn files, folders, glob patterns, ``-`` and addresses into sources.

    A folder with videos stands for its videos, a folder without for its numbered images. Subfolders are not
    searched. A name that exists is taken literally, even if it looks like a pattern; only ``-`` is always standard
    input (``./-`` names the file). What is named twice counts once. Order: as given, natural order inside a folder
    or pattern.

    ``0`` is the first camera, as is ``/dev/video0``.

    Returns:
        The sources, and one error for each input that names nothing or is a network address without
        ``allow_network``: the others can still be annotated.
    """
    sources: list[Source] = []
    errors: list[FtpError] = []
    seen: set[str] = set()
    for given in inputs:
        name = os.fspath(given)
        try:
            if is_network_address(name) and not allow_network:
                raise network_refusal(name)
            found = _resolve(name)
        except FtpError as error:
            errors.append(error)
            continue
        for source in found:
            plain = source.path == STANDARD or is_address(source.path)
            identity = source.path if plain else os.path.realpath(source.path)
            if identity not in seen:
                seen.add(identity)
                sources.append(source)
    return sources, errors


def _resolve(name: str) -> list[Source]:
    if name == STANDARD or is_network_address(name) or (is_address(name) and os.path.isfile(local_path(name))):
        return [Source(name, "video")]
    if not name or "\0" in name:
        raise InputError(f"{name!r}: is not a file name")
    if device := camera(name):
        return [_camera_source(name, device)]
    if os.path.isdir(name):
        return _resolve_folder(name)
    if os.path.lexists(name):
        return [Source(name, "video")]
    if glob.has_magic(name):
        matches = sorted(glob.glob(name, recursive=True), key=natural_key)
        if not matches:
            raise InputError(f"{name}: no file matches this pattern")
        return [source for match in matches for source in _resolve_match(match)]
    raise missing(name)


def _resolve_match(match: str) -> list[Source]:
    """A file that a pattern matches is meant; a folder only where it holds something to read."""
    if not os.path.isdir(match):
        return [Source(match, "video")]
    try:
        return _resolve_folder(match)
    except InputError:
        return []


def _resolve_folder(name: str) -> list[Source]:
    folder = Path(name)
    videos = _listed(folder, VIDEO_SUFFIXES)
    if videos:
        # os.path.join keeps a leading "./", which Path drops: "./-x.mp4" must not become an option again.
        return [Source(os.path.join(name, video.name), "video") for video in videos]
    if numbered_images(folder):
        return [Source(name, "images")]
    subfolders = sorted((entry.name for entry in os.scandir(folder) if entry.is_dir()), key=natural_key)
    if subfolders:
        hint = ", ".join(subfolders[:_NAMED_AT_MOST]) + (", ..." if len(subfolders) > _NAMED_AT_MOST else "")
        raise InputError(f"{name}: no videos or images in this folder; name its subfolders ({hint}) instead")
    raise InputError(f"{name}: no videos or images in this folder")


def unique_stems(sources: Iterable[Source]) -> list[str]:
    """One output name per source, without suffix; clashes keep the suffix, then are numbered.

    ``a/run.mp4``, ``b/run.mp4``, ``b/run.mov`` -> ``run.mp4``, ``run.mp4-2``, ``run.mov``.
    """
    listed = list(sources)
    stems = Counter(source.stem.casefold() for source in listed)
    names: list[str] = []
    used: set[str] = set()
    for source in listed:
        name = source.stem
        if stems[name.casefold()] > 1 and source.kind == "video" and source.path != STANDARD:
            name = Path(source.path).name + source.stem.removeprefix(Path(source.path).stem)
        candidate, number = name, 1
        while candidate.casefold() in used:
            number += 1
            candidate = f"{name}-{number}"
        used.add(candidate.casefold())
        names.append(candidate)
    return names


def parse_time(text: str) -> float:
    """Seconds from ``75``, ``75.5``, ``75s``, ``1:15`` or ``00:01:15.5``.

    Raises:
        UsageError: anything else.
    """
    match = re.fullmatch(r"\s*(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)\s*s?\s*", text)
    if not match:
        raise UsageError(f"{text}: is not a time; give seconds (75.5) or hours:minutes:seconds (00:01:15.5)")
    hours, minutes, seconds = match.groups()
    if (minutes is not None and float(seconds) >= 60) or (hours is not None and int(minutes) >= 60):
        raise UsageError(f"{text}: is not a time; minutes and seconds go up to 59")
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)


def parse_rate(text: str) -> Fraction:
    """Frames per second from ``25``, ``29.97`` or ``30000/1001``, exact.

    Raises:
        UsageError: anything else.
    """
    try:
        rate = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not Fraction(1, 1000) <= rate <= 1000 or rate.denominator > 100_000:
        raise UsageError(f"{text}: is not a frame rate; give one such as 25, 29.97 or 30000/1001")
    return rate


def parse_ids(text: str) -> frozenset[int]:
    """Track ids from ``3,7``.

    Raises:
        UsageError: anything else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"-?[0-9]{1,18}", part) for part in parts):
        raise UsageError(f"{text}: is not a list of ids; give numbers such as 3,7")
    return frozenset(map(int, parts))
