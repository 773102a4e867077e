"""Batch norms and rectifiers folded into convolutions: the same function, in fewer passes over memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

M = TypeVar("M", bound=nn.Module)


def fuse_batch_norms(model: M) -> M:
    """A copy of the model for inference. Modules must be registered in the order in which they are called."""
    model = copy.deepcopy(model).eval()
    for parent in list(model.modules()):
        for (before, conv), (name, norm) in pairwise(list(parent.named_children())):
            if not isinstance(norm, nn.BatchNorm2d):
                continue
            if isinstance(conv, nn.Conv2d):
                setattr(parent, before, fuse_conv_bn_eval(conv, norm))
            elif isinstance(conv, nn.ConvTranspose2d):
                setattr(parent, before, fuse_conv_bn_eval(conv, norm, transpose=True))
            else:
                continue
            setattr(parent, name, nn.Identity())
    return model


def cast_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Round in place, once, what autocast would round again in every call: the weights of products and convolutions.

    To be used under autocast for that type, which finds them as it wants them: results are the same to the bit.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.to(dtype)


class _Packed(nn.Module):
    """A convolution and the rectifier behind it as oneDNN does them at once, with weights laid out for it beforehand.

    (B, I, H, W) -> (B, O, h, w), float32 on a CPU.

    Args:
        shape: of the input that the layout is for; others give the same.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module | None, shape: Sequence[int]) -> None:
        super().__init__()
        self._place = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(conv.weight.detach(), *self._place, shape)
        self._bias = None if conv.bias is None else conv.bias.detach()
        self._then: tuple[str, list[float]] = ("none", []) if activation is None else ("relu", [])
        if isinstance(activation, nn.ReLU6):
            self._then = ("hardtanh", [0.0, 6.0])

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(x, self._weight, self._bias, *self._place, *self._then, "")


def pack_convolutions(model: nn.Module, example: Callable[[], object]) -> None:
    """Make a model's convolutions faster in place, for inference in float32 on a CPU; without oneDNN nothing is done.

    As for ``fuse_batch_norms``, modules must be registered in the order in which they are called.

    Args:
        example: runs the model on what it will usually get.
    """
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")):
        return
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        shapes[module] = tuple(inputs[0].shape)

    hooks = [m.register_forward_pre_hook(note) for m in model.modules() if type(m) is nn.Conv2d]
    example()
    for hook in hooks:
        hook.remove()
    for parent in list(model.modules()):
        children = list(parent.named_children())
        for number, (name, conv) in enumerate(children):
            if conv not in shapes or not isinstance(conv, nn.Conv2d) or isinstance(conv.padding, str):
                continue
            after, behind = children[number + 1] if number + 1 < len(children) else ("", None)
            rectified = isinstance(parent, nn.Sequential) and isinstance(behind, nn.ReLU | nn.ReLU6)
            setattr(parent, name, _Packed(conv, behind if rectified else None, shapes[conv]))
            if rectified:
                setattr(parent, after, nn.Identity())
