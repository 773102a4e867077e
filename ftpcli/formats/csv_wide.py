"""CSV with one row a frame and person."""

from __future__ import annotations

from ftpcli.formats.csv import CsvSink
from ftpcli.skeleton import ANGLES


class CsvWideSink(CsvSink):
    """Columns ``NAME_x``, ``NAME_y`` and ``NAME_confidence`` for every joint, after the person's box and score."""

    lacks = ""

    def columns(self) -> list[str]:
        names = [f"{joint}_{value}" for joint in self.header.joints for value in ("x", "y", "confidence")]
        angles = [f"{name}_angle" for name in ANGLES] if self.options.angles else []
        return ["frame", "seconds", "track", "box_x", "box_y", "box_width", "box_height", "score", *names, *angles]

    def rows(self, start: list[str], person: list[str], joints: list[list[str]], angles: dict[str, str]) -> None:
        self._row([*start, *person, *(value for joint in joints for value in joint), *angles.values()])


SINK = CsvWideSink
