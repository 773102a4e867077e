"""The fast evaluations against slow literal ones, on people who cross, vanish and change ids."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ftpcli.datasets.posetrack.reading import read_video
from ftpcli.evaluation.average_precision import JointPool
from ftpcli.evaluation.hota import THRESHOLDS, HotaCounter
from ftpcli.evaluation.matching import distances
from ftpcli.evaluation.mota import MotCounter
from ftpcli.evaluation.prepare import EvalFrame, prepare_posetrack, prepare_posetrack21
from tests.support import eval_reference as reference
from tests.support.eval_support import crowd, save, video18


def _videos(folder: Path, prepare: object) -> list[list[EvalFrame]]:
    videos = []
    for number, (seed, frames, people) in enumerate(((1, 9, 3), (2, 7, 4), (3, 5, 2))):
        rng = np.random.default_rng(seed)
        truth, predicted = crowd(rng, frames, people, miss=0.2)
        # Two people in each other's reach, so that assignments compete.
        for guesses in predicted[1:4]:
            if len(guesses) > 1:
                guesses[1]["keypoints"] = [v + 1.5 for v in guesses[0]["keypoints"]]
        predicted[-2] = []
        name = f"{number:06d}_mpii_test"
        pair = (save(folder / "gt", video18(truth, name), name), save(folder / "pred", video18(predicted, name), name))
        videos.append(prepare(*map(read_video, pair)))  # type: ignore[operator]
    return videos


@pytest.mark.parametrize("joint", [0, 3, 14])
def test_average_precision_is_that_of_the_literal_version(tmp_path: Path, joint: int) -> None:
    frames = [frame for video in _videos(tmp_path, prepare_posetrack) for frame in video]
    pool = JointPool(15)
    for frame in frames:
        pool.add(frame, distances(frame))
    result = pool.result()
    expected = reference.average_precision(frames, joint)
    assert 20 < expected[0] < 95
    assert (result.ap[joint], result.precision[joint], result.recall[joint]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("joint", [0, 3, 14])
def test_clear_mot_is_that_of_the_literal_version(tmp_path: Path, joint: int) -> None:
    videos = _videos(tmp_path, prepare_posetrack)
    counter = MotCounter(15)
    for frames in videos:
        counter.add_video(frames, [distances(frame) for frame in frames])
    result = counter.result()
    expected = reference.clear_mot(videos, joint)
    assert counter.switches[joint] > 0
    found = [getattr(result, name)[joint] for name in ("mota", "motp", "precision", "recall")]
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("joint", [0, 5])
def test_hota_is_that_of_the_literal_version(tmp_path: Path, joint: int) -> None:
    videos = _videos(tmp_path, prepare_posetrack21)
    counter = HotaCounter(15)
    for frames in videos:
        counter.add_video(frames, [distances(frame) for frame in frames])
    result = counter.result()
    for a in (0, 7, 15):
        rows = [reference.hota(frames, joint, THRESHOLDS[a]) for frames in videos]
        for name in ("TP", "FN", "FP"):
            assert result[name][a, joint] == sum(row[name] for row in rows)
        found = sum(row["TP"] for row in rows)
        for name in ("AssA", "AssRe", "AssPr", "FragA", "LocA"):
            expected = sum(row[name] * row["TP"] for row in rows) / max(1, found)
            assert result[name][a, joint] == pytest.approx(expected, abs=1e-9), (name, a)
        missed, false = (sum(row[name] for row in rows) for name in ("FN", "FP"))
        detection = found / max(1, found + missed + false)
        assert result["HOTA"][a, joint] == pytest.approx(math.sqrt(detection * result["AssA"][a, joint]))


def test_total_of_hota_is_made_from_totals_not_from_joints(tmp_path: Path) -> None:
    videos = _videos(tmp_path, prepare_posetrack21)
    counter = HotaCounter(15)
    for frames in videos:
        counter.add_video(frames, [distances(frame) for frame in frames])
    result = counter.result()
    detection = result["TP"][:, :15].sum(axis=1) / np.maximum(
        1, sum(result[name][:, :15].sum(axis=1) for name in ("TP", "FN", "FP"))
    )
    assert result["DetA"][:, 15] == pytest.approx(detection)
    assert abs(result["HOTA"][:, 15].mean() - result["HOTA"][:, :15].mean()) > 1e-6


def test_reference_data_really_competes(tmp_path: Path) -> None:
    """Guards the tests above: there are people, misses, inventions and competing pairs in their data."""
    data = json.loads((save(tmp_path, video18(crowd(np.random.default_rng(1), 9, 3)[1]))).read_text())
    assert len({entry["track_id"] for entry in data["annotations"]}) >= 3
    rivals = 0
    for frames in _videos(tmp_path, prepare_posetrack):
        for frame in frames:
            if len(frame.truth) and len(frame.predicted):
                rivals += int(((distances(frame) <= 0.5).sum(axis=0) > 1).sum())
    assert rivals > 10
