"""Reading a JSON document of any size piece by piece: its root's lists, element by element."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ftpcli.errors import InputError
from ftpcli.files.checked_json import MAX_ELEMENT, as_list, unreadable
from ftpcli.files.inputs import require_file

_CHUNK = 1 << 20
_WORD = 9  # characters of the longest word of JSON, which may be cut: -Infinity
_NO_END = "the value has no end"
#: NaN and Infinity are read here, as Python's own programs write them; the check of the field that holds one names it.
_DECODER = json.JSONDecoder()


class Document:
    """A JSON object in a file, or a plain list. Memory holds one element of its lists at a time.

    Attributes:
        keys: root keys met so far, in the order of the file; empty for a plain list.
        plain: whether the file turned out to be a plain list.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.keys: list[str] = []
        self.plain = False

    def items(self, *lists: str) -> Iterator[tuple[str, Any, str]]:
        """Yields (root key, value, where): of the root's ``lists`` and of a plain list (key "") every element.

        Other lists are passed over; values that are no lists come as they are.

        Raises:
            InputError: the file cannot be read, is cut, is neither object nor list, holds one of ``lists`` twice or
                as something else, or has an element longer than MAX_ELEMENT.
        """
        require_file(self.path)
        try:
            with open(self.path, encoding="utf-8-sig", newline="") as handle:
                yield from self._root(_Scanner(handle, self.path), lists)
        except (OSError, UnicodeDecodeError) as error:
            raise unreadable(self.path, error) from error

    def _root(self, scanner: _Scanner, lists: tuple[str, ...]) -> Iterator[tuple[str, Any, str]]:
        if scanner.peek() == "[":
            self.plain = True
            yield from self._elements(scanner, "")
        else:
            scanner.take("{")
            first = True
            while scanner.peek() != "}":
                if not first:
                    scanner.take(",")
                first = False
                key = scanner.value()
                if not isinstance(key, str):
                    raise scanner.error("a key should be text")
                scanner.take(":")
                if key in lists and key in self.keys:
                    raise scanner.error(f"{key!r} stands twice")
                if key in lists:
                    if scanner.peek() != "[":
                        as_list(scanner.value(), f"{key!r}", self.path)
                    self.keys.append(key)
                    yield from self._elements(scanner, key)
                elif scanner.peek() == "[":
                    for _ in scanner.elements():
                        pass
                else:
                    yield key, scanner.value(), f"{self.path}, {key!r}"
            scanner.take("}")
        if scanner.peek():
            raise scanner.error("something follows the end of the document (ftp convert makes COCO of JSON Lines)")

    def _elements(self, scanner: _Scanner, key: str) -> Iterator[tuple[str, Any, str]]:
        start = f"{self.path}, {key} entry " if key else f"{self.path}, entry "
        for number, value in enumerate(scanner.elements(), 1):
            known = value.get("id") if isinstance(value, dict) else None
            yield key, value, f"{start}{number}" if known is None else f"{start}{number} (id {str(known)[:40]})"


class _Scanner:
    """A window onto the text that grows until the value at hand is whole."""

    def __init__(self, handle: TextIO, path: str) -> None:
        self._handle = handle
        self._path = path
        self._buffer = ""
        self._at = 0
        self._before = 0  # characters dropped from the front of the buffer
        self._ended = False

    def error(self, what: str, ahead: int = 0) -> InputError:
        position = self._before + self._at + ahead + 1
        return InputError(f"{self._path}: not a whole JSON document: {what} at character {position}")

    def _grow(self) -> bool:
        """Read on, doubling what is not yet used up to a little over MAX_ELEMENT; False at the end of the file."""
        if self._ended:
            return False
        self._buffer = self._buffer[self._at :]
        self._before += self._at
        self._at = 0
        more = self._handle.read(max(_CHUNK, min(len(self._buffer), MAX_ELEMENT + 1 - len(self._buffer))))
        self._ended = not more
        self._buffer += more
        return not self._ended

    def peek(self) -> str:
        """The next character that is not white space, or "" at the end."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._grow():
                return ""

    def take(self, expected: str) -> None:
        found = self.peek()
        if found != expected:
            raise self.error(f"{expected!r} expected" if found else f"the file ends where {expected!r} is expected")
        self._at += 1

    def elements(self) -> Iterator[Any]:
        """The elements of the list that starts here."""
        self.take("[")
        first = True
        while self.peek() != "]":
            if not first:
                self.take(",")
            first = False
            yield self.value()
        self.take("]")

    def value(self) -> Any:
        """The whole value that starts here."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except RecursionError:
                raise self.error("nested too deeply") from None
            except json.JSONDecodeError as error:
                problem, ahead = error.msg, error.pos - self._at
            except ValueError as error:
                raise self.error(str(error).split(";")[0]) from None
            else:
                # A number at the very end of the buffer may go on in the file.
                if end < len(self._buffer) or self._ended:
                    self._at = end
                    return value
                problem, ahead = _NO_END, end - self._at
            if len(self._buffer) - self._at > MAX_ELEMENT:
                raise self.error(
                    f"an entry is longer than {MAX_ELEMENT >> 20} MB, or {problem[0].lower()}{problem[1:]}", ahead
                )
            if not self._grow() and problem != _NO_END:
                if ahead >= len(self._buffer.rstrip()) - _WORD or problem.startswith("Unterminated"):
                    raise self.error("the file ends in mid-entry, so its end is missing,", len(self._buffer) - 1)
                raise self.error(problem, ahead)
