"""Sources of training examples."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ftpcli.errors import InputError, UsageError
from ftpcli.formats import write_poses
from ftpcli.skeleton import COCO17, PERSON19, Skeleton
from ftpcli.training.sources import Clips, CocoKeypoints, DataSpec, Poses, open_data
from tests.support.formats_samples import frames, header
from tests.support.training_data import make_clips, make_coco


def test_coco_joints_by_name_and_unlabelled_masked(people: CocoKeypoints) -> None:
    example = people.example(0, 1)
    assert len(people) == 12 and set(people.groups) == {"drawn"}
    assert example.weight[PERSON19.joints.index("left_wrist")] == 1
    assert example.weight[PERSON19.joints.index("left_ear")] == 0
    # A figure that faces the camera has its left on the picture's right.
    assert example.joints[5, 0] > example.joints[6, 0]


def test_coco_bad_input(tmp_path: Path) -> None:
    path = make_coco(tmp_path, 3)
    good = json.loads(path.read_text())

    def broken(**changes: object) -> Path:
        path.write_text(json.dumps(good | changes))
        return path

    other = CocoKeypoints(broken(categories=[{"keypoints": ["tail", *PERSON19.joints[1:]]}]), PERSON19)
    assert any("left out tail, which" in line for line in other.warnings)
    with pytest.raises(InputError, match="3 annotations are left out: 3 without a labelled joint"):
        CocoKeypoints(broken(annotations=[a | {"keypoints": [0] * 57} for a in good["annotations"]]), PERSON19)
    with pytest.raises(InputError, match="'images' should be a list, not 3"):
        CocoKeypoints(broken(images=3), PERSON19)
    path.write_text("{")
    with pytest.raises(InputError, match="not a whole JSON document"):
        CocoKeypoints(path, PERSON19)
    (tmp_path / "images" / "001.png").unlink()
    path.write_text(json.dumps(good))
    with pytest.raises(InputError, match=r"1 picture is missing, first .*001\.png"):
        CocoKeypoints(path, PERSON19)
    kept = CocoKeypoints(path, PERSON19, skip_missing=True)
    assert len(kept) == 2 and kept.missing == 1


def test_clips_give_true_neighbours_and_the_key_frame_at_the_ends(tmp_path: Path) -> None:
    clips = Clips(make_clips(tmp_path), PERSON19)
    assert len(clips) == 5
    first, middle = clips.example(0, 3), clips.example(2, 3)
    assert np.array_equal(first.images[0], first.images[1])
    assert not np.array_equal(middle.images[0], middle.images[1])
    assert not np.array_equal(middle.images[1], middle.images[2])
    wrist = PERSON19.joints.index("left_wrist")
    assert middle.joints[wrist, 0] - first.joints[wrist, 0] == pytest.approx(4)
    with pytest.raises(InputError, match="no clip belongs to the split"):
        Clips(tmp_path, PERSON19, "test")


def test_an_exported_annotation_is_training_data(tmp_path: Path) -> None:
    from ftpcli.formats import write_poses
    from ftpcli.records import FramePoses, Header, Pose, SourceInfo

    folder = make_clips(tmp_path / "clips", clips=1)
    (tmp_path / "0.mp4").write_bytes((folder / "0.mp4").read_bytes())
    clip = Clips(folder, PERSON19).example(2, 1)
    pose = Pose(1, clip.box, 0.9, clip.joints, clip.weight * 0.8)
    frames = [FramePoses(i, i, i / 25, (pose,) if i == 2 else ()) for i in range(5)]
    source = SourceInfo(path="0.mp4", width=160, height=200, rotation=0, time_base=Fraction(1, 25))
    for name in ("poses.jsonl", "poses.json"):
        write_poses(tmp_path / name, Header(PERSON19.joints, source), frames)
        poses = open_data(DataSpec.parse(f"poses={tmp_path / name}"), PERSON19, "train")
        assert isinstance(poses, Poses) and len(poses) == 1
        assert any("no joint has confidence 1" in line for line in poses.warnings)
        example = poses.example(0, 3)
        shoulder = PERSON19.joints.index("left_shoulder")
        np.testing.assert_allclose(example.joints[shoulder], clip.joints[shoulder], atol=0.01)
        assert len(example.images) == 3 and not np.array_equal(example.images[0], example.images[1])
    corrected = replace(pose, confidence=np.where(clip.weight > 0, 1.0, 0.0))
    write_poses(tmp_path / "c.jsonl", Header(PERSON19.joints, source), [FramePoses(2, 2, 2 / 25, (corrected,))])
    assert Poses(tmp_path / "c.jsonl", PERSON19).warnings == []
    (tmp_path / "0.mp4").unlink()
    with pytest.raises(InputError, match=r"video 0\.mp4 is not beside it"):
        Poses(tmp_path / "poses.jsonl", PERSON19)


def test_a_table_does_not_name_its_video(tmp_path: Path) -> None:
    """Whatever lies beside it; one line says how it gets a name."""
    make_clips(tmp_path, clips=1, frames=9)
    write_poses(tmp_path / "0.csv", header(path="0.mp4", frames=4), frames(4))
    with pytest.raises(InputError, match=r"does not name its video; 'ftp convert \S+ OUT\.jsonl --video VIDEO'"):
        open_data(DataSpec.parse(f"poses={tmp_path / '0.csv'}"), PERSON19, "train")


def test_data_specification() -> None:
    assert DataSpec.parse("coco=a/b.json:0.5") == DataSpec("coco", Path("a/b.json"), 0.5)
    assert DataSpec.parse("clips=C:/x") == DataSpec("clips", Path("C:/x"), 1.0)
    for text in ("coco", "coco=", "tigers=a", "coco=a:0", "coco=a:-1"):
        with pytest.raises(UsageError):
            DataSpec.parse(text)


def test_joints_that_the_model_lacks_are_left_out_and_said(tmp_path: Path) -> None:
    source = CocoKeypoints(make_coco(tmp_path), COCO17)
    assert source.example(0, 1).joints.shape == (17, 2)
    assert any("left out head_bottom, head_top, which the model does not have" in w for w in source.warnings)
    with pytest.raises(InputError, match="none of its joints"):
        CocoKeypoints(make_coco(tmp_path), Skeleton("model", ("tail", "beak")))
