"""Windows: order, padding and memory."""

from __future__ import annotations

import random
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from ftpcli.errors import UsageError
from ftpcli.pose.windows import Windows
from ftpcli.records import Frame, Person, TrackedFrame


def tracked(index: int, tracks: list[int], step: int = 1) -> TrackedFrame:
    frame = Frame(index * step, index * step * 512, index * step / 30, np.full((2, 2, 3), index % 256, np.uint8))
    people = tuple(Person(track, np.array([index, track, index + 1.0, track + 1.0]), 0.5) for track in tracks)
    return TrackedFrame(frame, people)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("seed", range(25))
def test_every_frame_once_every_person_once_neighbours_by_track(size: int, seed: int) -> None:
    generator = random.Random(seed)
    count = generator.randint(0, 12)
    step = generator.choice([1, 7])
    stream = [tracked(i, generator.sample(range(1, 6), generator.randint(0, 4)), step) for i in range(count)]
    results = list(Windows(size)(iter(stream)))
    assert [key for key, _ in results] == stream, "the same frames, in order"
    half = size // 2
    for i, (key, windows) in enumerate(results):
        assert [w.person for w in windows] == list(key.people)
        for w in windows:
            assert len(w.frames) == len(w.padded) == size
            assert w.key is key.frame and not w.padded[half]
            for offset in range(-half, half + 1):
                j = i + offset
                there = 0 <= j < count and any(p.track_id == w.person.track_id for p in stream[j].people)
                assert w.padded[offset + half] == (not there)
                assert w.frames[offset + half] is (stream[j].frame if there else key.frame)


def test_three_frames_of_one_person() -> None:
    stream = [tracked(0, [1]), tracked(1, [1]), tracked(2, [2]), tracked(3, [1])]
    windows = [w for _, ws in Windows(3)(stream) for w in ws]
    assert [[f.index for f in w.frames] for w in windows] == [[0, 0, 1], [0, 1, 1], [2, 2, 2], [3, 3, 3]]
    assert [w.padded for w in windows] == [
        (True, False, False),
        (False, False, True),
        (True, False, True),
        (True, False, True),
    ]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_frame_comes_out_as_soon_as_its_neighbours_are_there(size: int) -> None:
    fed: list[int] = []

    def stream() -> Iterator[TrackedFrame]:
        for i in range(10):
            fed.append(i)
            yield tracked(i, [1])

    windows = Windows(size)
    assert windows.delay == size // 2
    for number, (key, _) in enumerate(windows(stream())):
        assert key.frame.index == number
        assert len(fed) == min(number + 1 + windows.delay, 10)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_memory_holds_a_window_and_no_more(size: int) -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def living() -> list[int]:
        return [i for i, reference in enumerate(alive) if reference() is not None]

    def stream() -> Iterator[TrackedFrame]:
        for i in range(40):
            frame = tracked(i, [1, 2] if i % 7 else [])
            alive.append(weakref.ref(frame.frame.image))
            yield frame
            del frame

    most = 0
    for number, (key, windows) in enumerate(Windows(size)(stream())):
        assert min(living()) >= number - size // 2
        assert max(living()) <= number + size // 2
        most = max(most, len(living()))
        del key, windows
    assert most == size
    assert living() == []


def test_other_sizes_are_refused() -> None:
    for size in (0, 2, 4, 7, -1):
        with pytest.raises(UsageError):
            Windows(size)
