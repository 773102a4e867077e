"""``ftp annotate`` in a process of its own, and what the status file of its outputs says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftpcli.files.status import NAME
from tests.conftest import ROOT

MAIN = "from ftpcli.cli import main; main()"


def start(*words: object, code: str = MAIN) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, "annotate", *map(str, words)],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT,
    )  # fmt: skip


def status_lines(out: Path, state: str = "done") -> list[dict[str, Any]]:
    """Of the status file, but for those that say that the work was done before."""
    path = out / NAME
    every = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in every if line["state"] == state and not line.get("already")]


def wait_until(condition: Callable[[], object], run: subprocess.Popen[str] | None = None, seconds: float = 300) -> bool:
    """Whether a condition came true, in time and before the run ended."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until or (run is not None and run.poll() is not None):
            return bool(condition())
        time.sleep(0.02)
    return True


def is_alive(process: int) -> bool:
    """Whether a process is there, and more than its exit code (Linux)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
