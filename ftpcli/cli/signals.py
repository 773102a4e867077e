"""Stopping on Ctrl-C and SIGTERM without losing work. Used by every command that runs for long."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
            typer.echo(f"ftp: {notice}", err=True)

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
