"""The one-euro filter on poses."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from ftpcli.errors import InputError
from ftpcli.pose import smoothing
from ftpcli.pose.smoothing import Smoother
from ftpcli.records import FramePoses, Pose
from tests.support.formats_samples import flat, frames

BOX = np.array([0.0, 0.0, 100.0, 100.0])


def frame(
    index: int, seconds: float, points: np.ndarray, confidence: float | np.ndarray = 1.0, track: int = 1
) -> FramePoses:
    scores = np.broadcast_to(np.asarray(confidence, dtype=np.float64), (len(points),)).copy()
    return FramePoses(index, index, seconds, (Pose(track, BOX, 0.9, points, scores),))


def points_of(result: FramePoses) -> np.ndarray:
    return result.poses[0].keypoints


def literal(positions: np.ndarray, times: np.ndarray, size: float) -> np.ndarray:
    """The algorithm of the paper (its listing 1), one joint, with the cutoff from the length of the speed vector."""

    def alpha(cutoff: float, elapsed: float) -> float:
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau / elapsed)

    estimate, speed = positions[0], np.zeros(2)
    result = [estimate]
    for i in range(1, len(positions)):
        elapsed = times[i] - times[i - 1]
        a = alpha(smoothing._D_CUTOFF, elapsed)
        speed = a * (positions[i] - estimate) / elapsed + (1 - a) * speed
        a = alpha(smoothing._MIN_CUTOFF + smoothing._BETA * np.linalg.norm(speed) / size, elapsed)
        estimate = a * positions[i] + (1 - a) * estimate
        result.append(estimate)
    return np.array(result)


def test_agrees_with_the_paper_at_uneven_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_MIN_CUTOFF", 0.7), ("_BETA", 3.0), ("_D_CUTOFF", 1.5)):
        monkeypatch.setattr(smoothing, name, value)
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.005, 0.2, 60))
    positions = np.cumsum(rng.normal(size=(60, 3, 2)), axis=0) * 5
    smoother = Smoother()
    found = [points_of(smoother(frame(i, t, positions[i]))) for i, t in enumerate(times)]
    for joint in range(3):
        np.testing.assert_allclose(
            np.array(found)[:, joint], literal(positions[:, joint], times, 100.0), rtol=1e-12, atol=1e-9
        )


def jitter(track: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(track, n=2, axis=0), axis=-1).mean())


@pytest.mark.parametrize("rate", [10, 25, 60])
def test_a_resting_joint_calms_down_and_a_moving_one_is_followed(rate: int) -> None:
    rng = np.random.default_rng(1)
    times = np.arange(4 * rate) / rate
    rest = np.full((len(times), 1, 2), 50.0)
    swing = np.stack([50 + 40 * np.sin(2 * np.pi * times), 50 + 0 * times], axis=-1)[:, None]

    def smoothed(noisy: np.ndarray) -> np.ndarray:
        smoother = Smoother()
        return np.array([points_of(smoother(frame(i, t, noisy[i]))) for i, t in enumerate(times)])

    noise = rng.normal(size=rest.shape)
    assert jitter(smoothed(rest + noise)) < 0.6 * jitter(noise)
    # At 250 pixels a second a delay of 30 ms is 7.5 pixels.
    assert np.abs(smoothed(swing + noise) - swing)[rate // 2 :].max() < 7.5 + 3


def test_size_of_the_picture_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    walk = np.cumsum(rng.normal(size=(30, 5, 2)), axis=0)

    def run(scale: float) -> list[np.ndarray]:
        smoother = Smoother()
        pose: Callable[[int], Pose] = lambda i: Pose(1, BOX * scale, 1.0, walk[i] * scale, np.ones(5))  # noqa: E731
        return [points_of(smoother(FramePoses(i, i, i / 25, (pose(i),)))) / scale for i in range(30)]

    np.testing.assert_allclose(run(1.0), run(8.0), rtol=1e-9)


def test_nothing_but_keypoints_changes_and_the_input_stays_as_it_is() -> None:
    items = frames(30)
    before = [flat(item) for item in items]
    smoother = Smoother()
    changed = 0
    for item, old in zip(items, before, strict=True):
        result = smoother(item)
        assert flat(item) == old
        assert (result.index, result.pts, result.seconds) == (item.index, item.pts, item.seconds)
        for p, q in zip(result.poses, item.poses, strict=True):
            assert (p.track_id, p.score) == (q.track_id, q.score)
            assert (p.box == q.box).all() and (p.confidence == q.confidence).all()
            changed += not (p.keypoints == q.keypoints).all()
    assert changed > 5
    again = Smoother()
    assert [flat(again(item)) for item in items] == [flat(f) for f in map(Smoother(), items)]


def test_a_wild_guess_pulls_little_but_counts_when_it_lasts() -> None:
    still = np.full((2, 2), 50.0)
    guess = np.array([[50.0, 50.0], [90.0, 50.0]])

    def pull(confidence: float, guesses: int) -> float:
        smoother = Smoother()
        for i in range(10):
            result = smoother(frame(i, i / 25, still))
        for i in range(10, 10 + guesses):
            result = smoother(frame(i, i / 25, guess, np.array([1.0, confidence])))
        assert (points_of(result)[0] == 50.0).all(), "the other joint stays"
        return float(points_of(result)[1, 0] - 50.0)

    assert pull(0.02, 1) < 0.2 * pull(0.3, 1)
    assert pull(0.02, 1) < pull(0.1, 1) < pull(0.3, 1) == pull(0.9, 1)
    assert pull(0.02, 50) > 36.0


def test_absent_joints_stay_absent_and_come_back() -> None:
    smoother = Smoother()
    at = np.array([[10.0, 10.0]])
    for i in range(5):
        smoother(frame(i, i / 25, at))
    gone = smoother(frame(5, 5 / 25, np.zeros((1, 2)), 0.0))
    assert (points_of(gone) == 0).all() and gone.poses[0].confidence[0] == 0
    back = points_of(smoother(frame(6, 6 / 25, np.array([[20.0, 10.0]]))))
    assert 10.0 < back[0, 0] < 20.0, "a short absence is bridged"
    for i in range(7, 40):
        smoother(frame(i, i / 25, np.zeros((1, 2)), 0.0))
    assert points_of(smoother(frame(40, 40 / 25, np.array([[90.0, 10.0]]))))[0, 0] == 90.0, "a long one is not"


def test_a_gap_of_the_track_starts_afresh_and_ids_do_not_mix() -> None:
    smoother = Smoother()
    smoother(frame(0, 0.0, np.array([[10.0, 10.0]])))
    assert points_of(smoother(frame(1, 0.4, np.array([[30.0, 10.0]]))))[0, 0] < 30.0
    assert points_of(smoother(frame(2, 1.0, np.array([[70.0, 10.0]]))))[0, 0] == 70.0
    assert points_of(smoother(frame(3, 1.1, np.array([[10.0, 10.0]]), track=2)))[0, 0] == 10.0


@pytest.mark.parametrize("first", [0, 16, 18, 51])
def test_half_a_second_is_the_same_everywhere(first: int) -> None:
    smoother = Smoother()
    smoother(frame(0, first / 30, np.array([[10.0, 10.0]])))
    assert points_of(smoother(frame(15, (first + 15) / 30, np.array([[30.0, 10.0]]))))[0, 0] < 30.0


def test_repeated_and_reversed_times() -> None:
    smoother = Smoother()
    smoother(frame(0, 1.0, np.array([[10.0, 10.0]])))
    result = points_of(smoother(frame(1, 1.0, np.array([[30.0, 10.0]]))))
    assert np.isfinite(result).all() and result[0, 0] == 10.0, "no time has passed"
    assert points_of(smoother(frame(2, 0.2, np.array([[60.0, 10.0]]))))[0, 0] == 60.0
    with pytest.raises(InputError, match="no time"):
        smoother(frame(3, math.nan, np.array([[60.0, 10.0]])))


def test_memory_depends_on_the_people_in_sight() -> None:
    smoother = Smoother()
    for i in range(2000):
        smoother(frame(i, i / 25, np.zeros((17, 2)), track=i))
    assert len(smoother._tracks) <= 0.5 * 25 + 1
