"""Convolutions with numbers of 8 bits: half the time on a CPU, for which no training is needed.

Every map has 256 steps between the least and the greatest number that it was seen to hold (``measure_ranges``), every
filter 255 around zero (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference"). In torch the numbers are only rounded; in a graph the same modules become
QuantizeLinear and DequantizeLinear, which ONNX Runtime joins with the convolutions between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

#: The least and the greatest number of a map, by the name of the module that gives it.
Ranges = Mapping[str, tuple[float, float]]


class Joint(nn.Identity):
    """Where maps are added up: a place to round the sum."""


class _Rounded(nn.Module):
    """To the nearest of 256 steps; zero, with which convolutions pad, is one of them."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        low, high = min(low, 0.0), max(high, 0.0)
        self.step = max(high - low, 1e-6) / 255
        self.zero = round(-low / self.step)

    def forward(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, self.step, self.zero, 0, 255)


class _RoundedConv(nn.Module):
    """A convolution whose filters each have steps of their own."""

    steps: Tensor
    zeros: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        filters = conv.weight.detach().flatten(1)
        # Processors without VNNI add up the products of two neighbours in 16 bits: 255 * 127 fits, twice that doesn't.
        pairs = filters[:, 1:] + filters[:, :-1] if conv.groups == 1 else filters
        steps = torch.cat([filters, pairs], dim=1).abs().amax(dim=1).clamp_min(1e-8) / 127
        self.register_buffer("steps", steps)
        self.register_buffer("zeros", torch.zeros(len(steps), dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        weight = torch.fake_quantize_per_channel_affine(conv.weight, self.steps, self.zeros, 0, -128, 127)
        return nn.functional.conv2d(x, weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _convolutions(model: nn.Module) -> dict[str, tuple[nn.Conv2d, str, nn.Module | None]]:
    """By name: each convolution, and name and module of the rectifier behind it, if there is one."""
    found: dict[str, tuple[nn.Conv2d, str, nn.Module | None]] = {}
    for path, parent in model.named_modules():
        children = [*parent.named_children(), ("", None)]
        for (name, child), (after, behind) in pairwise(children):
            if isinstance(child, nn.Conv2d):
                rectified = isinstance(parent, nn.Sequential) and isinstance(behind, nn.ReLU | nn.ReLU6)
                where = f"{path}.{name}" if path else name
                then = f"{path}.{after}" if path else after
                found[where] = (child, then, behind) if rectified else (child, "", None)
    return found


def _open_ranges(model: nn.Module) -> list[str]:
    """Names of the modules whose range is not known beforehand, as a ReLU6's is."""
    names = [name for name, module in model.named_modules() if isinstance(module, Joint)]
    for name, (_, then, behind) in _convolutions(model).items():
        if behind is None:
            names.append(name)
        elif not isinstance(behind, nn.ReLU6):
            names.append(then)
    return names


@torch.no_grad()
def measure_ranges(model: nn.Module, inputs: Iterable[Tensor]) -> dict[str, tuple[float, float]]:
    """What ``quantise`` needs to know of a model of convolutions, rectifiers and ``Joint``s.

    Args:
        inputs: batches like those that the model will get.
    """
    ranges: dict[str, tuple[float, float]] = {}

    def note(name: str, x: Tensor) -> None:
        low, high = ranges.get(name, (0.0, 0.0))
        ranges[name] = (min(low, float(x.min())), max(high, float(x.max())))

    hooks = [
        model.get_submodule(name).register_forward_hook(lambda _, given, x, name=name: note(name, x))
        for name in _open_ranges(model)
    ]
    try:
        for images in inputs:
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (float(f"{low:.4g}"), float(f"{high:.4g}")) for name, (low, high) in ranges.items()}


def quantise(model: nn.Module, ranges: Ranges) -> None:
    """Round a model's filters and maps, in place; its input and its first convolution stay as they are.

    Args:
        model: that ``measure_ranges`` was called with.

    Raises:
        ValueError: the ranges are not the model's.
    """
    if missing := sorted(set(_open_ranges(model)) - set(ranges)):
        raise ValueError(f"no range of {missing[0]}")

    def put(name: str, module: nn.Module) -> None:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, module)

    joints = [name for name, module in model.named_modules() if isinstance(module, Joint)]
    for number, (name, (conv, then, behind)) in enumerate(_convolutions(model).items()):
        rounded = conv if number == 0 else _RoundedConv(conv)
        if behind is None:
            put(name, nn.Sequential(rounded, _Rounded(*ranges[name])))
            continue
        put(name, rounded)
        # Rounding to steps between zero and the upper end does what the rectifier does.
        high = 6.0 if isinstance(behind, nn.ReLU6) else ranges[then][1]
        put(then, _Rounded(0.0, high))
    for name in joints:
        put(name, _Rounded(*ranges[name]))
