"""A pose model too small to be right, boxes files, and the ``ftp`` command in this process and in others."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from ftpcli.model.config import ModelConfig

CONFIG = ModelConfig(depth=2, image_size=(64, 48), width=64, shared_blocks=1, head_width=16, heatmap="softmax")


def tiny_weights(path: Path, *, seed: int = 0, config: ModelConfig = CONFIG) -> Path:
    """Random weights in a file of the usual kind."""
    import torch

    from ftpcli.model.ftp_pose import FTPPose
    from ftpcli.pose.weights import save_weights

    torch.manual_seed(seed)
    save_weights(path, FTPPose(config).state_dict(), config, {"step": 0})
    return path


def mot_boxes(path: Path, frames: int, size: tuple[int, int] = (96, 64), people: int = 2, absent: Any = ()) -> Path:
    """MOT text: people who walk to the right, each in a third of the picture; nobody in the ``absent`` frames.

    Person 2 leaves in the middle third of the clip, so that tracks end and begin.
    """
    width, height = size
    lines = []
    for index in range(frames):
        for person in range(1, people + 1):
            if index in absent or (person == 2 and frames // 3 <= index < 2 * frames // 3):
                continue
            left = width * (0.05 + 0.3 * (person - 1)) + index % 7
            lines.append(f"{index + 1},{person},{left:.2f},{height * 0.1:.2f},{width * 0.25:.2f},{height * 0.8:.2f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def records(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and records of a native poses file, as the JSON that they are."""
    first, *rest = path.read_text().splitlines()
    return json.loads(first), [json.loads(line) for line in rest]


def times(path: Path) -> list[tuple[int, int, float]]:
    """Index, pts and seconds of every frame, straight from the reader."""
    from ftpcli.video import VideoReader

    with VideoReader(path) as reader:
        return [(frame.index, frame.pts, frame.seconds) for frame in reader]


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Lines of stderr but for those that name the device and say that the program is there or gets ready."""
        usual = ("ftp: on ", "ftp: starting", "ftp: preparing")
        return [line for line in self.err.splitlines() if not line.startswith(usual)]


# --- the command in a process of its own --------------------------------------------------------------------------


def _context() -> ForkServerContext:
    """Processes that start in no time: a server has the libraries loaded and forks them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.loaded"])
    return context


def _command(arguments: Sequence[str], log: str, folder: str, before: Callable[[], None] | None) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(descriptor, 2)
    os.dup2(descriptor, 1)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (open until the process ends)
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    if before is not None:
        before()
    sys.argv = ["ftp", *arguments]
    from ftpcli.cli import main

    main()


class Command:
    """``ftp`` with some arguments, running beside the test."""

    def __init__(
        self, arguments: Iterable[object], folder: Path, before: Callable[[], None] | None = None, log: str = "log"
    ) -> None:
        self.log = folder / log
        words = [str(argument) for argument in arguments]
        self.process = _context().Process(
            target=_command, args=(words, str(self.log), str(folder), before), daemon=True
        )
        self.process.start()

    def wait(self, timeout: float = 300) -> int:
        """The exit code, as a shell would show it."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            raise AssertionError(f"still running after {timeout} s: {self.said}")
        code = self.process.exitcode or 0
        return 128 - code if code < 0 else code

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""
