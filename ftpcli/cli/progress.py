"""Progress of a command on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Takes how many are done, how many there will be (None where unknown), and a note.
Report = Callable[[int, int | None, str], None]
End = Callable[[], None]

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
        with _display() as bar:
            yield _bar(bar, name, unit)[0]


@contextmanager
def bars(total: int, unit: str = "frames", *, quiet: bool = False) -> Iterator[Callable[[str], tuple[Report, End]]]:
    """As ``progress``, for several pieces of work at a time, with a bar for all of them.

    Yields a function that takes the name of a piece that begins, and gives its report and what is to be called at its
    end.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda name: ((lambda done, total, note: None) if quiet else _lines(name, unit), lambda: None)
        return
    with _display() as bar:
        everything = bar.add_task("all", total=total, note="")

        def begin(name: str) -> tuple[Report, End]:
            report, task = _bar(bar, name, unit)

            def end() -> None:
                bar.remove_task(task)
                bar.advance(everything)

            return report, end

        yield begin


def _display() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _bar(bar: Progress, name: str, unit: str) -> tuple[Report, TaskID]:
    from rich.markup import escape

    started, task = time.monotonic(), bar.add_task(escape(name), total=None, note="")

    def show(done: int, total: int | None, note: str) -> None:
        bar.update(task, completed=done, total=total, note=_with_speed(note, done, unit, started))

    return show, task


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
