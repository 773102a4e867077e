"""The status file of a folder of outputs: what became of every input, one JSON object a line.

Any number of runs, on any number of machines, append to it under a lock. The latest line of an output counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftpcli.errors import InputError, OutputError
from ftpcli.files.lock import try_lock
from ftpcli.files.output import write_error

#: JSON Lines, but not called ``.jsonl``, as poses files of the same folder are.
NAME = "ftp-status.ndjson"
_PATIENCE = 60.0  # seconds for which another run may hold the lock
_MOST = 1e15  # frames or seconds
_AT_WORK = 60.0  # seconds since the last write of a run that is taken to be at work


class StatusFile:
    """The status file of ``folder``, to append to and to look outputs up in.

    Attributes:
        broken: lines that were passed over.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder, NAME)
        self._read = 0  # bytes
        self.broken = 0
        self._done: dict[str, dict[str, Any]] = {}

    def append(self, state: str, **values: Any) -> None:
        """Add a line with the time and this machine's name; it is on the file whole, or not at all.

        Args:
            state: ``run``, ``done`` or ``failed``.

        Raises:
            OutputError: it cannot be written, or its lock does not come free.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"state": state, "time": now, "host": socket.gethostname(), **values}) + "\n"
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise write_error(self.path, error) from error
        try:
            until = time.monotonic() + _PATIENCE
            while not try_lock(descriptor):
                if time.monotonic() > until:
                    raise OutputError(f"{self.path}: another program keeps it locked; end that and go on")
                time.sleep(0.01)
            end = os.lseek(descriptor, 0, os.SEEK_END)
            torn = False  # by a machine that went down, or a program that was killed
            if end:
                os.lseek(descriptor, end - 1, os.SEEK_SET)
                torn = os.read(descriptor, 1) != b"\n"
            data = memoryview(("\n" * torn + line).encode("ascii"))
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, end)
                raise
        except OSError as error:
            raise write_error(self.path, error) from error
        finally:
            os.close(descriptor)

    def new(self) -> list[dict[str, Any]]:
        """The lines that were added since the last call; one that is no JSON object is passed over and counted.

        Raises:
            InputError: it cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror})") from error
        data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        lines = []
        for line in filter(None, data.splitlines()):
            with contextlib.suppress(ValueError, RecursionError):
                if isinstance(value := json.loads(line), dict):
                    lines.append(value)
                    continue
            self.broken += 1
        return lines

    def done(self, out: Path) -> dict[str, Any] | None:
        """The latest line that says that this output of the folder is done; None where there is none."""
        self._done |= {str(line.get("out")): line for line in self.new() if line.get("state") == "done"}
        return self._done.get(out.name)


def summed_up(folder: str) -> dict[str, Any]:
    """What the status file of ``folder`` says, as JSON values; outputs that were deleted since are not done.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = Path(folder, NAME)
    if not path.is_file():
        raise InputError(
            f"{path}: there is none; name an --out folder of ftp annotate, which writes it once models are loaded"
        )
    run: dict[str, Any] = {}
    done: dict[str, dict[str, Any]] = {}
    failed: dict[str, dict[str, Any]] = {}
    status = StatusFile(folder)
    for line in status.new():
        state, source = line.get("state"), str(line.get("source"))
        if state == "run":
            run = line
        elif state == "done":
            out = str(line.get("out"))
            done[out] = done.get(out, line) if line.get("already") else line
            failed.pop(source, None)
        elif state == "failed":
            failed[source] = line
    done = {out: line for out, line in done.items() if Path(folder, out).exists()}
    unfinished = []
    for part in sorted(Path(folder).glob("*.part.jsonl")):
        with contextlib.suppress(OSError):  # it was finished meanwhile
            stretches = list(part.with_name(part.name.removesuffix(".part.jsonl") + ".split").glob("*.jsonl"))
            age = max(0.0, time.time() - max(path.stat().st_mtime for path in [part, *stretches]))
            begun = Counter(path.name.partition("-")[0] for path in stretches)
            state = {"file": part.name, "at_work": age < _AT_WORK, "last_written": round(age, 1)}
            unfinished.append(state | {"stretches": {what: begun[what] for what in ("detections", "poses")}})
    frames, seconds = (sum(_number(line.get(key)) for line in done.values()) for key in ("frames", "seconds"))
    inputs, started = run.get("inputs"), run.get("time")
    inputs = inputs if isinstance(inputs, int) and 0 <= inputs < _MOST else None
    return {
        "inputs": inputs,
        "done": len(done),
        "failed": [{"source": source, "error": str(line.get("error"))} for source, line in failed.items()],
        "unfinished": unfinished,
        "left": None if inputs is None else max(0, inputs - len(done) - len(failed)),
        "frames": int(frames),
        "seconds": round(seconds, 3),
        "hosts": dict(Counter(str(line.get("host")) for line in done.values())),
        "started": started if isinstance(started, str) else None,
        "broken_lines": status.broken,
    }


def _number(value: object) -> float:
    """A count or a time; 0 for what is none, or more than any run can have."""
    return value if isinstance(value, (int, float)) and 0 <= value < _MOST else 0.0
