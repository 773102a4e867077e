"""Short gaps in a track: filled on the frames' own times, nothing else touched, few frames held."""

from __future__ import annotations

import random
import weakref
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.chain import _IN_GAPS
from ftpcli.annotation.options import Options
from ftpcli.errors import UsageError
from ftpcli.people.gaps import FillGaps
from ftpcli.pose.windows import held_frames
from ftpcli.records import Frame, Person, TrackedFrame, VideoInfo


def person(track: int, left: float, score: float = 0.5) -> Person:
    return Person(track, np.array([left, 10.0, left + 20, 50.0]), score)


def stream(*frames: tuple[float, list[Person]]) -> list[TrackedFrame]:
    image = np.zeros((2, 2, 3), np.uint8)
    return [TrackedFrame(Frame(i, i, t, image), tuple(people)) for i, (t, people) in enumerate(frames)]


def lefts(frames: list[TrackedFrame], track: int) -> list[float | None]:
    found = [[p.box[0] for p in f.people if p.track_id == track] for f in frames]
    assert all(len(one) <= 1 for one in found)
    return [one[0] if one else None for one in found]


def test_filled_on_the_frames_own_times() -> None:
    # variable rate: the second of three missing frames comes at nine tenths of the gap
    frames = stream(
        (5.0, [person(1, 100, 0.8)]), (5.02, []), (5.18, [person(7, 300)]), (5.19, []), (5.2, [person(1, 200, 0.4)])
    )
    out = list(FillGaps(0.2, 8)(frames))
    assert [one.frame for one in out] == [one.frame for one in frames]
    assert lefts(out, 1) == pytest.approx([100, 110, 190, 195, 200])
    assert [[p.track_id for p in one.people] for one in out] == [[1], [1], [1, 7], [1], [1]]
    filled = out[1].people[0]
    assert filled.score == 0.4 and filled.box == pytest.approx([110, 10, 130, 50])
    assert out[2].people[1] is frames[2].people[0]


@pytest.mark.parametrize(
    ("seconds", "most", "filled"), [(0.13, 8, True), (0.12, 8, False), (0.13, 3, True), (0.13, 2, False)]
)
def test_longer_gaps_stay(seconds: float, most: int, filled: bool) -> None:
    frames = stream(*((i / 32, [person(1, i)] if i in (2, 6, 7) else []) for i in range(12)))
    out = lefts(list(FillGaps(seconds, most)(frames)), 1)
    inside = [3, 4, 5] if filled else [None] * 3
    assert out == [None, None, 2, *inside, 6, 7, None, None, None, None]


@pytest.mark.parametrize("rate", [10, 25, 30, 60])
def test_rounding_of_times_does_not_decide(rate: int) -> None:
    missing = rate // 5 - 1  # 0.2 s from found to found
    for start in range(200):
        times = [(start + i) / rate for i in range(missing + 2)]
        frames = stream(*((t, [person(1, 0)] if i in (0, missing + 1) else []) for i, t in enumerate(times)))
        assert None not in lefts(list(FillGaps(0.2, 20)(frames)), 1)


def test_frames_without_times_that_grow_are_left_alone() -> None:
    nan = float("nan")
    for times in ((1, 1, 1), (1, nan, nan), (nan, nan, nan), (3, 2, 1)):
        frames = stream(*((t, people) for t, people in zip(times, ([person(1, 0)], [], [person(1, 9)]), strict=True)))
        out = list(FillGaps(0.2, 8)(frames))
        assert [one.frame for one in out] == [one.frame for one in frames]
        assert all(np.isfinite(p.box).all() for one in out for p in one.people)
        assert lefts(out, 1)[0] == 0 and lefts(out, 1)[2] == 9


@pytest.mark.parametrize("seed", range(30))
def test_random_tracks_against_a_plain_reference(seed: int) -> None:
    generator = random.Random(seed)
    times = np.cumsum([generator.choice([0.01, 0.04, 0.1]) for _ in range(40)])
    limit, most = generator.choice([0.1, 0.25]), generator.choice([2, 8])
    frames = stream(
        *(
            (float(t), [person(i, generator.random() * 100) for i in (1, 2, 3) if generator.random() < 0.6])
            for t in times
        )
    )
    out = list(FillGaps(limit, most)(frames))
    assert [one.frame for one in out] == [one.frame for one in frames]
    for track in (1, 2, 3):
        was = lefts(frames, track)
        there = [i for i, left in enumerate(was) if left is not None]
        for a, b in pairwise(there):
            if times[b] - times[a] <= limit + 1e-6 and b - a - 1 <= most:
                share = (times[a + 1 : b] - times[a]) / (times[b] - times[a])
                was[a + 1 : b] = list(was[a] + share * (was[b] - was[a]))  # type: ignore[operator]
        got = lefts(out, track)
        assert [x is None for x in got] == [x is None for x in was]
        assert [x for x in got if x is not None] == pytest.approx([x for x in was if x is not None])


def test_few_frames_are_held() -> None:
    pictures: list[weakref.ref[np.ndarray]] = []

    def endless() -> Iterator[TrackedFrame]:
        for i in range(300):
            (one,) = stream((i / 1000, [person(1, i)] if i % 5 else []))
            pictures.append(weakref.ref(one.frame.image))
            yield one

    most = 0
    for _ in FillGaps(0.2, 6)(endless()):
        most = max(most, sum(picture() is not None for picture in pictures))
    assert most <= 8


def test_frames_wait_only_while_somebody_is_missing() -> None:
    """1 is missing in frames 3 and 4, and 2 from frame 8 on, for at most 0.25 s."""
    there = {1: {0, 1, 2, 5, 6, 7, 8, 9, *range(10, 20)}, 2: set(range(8))}
    frames, came = stream(*((i / 16, [person(t, i) for t in (1, 2) if i in there[t]]) for i in range(20))), []

    def given() -> Iterator[TrackedFrame]:
        for number, one in enumerate(frames):
            came.append(number)
            yield one

    late = [came[-1] - one.frame.index for one in FillGaps(0.25, 40)(given())]
    assert late == [0, 0, 0, 2, 1, 0, 0, 0, 4, 3, 2, 1, *[0] * 8]


@pytest.mark.parametrize(("rate", "sides"), [(60, (1920, 1080)), (240, (1280, 720)), (50, (3840, 2160))])
def test_gaps_are_filled_at_high_rates_and_of_large_pictures(rate: int, sides: tuple[int, int]) -> None:
    info = VideoInfo("a.mp4", *sides, 0, Fraction(1, rate), Fraction(rate), None, None, 0.0, "h264", False)
    assert held_frames(info, _IN_GAPS) >= 0.2 * rate - 1


@pytest.mark.parametrize("seconds", [-0.1, 1.5, float("nan")])
def test_limits_that_make_no_sense(seconds: float) -> None:
    with pytest.raises(UsageError, match="--fill-gaps"):
        Options(fill_gaps=seconds)


def test_annotating_fills_a_gap_and_says_so(tmp_path, tiny_model, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from tests.support.walkers import Bright, walkers

    class Blinks(Bright):
        frames = 0

        def detect(self, image: np.ndarray) -> np.ndarray:
            self.frames += 1
            return super().detect(image)[:0] if self.frames in (12, 13) else super().detect(image)

    monkeypatch.setattr("ftpcli.people.loading.load_detector", lambda *_, **__: Blinks())
    clip, weights = walkers(tmp_path / "walkers.mp4", 24), str(tiny_model)
    empty, marked = {}, {}
    for seconds in (0.0, 0.2):
        with Annotator(Options(weights=weights, fill_gaps=seconds), device="cpu").open(str(clip)) as annotation:
            records = list(annotation)
            assert annotation.header.run.options["fill_gaps"] == seconds
        assert [r.index for r in records] == list(range(24))
        empty[seconds] = [r.index for r in records if not r.poses]
        marked[seconds] = [r.index for r in records if any(pose.filled for pose in r.poses)]
    assert {11, 12} <= set(empty[0.0]) and empty[0.2] == []
    assert marked == {0.0: [], 0.2: empty[0.0]}


def test_annotating_fills_gaps_longer_than_a_chunk(tmp_path, tiny_model, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from tests.support.walkers import Bright, walkers

    class Sleeps(Bright):
        frames = 0

        def detect(self, image: np.ndarray) -> np.ndarray:
            self.frames += 1
            return super().detect(image)[: 0 if 8 <= self.frames < 18 else None]

    monkeypatch.setattr("ftpcli.people.loading.load_detector", lambda *_, **__: Sleeps())
    clip = walkers(tmp_path / "walkers.mp4", 24)
    with Annotator(Options(weights=str(tiny_model), fill_gaps=0.5), device="cpu").open(str(clip)) as annotation:
        assert annotation.chunk_frames == 8
        filled = [any(pose.filled for pose in record.poses) for record in annotation]
    assert all(filled[7:17])
