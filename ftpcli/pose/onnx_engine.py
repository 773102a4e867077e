"""The pose model in ONNX Runtime, on the CPU: starts without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.device import Threads
from ftpcli.files.graphs import Graphs, Runner, opened
from ftpcli.files.tensors import sha256
from ftpcli.model.config import ModelConfig
from ftpcli.pose.engine import Tokens

#: Crops or windows that a thread takes at a time, as in the torch engine.
_PART = 2


class OnnxEngine:
    """See :class:`ftpcli.pose.engine.PoseEngine`. Tokens are (N, C) float32 arrays."""

    name, device = "onnx", "cpu"

    def __init__(self, about: dict[str, Any], graphs: dict[str, Runner]) -> None:
        self.config = ModelConfig.from_dict(about["config"])
        self.provenance: dict[str, Any] = about["provenance"]
        self.precision: str = about["precision"]
        self.threads = Threads(_PART, torch=False)
        self._encode, self._decode = graphs["encode"], graphs["decode"]

    @classmethod
    def load(cls, path: Path, *, precision: str = "auto", **changes: Any) -> OnnxEngine:
        """From a weights file, see ``load_engine``: its graphs are made once and kept."""

        def make(read: Callable[[], None]) -> Graphs:
            from ftpcli.pose.export import export_pose

            return export_pose(path, read, precision=precision, **changes)

        key = {"sha256": sha256(path), "precision": precision, "changes": changes}
        return cls(*opened("pose model", key, make))

    def encode(self, crops: np.ndarray) -> Sequence[Tokens]:
        return list(self._encode(crops))

    def decode(self, windows: Sequence[Sequence[Tokens]]) -> np.ndarray:
        return self._decode(np.stack([np.stack(list(tokens)) for tokens in windows]))
