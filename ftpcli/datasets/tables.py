"""Tables: our CSV, tidy and wide, and DeepLabCut's. Rows are read one by one."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ftpcli.datasets.store import PoseStore
from ftpcli.errors import InputError
from ftpcli.files import checked_json as checks
from ftpcli.records import Header

TIDY = ("frame", "track", "joint", "x", "y")
_BOX = ("box_x", "box_y", "box_width", "box_height")
_ABSENT = ("", "NA", "NaN", "nan")
_BOXLESS = "has no boxes of people and no scores: boxes are drawn around the joints, scores are 1"


def table_form(start: str) -> str:
    """The form of the table whose first line this is: "csv", "csv_wide", "deeplabcut", or "" for none."""
    names = next(csv.reader(start.replace("\0", "").splitlines()[:1]), [])
    if names[:1] == ["scorer"]:
        return "deeplabcut"
    if not {"frame", "track"} <= set(names):
        return ""
    return "csv" if set(TIDY) <= set(names) else "csv_wide" if _wide_joints(names) else ""


def read_table(form: str, path: str, store: PoseStore) -> Header:
    """Put the people of a table into a store.

    A joint with an empty x or y is absent; without a column of confidences the others have 1. Where the table has no
    boxes, they lie around the joints. Frames without people have no row in our tables.

    Raises:
        InputError: a cell that is not what its column says, or rows that are not sorted by frame.
    """
    with _rows(path) as (rows, where):
        if form == "deeplabcut":
            return Header(_deeplabcut(rows, where, store))
        names = next(rows)
        column = {name: n for n, name in enumerate(names)}
        if form == "csv_wide":
            joints = _wide_joints(names)
        else:
            joints = tuple(dict.fromkeys(row[column["joint"]] for row in _full(rows, where, len(names))))
    if not joints:
        raise InputError(f"{path}: holds no people")
    checks.joint_names(list(joints), path)
    with _rows(path) as (rows, where):
        next(rows)
        read = _wide if form == "csv_wide" else _tidy
        read(rows, where, store, column, joints)
    return Header(joints)


@contextmanager
def _rows(path: str) -> Iterator[tuple[Iterator[list[str]], Any]]:
    """The rows of a file, and a function that names the one that was read last."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            yield (row for row in rows if row), lambda: f"{path}, line {rows.line_num}"
    except csv.Error as error:
        raise InputError(f"{path}: is not a table ({error})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: its text is not UTF-8 ({error.reason}); save the table as UTF-8") from None


def _wide_joints(names: list[str]) -> tuple[str, ...]:
    return tuple(name[:-2] for name in names if name.endswith("_x") and f"{name[:-2]}_y" in names and name != "box_x")


def _wide(rows: Iterator[list[str]], where: Any, store: PoseStore, column: dict[str, int], joints: Any) -> None:
    frames = _Frames(store)
    for row in _full(rows, where, len(column)):
        cell = {name: row[n] for name, n in column.items()}
        frames.start(_whole(cell["frame"], where()), _float(cell.get("seconds", ""), where()), where())
        table = [_joint(cell[f"{j}_x"], cell[f"{j}_y"], cell.get(f"{j}_confidence", "1"), where()) for j in joints]
        xywh = [_float(cell.get(name, ""), where()) for name in _BOX]
        box = None if math.isnan(sum(xywh)) else checks.box(xywh, where())
        score = _float(cell.get("score", ""), where())
        frames.add(cell["track"], np.array(table), where(), box, 1.0 if math.isnan(score) else score)


def _tidy(rows: Iterator[list[str]], where: Any, store: PoseStore, column: dict[str, int], joints: Any) -> None:
    frames, at = _Frames(store), {joint: n for n, joint in enumerate(joints)}
    people: dict[str, np.ndarray] = {}
    frame, track, joint, x, y = (column[name] for name in TIDY)
    confidence, seconds = column.get("confidence"), column.get("seconds")
    for row in _full(rows, where, len(column)):
        index = _whole(row[frame], where())
        if index != frames.index:
            frames.add_all(people, where())
            people = {}
            frames.start(index, math.nan if seconds is None else _float(row[seconds], where()), where())
        table = people.setdefault(row[track], np.full((len(joints), 3), np.nan))
        if not np.isnan(table[at[row[joint]], 2]):
            raise InputError(f"{where()}: {row[joint]} of person {row[track]} stands twice in frame {index}")
        table[at[row[joint]]] = _joint(row[x], row[y], "1" if confidence is None else row[confidence], where())
    frames.add_all(people, where())
    store.notices.append(_BOXLESS)


def _deeplabcut(rows: Iterator[list[str]], where: Any, store: PoseStore) -> tuple[str, ...]:
    """Predictions and labels ("CollectedData"), of one animal or several; rows go by frame or by picture."""
    heads: dict[str, list[str]] = {}
    for row in rows:
        heads[row[0]] = row
        if row[0] == "coords":
            break
    if not {"bodyparts", "coords"} <= set(heads) or len({len(head) for head in heads.values()}) > 1:
        raise InputError(f"{where()}: a table of DeepLabCut begins with rows scorer, (individuals), bodyparts, coords")
    parts, coords = heads["bodyparts"], heads["coords"]
    who = heads.get("individuals", ["", *["1"] * (len(parts) - 1)])
    first = next((n for n, value in enumerate(coords) if value == "x"), len(coords))  # pictures have three columns
    joints = tuple(dict.fromkeys(parts[first:]))
    checks.joint_names(list(joints), where())
    at = {joint: n for n, joint in enumerate(joints)}
    columns = {(who[n], at[parts[n]], coords[n]): n for n in range(first, len(coords))}
    frames = _Frames(store)
    for row in _full(rows, where, len(coords)):
        name = "/".join(cell for cell in row[:first] if cell)
        if name.isdecimal():
            frames.start(_whole(name, where()), math.nan, where())
        else:
            frames.picture(name)
        for one in dict.fromkeys(who[first:]):
            table = np.zeros((len(joints), 3))
            for n in range(len(joints)):
                x, y, sure = (columns.get((one, n, value)) for value in ("x", "y", "likelihood"))
                if x is not None and y is not None:
                    table[n] = _joint(row[x], row[y], "1" if sure is None else row[sure], where())
            if table[:, 2].any():
                frames.add(re.sub(r"^id(?=\d+$)", "", one), table, where())
    store.notices.append(_BOXLESS)
    return joints


class _Frames:
    """Puts frames and their people into a store."""

    def __init__(self, store: PoseStore) -> None:
        self._store, self.index = store, -1

    def start(self, index: int, seconds: float, where: str) -> None:
        """Go on with a frame, which may be the one before."""
        if index < self.index:
            raise InputError(f"{where}: frame {index} comes after frame {self.index}; sort the rows by frame")
        if index > self.index:
            self.index = index
            self._store.add_frame(index, "", index, None, None, None if math.isnan(seconds) else seconds)

    def picture(self, name: str) -> None:
        """Go on with a picture."""
        self.index += 1
        self._store.add_frame(self.index, name)

    def add_all(self, people: dict[str, np.ndarray], where: str) -> None:
        for track, table in people.items():
            self.add(track, np.nan_to_num(table), where)

    def add(self, track: str, table: np.ndarray, where: str, box: np.ndarray | None = None, score: float = 1.0) -> None:
        """A person of the frame: (K, 3) x, y, confidence."""
        known = track not in _ABSENT and (box is not None or (table[:, 2] > 0).any())
        number = self._store.track(track.removesuffix(".0")) if known else None
        self._store.add_person(self.index, number, 0, score, box, table, where)


def _full(rows: Iterator[list[str]], where: Any, columns: int) -> Iterator[list[str]]:
    for row in rows:
        if len(row) != columns:
            raise InputError(f"{where()}: has {len(row)} cells, the first line {columns}")
        yield row


def _joint(x: str, y: str, confidence: str, where: str) -> tuple[float, float, float]:
    """A joint as the program has it: zeros where it is absent."""
    values = _float(x, where), _float(y, where), min(_float(confidence, where), 1.0)
    return values if values[2] > 0 and not math.isnan(sum(values)) else (0.0, 0.0, 0.0)


def _float(cell: str, where: str) -> float:
    """NaN for an empty cell."""
    if cell in _ABSENT:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if not abs(value) <= checks.MAX_COORDINATE:
        raise InputError(f"{where}: {cell[:40]!r} is not a number that could stand there")
    return value


def _whole(cell: str, where: str) -> int:
    text = cell.removesuffix(".0")
    if not text.isdecimal() or not text.isascii() or len(text) > 18:
        raise InputError(f"{where}: {cell[:40]!r} is not a whole number")
    return int(text)
