"""The bundled weights: they are there, they are ours, and they find people and joints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ftpcli.annotation.annotator import annotate
from ftpcli.annotation.options import Options
from ftpcli.people.gaps import FillGaps
from ftpcli.people.loading import load_detector
from ftpcli.people.sources import DetectAndTrack
from ftpcli.pose.estimator import Estimator
from ftpcli.pose.weights import DEFAULT_WEIGHTS, build_model
from ftpcli.pose.windows import Windows, held_frames
from ftpcli.skeleton import BODY12, PERSON19
from ftpcli.training.pose_trainer import validate
from ftpcli.training.sources import Clips, CocoKeypoints
from ftpcli.video import VideoReader
from samples.make_sample import make_sample
from tests.support.walkers import followed

LIMIT = 16 * 10**6


def test_files_are_small_and_described() -> None:
    for path in (DEFAULT_WEIGHTS, DEFAULT_WEIGHTS.with_name("detector.safetensors")):
        assert 10**6 < path.stat().st_size <= LIMIT
    model, provenance = build_model(DEFAULT_WEIGHTS)
    assert model.config.frames == 3 and model.config.branches == "low" and model.config.selector == "dpc"
    assert model.config.joints == PERSON19.joints
    assert provenance["step"] > 0 and provenance["data"]
    card = DEFAULT_WEIGHTS.with_name("MODEL_CARD.md").read_text()
    assert "retrain" in card and "PCK" in card


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.mp4"
    make_sample(path, seconds=0.6)
    return path


def test_the_sample_s_people_are_found_and_their_joints_lie_in_their_boxes(sample: Path) -> None:
    with annotate(str(sample), device="cpu") as annotation:
        frames = list(annotation)
    assert len(frames) == 15
    assert all(len(frame.poses) >= 3 for frame in frames)
    body = [PERSON19.joints.index(joint) for joint in BODY12]
    inside = []
    for frame in frames:
        for pose in frame.poses:
            x1, y1, x2, y2 = pose.box
            if x1 < 1:  # the picture's edge leaves a strip of somebody, whose joints are guessed
                continue
            grow = 0.15 * max(x2 - x1, y2 - y1)
            points = pose.keypoints[body][pose.confidence[body] > 0.3]
            inside += ((points > [x1 - grow, y1 - grow]) & (points < [x2 + grow, y2 + grow])).all(axis=1).tolist()
            head, ankle = pose.keypoints[PERSON19.joints.index("head_top"), 1], pose.keypoints[15:17, 1].mean()
            if y2 - y1 > 200:
                assert head < ankle  # nobody stands on their head there
    assert len(inside) > 200 and np.mean(inside) > 0.95


def test_two_people_who_cross_are_both_followed_in_every_frame(shared: Path) -> None:
    with VideoReader(shared / "videos" / "two_people_portrait_60fps.mp4") as reader:
        people = DetectAndTrack(load_detector(engine="onnx"), frame_rate=60)
        filled = list(FillGaps(Options().fill_gaps, held_frames(reader.info))(followed(people, reader)))
    ids = [[person.track_id for person in tracked.people] for tracked in filled]
    assert len(ids) == 100 and ids == [[1, 2, 3]] * 100

    # The woman hides the man in part; his joints must not be hers.
    estimator = Estimator.load(device="cpu")
    for tracked, windows in Windows(estimator.window)(filled[84:96]):
        poses = estimator.estimate(windows)
        woman, man = poses[0], poses[1]
        torso = np.linalg.norm(woman.keypoints[5] - woman.keypoints[12])
        hers = np.linalg.norm(man.keypoints - woman.keypoints, axis=1) < 0.15 * torso
        assert hers.mean() < 0.3, f"frame {tracked.frame.index}: {hers.sum()} of {len(hers)} joints"


@pytest.mark.parametrize(("name", "least"), [("clips", 0.70), ("pose", 0.70)])
def test_accuracy_on_a_part_of_the_validation_sets(shared: Path, name: str, least: float) -> None:
    model, _ = build_model(DEFAULT_WEIGHTS)
    data = shared / "data" / name
    source = Clips(data, PERSON19, "val") if name == "clips" else CocoKeypoints(data / "val.json", PERSON19)
    size = model.config.image_size
    figures = validate(model, source, size=size, limit=30, batch=15, sigma=2.0, autocast=False)
    assert figures["all"] >= least


def test_batches_do_not_change_poses_beyond_rounding(sample: Path) -> None:
    results = []
    for batch in (1, 8):
        with annotate(str(sample), device="cpu", precision="fp32", batch=batch, end=0.2) as annotation:
            results.append([pose for frame in annotation for pose in frame.poses])
    for one, other in zip(*results, strict=True):
        sure = one.confidence > 0.5
        np.testing.assert_allclose(one.keypoints[sure], other.keypoints[sure], atol=0.5)


def test_pruning_can_be_switched_off_in_trained_weights() -> None:
    full = Estimator.load("default", device="cpu", high_ratio=1, low_ratio=1)
    assert full.config.high_ratio == 1
