"""Progress of a command on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

#: Takes how many are done, how many there will be (None where unknown), and a note.
Report = Callable[[int, int | None, str], None]

_LINE_EVERY = 10.0  # seconds between two lines where stderr is not a terminal


@contextmanager
def progress(name: str, unit: str = "frames", *, quiet: bool = False) -> Iterator[Report]:
    """Shows how far a piece of work is while the block runs.

    Args:
        name: what is worked on.
        unit: what is counted.
        quiet: show nothing.
    """
    if quiet:
        yield lambda done, total, note: None
    elif not sys.stderr.isatty():
        yield _lines(name, unit)
    else:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        started = time.monotonic()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(escape(name), total=None, note="")

            def show(done: int, total: int | None, note: str) -> None:
                bar.update(task, completed=done, total=total, note=_with_speed(note, done, unit, started))

            yield show


def _with_speed(note: str, done: int, unit: str, started: float) -> str:
    speed = f"{done / max(time.monotonic() - started, 1e-9):.1f} {unit}/s"
    return f"{note}, {speed}" if note else speed


def _lines(name: str, unit: str) -> Report:
    started = last = time.monotonic()

    def show(done: int, total: int | None, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _LINE_EVERY or done == total:  # the end has a line of its own
            return
        last = now
        of, left = "", ""
        if total:
            of, left = f" of {total}", f", {(total - done) * (now - started) / max(done, 1):.0f} s left"
        typer.echo(f"{name}: {done}{of} {unit}, {_with_speed(note, done, unit, started)}{left}", err=True)

    return show
