"""From pictures to boxes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ftpcli.files.pictures import read_picture
from ftpcli.people.inference import Fit, letterbox, look_again, tidy
from ftpcli.people.loading import BUNDLED, load_detector
from ftpcli.people.network import (
    DetectorConfig,
    TorchNetwork,
    build_network,
    find_people,
    letterbox_on,
    load_network,
    save_network,
)


class Painted(torch.nn.Module):
    """A network that "finds" the bright rectangle of each picture, in ultralytics' output form (B, 4 + nc, N)."""

    def forward(self, stack: torch.Tensor) -> torch.Tensor:
        rows = []
        for image in stack:
            y, x = torch.nonzero(image.mean(0) > 0.9, as_tuple=True)
            x0, x1, y0, y1 = x.min(), x.max() + 1, y.min(), y.max() + 1
            box = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
            near = box + torch.tensor([2.0, 0, 0, 0])
            score = torch.tensor([[0.9], [0.7], [0.01]])
            rows.append(torch.cat([torch.stack([box, near, box]), score], 1).T)
        return torch.stack(rows)


@pytest.mark.parametrize("shape", [(240, 320), (1920, 1080), (33, 47), (64, 64), (100, 1000)])
def test_boxes_are_in_the_pixels_of_the_picture(shape: tuple[int, int]) -> None:
    height, width = shape
    image = np.zeros((height, width, 3), np.uint8)
    x0, y0, x1, y1 = int(0.25 * width), int(0.5 * height), int(0.75 * width), int(0.9 * height)
    image[y0:y1, x0:x1] = 255
    (rows,) = find_people(Painted(), [image], size=128)
    assert rows.shape == (1, 5) and rows[0, 4] == pytest.approx(0.9)  # the overlapping and the faint one are gone
    assert rows[0, :4] == pytest.approx([x0, y0, x1, y1], abs=1.1 * max(1.0, max(shape) / 128))


@pytest.mark.parametrize(("overlap", "boxes"), [(0.45, 1), (0.99, 2)])
def test_the_weights_file_says_how_much_two_boxes_may_overlap(tmp_path: Path, overlap: float, boxes: int) -> None:
    config = DetectorConfig(image_size=64, overlap=overlap)
    save_network(build_network(config), config, tmp_path / "d.safetensors")
    detector = load_detector(tmp_path / "d.safetensors")
    detector.network = TorchNetwork(Painted())  # type: ignore[attr-defined]
    image = np.zeros((64, 64, 3), np.uint8)
    image[10:40, 20:50] = 255
    assert len(detector.detect_batch([image])[0]) == boxes


def boxed(sides: tuple[int, int], size: int) -> tuple[np.ndarray, Fit]:
    fit = Fit.of(*sides, size)
    return letterbox(np.full((*sides, 3), 9, np.uint8), fit), fit


def test_letterbox_keeps_proportions_and_pads_to_the_stride() -> None:
    padded, fit = boxed((200, 100), 64)
    assert padded.shape == (64, 32, 3) and fit.offset == (0, 0) and fit.scale == (0.32, 0.32)
    padded, fit = boxed((100, 300), 96)
    assert padded.shape == (32, 96, 3) and fit.offset == (0, 0)
    padded, fit = boxed((90, 100), 96)
    assert padded.shape == (96, 96, 3) and fit.offset == (0, 5) and (padded[:5] == 114).all()


@pytest.mark.parametrize("factor", [1.9, 2.5, 3.75, 7.5])
def test_a_large_picture_becomes_what_its_average_is(factor: float, photo: np.ndarray) -> None:
    """Within a few of 255 levels, and in the same place."""
    image = cv2.resize(photo[:864], (round(96 * factor), round(96 * factor)), interpolation=cv2.INTER_AREA)
    found = letterbox(image, Fit.of(*image.shape[:2], 96)).astype(int)
    expected = cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA).astype(int)
    off = [np.abs(found - np.roll(expected, shift, axis=(0, 1)))[2:-2, 2:-2].mean() for shift in (0, 1, -1)]
    assert off[0] < 8 and off[0] < min(off[1:]) / 3


@pytest.mark.parametrize(
    ("sides", "size"),
    [((1080, 1920), 352), ((864, 702), 352), ((480, 640), 352), ((90, 120), 160), ((33, 47), 128), ((96, 64), 96)],
)
def test_on_a_device_pictures_are_scaled_in_the_same_way(sides: tuple[int, int], size: int, photo: np.ndarray) -> None:
    """Within one level of 255; OpenCV's own interpolation has 11 bits."""
    image, fit = cv2.resize(photo, sides[::-1]), Fit.of(*sides, size)
    apart = np.abs(letterbox_on(torch.device("cpu"), image, fit).numpy() - letterbox(image, fit))
    assert apart.max() <= 1 and apart.mean() < 0.2


def test_pictures_that_do_not_fit_in_memory_together_are_looked_at_in_parts(
    photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, images = load_detector(device="cpu:0"), [np.roll(photo, 30 * n, axis=1) for n in range(5)]
    expected, honest, sizes = detector.detect_batch(images), detector.network, []  # type: ignore[attr-defined]

    def full(pictures: list[object]) -> np.ndarray:
        sizes.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return honest(pictures)  # type: ignore[no-any-return]

    monkeypatch.setattr(detector, "network", full)
    found = detector.detect_batch(images)
    assert [len(rows) for rows in found] == [len(rows) for rows in expected] and min(map(len, found)) > 2
    assert all(np.allclose(a, b, atol=0.01) for a, b in zip(found, expected, strict=True))
    assert sizes[:5] == [5, 3, 2, 2, 1]
    monkeypatch.setattr(detector, "network", lambda pictures: full([*pictures] * 3))
    with pytest.raises(RuntimeError, match="out of memory"):
        detector.detect_batch(images[:1])


def test_on_a_device_the_same_people_are_found(photo: np.ndarray) -> None:
    images = [np.ascontiguousarray(photo[:, x : x + 700]) for x in (0, 40, 100)]
    images.append(cv2.resize(photo, None, fx=2.2, fy=2.2))  # another shape, and a view that torch cannot take
    images.append(photo[:, ::-1])
    before = load_detector().detect_batch(images)
    for rows, expected in zip(load_detector(device="cpu:0").detect_batch(images), before, strict=True):
        sure = expected[expected[:, 4] > 0.2]
        assert len(sure) > 1
        for row in sure:
            nearest = rows[np.abs(rows[:, :4] - row[:4]).max(axis=1).argmin()]
            assert np.abs(nearest - row)[:4].max() < 0.005 * photo.shape[0] and abs(nearest[4] - row[4]) < 0.01


def test_weights_that_are_rounded_once_give_what_autocast_gives(random_detector: Path) -> None:
    """To the bit."""
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3)).astype(np.uint8)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        reference = load_network(random_detector)[0](torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)
    found = TorchNetwork(load_network(random_detector)[0], precision=torch.bfloat16)(pictures)
    np.testing.assert_array_equal(found, reference[0].float().numpy())


LARGE = [0, 0, 60, 90, 0.9]


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([[LARGE]], [LARGE]),
        ([[[0, 0, 40, 45, 0.1]]], [[0, 0, 40, 45, 0.1]]),  # a small one
        ([[[0, 0, 60, 90, 0.01]]], []),  # next to nothing
        ([[[0, 0, 60, 90, 0.03]], [LARGE, [80, 80, 99, 99, 0.8]]], [LARGE]),  # small ones are the first look's
        ([[[0, 0, 60, 90, 0.03]], []], []),  # too little for a third look
        ([[[0, 0, 60, 90, 0.03]], [[0, 0, 60, 90, 0.1]], [LARGE]], [LARGE]),
        ([[[0, 0, 60, 90, 0.2]], [[0, 0, 60, 80, 0.1]], []], [[0, 0, 60, 90, 0.2]]),
        ([[[0, 0, 60, 90, 0.03], [70, 0, 99, 45, 0.7]], [LARGE]], [LARGE, [70, 0, 99, 45, 0.7]]),
    ],
)
def test_doubtful_large_boxes_are_looked_at_again(looks: list[list[list[float]]], expected: list[list[float]]) -> None:
    asked: list[tuple[int, int]] = []

    def find(images: list[np.ndarray], *, size: int, floor: float) -> list[np.ndarray]:
        asked.append((len(images), size))
        rows = np.array(looks[len(asked) - 1], np.float32).reshape(-1, 5)
        return [rows[rows[:, 4] > floor] for _ in images]

    images = [np.zeros((100, 100, 3), np.uint8)] * 2
    found = look_again(find, images, size=64, floor=0.05, overlap=0.55, score=0.3)
    assert asked == [(2, 64), (2, 40), (2, 56)][: len(looks)]
    assert all(rows == pytest.approx(np.array(expected).reshape(-1, 5)) for rows in found)


def test_a_person_who_fills_the_picture_without_a_face_is_found(shared: Path) -> None:
    picture = read_picture(shared / "data/detector/images/coco_mini/537e4e823b.webp")
    (rows,) = load_detector().detect_batch([picture])
    sure = rows[rows[:, 4] >= 0.3]
    assert len(sure) == 1 and sure[0, :4] == pytest.approx([99, 3, 312, 410], abs=20)


def test_tidy_orders_and_drops() -> None:
    rows = np.array(
        [[0, 0, 9, 9, 0.5], [5, 5, 4, 9, 0.9], [np.nan, 0, 1, 1, 0.9], [-5, -5, 20, 20, 0.8], [0, 0, 8, 9, 0.5]]
    )
    assert tidy(rows, 10, 10)[:, :4].tolist() == [[0, 0, 10, 10], [0, 0, 8, 9], [0, 0, 9, 9]]


def test_a_batch_gives_what_single_pictures_give(random_detector: Path, photo: np.ndarray) -> None:
    network, _ = load_network(random_detector)
    for branch in network.model[-1].cv3:  # type: ignore[union-attr]
        branch[-1].bias.data[:] = 0.0
    pictures = [photo, photo[:500], photo[:, ::-1].copy()]
    together = find_people(network, pictures, size=96)
    assert all(len(rows) for rows in together)
    for image, rows in zip(pictures, together, strict=True):
        assert find_people(network, [image], size=96)[0] == pytest.approx(rows, abs=1e-2)


def test_the_bundled_detector_finds_the_people_at_the_bus(photo: np.ndarray) -> None:
    if not BUNDLED.is_file():
        pytest.skip("no bundled detector in this checkout yet")
    detector = load_detector()
    rows = detector.detect_batch([photo])[0]
    strong = rows[rows[:, 4] >= detector.score]
    # the fourth, of whom there is a strip at the picture's edge, may be missing
    people = np.array([[49, 399, 245, 903], [223, 405, 345, 860], [669, 392, 810, 877]], float)
    for x0, y0, x1, y1 in people:
        w = np.minimum(strong[:, 2], x1) - np.maximum(strong[:, 0], x0)
        h = np.minimum(strong[:, 3], y1) - np.maximum(strong[:, 1], y0)
        shared = np.clip(w, 0, None) * np.clip(h, 0, None)
        union = (x1 - x0) * (y1 - y0) + (strong[:, 2] - strong[:, 0]) * (strong[:, 3] - strong[:, 1]) - shared
        assert (shared / union).max() > 0.5
    assert len(strong) <= 6
    assert BUNDLED.stat().st_size < 16e6 and detector.describe()["name"] == "bundled"
    assert np.array_equal(load_detector().detect_batch([photo])[0], rows)


def test_several_pictures_are_as_one_after_the_other(photo: np.ndarray) -> None:
    """Side by side in threads, or in one batch, as on a GPU; of one size or of several."""
    from ftpcli.device import Threads

    detector = load_detector()
    same = [np.ascontiguousarray(photo[:, x : x + 700]) for x in (0, 40, 100)]
    for images in (same, [*same, np.ascontiguousarray(photo[:600])]):
        single = [detector.detect_batch([image])[0] for image in images]
        assert all(len(rows) > 1 for rows in single)
        for most, count in ((None, 1), (1, 1), (1, 3)):
            detector._threads = Threads(most, count)  # type: ignore[attr-defined]
            for rows, expected in zip(detector.detect_batch(images), single, strict=True):
                np.testing.assert_allclose(rows, expected, atol=0.05)
