"""What people change by hand in our JSON Lines, and in MOT text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftpcli.annotation.conversion import convert
from ftpcli.datasets.boxes import POSETRACK2018, box_of_joints
from ftpcli.datasets.mot import read_mot
from ftpcli.datasets.poses import open_poses
from ftpcli.errors import InputError
from ftpcli.formats import write_poses
from ftpcli.skeleton import PERSON19
from ftpcli.training.sources import DataSpec, open_data
from tests.support.formats_samples import frames, header


def changed(path: Path, change: Callable[[dict[str, Any], list[dict[str, Any]]], None]) -> Path:
    write_poses(path, header(path="walk.mp4", frames=6), frames(6, seed=3))
    head, *records = (json.loads(line) for line in path.read_text().splitlines())
    change(head, records)
    path.write_text("".join(json.dumps(line) + "\n" for line in (head, *records)))
    return path


def _people(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [person for record in records for person in record["people"]]


@pytest.mark.parametrize("bbox", [[0, 0, 0, 0], None])
def test_a_person_without_a_box_gets_one_around_the_joints(tmp_path: Path, bbox: Any) -> None:
    def change(_: Any, records: list[dict[str, Any]]) -> None:
        first, second, *_ = _people(records)
        first |= {"bbox": bbox}
        second |= {"bbox": bbox, "keypoints": [[0, 0, 0]] * len(PERSON19.joints)}

    path = changed(tmp_path / "a.jsonl", change)
    wanted = [pose for frame in frames(6, seed=3) for pose in frame.poses]
    with open_poses(path) as reader:
        found = [pose for frame in reader for pose in frame.poses]
        assert len(found) == len(wanted) - 1
        assert list(reader.warnings) == ["1 person is left out: 1 without joints and without a box"]
        assert len([pose for frame in reader for pose in frame.poses]) == len(found) and len(reader.warnings) == 1
    joints = found[0].keypoints[found[0].confidence > 0]
    np.testing.assert_allclose(found[0].box, box_of_joints(joints, POSETRACK2018))
    done = convert(path, tmp_path / "out.json")
    assert any("1 person is left out" in line for line in done.warnings)


def test_nobody_left_is_an_error(tmp_path: Path) -> None:
    def change(_: Any, records: list[dict[str, Any]]) -> None:
        for person in _people(records):
            person |= {"bbox": None, "keypoints": [[0, 0, 0]] * len(PERSON19.joints)}

    with (
        open_poses(changed(tmp_path / "a.jsonl", change)) as reader,
        pytest.raises(InputError, match="no person"),
    ):
        list(reader)


@pytest.mark.parametrize("name", ["/data/walk.mp4", "../../x.mp4", "..\\x.mp4", "C:x.mp4"])
def test_the_name_of_the_source_matters_only_where_it_is_opened(tmp_path: Path, name: str) -> None:
    def change(head: dict[str, Any], _: Any) -> None:
        head["source"] |= {"path": name, "frames": "6", "width": str(head["source"]["width"])}

    path = changed(tmp_path / "a.jsonl", change)
    with open_poses(path) as reader:
        assert reader.header.source.frames == 6 and len(list(reader)) == 6
    with pytest.raises(InputError, match="points outside its folder"):
        open_data(DataSpec.parse(f"poses={path}"), PERSON19, "train")


def test_one_empty_box_of_mot_text_is_left_out(tmp_path: Path) -> None:
    write_poses(tmp_path / "mot.txt", header(frames=6), frames(6, seed=3), "mot")
    lines = (tmp_path / "mot.txt").read_text().splitlines()
    cells = lines[1].split(",")
    lines[1] = ",".join([*cells[:4], "0", "0", *cells[6:]])
    (tmp_path / "mot.txt").write_text("\n".join(lines))
    found, left_out = read_mot(tmp_path / "mot.txt")
    assert len(found) == len(lines) - 1 and left_out.lines() == ["1 box is left out: 1 without area"]
