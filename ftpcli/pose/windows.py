"""From tracked frames to windows: for every person the frames around the key frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from ftpcli.device import is_accelerator
from ftpcli.errors import UsageError
from ftpcli.records import Frame, Person, TrackedFrame, VideoInfo, Window

SIZES = (1, 3, 5)
#: Frames that may be held at a time for one purpose, and the pixels they may hold in memory.
_MOST_FRAMES = 8
_MOST_PIXELS = 8 * 1920 * 1080
_ON_ACCELERATOR = 4  # times as many


def held_frames(info: VideoInfo, times: int = 1) -> int:
    """How many frames of a source may be held at a time: fewer where pictures are large; so many times as many."""
    return max(1, min(times * _MOST_FRAMES, times * _MOST_PIXELS // max(1, info.width * info.height)))


def chunk_frames(info: VideoInfo, device: str) -> int:
    """How many frames are worked on together: more on an accelerator, for which many are little more work than few."""
    return held_frames(info, _ON_ACCELERATOR if is_accelerator(device) else 1)


class Windows:
    """Makes the windows of a stream of frames, in order, ``(size - 1) // 2`` frames late.

    Neighbours are the frames before and after in the stream, so those that are left with a stride. A neighbour is
    missing at the ends of the clip and where the person is not tracked in it; the key frame itself stands in then,
    flagged in ``Window.padded``.

    At most ``size`` frames are held, and none that no later window can need.

    Args:
        size: frames in a window: 1, 3 or 5.
    """

    def __init__(self, size: int = 3) -> None:
        if size not in SIZES:
            raise UsageError(f"windows of {size} frames are not possible; choose 1, 3 or 5")
        self.size = size

    @property
    def delay(self) -> int:
        """How many frames must follow a frame before its windows are ready."""
        return (self.size - 1) // 2

    def __call__(self, frames: Iterable[TrackedFrame]) -> Iterator[tuple[TrackedFrame, tuple[Window, ...]]]:
        """Yields every frame once, as key frame, with one window per person in the order of its people."""
        held: deque[TrackedFrame] = deque(maxlen=self.size)
        waiting = 0  # frames at the right of `held` that were not yet a key frame
        for tracked in frames:
            held.append(tracked)
            # A name for the newest frame would keep it alive until the next one replaces it.
            del tracked
            waiting += 1
            if waiting > self.delay:
                yield self._at(held, len(held) - waiting)
                waiting -= 1
                self._release(held, waiting)
        while waiting:
            yield self._at(held, len(held) - waiting)
            waiting -= 1
            self._release(held, waiting)

    def _release(self, held: deque[TrackedFrame], waiting: int) -> None:
        """Drop frames that are too far before the next key frame."""
        while len(held) - waiting > self.delay:
            held.popleft()

    def _at(self, held: deque[TrackedFrame], position: int) -> tuple[TrackedFrame, tuple[Window, ...]]:
        key = held[position]
        around = [
            held[position + offset] if 0 <= position + offset < len(held) else None
            for offset in range(-self.delay, self.delay + 1)
        ]
        tracked = [set() if frame is None else {person.track_id for person in frame.people} for frame in around]
        return key, tuple(self._window(person, key.frame, around, tracked) for person in key.people)

    def _window(self, person: Person, key: Frame, around: list[TrackedFrame | None], tracked: list[set[int]]) -> Window:
        padded = tuple(person.track_id not in ids for ids in tracked)
        frames = tuple(
            key if missing or frame is None else frame.frame for frame, missing in zip(around, padded, strict=True)
        )
        return Window(person, frames, padded)
