"""Warnings of an evaluation: one line per kind, naming the first file concerned."""

from __future__ import annotations

from pathlib import Path


class Notices:
    """Collects warnings; the same kind for several files becomes one line."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str, set[str]]] = {}

    def add(self, kind: str, path: Path | str, text: str) -> None:
        """Note ``text`` about a file under a kind."""
        first = self._found.setdefault(kind, (str(path), text, set()))
        first[2].add(str(path))

    def lines(self) -> list[str]:
        """``FILE: text``, in the order first seen."""
        return [
            f"{path}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {text}"
            for path, text, paths in self._found.values()
        ]
