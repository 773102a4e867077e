"""Shots: cuts are found and numbered; movement, light, flashes and fades are none."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from ftpcli.people.cuts import Shots, _Look, thumbnail
from ftpcli.records import Frame, TrackedFrame
from ftpcli.video import open_source
from samples.make_sample import make_sample

SIZE = (180, 320)


def scene(seed: int) -> np.ndarray:
    """A picture of coloured patches, larger than a frame."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 255, (9, 16, 3)).astype(np.uint8)
    return cv2.resize(patches, (2 * SIZE[1], 2 * SIZE[0]), interpolation=cv2.INTER_CUBIC)


A, B = scene(1), scene(2)


def view(of: np.ndarray, left: int = 0, top: int = 0) -> np.ndarray:
    return of[top : top + SIZE[0], left : left + SIZE[1]]


def lit(image: np.ndarray, gain: float, more: float = 0.0) -> np.ndarray:
    return np.clip(image * gain + more, 0, 255).astype(np.uint8)


def shots(images: Sequence[np.ndarray], most: int = 8) -> list[int]:
    frames = [TrackedFrame(Frame(i, i, i / 25, image)) for i, image in enumerate(images)]
    out = list(Shots(most)(iter(frames)))
    assert [one.frame for one in out] == [one.frame for one in frames]
    return [one.shot for one in out]


@pytest.mark.parametrize("most", [1, 2, 8])
@pytest.mark.parametrize("lengths", [(5, 5), (1, 6), (6, 1), (3, 3, 3, 3), (12, 4, 9)])
def test_cuts_between_moving_scenes(most: int, lengths: tuple[int, ...]) -> None:
    images, expected = [], []
    for number, length in enumerate(lengths):
        images += [view(scene(number), 3 * i, i) for i in range(length)]
        expected += [number] * length
    assert shots(images, most) == expected


WHITE, BLACK = np.full((*SIZE, 3), 255, np.uint8), np.zeros((*SIZE, 3), np.uint8)
STILL = view(A)


@pytest.mark.parametrize(
    "images",
    [
        [view(A, 8 * i, 4 * i) for i in range(30)],  # a pan of a quarter of the picture in ten frames
        [STILL, STILL, WHITE, STILL, STILL],
        [STILL, STILL, WHITE, lit(STILL, 0.5, 140), STILL, STILL],
        [STILL, STILL, view(B), STILL, STILL],  # too short for a shot
        [STILL] * 3 + [lit(STILL, 0.55)] * 5,  # a lamp goes out
        [lit(STILL, i / 12) for i in [*range(13), *range(12, -1, -1)]],  # in from black and out again
        [(STILL * (1 - i / 15) + view(B) * (i / 15)).astype(np.uint8) for i in range(16)],  # a dissolve
        [BLACK] * 5,
        [np.random.default_rng(i).normal(20, 6, (*SIZE, 3)).clip(0, 255).astype(np.uint8) for i in range(5)],
        [STILL],
        [],
    ],
    ids=["pan", "flash", "long flash", "one frame", "lamp", "fades", "dissolve", "black", "noise", "single", "nothing"],
)
def test_what_is_no_cut(images: list[np.ndarray]) -> None:
    assert shots(images) == [0] * len(images)


def noisy(images: list[np.ndarray]) -> list[np.ndarray]:
    """As a camera gives them: no two pictures are the same."""
    rng = np.random.default_rng(0)
    return [np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8) for image in images]


def closer(image: np.ndarray, zoom: float = 1.5) -> np.ndarray:
    height, width = image.shape[:2]
    part = image[round(height * (1 - 1 / zoom)) :, round(width * (1 - 1 / zoom)) :]
    return cv2.resize(part, (width, height))


def test_a_jump_cut_is_a_cut() -> None:
    """The same scene from nearer by: colours stay alike."""
    far = [view(A, i) for i in range(12)]
    near = [closer(view(A, 12 + i), 1.3) for i in range(8)]
    looks = [_Look.of(thumbnail(far[-1])), _Look.of(thumbnail(near[0]))]
    assert looks[0].change(looks[1])[0] < 0.3  # by this alone it would be none
    assert shots(noisy(far + near)) == [0] * 12 + [1] * 8


def test_a_cut_to_a_very_similar_shot_is_a_cut() -> None:
    """Hardly any colour changes, but every place."""
    one = [view(A, i) for i in range(12)]
    other = [view(A, 12 + i)[:, ::-1] for i in range(8)]
    looks = [_Look.of(thumbnail(one[-1])), _Look.of(thumbnail(other[0]))]
    assert 0.05 < looks[0].change(looks[1])[0] < 0.1
    assert shots(noisy(one + other)) == [0] * 12 + [1] * 8


@pytest.mark.parametrize(("after", "repeats"), [(2, 1), (8, 2)], ids=["two frames before the end", "repeated"])
def test_a_jump_cut_is_known_by_one_later_change(after: int, repeats: int) -> None:
    far, near = [view(A, i) for i in range(12)], [closer(view(A, 12 + i), 1.3) for i in range(after)]
    images = [image for image in noisy(far + near) for _ in range(repeats)]
    assert shots(images) == [0] * 12 * repeats + [1] * after * repeats


def test_a_shot_a_little_like_the_one_before_is_no_flash() -> None:
    """A flash is over when the pictures are those of before again, not when they are barely alike."""
    first, second = view(A), [lit(view(A, 80, 45), gain) for gain in (0.95, 1.0)]
    changes = [_Look.of(thumbnail(image)).change(_Look.of(thumbnail(first)))[0] for image in second]
    assert changes[0] > 0.3 > changes[1] > 0.2
    assert shots([first] * 5 + second[:1] + second[1:] * 5) == [0] * 5 + [1] * 6


@pytest.mark.parametrize("repeats", [1, 2, 3, 4])
def test_sudden_movement_is_no_cut(repeats: int) -> None:
    """A camera that rests and then swings or zooms; also where a low rate was brought up by repeated pictures."""
    swing = [view(A)] * 8 + [view(A, 20 * i, 4 * i) for i in range(1, 12)]
    zoom = [view(A)] * 8 + [closer(view(A), 1 + 0.08 * i) for i in range(1, 10)]
    for images in (swing, zoom):
        assert set(shots([image for image in noisy(images) for _ in range(repeats)])) == {0}


def test_a_flash_between_two_shots_belongs_to_neither() -> None:
    assert shots([STILL] * 3 + [WHITE] + [view(B)] * 3) == [0, 0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (33, 31), (1080, 1920)])
def test_pictures_of_any_size(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    assert shots([rng.integers(0, 255, (*size, 3)).astype(np.uint8)] * 4) == [0] * 4


def test_few_frames_are_held() -> None:
    pictures: list[weakref.ref[np.ndarray]] = []

    def endless() -> Iterator[TrackedFrame]:
        for i in range(40):
            frame = Frame(i, i, i / 25, view(A if i % 9 < 5 else B).copy())
            pictures.append(weakref.ref(frame.image))
            yield TrackedFrame(frame)
            del frame

    most = 0
    for _ in Shots(8)(endless()):
        most = max(most, sum(picture() is not None for picture in pictures))
    assert most <= 4


@pytest.mark.parametrize("every", [1, 5])
def test_real_clips_without_cuts(every: int, shared: Path) -> None:
    for clip in sorted((shared / "videos").iterdir()):
        assert _counted(clip, every) == 0, clip.name


def test_the_cut_of_a_real_film(shared: Path) -> None:
    assert _counted(shared / "cases" / "video" / "cut.mp4") == 1


def test_the_sample_clip(tmp_path: Path) -> None:
    make_sample(tmp_path / "sample.mp4", seconds=2)
    assert _counted(tmp_path / "sample.mp4") == 0


def _counted(clip: Path, every: int = 1) -> int:
    with open_source(clip, every=every) as source:
        return max(one.shot for one in Shots(8)(TrackedFrame(frame) for frame in source))
