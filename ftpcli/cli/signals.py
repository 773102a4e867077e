"""Stopping on Ctrl-C and SIGTERM without losing work. Used by every command that runs for long."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import typer


class Stop:
    """Whether the program was asked to stop. Calling it asks.

    Attributes:
        signal: number of the signal, None until one comes.
    """

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.signal or 0)


@contextmanager
def stop_signals(notice: str = "") -> Iterator[Stop]:
    """Notes SIGINT and SIGTERM inside the block; a second one ends the program at once.

    Args:
        notice: a line for stderr when the first signal comes.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # only there Python lets signals be handled
        yield stop
        return

    def note(number: int, frame: Any) -> None:
        if stop():
            sys.exit(128 + number)
        stop.signal = number
        if notice:
            try:
                typer.echo(f"ftp: {notice}", err=True)
            except (
                RuntimeError
            ):  # the signal came while a line was being written there: Python refuses to begin another
                os.write(sys.stderr.fileno(), f"ftp: {notice}\n".encode())

    previous = {
        number: signal.signal(number, note)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) != signal.SIG_IGN  # under nohup, or in a shell's background
    }
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Apart:
    """For what must not be interrupted, but would be: what is called in the block sets no signal handlers, and what it
    forks has a process group of its own, which signals to all processes of the program do not reach. On Linux alone.
    """

    def __enter__(self) -> Self:
        self._set, signal.signal = signal.signal, lambda number, handler: signal.getsignal(number)  # type: ignore[assignment]
        self._inside, self._pipe = True, os.pipe()
        if sys.platform == "linux":  # elsewhere Ray ends its processes by their common group
            os.register_at_fork(after_in_child=self._leave)
        return self

    def _leave(self) -> None:
        if self._inside:
            os.setpgid(0, 0)
            os.write(self._pipe[1], os.getpid().to_bytes(8))

    def __exit__(self, *_: object) -> None:
        signal.signal, self._inside = self._set, False
        os.close(self._pipe[1])
        with open(self._pipe[0], "rb") as numbers:
            self._groups = [int.from_bytes(number) for number in iter(lambda: numbers.read(8), b"")]

    def kill(self) -> None:
        """After the block: end what was forked in it, and what that started."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
