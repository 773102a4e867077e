"""A network's convolutions as OpenVINO writes them: an IR of opset 1, norms folded in, weights as float or as int8."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def write_ir(network: nn.Module, path: Path, *, int8: bool = False) -> Path:
    """Write ``path`` and its ``.bin``: every convolution with its constants; what connects them is left out.

    Int8 weights are stored as NNCF does: symmetric, a scale for each output channel.
    """
    net = ElementTree.Element("net", name="Model0", version="11")
    layers, edges = ElementTree.SubElement(net, "layers"), ElementTree.SubElement(net, "edges")
    blob = bytearray()

    def layer(kind: str, name: str, sources: tuple[int, ...] = (), data: dict[str, str] | None = None) -> int:
        number = len(layers)
        element = ElementTree.SubElement(layers, "layer", id=str(number), name=name, type=kind, version="opset1")
        ElementTree.SubElement(element, "data", data or {})
        for port, source in enumerate(sources):
            to = {"to-layer": str(number), "to-port": str(port)}
            ElementTree.SubElement(edges, "edge", {"from-layer": str(source), "from-port": "0", **to})
        return number

    def constant(values: np.ndarray) -> int:
        kind = {"float32": "f32", "int8": "i8"}[str(values.dtype)]
        about = {"element_type": kind, "shape": ", ".join(map(str, values.shape)), "offset": str(len(blob))}
        blob.extend(values.tobytes())
        return layer("Const", f"Constant_{len(layers)}", data=about | {"size": str(values.nbytes)})

    picture = layer("Parameter", "x")
    modules = dict(network.named_modules())
    for name, module in modules.items():
        if not isinstance(module, nn.Conv2d):
            continue
        norm = modules.get(f"{name.removesuffix('conv')}bn") if name.endswith("conv") else None
        folded = fuse_conv_bn_eval(module, norm) if isinstance(norm, nn.BatchNorm2d) else module
        weight = folded.weight.detach().numpy()
        depthwise = module.groups > 1
        if depthwise:
            weight = weight[:, None]
        if int8:
            scale = np.abs(weight).reshape(len(weight), -1).max(1).reshape(-1, *[1] * (weight.ndim - 1)) / 127
            stored = layer("Convert", "c", (constant(np.rint(weight / scale).astype(np.int8)),))
            weights = layer("Multiply", "m", (stored, constant(scale.astype(np.float32))))
        else:
            weights = constant(weight)
        kind = "GroupConvolution" if depthwise else "Convolution"
        done = layer(kind, f"__module.{name}/aten::_convolution/{kind}", (picture, weights))
        if folded.bias is not None:
            bias = constant(folded.bias.detach().numpy().reshape(1, -1, 1, 1))
            layer("Add", f"__module.{name}/aten::_convolution/Add", (done, bias))
    ElementTree.ElementTree(net).write(path)
    path.with_suffix(".bin").write_bytes(bytes(blob))
    return path
