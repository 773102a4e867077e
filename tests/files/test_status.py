"""The status file of a folder."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpcli.errors import InputError, OutputError
from ftpcli.files.lock import open_locked
from ftpcli.files.status import NAME, StatusFile, summed_up
from tests.support.tiny import Ran


def _append(folder: str, name: str) -> None:
    for number in range(50):
        StatusFile(folder).append("done", source=f"{name}{number}", out=f"{name}{number}.json", frames=2, seconds=0.5)


def test_many_write_at_once(tmp_path: Path) -> None:
    """Four processes at the same file: every line whole, none lost."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(str(tmp_path), name)) for name in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()]
    assert len({line["source"] for line in lines}) == len(lines) == 200


def test_a_torn_line_harms_no_other(tmp_path: Path) -> None:
    status = StatusFile(tmp_path)
    status.append("done", source="a.mp4", out="a.json", sha256="1")
    with open(status.path, "a") as file:
        file.write('[1]\n\n{"state": "do')
    assert status.done(Path("a.json")) and not status.done(Path("b.json"))
    status.append("done", source="b.mp4", out="b.json", sha256="2")
    status.append("done", source="a.mp4", out="a.json", sha256="3")
    assert [(status.done(Path(f"{name}.json")) or {})["sha256"] for name in "ab"] == ["3", "2"]
    with open(status.path) as file:
        assert sum(not line.startswith("{") or not line.endswith("}\n") for line in file) == 3  # one of them is empty
    assert summed_up(str(tmp_path))["broken_lines"] == status.broken == 2


def test_a_lock_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftpcli.files.status._PATIENCE", 0.05)
    held = open_locked(str(tmp_path / NAME))
    assert held is not None
    with pytest.raises(OutputError, match="another program keeps it locked"):
        StatusFile(tmp_path).append("run")
    os.close(held)
    StatusFile(tmp_path).append("run")
    with pytest.raises(OutputError, match="the folder does not exist"):
        StatusFile(tmp_path / "none").append("run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to("/dev/full")
    with pytest.raises(OutputError, match="no space left"):
        StatusFile(tmp_path).append("run")


def test_summing_up(tmp_path: Path, command: Callable[..., Ran]) -> None:
    with pytest.raises(InputError, match="there is none; name an --out folder"):
        summed_up(str(tmp_path))
    status = StatusFile(tmp_path)
    status.append("run", inputs=6, shard=None)
    for name in "abc":
        status.append("failed", source=f"{name}.mp4", error=f"{name}.mp4: is damaged")
    for name, exists in {"a": True, "d": True, "e": False}.items():
        status.append("done", source=f"{name}.mp4", out=f"{name}.json", frames=10, people=3, seconds=2.5)
        if exists:
            (tmp_path / f"{name}.json").touch()
    (tmp_path / "f.json.part.jsonl").touch()
    (tmp_path / "g.json.part.jsonl").touch()
    os.utime(tmp_path / "g.json.part.jsonl", (1e9, 1e9))
    (tmp_path / "h.json.part.jsonl").touch()  # of a run with --split, whose stretches alone are written for long
    os.utime(tmp_path / "h.json.part.jsonl", (1e9, 1e9))
    (tmp_path / "h.json.split").mkdir()
    for name in ("detections-00000", "detections-00001", "people-00000", "people-00001", "poses-00000"):
        (tmp_path / "h.json.split" / f"{name}.jsonl").touch()
    found = summed_up(str(tmp_path))
    assert (found["done"], found["left"], found["frames"], found["seconds"]) == (2, 2, 20, 5.0)
    assert [one["source"] for one in found["failed"]] == ["b.mp4", "c.mp4"]
    assert [(one["file"][0], one["at_work"]) for one in found["unfinished"]] == [
        ("f", True), ("g", False), ("h", True)
    ]  # fmt: skip
    said = command("status", tmp_path)
    assert said.code == 0 and said.out.startswith("2 done, 2 failed, 2 left of the latest run's 6\n20 frames in 5.0 s")
    assert "failed: b.mp4: is damaged\n" in said.out and "at work: f.json" in said.out
    assert "s ago; detections of 2 stretches, poses of 1 stretch begun\n" in said.out
    assert json.loads(command("status", tmp_path, "--json").out)["hosts"] == found["hosts"]


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e308, 10**400, -5, "7", None])
def test_numbers_that_are_none(number: object, tmp_path: Path, command: Callable[..., Ran]) -> None:
    status = StatusFile(tmp_path)
    status.append("run", inputs=number)
    for name in "ab":
        (tmp_path / f"{name}.json").touch()
        status.append("done", source=f"{name}.mp4", out=f"{name}.json", frames=number, seconds=number)
    with open(status.path, "a") as file:
        file.write('{"state": "run", "inputs": NaN, "time": NaN}\n')
    assert summed_up(str(tmp_path))["frames"] == 0 and command("status", tmp_path).out == "2 done, 0 failed\n"
    said = json.loads(command("status", tmp_path, "--json").out, parse_constant=pytest.fail)
    assert said["inputs"] is said["left"] is said["started"] is None


def test_lines_are_read_once(tmp_path: Path) -> None:
    """A look-up reads what is new, not the whole file again."""
    status = StatusFile(tmp_path)
    status.append("done", out="a.json", source="a")
    assert status.done(Path("a.json"))
    size = status.path.stat().st_size
    with open(status.path, "r+b") as file:  # what was read is not read again
        file.write(b"x" * (size - 1))
    assert status.done(Path("a.json")) and not status.new()


def test_reading_it_loads_nothing_heavy(tmp_path: Path) -> None:
    StatusFile(tmp_path).append("run", inputs=1)
    code = (
        "import sys; sys.argv = ['ftp', 'status', sys.argv[1]]\nfrom ftpcli.cli import main\n"
        "try:\n    main()\nfinally:\n    assert not {'numpy', 'torch', 'av'} & sys.modules.keys()"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout == "0 done, 0 failed, 1 left of the latest run's 1\n", run.stderr
