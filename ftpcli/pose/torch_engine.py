"""The pose model in torch: on every device, for every configuration. What other engines are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ftpcli.device import Threads, choose_device, choose_precision, in_steps
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.model.fuse import cast_weights, fuse_batch_norms, pack_convolutions
from ftpcli.pose.crops import normalise
from ftpcli.pose.engine import Tokens
from ftpcli.pose.weights import build_model

#: Crops or windows that a CPU thread takes at a time. Four cost it 6 % less each, but leave more cores with nothing.
_PART = 2


class TorchEngine:
    """See :class:`ftpcli.pose.engine.PoseEngine`. Tokens are (N, C) tensors on the device.

    Args:
        model: in evaluation mode; copied.
    """

    name = "torch"

    def __init__(self, model: FTPPose, *, device: str = "auto", precision: str = "auto") -> None:
        self._device = choose_device(device)
        self.device = str(self._device)
        self.precision = choose_precision(precision, self._device)
        self.config = model.config
        self.provenance: dict[str, Any] = {}
        self.threads = Threads.of(self._device, _PART)
        self._model = fuse_batch_norms(model).to(self._device)
        self._model.to(memory_format=torch.channels_last)
        if self.precision == "bf16":
            cast_weights(self._model, torch.bfloat16)
        trunk = self._model.backbone.trunk  # hundreds of small steps, which gain a quarter; other stems gain little
        if trunk is not None and self._device.type == "cpu" and self.precision == "fp32":
            window = torch.zeros(_PART, self.config.frames, 3, *self.config.image_size)
            with torch.inference_mode():
                pack_convolutions(self._model, lambda: self._model(window))

    @classmethod
    def load(cls, path: Path, *, device: str = "auto", precision: str = "auto", **changes: Any) -> TorchEngine:
        """From a weights file, see ``load_engine``."""
        choose_device(device)  # refused before the weights are read
        model, provenance = build_model(path, **changes)
        engine = cls(model, device=device, precision=precision)
        engine.provenance = provenance
        return engine

    @torch.inference_mode()
    def encode(self, crops: np.ndarray | Tensor) -> Sequence[Tokens]:
        with self._autocast():
            images = normalise(in_steps(torch.as_tensor(crops), self._device), self._device)
            return self._model.encode(images.contiguous(memory_format=torch.channels_last))[: len(crops)].unbind()

    def decode(self, windows: Sequence[Sequence[Tokens]]) -> np.ndarray:
        return self.heatmaps(windows).cpu().numpy()

    @torch.inference_mode()
    def heatmaps(self, windows: Sequence[Sequence[Tokens]]) -> Tensor:
        """As ``decode``, left on the device."""
        with self._autocast():
            tokens = torch.stack([one for tokens in windows for one in tokens]).unflatten(0, (len(windows), -1))
            return self._model.decode(in_steps(tokens, self._device))[: len(windows)].float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision == "bf16")
