"""A second look: leaps to somebody else are taken back, real movement and given boxes are left alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ftpcli.annotation.chain import Annotator, Options
from ftpcli.pose.second_look import SecondLook
from ftpcli.records import Frame, FramePoses, Person, Pose, TrackedFrame, Window

IMAGE = np.zeros((2, 2, 3), np.uint8)
NARROW = np.array([0.0, 0.0, 100.0, 100.0])
WIDE = np.array([0.0, 0.0, 200.0, 100.0])


def pose(at: float, box: np.ndarray, confidence: float = 0.5, track: int = 1) -> Pose:
    return Pose(track, box, 0.9, np.full((3, 2), at), np.full(3, confidence))


class Model:
    """Where it sees the person, by the width of the box it is given."""

    def __init__(self, narrow: Pose) -> None:
        self.narrow = narrow
        self.asked: list[np.ndarray] = []

    def __call__(self, windows: Sequence[Window], tokens: object = None) -> list[Pose]:
        self.asked += [window.view for window in windows]
        return [self.narrow for _ in windows]


def run(model: Model, steps: Sequence[tuple[float, Pose]]) -> list[Pose]:
    """Frames with one person, whose own box and first pose are given; the poses that come of it."""
    look = SecondLook(model)
    out = []
    for n, (seconds, first) in enumerate(steps):
        frame = Frame(n, n, seconds, IMAGE)
        person = Person(first.track_id, first.box, first.score, view=first.box + 1)
        record = look((Window(person, (frame,) * 3, (False,) * 3),), FramePoses(n, n, seconds, (first,)))
        look.remember(TrackedFrame(frame, (person,)), record)
        assert (record.index, record.pts, record.seconds, len(record.poses)) == (n, n, seconds, 1)
        out.append(record.poses[0])
    return out


def test_a_leap_in_a_stretched_box_is_taken_back() -> None:
    right = pose(52, NARROW, 0.8)
    model = Model(right)
    out = run(model, [(0.0, pose(50, NARROW)), (0.02, pose(150, WIDE)), (0.04, pose(54, NARROW))])
    assert [float(p.keypoints[0, 0]) for p in out] == [50, 52, 54]
    assert len(model.asked) == 1 and model.asked[0] is NARROW
    assert out[1] is right  # with the box that was looked at


@pytest.mark.parametrize(
    ("again", "why"),
    [
        (pose(52, NARROW, 0.4), "less sure"),
        (pose(120, NARROW, 0.8), "leaps as well: a movement"),
    ],
)
def test_the_first_look_stays(again: Pose, why: str) -> None:
    model = Model(again)
    out = run(model, [(0.0, pose(50, NARROW)), (0.02, pose(150, WIDE))])
    assert len(model.asked) == 1, why
    assert float(out[1].keypoints[0, 0]) == 150, why


@pytest.mark.parametrize(
    "steps",
    [
        [(0.0, pose(50, NARROW)), (0.02, pose(55, WIDE))],  # no leap
        [(0.0, pose(50, NARROW)), (0.02, pose(55, WIDE, 0.45))],  # a little less sure
        [(0.0, pose(50, NARROW)), (0.02, pose(51, WIDE, 0.1))],  # where they were
        [(0.0, pose(50, NARROW)), (0.2, pose(150, WIDE))],  # long after
        [(0.0, pose(50, NARROW)), (float("nan"), pose(150, WIDE))],
        [(1.0, pose(50, NARROW)), (0.5, pose(150, WIDE))],
        [(0.0, pose(50, NARROW, track=2)), (0.02, pose(150, WIDE, track=1))],  # somebody else
    ],
)
def test_no_second_look(steps: list[tuple[float, Pose]]) -> None:
    model = Model(pose(50, NARROW, 0.9))
    out = run(model, steps)
    assert model.asked == [] and out[1] is steps[1][1]


def test_joints_that_shift_while_confidence_falls_are_looked_at_again() -> None:
    right = pose(51, NARROW, 0.5)
    model = Model(right)
    out = run(model, [(0.0, pose(50, NARROW, 0.5)), (0.02, pose(55, WIDE, 0.3))])
    assert len(model.asked) == 1 and out[1] is right


def test_an_old_box_is_not_kept_for_long() -> None:
    """Otherwise a first pose on the wrong person would hold its box for good."""
    model = Model(pose(50, NARROW, 0.9))
    times = [0.05 * n for n in range(12)]
    out = run(model, [(t, pose(150 if n else 50, WIDE if n else NARROW)) for n, t in enumerate(times)])
    x = [float(p.keypoints[0, 0]) for p in out]
    kept = x.index(150)
    assert 4 <= kept <= 6 and x == [50.0] * kept + [150.0] * (12 - kept)


def test_annotating_looks_twice_and_can_be_told_not_to(tmp_path, tiny_model, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from tests.support.walkers import Bright, walkers

    clip = walkers(tmp_path / "walkers.mp4", 24)
    monkeypatch.setattr("ftpcli.people.load_detector", lambda *_, **__: Bright())
    asked: list[int] = []
    monkeypatch.setattr(
        SecondLook, "__call__", lambda self, windows, record, tokens: asked.append(record.index) or record
    )
    for wanted in (True, False):
        asked.clear()
        options = Options(weights=str(tiny_model), second_look=wanted)
        with Annotator(options, device="cpu").open(str(clip)) as annotation:
            assert len(list(annotation)) == 24
            assert annotation.header.run.options["second_look"] is wanted
        assert asked == (list(range(24)) if wanted else [])
