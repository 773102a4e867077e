"""What views that are held save, and what three frames cost against one, side by side. Run with ``-m slow -s``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest

from ftpcli.annotation.options import Options
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.people.loading import load_detector
from ftpcli.people.sources import DetectAndTrack
from ftpcli.pose.estimator import Estimator
from ftpcli.pose.tokens import SharedTokens
from ftpcli.pose.torch_engine import TorchEngine
from ftpcli.pose.views import HoldViews
from ftpcli.pose.windows import Windows, held_frames
from ftpcli.records import TrackedFrame
from ftpcli.video import open_source
from samples.make_sample import make_sample
from tests.support.walkers import followed

ROUNDS = 5


@pytest.mark.slow
def test_time_of_the_pose_model(tmp_path: Path) -> None:
    make_sample(tmp_path / "sample.mp4", seconds=2)
    with open_source(tmp_path / "sample.mp4") as source:
        people = DetectAndTrack(load_detector(), frame_rate=25)
        tracked, chunk = list(followed(people, source)), held_frames(source.info)
    three = Estimator.load(device="cpu", precision="fp32")
    single = FTPPose(three.config.replace(frames=1, branches="none")).eval()
    one = Estimator(TorchEngine(single, device="cpu", precision="fp32"))

    def run(estimator: Estimator, frames: Iterable[TrackedFrame]) -> float:
        windows, tokens, seconds = Windows(estimator.window)(frames), SharedTokens(), 0.0
        while part := list(islice(windows, chunk)):
            wanted = [window for _, mine in part for window in mine]
            begin = time.perf_counter()
            assert len(estimator.estimate(wanted, tokens)) == len(wanted)
            seconds += time.perf_counter() - begin
        return seconds

    ways = {
        "three frames, a view for every box": lambda: run(three, tracked),
        "three frames, views held": lambda: run(three, HoldViews(Options().hold_views)(tracked)),
        "backbone and head on one frame": lambda: run(one, tracked),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for n in range(ROUNDS + 1):
        for name, way in ways.items():
            took = way()
            if n:  # the first round warms up
                times[name].append(took)
    poses = sum(len(frame.people) for frame in tracked)
    print()
    for name, took in times.items():
        print(f"{name}: {1e3 * statistics.median(took) / poses:.1f} ms a pose ({min(took):.2f} to {max(took):.2f} s)")
    every, held, _ = (statistics.median(took) for took in times.values())
    assert held < every
