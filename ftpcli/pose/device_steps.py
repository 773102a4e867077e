"""The steps between pictures and networks on an accelerator: pictures go there once, joints alone come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ftpcli.device import on_device
from ftpcli.model.device_heatmap import decode_on_device
from ftpcli.pose.device_crops import cut_together
from ftpcli.pose.steps import Steps, Windows
from ftpcli.pose.torch_engine import TorchEngine


class DeviceSteps(Steps):
    """As :class:`Steps`: crops differ by one level in 255 at most, joints by less than 0.01 pixels in the median.

    All people of a batch at once: an accelerator takes about as long to be given an operation as to do it.
    """

    _engine: TorchEngine

    def look(self, image: np.ndarray) -> None:
        on_device(torch.device(self._engine.device))(image)

    @torch.inference_mode()
    def crops(self, images: Sequence[np.ndarray], matrices: np.ndarray) -> list[Any]:
        pictures = on_device(torch.device(self._engine.device))
        crops = cut_together([pictures(image) for image in images], matrices, self._config.image_size)
        return [crops] if self._mirror is None else [crops, crops.flip(2)]

    @torch.inference_mode()
    def heatmaps(self, windows: Windows, mirrored: Windows | None) -> Tensor:
        heatmaps = self._engine.heatmaps(windows)
        if mirrored is None:
            return heatmaps
        turned = self._engine.heatmaps(mirrored).flip(3)[:, torch.from_numpy(np.asarray(self._mirror))]
        if self._config.heatmap == "gaussian":
            return (heatmaps + turned) / 2
        chances = [logits.flatten(2).softmax(2) for logits in (heatmaps, turned)]
        return ((chances[0] + chances[1]) / 2).clamp_min(1e-12).log().view_as(heatmaps)

    @torch.inference_mode()
    def joints(self, heatmaps: Tensor) -> tuple[np.ndarray, np.ndarray]:
        return decode_on_device(heatmaps, self._config.heatmap, self._sigma, self._config.codec)
