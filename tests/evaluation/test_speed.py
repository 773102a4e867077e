"""A set of the size of PoseTrack18's validation part: 170 videos, about 80,000 people. Run with ``-m slow -s``."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from ftpcli.evaluation.files import evaluate_files
from tests.support.eval_support import crowd, save, video18


@pytest.mark.slow
def test_the_whole_validation_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    people = 0
    for number in range(170):
        count, frames = int(rng.integers(2, 14)), 64
        truth, predicted = crowd(rng, frames, count)
        name = f"{number:06d}_mpii_test"
        save(tmp_path / "gt", video18(truth, name), name)
        save(tmp_path / "pred", video18(predicted, name), name)
        people += count * frames
    assert 70_000 < people < 90_000
    for metric in ("posetrack", "posetrack21"):
        start, work = time.perf_counter(), time.process_time()
        report = evaluate_files(tmp_path / "gt", tmp_path / "pred", metric)
        took, work = time.perf_counter() - start, time.process_time() - work
        print(f"\n{metric}: {people} people in 170 videos, {took:.1f} s, of one CPU {work:.1f} s")
        assert report["frames_evaluated"] == 170 * 64
        mean = report["AP"]["groups"]["Mean"] if metric == "posetrack" else report["AP"]["map"]["Total"]
        assert 30 < mean < 80
        assert report["MOT" if metric == "posetrack" else "HOTA"] is not None
