"""What computes the pose model: the interface that the estimator knows, and the choice of one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ftpcli.choices import Engine
from ftpcli.device import Threads, choose_engine
from ftpcli.model.config import ModelConfig

#: The tokens of one crop, in whatever form the engine keeps them. Only the engine that made them reads them.
Tokens = Any


class PoseEngine(Protocol):
    """A pose model on a device, without pictures and people.

    Attributes:
        name: ``torch`` or ``onnx``.
        config: of the model.
        device: as torch names it, such as ``cpu`` or ``cuda:1``.
        precision: ``fp32``, ``bf16`` or ``int8``.
        provenance: what the weights file says of its training.
        threads: shares crops and windows out: ``encode`` and ``decode`` get what is a part of it.
    """

    name: str
    config: ModelConfig
    device: str
    precision: str
    provenance: dict[str, Any]
    threads: Threads

    def encode(self, crops: np.ndarray) -> Sequence[Tokens]:
        """(B, H, W, 3) uint8 RGB crops of the configured size -> the tokens of each."""
        ...

    def decode(self, windows: Sequence[Sequence[Tokens]]) -> np.ndarray:
        """The tokens of each window's T frames -> (B, K, H/4, W/4) float32 heatmaps of the middle frame."""
        ...


def load_engine(
    path: Path, *, engine: str = Engine.TORCH, device: str = "auto", precision: str = "auto", **changes: Any
) -> PoseEngine:
    """The engine for a weights file.

    Args:
        engine: see ``ftpcli.device.choose_engine``.
        changes: options of the model that keep its tensors (ratios, selector).

    Raises:
        InputError: the file is damaged or not ours.
        UsageError: the engine, device or precision is not available.
    """
    if choose_engine(engine, device, precision) == Engine.ONNX:
        from ftpcli.files.graphs import ExportError
        from ftpcli.pose.onnx_engine import OnnxEngine

        try:
            return OnnxEngine.load(path, precision=precision, **changes)
        except ExportError as error:
            if engine == Engine.ONNX:
                raise
            print(f"ftp: warning: {error}", file=sys.stderr)
    from ftpcli.pose.torch_engine import TorchEngine

    return TorchEngine.load(path, device=device, precision=precision, **changes)
