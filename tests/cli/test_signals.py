"""Stopping on a signal, whatever the program is doing."""

from __future__ import annotations

import io
import os
import signal
import sys

import pytest

from ftpcli.cli.signals import stop_signals


class Interrupted(io.RawIOBase):
    """Standard error, on whose first line the signal comes while the line is being written."""

    def __init__(self, file: int) -> None:
        self._file, self._sent = file, False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file

    def write(self, content: object) -> int:
        if not self._sent:
            self._sent = True
            os.kill(os.getpid(), signal.SIGTERM)
        return os.write(self._file, bytes(content))  # type: ignore[call-overload]


def test_a_signal_may_come_while_a_line_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    error = io.TextIOWrapper(io.BufferedWriter(Interrupted(write)), write_through=True)
    monkeypatch.setattr(sys, "stderr", error)
    with stop_signals("stopping after this step") as stop:
        print("step 1", file=error, flush=True)
    assert stop.signal == signal.SIGTERM
    os.close(write)
    with open(read, "rb") as said:
        assert sorted(said.read().splitlines()) == [b"ftp: stopping after this step", b"step 1"]
