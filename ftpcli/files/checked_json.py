"""Parsing and checking of JSON that anybody may have written: every failure is one InputError that says where.

``where`` begins with the file's name. Limits are generous for real files and small enough that no file, whatever it
claims, takes much memory.
"""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ftpcli.errors import FtpError, InputError
from ftpcli.files.inputs import first_bytes, missing, refuse_pointer
from ftpcli.skeleton import PERSON19

#: Characters of one JSON Lines record, or of one element of a list in a JSON document.
MAX_ELEMENT = 8 << 20
#: Objects and lists inside each other in what a file says of itself.
MAX_DEPTH = 40
#: People in one frame.
MAX_PEOPLE = 2_000
#: Pixels, both signs. Joints may lie outside the picture, but not this far.
MAX_COORDINATE = 1e6
#: Pixels of one side of a picture.
MAX_SIDE = 65_535
MAX_INTEGER = 2**62

_NUMBERS = frozenset((int, float))
#: How files begin that are taken for text by mistake, and what to do with them.
_OTHERS = (
    (b"\x1f\x8b", "is compressed with gzip; unpack it first (gunzip)"),
    (b"PK\x03\x04", "is a zip archive; unpack it first"),
    (b"\xff\xfe", "is text in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is text in UTF-16; save it as UTF-8"),
)
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_RATIO = re.compile(r"\d{1,15}/\d{1,15}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def load(path: str | Path) -> Any:
    """The content of a small file of one JSON value; for data sets see ``ftpcli.datasets.document``.

    Raises:
        InputError: the file is missing, unreadable, or not JSON.
    """
    refuse_pointer(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    return parse(text, str(path))


def unreadable(path: str | Path, error: OSError | ValueError, where: str = "") -> FtpError:
    """What is to be raised where a text file cannot be read; ``where`` in it the text is not UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        known = (then for magic, then in _OTHERS if first_bytes(path, 4).startswith(magic))
        return InputError(f"{where or path}: {next(known, 'is not text in UTF-8; save it in that encoding')}")
    if isinstance(error, FileNotFoundError):
        return missing(path)
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path}: is a folder; name a file")
    return InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")


def refuse_twice(tracks: list[int], frame: int, where: str) -> None:
    """Raises InputError where two people of a frame have the same track id."""
    if len(set(tracks)) < len(tracks):
        twice = next(track for track in tracks if tracks.count(track) > 1)
        raise InputError(
            f"{where}: two people of frame {frame} have the track id {twice}; give everybody of a frame their own"
        )


def shown(value: Any) -> str:
    """A short form of a value for a message, as JSON in plain ASCII whatever the value holds."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:56] + "..."


def parse(text: str, where: str) -> Any:
    """The value of one JSON text.

    Raises:
        InputError: not JSON, nested too deeply, a number Python cannot hold, NaN or Infinity.
    """
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg} at character {error.pos + 1})") from None
    except ValueError as error:
        raise InputError(f"{where}: {str(error).split(';')[0]}") from None


def shallow(value: Any, where: str) -> None:
    """Refuse a value so deep that walking through it or writing it again would fail."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise InputError(f"{where}: nested too deeply")


def field(value: dict[str, Any], key: str, where: str) -> Any:
    """``value[key]``, or an InputError that names the key."""
    try:
        return value[key]
    except KeyError:
        raise InputError(f"{where}: {key!r} is missing") from None


def as_object(value: Any, what: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {what} should be an object, not {shown(value)}")
    return value


def as_list(value: Any, what: str, where: str, longest: int | None = None) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where}: {what} should be a list, not {shown(value)}")
    if longest is not None and len(value) > longest:
        raise InputError(f"{where}: {what} has {len(value):,} entries, more than {longest:,}")
    return value


def as_text(value: Any, what: str, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: {what} should be text, not {shown(value)}")
    return value


def integer(value: Any, what: str, where: str, low: int = 0, high: int = MAX_INTEGER) -> int:
    """A whole number within limits; 3.0 and "3" count as 3, true and false do not count."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{where}: {what} should be a whole number, not {shown(value)}")
    if not low <= value <= high:
        raise InputError(f"{where}: {what} is {shown(value)}, outside {low} to {high}")
    return value


def number(value: Any, what: str, where: str, limit: float = math.inf) -> float:
    """A finite number of at most ``limit`` in size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: {what} should be a number, not {shown(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not abs(result) <= limit or math.isinf(result):
        raise InputError(f"{where}: {what} is {shown(value)}, {_why_not(result)}")
    return result


def _why_not(value: float) -> str:
    return "which is no number" if math.isnan(value) else "which is out of range"


def numbers(value: Any, what: str, where: str, count: int | None = None) -> np.ndarray:
    """A flat list of finite numbers as (n,) float64; ``count`` fixes n. None exceeds MAX_COORDINATE in size."""
    values = as_list(value, what, where)
    if count is not None and len(values) != count:
        raise InputError(f"{where}: {what} has {len(values)} numbers, expected {count}")
    if not _NUMBERS.issuperset(map(type, values)):
        wrong = next(item for item in values if type(item) not in _NUMBERS)
        raise InputError(f"{where}: {what} holds {shown(wrong)} where a number belongs")
    try:
        result = np.array(values, dtype=np.float64)
    except OverflowError:
        raise InputError(f"{where}: {what} holds a number that is out of range") from None
    fits = np.abs(result) <= MAX_COORDINATE  # written so that a NaN fails it as well
    if not fits.all():
        wrong = values[int(fits.argmin())]
        raise InputError(f"{where}: {what} holds {shown(wrong)}, {_why_not(wrong)}")
    return result


def box(value: Any, where: str) -> np.ndarray:
    """A box in a file, [x, y, w, h], as (4,) float64 xyxy."""
    x, y, w, h = numbers(value, "'bbox'", where, 4)
    if w < 0 or h < 0:
        raise InputError(f"{where}: 'bbox' has a negative width or height")
    return np.array([x, y, x + w, y + h])


def joint_names(value: Any, where: str) -> tuple[str, ...]:
    """Joint names of a file: known ones, each once, at least one."""
    names = as_list(value, "the list of joint names", where, 1000)
    known = set(PERSON19.joints)
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise InputError(
                f"{where}: joint {shown(name)} is unknown; known are {', '.join(PERSON19.joints[:3])}, ... "
                f"(COCO's names, head_bottom and head_top)"
            )
    if not names or len(set(names)) != len(names):
        raise InputError(f"{where}: joint names must be there, each once")
    return tuple(names)


def relative_name(value: Any, what: str, where: str) -> str:
    """A file name, perhaps in subfolders, that stays inside the folder it is relative to."""
    name = as_text(value, what, where)
    parts = re.split(r"[/\\]", name)
    if not parts[0] or ".." in parts or "\0" in name or re.match(r"[A-Za-z]:", name):
        raise InputError(f"{where}: {what} {shown(name)} points outside its folder; such files are refused")
    return name


def picture_size(value: dict[str, Any], where: str) -> tuple[int, int] | None:
    """Width and height of an object that may state them; some tools write 0 where they don't know."""
    if not value.get("width") or not value.get("height"):
        return None
    return (
        integer(value["width"], "'width'", where, 1, MAX_SIDE),
        integer(value["height"], "'height'", where, 1, MAX_SIDE),
    )


def ratio(value: Any, what: str, where: str) -> Fraction:
    """Text such as "1/25"."""
    if not (isinstance(value, str) and _RATIO.fullmatch(value) and int(value.split("/")[1])):
        raise InputError(f'{where}: {what} should look like "1/25", not {shown(value)}')
    return Fraction(value)
