"""What is said about a poses file is what was written into it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ftpcli.cli import main
from ftpcli.datasets.poses import open_poses
from ftpcli.formats.writer import write_poses
from ftpcli.inspection.summary import PersonSummary, summarise
from ftpcli.records import FramePoses, Pose
from tests.support.formats_samples import header

JOINTS = ("nose", "left_wrist")


def ftp(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["ftp", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def pose(track: int, x: float, *, filled: bool = False) -> Pose:
    points = np.array([[x, 50.0], [x + 10, 60.0]])
    return Pose(track, np.array([x, 0, x + 50, 100.0]), 0.8, points, np.array([0.9, 0.2]), filled)


def written(folder: Path) -> Path:
    """Frames 0 to 7: person 5 from 1 to 6 without 3 and 4, person 2 in 5, 6 and 7, where the nose leaps in 6."""
    people = {1: [(5, 10.0)], 2: [(5, 11.0)], 5: [(5, 12.0), (2, 100.0)], 6: [(5, 13.0), (2, 130.0)], 7: [(2, 102.0)]}
    frames = [
        FramePoses(n, n * 512, n / 25, tuple(pose(track, x, filled=n == 2) for track, x in people.get(n, ())))
        for n in range(8)
    ]
    out = folder / "poses.jsonl"
    write_poses(out, header(JOINTS), frames)
    return out


def test_people_gaps_and_leaps(tmp_path: Path) -> None:
    with open_poses(written(tmp_path)) as reader:
        found = summarise(reader)
    assert (found.frames, found.empty_frames, found.most_people, found.poses) == (8, 3, 2, 7)
    assert (found.first_seconds, found.last_seconds) == (0.0, 0.28)
    assert found.joints == {"nose": pytest.approx(0.9), "left_wrist": pytest.approx(0.2)} and found.doubtful == 0.5
    two, five = found.people
    assert two == PersonSummary(2, 5, 0.2, 7, 0.28, 3, 0, 0, 0, pytest.approx(0.55), 1)  # the wrist is too doubtful
    assert five == PersonSummary(5, 1, 0.04, 6, 0.24, 4, 1, 1, 2, pytest.approx(0.55), 0)


def test_frames_that_were_skipped_are_no_gaps(tmp_path: Path) -> None:
    """Of every fifth frame; person 2 is away for two of them."""
    people = [(1, 2), (1, 2), (1,), (1,), (1, 2)]
    frames = [FramePoses(5 * n, n, n / 5, tuple(pose(i, 5.0) for i in ids)) for n, ids in enumerate(people)]
    write_poses(tmp_path / "a.jsonl", header(JOINTS), frames)
    with open_poses(tmp_path / "a.jsonl") as reader:
        assert [(one.gaps, one.longest_gap) for one in summarise(reader).people] == [(0, 0), (1, 2)]


def test_a_file_without_times(tmp_path: Path) -> None:
    frames = [FramePoses(n, n, n / 25, (pose(1, 5.0),)) for n in range(2)]
    write_poses(tmp_path / "a.json", header(), [_with_joints(frame) for frame in frames])
    document = json.loads((tmp_path / "a.json").read_text())
    for image in document["images"]:  # as another tool writes it
        del image["seconds"], image["pts"]
    (tmp_path / "a.json").write_text(json.dumps(document))
    with open_poses(tmp_path / "a.json") as reader:
        found = summarise(reader)
    assert found.first_seconds is None and found.people[0].last_seconds is None
    assert not any(isinstance(v, float) and math.isnan(v) for v in found.to_dict().values())


def _with_joints(frame: FramePoses) -> FramePoses:
    one = frame.poses[0]
    points, confidence = np.tile(one.keypoints[:1], (19, 1)), np.full(19, 0.5)
    return FramePoses(frame.index, frame.pts, frame.seconds, (Pose(1, one.box, one.score, points, confidence),))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    poses = written(tmp_path)
    assert ftp(monkeypatch, "info", poses, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["people"][1]["longest_gap"] == 2 and said["source"]["path"] == "walk in park.mp4"
    assert said["run"]["version"] == "0.1.0"
    assert ftp(monkeypatch, "info", poses) == 0
    said = capsys.readouterr().out
    assert "8, 3 without anybody" in said and "walk in park.mp4" in said and "left_wrist" in said
    assert ftp(monkeypatch, "info", tmp_path / "none.json") == 1
    assert "none.json" in capsys.readouterr().err


def test_names_are_shown_as_they_are(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Square brackets are markup to the library that draws tables."""
    name = "[red]a[1] :smile:.jsonl"
    written(tmp_path).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    ran = command("info", name)
    assert ran.code == 0 and name in ran.out
