"""Augmented pictures for the detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ftpcli.datasets.scenes import Picture
from ftpcli.errors import InputError
from ftpcli.training.detector.samples import _move, _place, make_sample
from tests.support.detector_data import coco_file, mixture_of


@pytest.mark.parametrize("seed", range(30))
def test_boxes_move_with_their_people(seed: int) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[30:100, 50:90] = 255
    picture = Picture(image, np.array([[50, 30, 90, 100]], np.float32), np.zeros((0, 4), np.float32))
    tile, boxes, _ = _place(picture, 200, 150, (0.6, 1.8), np.random.default_rng(seed))
    white = np.argwhere((tile > 200).all(-1))
    if not len(boxes):
        assert len(white) < 0.35 * (tile.shape[0] * tile.shape[1])
        return
    (y0, x0), (y1, x1) = white.min(0), white.max(0) + 1
    found, want = boxes[0], np.array([x0, y0, x1, y1])
    assert np.abs(found - want).max() <= 0.08 * max(want[2] - want[0], want[3] - want[1]) + 3


def test_a_person_hardly_left_in_the_tile_is_dropped() -> None:
    plain = np.array([[1.0, 0, 0], [0, 1, 0]])
    boxes = np.array([[-90, 0, 10, 50], [-50, 0, 50, 50], [10, 10, 20, 20]], np.float32)
    assert _move(boxes, plain, 100, 100, 0.2).tolist() == [[0, 0, 50, 50], [10, 10, 20, 20]]


def test_samples_depend_on_the_generator_alone(tmp_path: Path) -> None:
    mixture = mixture_of(coco_file(tmp_path), 2.0)
    assert len(mixture) == 12
    one, two, three = (make_sample(mixture, 96, np.random.default_rng(s), 0.5) for s in (4, 4, 5))
    assert np.array_equal(one.image, two.image) and np.array_equal(one.people, two.people)
    assert not np.array_equal(one.image, three.image)
    with pytest.raises(InputError, match="nothing to train on"):
        mixture_of(tmp_path / "coco.json", 0.0)
