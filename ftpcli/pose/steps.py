"""What lies between pictures and networks: crops, mirror images, heatmaps to joints, with OpenCV and numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ftpcli.model.heatmap import decode_heatmaps
from ftpcli.pose.crops import cut
from ftpcli.pose.engine import PoseEngine, Tokens

Windows = Sequence[Sequence[Tokens]]


class Steps:
    """On the CPU: the reference.

    Args:
        sigma: of the heatmaps that the model was trained on, in cells.
        mirror: which joint of the mirror image each joint is; None where mirror images are not looked at.
    """

    def __init__(self, engine: PoseEngine, sigma: float, mirror: np.ndarray | None) -> None:
        self._engine, self._config = engine, engine.config
        self._sigma, self._mirror = sigma, mirror

    def look(self, image: np.ndarray) -> None:
        """Begin to bring a picture to where crops are cut."""

    def crops(self, images: Sequence[np.ndarray], matrices: np.ndarray) -> list[Any]:
        """The crop of each (H, W, 3) uint8 picture through its affine (2, 3), as (B, height, width, 3) for the engine;
        then, where mirror images are looked at, those."""
        size = self._config.image_size
        crops = np.stack([cut(image, matrix, size) for image, matrix in zip(images, matrices, strict=True)])
        return [crops] if self._mirror is None else [crops, np.ascontiguousarray(crops[:, :, ::-1])]

    def heatmaps(self, windows: Windows, mirrored: Windows | None) -> Any:
        """(B, K, h, w) of the windows' tokens; averaged with those of their mirror images where given."""
        heatmaps = self._engine.decode(windows)
        if mirrored is None:
            return heatmaps
        return _average(heatmaps, self._engine.decode(mirrored)[..., ::-1][:, self._mirror], self._config.heatmap)

    def joints(self, heatmaps: Any) -> tuple[np.ndarray, np.ndarray]:
        """(B, K, 2) in pixels of the crop, and (B, K) confidence."""
        return decode_heatmaps(heatmaps, self._config.heatmap, self._sigma, self._config.codec)


def _average(heatmaps: np.ndarray, others: np.ndarray, kind: str) -> np.ndarray:
    """Of two (B, K, h, w). Distributions are averaged, not their logits: one side's certainty must survive the
    other's doubt."""
    if kind == "gaussian":
        return (heatmaps + others) / 2
    chances = []
    for logits in (heatmaps, others):
        powers = np.exp(logits - logits.max(axis=(2, 3), keepdims=True))
        chances.append(powers / powers.sum(axis=(2, 3), keepdims=True))
    return np.log(np.maximum((chances[0] + chances[1]) / 2, 1e-12))
