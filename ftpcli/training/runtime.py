"""What the loop needs of the machine: precision, random numbers, clocks, memory."""

from __future__ import annotations

import time
from typing import Any

import torch
from timm.layers import DropPath
from torch import nn

from ftpcli.device import choose_precision, fix_threads
from ftpcli.device import peak_memory as process_memory
from ftpcli.errors import UsageError
from ftpcli.model.backbone import Backbone


def autocast(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that matrix products are done in; None for fp32."""
    if precision == "fp16":
        if device.type == "cpu":
            raise UsageError("--precision fp16: for GPUs; a CPU trains in bf16 or fp32")
        return torch.float16
    return torch.bfloat16 if choose_precision(precision, device) == "bf16" else None


def make_fast(model: nn.Module) -> None:
    """What training does faster on the model's device.

    On CPUs the fused attention's backward pass is slower than the plain products (1.5 to 2 times a whole step). On
    GPUs the fastest convolutions are worth a search, since all crops have one size.
    """
    if next(model.parameters()).device.type != "cpu":
        torch.backends.cudnn.benchmark = True
        return
    fix_threads()
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]


def set_drop_path(backbone: Backbone, rate: float) -> None:
    """Stochastic depth (Huang et al. 2016): none in the first block, evenly more up to ``rate`` in the last."""
    blocks: Any = backbone.vit.blocks
    for number, block in enumerate(blocks):
        share = rate * number / max(1, len(blocks) - 1)
        block.drop_path1, block.drop_path2 = DropPath(share), DropPath(share)


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Of the generators that the model may draw from, as a checkpoint's fields: the CPU's, and that of its GPU."""
    state = {"rng": torch.get_rng_state()}
    if device.type == "cuda":
        state["gpu_rng"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(checkpoint: dict[str, Any], device: torch.device) -> None:
    """What ``random_state`` gave; begun on another kind of device, the run goes on with other random numbers."""
    torch.set_rng_state(checkpoint["rng"])
    if device.type == "cuda" and "gpu_rng" in checkpoint:
        torch.cuda.set_rng_state(checkpoint["gpu_rng"], device)


class Clock:
    """Time spent waiting for data and working, and when the last checkpoint was saved."""

    def __init__(self, saved: float | None = None) -> None:
        self.mark = time.monotonic()
        self.saved = self.mark if saved is None else saved
        self.waiting = self.working = 0.0

    def waited(self) -> None:
        now = time.monotonic()
        self.waiting += now - self.mark
        self.mark = now

    def worked(self) -> None:
        now = time.monotonic()
        self.working += now - self.mark
        self.mark = now


def peak_memory() -> int:
    """MiB: of the GPU where one is used, else of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() // 2**20
    return int(process_memory() or 0)
