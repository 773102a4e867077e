"""Outputs and inputs that cannot be meant are refused in one line, before anything is made or loaded."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftpcli.annotation.conversion import convert
from ftpcli.errors import EXIT_USAGE
from ftpcli.formats import write_poses
from tests.support.formats_samples import frames, header
from tests.support.odd_videos import encode
from tests.support.tiny import Ran

ADDRESS = "http://127.0.0.1:9/x.mp4"


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "a.jsonl", "-", "--to", "openpose"],
        ["convert", "a.jsonl", "-", "--to", "yolo"],
        ["convert", "a.jsonl", "b.csv", "--video", "clip.mp4", "--frames", "-"],
        ["annotate", "clip.mp4", "--out", "b.jsonl", "--frames", "-"],
        ["annotate", "clip.mp4", "other.mp4", "--out", "-"],
        ["train", "--data", "poses=a.jsonl", "--preset", "tiny", "--steps", "1", "--out", "-"],
        ["train-detector", "--data", "a=a.jsonl", "--steps", "1", "--out", "-"],
        ["bench", ADDRESS],
        ["info", ADDRESS],
        ["convert", ADDRESS, "b.csv"],
        ["review", "a.jsonl", ADDRESS],
        ["eval", "--annotations", ADDRESS, "--predictions", "a.jsonl", "--metric", "coco"],
        ["convert", "a.jsonl", "b.csv", "--video", ADDRESS],
    ],
    ids=" ".join,
)
def test_one_line(
    tmp_path: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_poses("a.jsonl", header(frames=4), frames(4))
    Path("clip.mp4").touch()
    Path("other.mp4").touch()
    before = sorted(os.listdir())
    run = command(*arguments)
    assert run.code == EXIT_USAGE and len(run.lines) == 1, run.err
    assert (
        "is an address; download the file" in run.err if ADDRESS in arguments else "is standard output; name a folder"
    )
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["annotate", "clip.mp4", "--out", "b.jsonl", "--batch", "1000000000"],
        ["annotate", "clip.mp4", "--out", "b.jsonl", "--jobs", "100000"],
        ["bench", "clip.mp4", "--batch", "1000000000"],
        ["eval", "--data", "a.jsonl", "--dataset", "coco", "--batch", "1000000000"],
        ["train", "--data", "poses=a.jsonl", "--out", "run", "--batch", "1000000000"],
        ["train", "--data", "poses=a.jsonl", "--out", "run", "--threads", "100000"],
        ["train", "--data", "poses=a.jsonl", "--out", "run", "--depth", "1000000000"],
        ["eval", "--data", "a.jsonl", "--dataset", "coco", "--blur", "1000000000"],
        ["train", "--data", "poses=a.jsonl", "--out", "run", "--workers", "100000"],
        ["train-detector", "--data", "a=a.jsonl", "--out", "run", "--batch", "1000000000"],
        ["train-detector", "--data", "a=a.jsonl", "--out", "run", "--threads", "100000"],
    ],
    ids=" ".join,
)
def test_numbers_that_no_machine_can_take(
    tmp_path: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_poses("a.jsonl", header(frames=4), frames(4))
    Path("clip.mp4").touch()
    run = command(*arguments)
    assert run.code == EXIT_USAGE and len(run.lines) == 1 and arguments[-2].strip("-") in run.err, run.err
    assert sorted(os.listdir()) == ["a.jsonl", "clip.mp4"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["annotate", "lfs.mp4", "--out", "b.jsonl"],
        ["annotate", "lfs", "--out", "b.jsonl"],
        ["annotate", "clip.mp4", "--out", "b.jsonl", "--weights", "lfs.safetensors"],
        ["annotate", "clip.mp4", "--out", "b.jsonl", "--weights", "lfs.pth"],
        ["annotate", "clip.mp4", "--out", "b.jsonl", "--detector", "lfs.onnx"],
        ["annotate", "clip.mp4", "--out", "b.jsonl", "--boxes", "lfs.txt"],
        ["info", "lfs.jsonl"],
        ["convert", "lfs.zip", "b.csv"],
        ["review", "a.jsonl", "lfs.mp4", "--out", "b.html"],
        ["eval", "--data", "lfs", "--dataset", "clips"],
        ["train", "--data", "coco=lfs.json", "--out", "run"],
        ["train-detector", "--data", "a=lfs.json", "--out", "run"],
        ["import", "lfs.pth", "--out", "b.safetensors"],
    ],
    ids=" ".join,
)
def test_what_git_lfs_left_in_a_file_s_place(
    tmp_path: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_poses("a.jsonl", header(frames=4), frames(4))
    encode(Path("clip.mp4"), count=4)
    Path("lfs").mkdir()
    pointers = [f"lfs.{end}" for end in ("mp4", "safetensors", "pth", "onnx", "txt", "jsonl", "zip", "json")]
    for name in (*pointers, "lfs/0.jpg", "lfs/clips.json"):
        Path(name).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n")
    before = sorted(os.listdir())
    run = command(*arguments)
    assert run.code == 1 and "git lfs pull" in run.err and len(run.lines) == 1, run.err
    assert sorted(os.listdir()) == before


def test_an_error_of_a_frame_names_the_file(tmp_path: Path, command: Callable[..., Ran]) -> None:
    write_poses(tmp_path / "a.jsonl", header(frames=4), [replace(frame, seconds=math.nan) for frame in frames(4)])
    for words in (("smooth", tmp_path / "a.jsonl", tmp_path / "b.jsonl"), ("convert", tmp_path / "a.jsonl", "b.trc")):
        run = command(*words)
        assert run.code == 1 and re.match(rf"ftp: {tmp_path}/a\.jsonl: frame 0: has no time", run.lines[-1])


def test_progress_counts_the_frames_that_come(tmp_path: Path) -> None:
    """Of the video, where it is given; a file may hold some of its frames only."""
    from tests.support.training_data import make_clips

    make_clips(tmp_path, clips=1, frames=9)
    write_poses(tmp_path / "a.jsonl", header(path="0.mp4", width=160, height=200, frames=4), frames(4))
    convert(tmp_path / "a.jsonl", tmp_path / "some.csv", every=2, progress=(alone := Told()))
    assert alone.calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    some = tmp_path / "some.json"
    convert(tmp_path / "a.jsonl", some, "labelstudio", every=2)
    convert(some, tmp_path / "b.jsonl", video=tmp_path / "0.mp4", progress=(paired := Told()))
    assert [done for done, _ in paired.calls] == list(range(1, 10))
    assert {total for _, total in paired.calls} <= {9, None}


class Told:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, done: int, total: int | None) -> None:
        self.calls.append((done, total))
