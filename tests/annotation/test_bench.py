"""``ftp bench``, and the accounts that it reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftpcli.device import Threads
from ftpcli.files.stages import Stage, in_stage, measured, stage
from samples.make_sample import make_sample
from tests.support.tiny import Ran


def spend(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_each_second_belongs_to_the_innermost_stage() -> None:
    def source() -> Iterator[int]:
        for number in range(2):
            spend(0.02)
            yield number

    def doubled(numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            spend(0.01)
            yield 2 * number

    with measured() as spent:
        for _ in in_stage(Stage.TRACK, doubled(in_stage(Stage.DECODE, source()))):
            spend(0.03)  # nobody's
            with stage(Stage.WRITE):
                spend(0.01)
    assert set(spent) == {Stage.DECODE, Stage.TRACK, Stage.WRITE}
    for name, seconds in {Stage.DECODE: 0.04, Stage.TRACK: 0.02, Stage.WRITE: 0.02}.items():
        assert seconds <= spent[name] < seconds + 0.01, name
    with stage(Stage.DRAW):
        spend(0.001)
    assert Stage.DRAW not in spent  # nobody measures any more


def test_work_in_other_threads_is_that_of_the_stage_which_asked_for_it() -> None:
    def work(part: list[int]) -> list[int]:
        spend(0.01)
        with stage(Stage.CROP):
            spend(0.005)
        return part

    threads = Threads(1, 3)
    with measured() as spent, stage(Stage.DETECT):
        threads.map(work, list(range(6)))  # type: ignore[arg-type]
    assert 0.06 <= spent[Stage.DETECT] < 0.09 and 0.03 <= spent[Stage.CROP] < 0.05


def test_bench(command: Callable[..., Ran], tiny_model: Path, random_detector: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    make_sample(clip, seconds=0.4, width=96, height=64, people=3)
    given = ("bench", clip, "--weights", tiny_model, "--detector", random_detector, "--rounds", 1, "--device", "cpu")
    ran = command(*given, "--json", "--overlay", "--against", "yolo26n-pose")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert (
        report["frames"] == 10
        and report["poses"] > 0
        and report["wall"] > 0
        and report["frames_per_second"] == 10 / report["wall"]
    )
    assert {"decode", "detect", "track", "write", "draw"} <= set(report["stages"])
    assert sum(one["share"] for one in report["stages"].values()) == pytest.approx(1, abs=0.02)
    assert report["against"]["speed_ratio_cpu"] == pytest.approx(report["against"]["cpu"] / report["cpu"])
    assert report["peak_memory_mib"] is None or 50 < report["peak_memory_mib"] < 20_000

    ran = command(*given)
    assert ran.code == 0 and "detect" in ran.out and "frames/s" in ran.out and "10 frames" in ran.out
    ran = command(*given, "--against", "no-such-model")
    assert ran.code == 2 and "try yolo26n-pose" in ran.err


def test_table_two_has_the_papers_rows(command: Callable[..., Ran], tmp_path: Path) -> None:
    ran = command("bench", "--table2", "tiny", "--batch", "2", "--rounds", "1", "--device", "cpu", "--json")
    assert ran.code == 0, ran.err
    baseline, both, pruned = json.loads(ran.out)
    assert baseline["parameters"] < both["parameters"] == pruned["parameters"]
    assert all(row["video"] < row["paper"] for row in (baseline, both, pruned))
    assert command("bench", "--table2", "tiny", "--precision", "int8").code == 2
    for words in ((), (tmp_path / "clip.mp4", "--table2", "tiny")):
        ran = command("bench", *words)
        assert ran.code == 2 and ran.lines == ["ftp: give either a clip or --table2 PRESET"]
