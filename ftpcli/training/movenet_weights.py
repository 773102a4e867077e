"""MoveNet Thunder's weights out of its ONNX file, found by the graph's structure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftpcli.errors import InputError, UsageError
from ftpcli.files.inputs import require_file
from ftpcli.model.movenet import MoveNetHead, MoveNetTrunk
from ftpcli.skeleton import COCO17

#: What may stand between a convolution and the next one.
_PASSED = ("Clip", "Relu", "Add", "Resize", "Upsample", "Pad")


def movenet_state(path: Path, head_channels: int, joints: Sequence[str]) -> dict[str, torch.Tensor]:
    """Tensors of the trunk (``backbone.trunk.*``) and of MoveNet's heatmap head (``head.fine.*``).

    The head's weights for the tokens' map are zero, as are those for joints that MoveNet lacks: a model that starts
    with these tensors sees what MoveNet sees.

    Args:
        head_channels: of the tokens' map in the head.
        joints: names of the model's joints.

    Raises:
        UsageError: onnx is not installed.
        InputError: unreadable, or another network.
    """
    graph = _Graph(path)
    trunk, head = MoveNetTrunk(), MoveNetHead(0, len(COCO17.joints))
    down = [*_convolutions(trunk.first), *_convolutions(trunk.blocks), *_convolutions(trunk.last)]
    lateral = _convolutions(trunk.lateral)
    nodes = graph.chain([*down, lateral[0], *_convolutions(trunk.smooth), *_convolutions(head)])
    ends = [_convolutions(trunk.blocks[tap - 1])[-1] for tap in reversed(trunk.taps)]
    for end, module in zip(ends, lateral[1:], strict=True):
        nodes[module] = graph.after(nodes[end], module)
    # The trunk looks at turned pictures, so its kernels are turned; the head looks at maps turned back.
    seen = {name: value.flip(2, 3) if value.ndim == 4 else value for name, value in graph.tensors(trunk, nodes).items()}
    heads = _widened(graph.tensors(head, nodes), head_channels, joints)
    return {f"backbone.trunk.{name}": value for name, value in seen.items()} | {
        f"head.fine.{name}": value for name, value in heads.items()
    }


def _widened(head: dict[str, torch.Tensor], channels: int, joints: Sequence[str]) -> dict[str, torch.Tensor]:
    """The head's tensors with a tokens' map of so many channels before MoveNet's own, and the model's joints."""
    wide = MoveNetHead(channels, len(joints)).state_dict()
    wide["mix.0.weight"][channels:] = head["mix.0.weight"]
    wide["mix.1.weight"][:, :channels] = 0
    wide["mix.1.weight"][:, channels:] = head["mix.1.weight"]
    wide["mix.1.bias"] = head["mix.1.bias"]
    for row, joint in enumerate(joints):
        known = joint in COCO17.joints
        for name in ("out.weight", "out.bias"):
            wide[name][row] = head[name][COCO17.joints.index(joint)] if known else 0
    return wide


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


@dataclass(frozen=True, slots=True, eq=False)
class _Conv:
    output: str
    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: int


class _Graph:
    """The convolutions of an ONNX file and which of them read what others give."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            import onnx
            from onnx import numpy_helper
        except ImportError as error:
            raise UsageError("--stem-weights: reading an ONNX file needs onnx; pip install onnx") from error
        require_file(path)
        try:
            graph = onnx.load(str(path)).graph
        except Exception as error:  # protobuf raises many kinds for damaged files
            raise InputError(f"{path}: cannot be read as an ONNX file ({type(error).__name__})") from error
        constants = {tensor.name: tensor for tensor in graph.initializer}
        self._readers: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            if node.op_type == "Cast" and node.input[0] in constants:  # weights stored in half precision
                constants[node.output[0]] = constants[node.input[0]]
            for name in node.input:
                self._readers[name].append(node)

        def tensor(name: str) -> torch.Tensor | None:
            return torch.tensor(numpy_helper.to_array(constants[name])).float() if name in constants else None

        self._convs: dict[str, _Conv] = {}
        for node in graph.node:
            weight = tensor(node.input[1]) if node.op_type == "Conv" else None
            if weight is not None:
                bias = tensor(node.input[2]) if len(node.input) > 2 else None
                strides = next((list(a.ints) for a in node.attribute if a.name == "strides"), [1])
                self._convs[node.output[0]] = _Conv(node.output[0], weight, bias, strides[0])

    def refusal(self, what: str) -> InputError:
        return InputError(f"{self._path}: not MoveNet Thunder ({what})")

    def chain(self, modules: Sequence[nn.Conv2d]) -> dict[nn.Conv2d, _Conv]:
        """A path of convolutions of these shapes, each reading what the one before gives."""
        reached = 0

        def follow(at: int, candidates: Iterator[_Conv]) -> list[_Conv] | None:
            nonlocal reached
            reached = max(reached, at)
            for conv in candidates:
                rest = [] if at + 1 == len(modules) else follow(at + 1, self._next(conv.output, modules[at + 1]))
                if rest is not None:
                    return [conv, *rest]
            return None

        path = follow(0, (conv for conv in self._convs.values() if _fits(conv, modules[0])))
        if path is None:
            raise self.refusal(f"{reached} of {len(modules)} convolutions of its trunk and head found")
        return dict(zip(modules, path, strict=True))

    def tensors(self, part: nn.Module, nodes: dict[nn.Conv2d, _Conv]) -> dict[str, torch.Tensor]:
        """The state of a part of the network, by its names."""
        state = {}
        for name, module in part.named_modules():
            if isinstance(module, nn.Conv2d):
                node = nodes[module]
                state[f"{name}.weight"] = node.weight
                if module.bias is not None:
                    if node.bias is None:
                        raise self.refusal(f"{node.output} has no bias")
                    state[f"{name}.bias"] = node.bias
        return state

    def after(self, conv: _Conv, module: nn.Conv2d) -> _Conv:
        """The nearest convolution of this shape that reads what ``conv`` gives."""
        found = next(self._next(conv.output, module), None)
        if found is None:
            raise self.refusal(f"no convolution {tuple(module.weight.shape)} reads {conv.output}")
        return found

    def _next(self, output: str, module: nn.Conv2d) -> Iterator[_Conv]:
        """Convolutions of the module's shape that read ``output``, the nearest first."""
        waiting, seen = deque([output]), {output}
        while waiting:
            for node in self._readers[waiting.popleft()]:
                name = node.output[0]
                if name in self._convs:
                    if _fits(self._convs[name], module):
                        yield self._convs[name]
                elif node.op_type in _PASSED and name not in seen:
                    seen.add(name)
                    waiting.append(name)


def _fits(conv: _Conv, module: nn.Conv2d) -> bool:
    return conv.weight.shape == module.weight.shape and conv.stride == module.stride[0]
