"""Who goes into the file: broken tracks joined, people chosen, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from ftpcli.annotation.options import Options
from ftpcli.errors import UsageError
from ftpcli.people.selection import Chosen, Select, Selection
from ftpcli.records import FramePoses, Pose, SourceInfo

SOURCE = SourceInfo(width=640, height=360)
#: id, first and last frame, x at the first, pixels a frame, height, confidence
Walk = tuple[int, int, int, float, float, float, float]


def film(walks: Iterable[Walk], frames: int = 100, rate: float = 25.0) -> list[FramePoses]:
    made = []
    for index in range(frames):
        poses = []
        for track, first, last, x, speed, tall, confidence in walks:
            if first <= index <= last:
                left = x + speed * (index - first)
                box = np.array([left, 200 - tall / 2, left + tall / 3, 200 + tall / 2])
                poses.append(Pose(track, box, 0.9, np.zeros((2, 2)), np.full(2, confidence)))
        made.append(FramePoses(index, index, index / rate, tuple(poses)))
    return made


def chosen(walks: Iterable[Walk], cuts: tuple[int, ...] = (), **options: Any) -> tuple[dict[int, int], list[str]]:
    """Frames of each id that is left, and what is said."""
    frames = film(walks)
    one = Chosen(Selection(**options), frames, SOURCE, cuts)
    counts: dict[int, int] = {}
    for frame in one(frames):
        ids = [pose.track_id for pose in frame.poses]
        assert ids == sorted(set(ids))
        for track in ids:
            counts[track] = counts.get(track, 0) + 1
    assert (one.tracks, one.poses) == (len(counts), sum(counts.values()))
    return counts, one.lines


BROKEN = [(1, 0, 40, 50, 4, 150, 0.8), (2, 0, 99, 500, 0, 150, 0.8), (3, 56, 99, 274, 4, 150, 0.8)]


def test_a_walker_who_was_lost_goes_on_with_the_earlier_id() -> None:
    counts, lines = chosen(BROKEN, join=1.0)
    assert counts == {1: 41 + 44, 2: 100} and lines == ["1 broken track joined: 3 into 1"]


@pytest.mark.parametrize(
    ("walks", "cuts", "seconds"),
    [
        (BROKEN, (50,), 1.0),  # a camera cut between
        (BROKEN, (), 0.5),  # found again too late
        ([BROKEN[0], (3, 56, 99, 30, 4, 150, 0.8)], (), 1.0),  # begins elsewhere
        ([BROKEN[0], (3, 56, 99, 274, 4, 280, 0.8)], (), 1.0),  # of another size
        ([BROKEN[0], (3, 30, 99, 200, 4, 150, 0.8)], (), 1.0),  # both are there for a while
        ([*BROKEN, (4, 56, 99, 282, 4, 150, 0.8)], (), 1.0),  # either of two may be meant
        ([*BROKEN, (4, 0, 40, 70, 4, 150, 0.8)], (), 1.0),  # which of two went on?
        ([(n, 0, 40, 200 + 9 * n, 0, 150, 0.8) for n in range(3)] + [(5, 50, 99, 203, 0, 150, 0.8)], (), 1.0),
    ],
    ids=["cut", "late", "place", "size", "both", "two begin", "two end", "a crowd"],
)
def test_tracks_stay_apart(walks: list[Walk], cuts: tuple[int, ...], seconds: float) -> None:
    counts, lines = chosen(walks, cuts, join=seconds)
    assert set(counts) == {walk[0] for walk in walks} and not lines


def test_a_chain_of_three_parts_has_one_id() -> None:
    walks = [(5, 0, 20, 100, 0, 150, 0.8), (7, 30, 50, 100, 0, 150, 0.8), (6, 60, 99, 100, 0, 150, 0.8)]
    assert chosen(walks, join=1.0)[0] == {5: 21 + 21 + 40}


CAST = [
    (1, 0, 99, 560, 0, 120, 0.5),  # longest, at the edge
    (2, 0, 60, 300, 0, 150, 0.7),  # central
    (3, 10, 70, 100, 0, 300, 0.6),  # largest
    (4, 20, 50, 30, 0, 100, 0.95),  # best
    (5, 80, 82, 200, 0, 90, 0.9),
]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"people": 1}, {3, 5}),  # whoever is there alone is at most one
        ({"people": 1, "min_track": 1.0}, {3}),
        ({"people": 1, "select": Select.LARGEST}, {3, 5}),
        ({"people": 1, "select": Select.LONGEST}, {1}),
        ({"people": 1, "select": Select.CENTRAL}, {2, 5}),
        ({"people": 1, "select": Select.BEST}, {4, 5}),
        ({"people": 2, "select": Select.BEST}, {4, 5, 2}),
        ({"people": 9}, {1, 2, 3, 4, 5}),
        ({"min_track": 0.5}, {1, 2, 3, 4}),
        ({"min_track": 0.08}, {1, 2, 3, 4, 5}),
        ({"ids": (1, 5)}, {1, 5}),
        ({"ids": (1, 4), "people": 1}, {1}),
    ],
)
def test_who_is_left(options: dict[str, Any], kept: set[int]) -> None:
    counts, lines = chosen(CAST, **options)
    assert set(counts) == kept
    out = {walk[0] for walk in CAST} - kept
    if out:
        poses = sum(last - first + 1 for track, first, last, *_ in CAST if track in out)
        asked = " ".join(Selection(**options).asked)
        assert lines == [f"left out by {asked}: ids {', '.join(map(str, sorted(out)))} ({poses} poses)"]
    else:
        assert not lines


def test_ids_are_those_after_joining_and_absent_ones_are_named() -> None:
    counts, lines = chosen(BROKEN, join=1.0, ids=(1, 3, 9))
    assert counts == {1: 85} and "--ids: there is nobody with id 3, 9" in lines


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"people": 0}, "--people 0: must be at least 1"),
        ({"select": "largest"}, "--select largest: says whom to prefer; give their number with --people"),
        ({"select": "tallest", "people": 1}, "--select tallest: choose largest or longest or central or best"),
        ({"min_track": -1.0}, "--min-track -1: must be 0 seconds or more"),
        ({"min_track": float("nan")}, "--min-track nan"),
        ({"join": 11.0}, "--join 11: must lie between 0 and 10 seconds"),
        ({"people": 1, "select": "best", "boxes": "b.txt"}, "--people: --boxes b.txt says who is who"),
        ({"join": 1.0, "boxes": "b.txt"}, "--join: --boxes b.txt says who is who"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Options(**options)


def test_boxes_go_with_ids() -> None:
    assert Options(boxes="b.txt", ids=(3,)).selection.asked == ["--ids"]
