"""A detector that needs no network: it finds the bright figures of clips made here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ftpcli.people.sources import PeopleSource
from ftpcli.records import Frame, TrackedFrame

SIZE = (160, 96)


def walkers(path: Path, count: int = 60) -> Path:
    """Two bright figures that cross each other's way; one leaves for a while."""
    from ftpcli.video import VideoWriter

    with VideoWriter(path, *SIZE, Fraction(1, 25), preset="ultrafast") as writer:
        for index in range(count):
            image = np.full((SIZE[1], SIZE[0], 3), 20, np.uint8)
            for left, top, shade in _figures(index, count):
                image[top : top + 50, left : left + 22] = shade
            writer.write(image, index)
    return path


def _figures(index: int, count: int) -> list[tuple[int, int, int]]:
    first = (5 + index * 110 // count, 20, 200)
    second = (125 - index * 110 // count, 30 + index % 3, 240)
    return [first] if count // 2 <= index < count // 2 + 6 else [first, second]


class Bright:
    """Every bright region is a person; its score wavers, so that the tracker's thresholds matter."""

    score = 0.3

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause

    def detect(self, image: np.ndarray) -> np.ndarray:
        time.sleep(self.pause)
        mask = (image.mean(axis=2) > 120).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        rows = [
            [left, top, left + width, top + height, 0.15 + 0.7 * ((left * 7 + top * 3) % 11) / 11]
            for left, top, width, height, area in stats[1:]
            if area > 200
        ]
        found = np.array(rows, np.float32).reshape(-1, 5)
        return found[np.argsort(-found[:, 4], kind="stable")]

    def detect_batch(self, images: Any) -> list[np.ndarray]:
        return [self.detect(image) for image in images]

    def describe(self) -> dict[str, Any]:
        return {"name": "bright regions"}


def followed(people: PeopleSource, frames: Iterable[Frame]) -> Iterator[TrackedFrame]:
    """Frames with their people, detected one frame at a time."""
    return people.follow(TrackedFrame(frame, detections=people.detect([frame])[0]) for frame in frames)


def use_bright_detector(pause: float = 0.0) -> None:
    """Have ``ftp`` in this process load this detector in place of the bundled one."""
    import ftpcli.people.loading

    ftpcli.people.loading.load_detector = lambda *a, **k: Bright(pause)  # type: ignore[assignment,misc]


def use_slow_detector() -> None:
    """The same, slow enough for a test to step in."""
    use_bright_detector(0.03)
