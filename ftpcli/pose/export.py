"""The pose model as two ONNX graphs, ``encode`` and ``decode``, which take and give what an engine does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ftpcli.choices import Precision
from ftpcli.errors import InputError, UsageError
from ftpcli.files.graphs import TOLERANCE, Graphs, graph
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.model.fuse import fuse_batch_norms
from ftpcli.model.quantised import quantise
from ftpcli.pose.crops import normalise
from ftpcli.pose.weights import build_model

#: As ``TOLERANCE``, for graphs of 8 bits. A number halfway between two steps is rounded up or down as its last bit has
#: it, and each rounding moves those of the next layers: the joints move less than by quantisation itself.
ROUNDED_TOLERANCE = 0.25


class _Encode(nn.Module):
    """(B, H, W, 3) uint8 RGB -> (B, N, C + D)."""

    def __init__(self, model: FTPPose) -> None:
        super().__init__()
        self.model = model

    def forward(self, crops: Tensor) -> Tensor:
        return self.model.encode(normalise(crops, crops.device))


class _Decode(nn.Module):
    """(B, T, N, C + D) -> (B, K, H/4, W/4)."""

    def __init__(self, model: FTPPose) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.decode(tokens)


def export_pose(
    path: Path, read: Callable[[], None] = lambda: None, *, precision: str = Precision.FP32, **changes: Any
) -> Graphs:
    """The graphs of a weights file, for any number of crops and windows at a time.

    Args:
        read: called when the file has been read.
        precision: ``int8`` quantises the stem, for which ``ftp train`` has left its ranges in the file; ``auto`` does
            where they are there.
        changes: options of the model that keep its tensors, see ``ftpcli.pose.weights.build_model``.

    Raises:
        InputError: the file is damaged or not ours, or has no ranges.
        UsageError: bf16.
        FtpError: the graphs' numbers are not torch's.
    """
    if precision == Precision.BF16:
        raise UsageError("ONNX graphs compute in fp32 or int8; leave out bf16")
    model, provenance = build_model(path, **changes)
    read()
    if precision == Precision.AUTO:
        precision = Precision.INT8 if "ranges" in provenance else Precision.FP32
    if precision == Precision.INT8:
        try:
            _quantise_stem(model, provenance)
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: has no whole ranges for --precision int8 ({error}); take fp32") from error
    return pose_graphs(model, provenance, precision)


def _quantise_stem(model: FTPPose, provenance: dict[str, Any]) -> None:
    """In place. Raises ValueError or TypeError where ranges are missing or damaged."""
    if model.backbone.trunk is None:
        raise ValueError("only the movenet stem can be quantised")
    quantise(model.backbone.trunk, provenance.get("ranges", {}))


def pose_graphs(model: FTPPose, provenance: dict[str, Any], precision: str = Precision.FP32) -> Graphs:
    """See :func:`export_pose`; for ``int8`` the model has been quantised."""
    model = fuse_batch_norms(model)
    config = model.config
    pixels = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (3, *config.image_size, 3), dtype=torch.uint8, generator=pixels)
    tolerance = ROUNDED_TOLERANCE if precision == Precision.INT8 else TOLERANCE
    encode, encode_difference = graph(_Encode(model), [crops, crops[:1]], "crops", "tokens", tolerance=tolerance)
    frames = config.frames if config.branches != "none" else 1
    with torch.no_grad():
        tokens = model.encode(normalise(crops, crops.device))
        windows = torch.stack([tokens.roll(shift, 0) for shift in range(frames)], dim=1)
    decode, decode_difference = graph(_Decode(model), [windows, windows[:1]], "tokens", "heatmaps")
    about = {
        "config": config.to_dict(),
        "provenance": provenance,
        "precision": str(precision),
        "tolerance": {"encode": tolerance, "decode": TOLERANCE},
        "difference": {"encode": encode_difference, "decode": decode_difference},
    }
    return Graphs(about, {"encode": encode, "decode": decode})
