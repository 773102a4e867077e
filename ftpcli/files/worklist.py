"""Work lists: the inputs of ``--inputs-from``, and the share of them that ``--shard`` takes. Imports nothing heavy."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ftpcli.errors import FtpError, InputError, UsageError
from ftpcli.files.inputs import STANDARD, Source, is_address, parse_time, require_file, resolve_inputs

COLUMNS = ("path", "start", "end", "boxes")


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of a work list, or a name on the command line.

    Attributes:
        path: what ``resolve_inputs`` takes.
        start, end: seconds on the source's clock; None goes by the command line.
        boxes: as ``--boxes``.
    """

    path: str
    start: float | None = None
    end: float | None = None
    boxes: str | None = None


def read_worklist(name: str) -> list[Row]:
    """The rows of a list: a table where its name ends in ``.csv``, else one path a line; ``-`` is standard input.

    Paths are relative to the working folder, as on the command line. Empty lines count for nothing.

    Raises:
        InputError: it cannot be read.
        UsageError: it names nothing, or its table is none; the message names the line.
    """
    try:
        if name == STANDARD:
            text = sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape")
        else:
            require_file(name)
            text = Path(name).read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from error
    lines = re.split(r"\r?\n", text)
    rows = _table(name, lines) if Path(name).suffix.lower() == ".csv" else [Row(line) for line in lines if line]
    if not rows:
        raise UsageError(f"--inputs-from {name}: names no input; give one path a line")
    return rows


def _table(name: str, lines: list[str]) -> list[Row]:
    reader = csv.reader(lines, delimiter=";" if ";" in lines[0] else ",", strict=True)
    rows = []
    try:
        columns = [column.strip() for column in next(reader)]
        if "path" not in columns or len(set(columns)) < len(columns) or set(columns) - set(COLUMNS):
            raise UsageError(f"{name}: its first line has to name the columns: path, and some of start, end, boxes")
        for cells in reader:
            if not any(cells):
                continue
            where = f"{name}, line {reader.line_num}"
            if len(cells) != len(columns):
                raise UsageError(f"{where}: has {len(cells)} cells, the header {len(columns)}; quote paths with commas")
            cell = {column: value.strip() or None for column, value in zip(columns, cells, strict=True)}
            if cell["path"] is None:
                raise UsageError(f"{where}: has no path")
            try:
                start, end = (parse_time(cell[key] or "") if cell.get(key) else None for key in ("start", "end"))
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from None
            rows.append(Row(cell["path"], start, end, cell.get("boxes")))
    except csv.Error as error:
        raise UsageError(f"{name}, line {reader.line_num}: is not CSV ({error})") from error
    return rows


def resolve_rows(rows: Iterable[Row], *, allow_network: bool = False) -> tuple[list[Source], dict[str, FtpError]]:
    """The sources of all rows, and an error for each name that stands for nothing.

    The same video and times count once.

    Raises:
        UsageError: the same video and times with other boxes.
    """
    sources: dict[tuple[object, ...], Source] = {}
    failed: dict[str, FtpError] = {}
    for row in rows:
        found, errors = resolve_inputs([row.path], allow_network=allow_network)
        try:
            require_file(row.boxes)
        except FtpError as error:
            errors, found = [error, *errors], []
        if errors:
            failed[row.path] = errors[0]
        for source in found:
            source = replace(source, start=row.start, end=row.end, boxes=row.boxes)
            plain = source.path == STANDARD or is_address(source.path)
            key = (source.path if plain else os.path.realpath(source.path), row.start, row.end)
            if sources.setdefault(key, source).boxes != row.boxes:
                raise UsageError(f"{source.name}: is in the list twice, with other boxes; leave one of them")
    return list(sources.values()), failed


@dataclass(frozen=True, slots=True)
class Shard:
    """Share ``index`` of ``count``, from 1 on: an input belongs to it by its name alone, whatever else there is."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``3/16``.

        Raises:
            UsageError: anything else.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--shard {text}: give I/N with I from 1 to N, as in 3/16; add 1 to an index from 0")
        return cls(int(match[1]), int(match[2]))

    def has(self, name: str) -> bool:
        """Whether the input with this name belongs to the shard."""
        digest = hashlib.sha256(os.path.normpath(name).encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1
