"""Reading JSON that others wrote: every fault is one line that names the file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.errors import InputError

#: Larger numbers than this are no pixels and no scores; their squares must not overflow.
_LARGEST = 1e15


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON allows")


def load_json(path: Path) -> Any:
    """The file's content.

    Raises:
        InputError: the file is missing, unreadable, not JSON, nested too deeply, or holds NaN or Infinity.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, a JSON file is needed") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from None
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise InputError(f"{path}: JSON nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None


def need(entry: Any, key: str, path: Path, where: str) -> Any:
    """``entry[key]``, or one line saying what lacks it."""
    if not isinstance(entry, dict):
        raise InputError(f"{path}: {where} is not a JSON object")
    if key not in entry:
        raise InputError(f"{path}: {where} lacks '{key}'")
    return entry[key]


def need_list(entry: Any, key: str, path: Path, where: str) -> list[Any]:
    value = need(entry, key, path, where)
    if not isinstance(value, list):
        raise InputError(f"{path}: '{key}' of {where} is not a list")
    return value


def whole_number(value: Any) -> int | None:
    """The value as an integer where it is one (also 3.0), else None. Limited to 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
        return None
    number = int(value)
    return number if abs(number) < 2**63 else None


def numbers(value: Any, count: int | None, path: Path, where: str) -> np.ndarray:
    """A flat list of numbers as float64, of the given length; not finite or absurdly large ones are refused."""
    try:
        array = np.array(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{path}: {where} is not a list of numbers") from None
    if array.dtype.kind not in "iuf":  # text, truth values, integers beyond 64 bits
        raise InputError(f"{path}: {where} is not a list of numbers")
    array = array.astype(np.float64)
    if array.ndim != 1 or (count is not None and len(array) != count):
        raise InputError(f"{path}: {where} should be {count} numbers, has shape {array.shape}")
    if not (np.abs(array) <= _LARGEST).all():
        raise InputError(f"{path}: {where} holds a number that is not finite, or far too large")
    return array
