"""Features to start a detector from: the convolutions of a YOLO that was exported to OpenVINO, int8 or float.

An export has its batch norms folded into the convolutions. They are unfolded again: `normalise` measures what each
norm sees, and gives it these statistics and the scale and offset that leave the network's outputs as they are. A
norm that were merely made an identity would change them all as soon as training computes statistics of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from torch import nn

from ftpcli.errors import InputError

_TYPES = {"f32": np.float32, "f16": np.float16, "i8": np.int8, "u8": np.uint8, "i32": np.int32, "i64": np.int64}
_PERSON = 0  # of COCO's classes
_TORCH = "__module."  # how OpenVINO's names of a PyTorch network's layers begin


def read_convolutions(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Weights (out, in / groups, height, width) and bias (out,), float32, of a network's convolutions by module name.

    Args:
        path: the ``.xml`` of an OpenVINO IR (version 10 or 11) made from PyTorch; its ``.bin`` lies beside it.

    Raises:
        InputError: a file is missing or cut, or holds no such network.
    """
    data = path.with_suffix(".bin")
    try:
        root, blob = ElementTree.parse(path).getroot(), data.read_bytes()
        graph = _Graph(root, blob)
        found = dict(graph.convolutions())
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read; a network of OpenVINO is an .xml and a .bin") from error
    except (ElementTree.ParseError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a network of OpenVINO, or does not fit {data.name}") from error
    if not found:
        raise InputError(f"{path}: has no convolutions of a PyTorch network")
    return found


class _Graph:
    """The layers of an IR file and what feeds them."""

    def __init__(self, root: ElementTree.Element, blob: bytes) -> None:
        self.blob = blob
        self.layers = {layer.attrib["id"]: layer for layer in root.iterfind("layers/layer")}
        self.inputs: dict[str, dict[int, str]] = {}
        self.readers: dict[str, list[str]] = {}
        for edge in root.iterfind("edges/edge"):
            source, target = edge.attrib["from-layer"], edge.attrib["to-layer"]
            self.inputs.setdefault(target, {})[int(edge.attrib["to-port"])] = source
            self.readers.setdefault(source, []).append(target)

    def convolutions(self) -> Iterable[tuple[str, tuple[np.ndarray, np.ndarray | None]]]:
        for key, layer in self.layers.items():
            name = layer.attrib["name"].partition("/")[0]
            if layer.attrib["type"] not in ("Convolution", "GroupConvolution") or not name.startswith(_TORCH):
                continue
            weight = self.value(self.inputs[key][1])
            assert weight is not None
            biases = [
                self.value(source)
                for reader in self.readers.get(key, [])
                if self.layers[reader].attrib["type"] == "Add"
                for source in self.inputs[reader].values()
                if source != key
            ]
            bias = biases[0].reshape(-1) if biases and biases[0] is not None else None
            yield name.removeprefix(_TORCH), (weight.reshape(-1, *weight.shape[-3:]), bias)

    def value(self, key: str) -> np.ndarray | None:
        """What a layer computes from constants alone (stored numbers, scaled, with a zero point); else None."""
        layer, kind = self.layers[key], self.layers[key].attrib["type"]
        if kind == "Const":
            about = layer.find("data").attrib  # type: ignore[union-attr]
            shape = [int(n) for n in about["shape"].split(",") if n.strip()]
            start, size = int(about["offset"]), int(about["size"])
            return np.frombuffer(self.blob[start : start + size], _TYPES[about["element_type"]]).reshape(shape)
        values = [self.value(source) for _, source in sorted(self.inputs.get(key, {}).items())]
        if kind not in ("Convert", "Multiply", "Subtract") or any(value is None for value in values):
            return None
        first, *rest = [np.asarray(value, np.float32) for value in values]
        return first if kind == "Convert" else first * rest[0] if kind == "Multiply" else first - rest[0]


def load_features(network: nn.Module, path: Path) -> None:
    """Give the network the convolutions of an OpenVINO file, of the 80 classes the person's alone.

    Its norms then add the biases and do nothing else; see `normalise` before it is trained.

    Raises:
        InputError: unreadable, or a network of another architecture.
    """
    theirs = read_convolutions(path)
    ours = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    state = network.state_dict()
    for name, module in ours.items():
        weight, bias = theirs.pop(name, (np.zeros(0), None))
        if weight.shape[1:] == module.weight.shape[1:] and module.out_channels == 1 < len(weight):
            weight, bias = weight[[_PERSON]], None if bias is None else bias[[_PERSON]]
        if weight.shape != module.weight.shape:
            raise InputError(f"{path}: its {name} is {weight.shape}, this model's {tuple(module.weight.shape)}")
        state[f"{name}.weight"] = torch.from_numpy(weight.copy())
        norm = name.removesuffix("conv") + "bn"
        if bias is not None:
            state[f"{norm if f'{norm}.bias' in state else name}.bias"] = torch.from_numpy(bias.copy())
    if theirs:
        raise InputError(f"{path}: has {next(iter(theirs))}, which this training's model has not")
    network.load_state_dict(state)
    for norm in _norms(network):
        norm.running_var.fill_(1 - norm.eps)


@torch.no_grad()
def normalise(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Give every batch norm the mean and variance of what it sees, and the weight and bias that keep its output.

    Args:
        network: in evaluation mode it computes the same before and after, up to rounding.
        batches: (B, 3, H, W) float32 pictures each, 0..1.
    """
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in _norms(network)}

    def add(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        values = inputs[0].double().transpose(0, 1).flatten(1).cpu()
        sums[norm] += torch.stack([torch.ones(len(values)) * values.shape[1], values.sum(1), values.square().sum(1)])

    hooks = [norm.register_forward_pre_hook(add) for norm in sums]
    network.eval()
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm, (count, first, second) in sums.items():
        mean, variance = first / count, second / count - (first / count).square()
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias += scale * (mean.to(scale) - norm.running_mean)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance.clamp(min=0))
        norm.weight.copy_(scale * (norm.running_var + norm.eps).sqrt())


def _norms(network: nn.Module) -> list[Any]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
