"""Engines: the estimator knows nothing of them but their interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ftpcli.device import Threads
from ftpcli.model.config import ModelConfig
from ftpcli.pose.estimator import Estimator
from ftpcli.records import Frame, Person, Window


class Brightest:
    """An engine that holds every joint for where the crop is brightest: its tokens are the crop, 4x4 pixels a cell."""

    config = ModelConfig(image_size=(64, 48), joints=("left_wrist", "right_wrist"))
    device, precision = "abacus", "fp32"

    def __init__(self) -> None:
        self.provenance: dict[str, Any] = {}
        self.threads = Threads(2, 1)

    def encode(self, crops: np.ndarray) -> list[np.ndarray]:
        cells = crops.astype(np.float32).mean(axis=3).reshape(len(crops), 16, 4, 12, 4).mean(axis=(2, 4)) / 255
        cells[..., :6] *= 0.9  # so that a picture and its mirror image are not the same to it
        return list(cells)

    def decode(self, windows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        return np.stack([np.stack([tokens[len(tokens) // 2]] * 2) for tokens in windows])


def test_any_engine_will_do() -> None:
    image = np.zeros((128, 128, 3), np.uint8)
    image[40:44, 72:76] = 200
    frame = Frame(0, 0, 0.0, image)
    window = Window(Person(1, np.array([40.0, 32, 88, 96]), 1.0), (frame, frame, frame), (True, False, True))
    for flip_test in (False, True):
        estimator = Estimator(Brightest(), flip_test=flip_test)
        (pose,) = estimator.estimate([window])
        assert estimator.device == "abacus" and pose.keypoints.shape == (2, 2)
        np.testing.assert_allclose(pose.keypoints, [[73.5, 41.5]] * 2, atol=3)
    assert np.isclose(pose.confidence[0], 0.95 * Estimator(Brightest()).estimate([window])[0].confidence[0], rtol=0.01)
