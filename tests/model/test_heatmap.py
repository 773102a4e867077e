"""The heatmap codec and the crop's geometry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ftpcli.model.heatmap import blur, decode_heatmaps, gaussian_targets
from ftpcli.pose.crops import affine, box_affine, cut, invert, transform

SIZE = (256, 192)


def test_round_trip_error_is_far_below_half_a_pixel() -> None:
    rng = np.random.default_rng(0)
    joints = rng.uniform([4, 4], [187, 251], (20, 19, 2))
    targets = gaussian_targets(torch.from_numpy(joints), (64, 48))
    points, confidence = decode_heatmaps(targets.numpy())
    assert np.abs(points - joints).max() < 0.05
    assert (confidence > 0.85).all()


def test_round_trip_through_crop_and_picture() -> None:
    rng = np.random.default_rng(1)
    box = np.array([310.0, 95.5, 420.25, 390.0])
    matrix = box_affine(box, SIZE)
    joints = rng.uniform(box[:2], box[2:], (1, 19, 2))
    targets = gaussian_targets(torch.from_numpy(transform(joints, matrix)), (64, 48))
    points, _ = decode_heatmaps(targets.numpy())
    scale = np.sqrt(np.linalg.det(matrix[:, :2]))
    assert np.abs(transform(points, invert(matrix)) - joints).max() * scale < 0.5


def test_joints_at_the_border_stay_within_half_a_cell() -> None:
    joints = torch.tensor([[[0.0, 0.0], [191.0, 255.0], [0.0, 128.0]]])
    points, _ = decode_heatmaps(gaussian_targets(joints, (64, 48)).numpy())
    assert np.abs(points - joints.numpy()).max() <= 2.0


def test_softmax_maps_give_the_same_place_and_a_confidence_of_mass() -> None:
    joints = torch.tensor([[[60.3, 100.9], [120.0, 30.0]]])
    target = gaussian_targets(joints, (64, 48))
    logits = torch.log(target.clamp_min(1e-12))
    points, confidence = decode_heatmaps(logits.numpy(), "softmax")
    assert np.abs(points - joints.numpy()).max() < 0.05
    assert (confidence > 0.9).all()
    flat = np.zeros((1, 1, 64, 48), np.float32)
    assert decode_heatmaps(flat, "softmax")[1][0, 0] < 0.05


@pytest.mark.parametrize("count", [40, 64])
def test_no_weight_of_the_blur_makes_products_slow(count: int) -> None:
    """Products with numbers below float32's normal ones take a processor twenty times as long."""
    weights = blur(count, 2.0)
    assert weights[weights > 0].min() > 1e-17 and np.abs(weights.sum(axis=1)[8:-8] - 1).max() < 1e-4


def test_the_place_with_most_probability_about_it_beats_the_highest_cell() -> None:
    true = torch.tensor([[[60.3, 100.9]]])
    chances = gaussian_targets(true, (64, 48)).numpy()
    chances /= chances.sum()
    noisy = 0.9 * chances
    noisy[0, 0, 50, 40] += 0.1  # a lone cell, higher than any of the hill's
    assert noisy.argmax() == 50 * 48 + 40
    points, confidence = decode_heatmaps(np.log(noisy + 1e-12), "softmax")
    assert np.abs(points - true.numpy()).max() < 0.05
    assert 0.8 < confidence[0, 0] < 0.95


def test_softmax_maps_near_the_border_err_inwards_by_a_cell_at_most() -> None:
    joints = torch.tensor([[[1.5, 100.0], [191 - 1.5, 100.0], [90.0, 13.5], [95.0, 255 - 13.5]]])
    logits = torch.log(gaussian_targets(joints, (64, 48)).clamp_min(1e-12))
    error = decode_heatmaps(logits.numpy(), "softmax")[0] - joints.numpy()
    assert 0 < error[0, 0, 0] < 5 and -5 < error[0, 1, 0] < 0
    assert np.abs(error[0, 2:]).max() < 0.25


@pytest.mark.parametrize("kind", ["gaussian", "softmax"])
def test_maps_that_are_not_numbers_have_no_confidence(kind: str) -> None:
    points, confidence = decode_heatmaps(np.full((1, 2, 8, 6), np.nan, np.float32), kind)
    assert np.isfinite(points).all()
    assert (confidence == 0).all()


def test_mirroring_the_crop_mirrors_the_heatmap() -> None:
    joints = torch.tensor([[[50.25, 77.0]]])
    mirrored = torch.tensor([[[191 - 50.25, 77.0]]])
    a, b = gaussian_targets(joints, (64, 48)), gaussian_targets(mirrored, (64, 48))
    torch.testing.assert_close(a.flip(3), b)


def test_crop_shows_the_box_enlarged_by_a_quarter() -> None:
    matrix = box_affine(np.array([100.0, 100.0, 160.0, 180.0]), SIZE)  # 3:4 already
    corners = transform(np.array([[99.5 + 30, 99.5 + 40], [99.5, 99.5]]), matrix)
    np.testing.assert_allclose(corners[0], [95.5, 127.5])
    np.testing.assert_allclose(corners[1], [95.5 - 96 / 1.25, 127.5 - 128 / 1.25])


@pytest.mark.parametrize("scale", [0.2, 0.45, 1.0, 2.5])
def test_a_mark_in_the_picture_is_found_in_the_crop(scale: float) -> None:
    image = np.zeros((1200, 1000, 3), np.uint8)
    image[597:604, 497:504] = 255
    matrix = affine(np.array([520.0, 610.0]), 192 / scale, SIZE, rotation=20)
    crop = cut(image, matrix, SIZE)[..., 0].astype(float)
    rows, columns = np.mgrid[:256, :192]
    centre = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
    np.testing.assert_allclose(centre, transform(np.array([500.0, 600.0]), matrix), atol=0.35)


def test_a_box_outside_the_picture_gives_a_black_crop() -> None:
    image = np.full((50, 50, 3), 255, np.uint8)
    for box in ([1000.0, 1000.0, 1010.0, 1020.0], [-5000.0, 0.0, -4000.0, 3000.0], [5.0, 5.0, 5.0, 5.0]):
        crop = cut(image, box_affine(np.array(box), SIZE), SIZE)
        assert crop.shape == (256, 192, 3)
    assert not cut(image, box_affine(np.array([1000.0, 1000.0, 1010.0, 1020.0]), SIZE), SIZE).any()


def test_inverse() -> None:
    matrix = affine(np.array([31.0, 77.0]), 300.0, SIZE, rotation=-33, flip=True)
    points = np.random.default_rng(2).uniform(0, 500, (9, 2))
    np.testing.assert_allclose(transform(transform(points, matrix), invert(matrix)), points, atol=1e-9)
