"""The movenet stem's convolutions with numbers of 8 bits: half the time on a CPU, without training.

Every map has 256 steps between the least and the greatest number that it was seen to hold (``measure_ranges``), every
filter 255 around zero (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference"). In torch the numbers are only rounded; in a graph the same modules become
QuantizeLinear and DequantizeLinear, which ONNX Runtime joins with the convolutions between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ftpcli.model.movenet import MoveNetTrunk

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


def _places(trunk: MoveNetTrunk) -> tuple[list[str], list[str], list[str]]:
    """Names of the convolutions, of the rectifiers, and of what gives maps without a rectifier behind it."""
    convolutions, rectifiers, others = [], [], []
    for part in trunk.quantised:
        modules = [(f"{part}.{name}", module) for name, module in trunk.get_submodule(part).named_modules()]
        leaves = [(name, module) for name, module in modules if not [*module.children()]]
        for (name, module), (_, behind) in pairwise([*leaves, ("", nn.Identity())]):
            if isinstance(module, nn.Conv2d):
                convolutions.append(name)
            if isinstance(module, nn.ReLU6):
                rectifiers.append(name)
            elif not isinstance(behind, nn.ReLU6):
                others.append(name)
    return convolutions, rectifiers, others


@torch.no_grad()
def measure_ranges(trunk: MoveNetTrunk, inputs: Iterable[Tensor]) -> dict[str, tuple[float, float]]:
    """What ``quantise`` needs to know.

    Args:
        inputs: batches like those that the trunk will get.
    """
    ranges: dict[str, tuple[float, float]] = {}

    def note(name: str, x: Tensor) -> None:
        low, high = ranges.get(name, (0.0, 0.0))
        ranges[name] = (min(low, float(x.min())), max(high, float(x.max())))

    hooks = [
        trunk.get_submodule(name).register_forward_hook(lambda _, given, x, name=name: note(name, x))
        for name in _places(trunk)[2]
    ]
    try:
        for images in inputs:
            trunk(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (float(f"{low:.4g}"), float(f"{high:.4g}")) for name, (low, high) in ranges.items()}


def quantise(trunk: MoveNetTrunk, ranges: Ranges) -> None:
    """Round filters and maps, in place; the picture and the first convolution stay as they are.

    Raises:
        ValueError: a range is missing.
    """
    convolutions, rectifiers, others = _places(trunk)
    if missing := sorted(set(others) - set(ranges)):
        raise ValueError(f"no range of {missing[0]}")

    def put(name: str, module: nn.Module) -> None:
        parent, _, own = name.rpartition(".")
        setattr(trunk.get_submodule(parent), own, module)

    for name in convolutions[1:]:
        conv = trunk.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        put(name, _RoundedConv(conv))
    for name in rectifiers:
        put(name, _Rounded(0.0, 6.0))  # cuts off what lies outside, as the rectifier does
    for name in others:
        put(name, nn.Sequential(trunk.get_submodule(name), _Rounded(*ranges[name])))
