"""Several inputs side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpcli.files.status import NAME, summed_up
from tests.support.many_videos import is_alive, wait_until
from tests.support.odd_videos import encode
from tests.support.tiny import Ran

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    return [encode(tmp_path / f"{name}.mp4", count=count) for name, count in zip("abc", (9, 5, 7), strict=True)]


def test_side_by_side_is_as_one_after_the_other(
    command: Callable[..., Ran], clips: list[Path], tiny_model: Path, random_detector: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(b"nothing" * 100)
    models = ("--weights", tiny_model, "--detector", random_detector, "--detector-size", 64, "--device", "cpu")
    before = os.environ.get("OMP_NUM_THREADS")
    ran = [
        command(
            "annotate", damaged, *clips, "--format", "jsonl", "--out", tmp_path / str(jobs), "--jobs", jobs, *models
        )
        for jobs in (1, 2)
    ]
    assert os.environ.get("OMP_NUM_THREADS") == before
    for one in ran:
        assert one.code == 1 and [line for line in one.lines if "damaged.mp4" in line and "ftp: " in line], one.err
        assert sum(" frames, " in line for line in one.lines) == 3
    for clip in clips:
        whole, beside = ((tmp_path / jobs / f"{clip.stem}.jsonl").read_bytes() for jobs in "12")
        assert whole == beside and b'"track_id"' in whole
    for more in (("--jobs", 1), ("--jobs", 2), ("--split", 1)):
        deep = tmp_path / "x" / "y"
        one = command("annotate", *clips, "--out", deep, *more, "--weights", damaged, "--device", "cpu")
        assert one.code == 1 and sum("damaged.mp4" in line for line in one.lines) == 1  # said once
        assert not deep.parent.exists()  # made for nothing


def children(process: int) -> list[int]:
    """Jobs of a process that runs ``annotate``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process and b"spawn_main" in (folder / "cmdline").read_bytes():
            found.append(int(folder.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_job_takes_no_other_with_it(number: signal.Signals, tiny_model: Path, tmp_path: Path) -> None:
    """SIGKILL to a job; SIGTERM to the whole program, which keeps what is done."""
    clips = [encode(tmp_path / f"{name}.mp4", count=150) for name in "ab"]
    out = tmp_path / "out"
    words = ["annotate", *clips, "--out", out, "--format", "jsonl", "--jobs", 2, "--weights", tiny_model]
    run = subprocess.Popen(
        [sys.executable, "-m", "ftpcli", *map(str, [*words, "--device", "cpu"])],
        stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert wait_until(lambda: len(list(out.glob("*.part.jsonl"))) == 2, run)
        os.kill(children(run.pid)[0] if number == signal.SIGKILL else run.pid, number)
        said = run.communicate(timeout=300)[1]
    finally:
        run.kill()
    whole = [path for path in out.glob("*.jsonl") if ".part" not in path.name]
    if number == signal.SIGKILL:
        assert run.returncode == 1 and "was killed by signal 9" in said and len(whole) == 1, said
    else:
        assert run.returncode == 143 and "kept in" in said and not whole, said


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_jobs_end_with_a_program_that_was_killed(tiny_model: Path, tmp_path: Path) -> None:
    """Quietly and soon; what they stored is gone on with."""
    clips = [encode(tmp_path / f"{name}.mp4", count=150) for name in "ab"]
    out, said = tmp_path / "out", tmp_path / "said"
    words = ["annotate", *clips, "--out", out, "--format", "jsonl", "--jobs", 2, "--weights", tiny_model, "--resume"]
    command = [sys.executable, "-m", "ftpcli", *map(str, [*words, "--device", "cpu"])]
    with open(said, "w") as stderr, subprocess.Popen(command, stderr=stderr, cwd=ROOT) as run:
        assert wait_until(lambda: len(list(out.glob("*.part.jsonl"))) == 2, run)
        jobs = children(run.pid)
        run.kill()
    assert len(jobs) == 2 and wait_until(lambda: not any(map(is_alive, jobs)))
    assert not [line for line in said.read_text().splitlines() if not line.startswith("ftp: ")], said.read_text()
    assert not (out / NAME).exists() or not summed_up(str(out))["failed"]
    ran = subprocess.run(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert ran.returncode == 0 and "of them from the interrupted run" in ran.stderr, ran.stderr
