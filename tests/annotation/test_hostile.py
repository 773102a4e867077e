"""A sample of the fuzz run (``python -m tests.support.fuzz`` is the whole), and the paths of a pose model gone mad."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.support.fuzz import OUTCOMES, Tally, fuzz, mutate, table
from tests.support.odd_videos import encode
from tests.support.tiny import CONFIG, mot_boxes, records

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="resource limits of Unix")


@pytest.mark.parametrize(("kind", "count"), [("videos", 30), ("poses", 16), ("weights", 12)])
def test_damaged_files(kind: str, count: int, tmp_path: Path) -> None:
    tally = fuzz(kind, count, tmp_path)
    assert tally.faults == []
    assert tally.count["right"] + tally.count["refused"] == count
    assert tally.count["refused"] > 0 and tally.memory < 2048


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("videos", 1000), ("poses", 300), ("weights", 300)])
def test_damaged_files_by_the_hundred(kind: str, count: int, tmp_path: Path) -> None:
    assert fuzz(kind, count, tmp_path, seed=1).faults == []


def test_mutations_change_something_and_repeat() -> None:
    import random

    sound = bytes(range(256)) * 20
    made = [mutate(sound, random.Random(seed)) for seed in range(50)]
    assert made == [mutate(sound, random.Random(seed)) for seed in range(50)]
    assert sum(data != sound for data in made) > 45 and len(set(made)) > 45


def test_the_table_counts_what_was_tried() -> None:
    tally = Tally()
    tally.count.update({"right": 3, "refused": 2})
    lines = table({"videos": tally}, (50, 49)).splitlines()
    line = next(line for line in lines if line.startswith("| videos"))
    assert line == "| videos | 5 | 3 | 2 | 0 | 0 | 0 | 0 | 0.0 |" and len(OUTCOMES) == 5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 6e4])
def test_weights_that_are_not_numbers(value, command, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A model may have diverged; the files must stay sound."""
    from ftpcli.model.ftp_pose import FTPPose
    from ftpcli.pose.weights import save_weights

    torch.manual_seed(0)
    state = {
        name: torch.full_like(t, value) if t.is_floating_point() else t
        for name, t in FTPPose(CONFIG).state_dict().items()
    }
    save_weights(tmp_path / "mad.safetensors", state, CONFIG, {})
    clip = encode(tmp_path / "clip.mp4", count=3)
    boxes = mot_boxes(tmp_path / "boxes.txt", 3)
    out = tmp_path / "out.jsonl"
    ran = command("annotate", clip, "--boxes", boxes, "--weights", tmp_path / "mad.safetensors", "--out", out)
    assert "Traceback" not in ran.err and "fault of the program" not in ran.err
    if ran.code == 0:
        for row in records(out)[1]:
            for person in row["people"]:
                assert all(-1e6 < v < 1e6 for point in person["keypoints"] for v in point)
    else:
        assert len(ran.lines) == 1
