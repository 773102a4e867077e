"""Detector networks: built from ultralytics' architecture files, stored as safetensors with their own description.

A file holds the tensors as fp16 and, in its header, what is needed to rebuild the network and to use it:
architecture, input side, thresholds and provenance. Nothing in it can run code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ftpcli.device import in_steps, on_device
from ftpcli.errors import InputError, UsageError
from ftpcli.files.graphs import TOLERANCE, Graphs, graph
from ftpcli.files.inputs import require_file
from ftpcli.files.tensors import read_tensors, write_tensors
from ftpcli.model.fuse import cast_weights
from ftpcli.people._ultralytics import DetectionModel, get_cfg, yaml_model_load
from ftpcli.people.inference import FLOOR, GREY, OVERLAP, SCORE, DetectorConfig, Fit, find_boxes, look_again

FORMAT = "ftp-detector-1"


def build_network(config: DetectorConfig) -> DetectionModel:
    """A network with random weights. The caller seeds torch.

    Raises:
        UsageError: ultralytics has no such detection architecture.
    """
    try:
        layout = yaml_model_load(f"{config.architecture}.yaml")
        if "end2end" in layout:
            layout["end2end"] = config.end2end
        network = DetectionModel(layout, nc=config.sized_for or len(config.classes), verbose=False)
    except (FileNotFoundError, KeyError, ModuleNotFoundError) as error:
        raise UsageError(
            f"'{config.architecture}' is no detection architecture of ultralytics (try yolo11n)"
        ) from error
    if config.sized_for:
        _keep_classes(network, len(config.classes))
    setattr(network, "args", get_cfg())  # noqa: B010 - the loss reads its gains here; a Module's attributes are typed
    network.names = dict(enumerate(config.classes))
    return network


def _keep_classes(network: Any, classes: int) -> None:
    """Leave a detection head the scores of its first classes; the layers before stay as wide as they are."""
    head = network.model[-1]
    head.no += classes - head.nc
    head.nc = classes
    for branch in (*head.cv3, *getattr(head, "one2one_cv3", ())):
        last = branch[-1]
        branch[-1] = torch.nn.Conv2d(last.in_channels, classes, 1)
        torch.nn.init.constant_(branch[-1].bias, last.bias[0].item())


def save_network(network: torch.nn.Module, config: DetectorConfig, path: Path | str) -> None:
    """Write tensors (floats as fp16) and description to ``path``, replacing it.

    Raises:
        OutputError: the file cannot be written.
    """
    header = {"format": FORMAT, "config": json.dumps(asdict(config), sort_keys=True)}
    write_tensors(Path(path), network.state_dict(), header)


def load_network(path: Path | str) -> tuple[DetectionModel, DetectorConfig]:
    """The network of a weights file, fp32, on the CPU, in evaluation mode, and its description.

    Raises:
        InputError: no whole safetensors file, one of another model, or its tensors do not fit the architecture.
    """
    require_file(path)
    tensors, header = read_tensors(Path(path))
    if header.get("format") != FORMAT:
        raise InputError(f"{path}: holds weights of another model, not of a person detector")
    try:
        values = json.loads(header["config"])
        known = {item.name for item in fields(DetectorConfig)}
        values = {key: value for key, value in values.items() if key in known}
        values["classes"] = tuple(values["classes"])
        config = DetectorConfig(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: its description cannot be read; train or fetch the detector again") from error
    try:
        network = build_network(config)
    except UsageError as error:
        raise InputError(f"{path}: {error}") from error
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{path}: its tensors do not fit {config.architecture}") from error
    return network.float().eval(), config


class TorchNetwork:
    """A network of ultralytics in evaluation mode, as `find_boxes` calls it.

    In a lower precision than fp32 its weights are rounded in place.
    """

    def __init__(
        self, network: torch.nn.Module, device: torch.device | str = "cpu", precision: torch.dtype = torch.float32
    ) -> None:
        self._network, self._device, self._precision = network, torch.device(device), precision

        if precision != torch.float32:
            cast_weights(network, precision)

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[np.ndarray | Tensor]) -> np.ndarray:
        stack = torch.stack([torch.as_tensor(picture) for picture in pictures]).to(self._device)
        with torch.autocast(self._device.type, self._precision, enabled=self._precision != torch.float32):
            raw = _raw(self._network, in_steps(stack, self._device))
        return raw[: len(pictures)].float().cpu().numpy()


@torch.inference_mode()
def letterbox_on(device: torch.device, image: np.ndarray, fit: Fit) -> Tensor:
    """As `letterbox`, on a device and in float32: two products, of rows and of columns."""
    pixels = on_device(device)(image).permute(2, 0, 1).float()
    (w, h), (full_w, full_h), (left, top) = fit.scaled, fit.full, fit.offset
    rows = _resizing(image.shape[0], h, fit.side, device)
    columns = _resizing(image.shape[1], w, fit.side, device)
    scaled = (rows @ pixels @ columns.T).round()
    sides = (left, full_w - w - left, top, full_h - h - top)
    return torch.nn.functional.pad(scaled, sides, value=GREY).permute(1, 2, 0)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _resizing(count: int, wanted: int, scale: float, device: torch.device) -> Tensor:
    """(wanted, count): what makes ``wanted`` pixels of ``count`` along one side, as `letterbox` has OpenCV do it."""
    if scale < 0.5:  # to twice the size, of which pairs are averaged
        made = _linear(count, 2 * wanted).reshape(wanted, 2, count).mean(axis=1)
    elif scale < 1:
        edges, pixels = np.arange(wanted + 1)[:, None] * count / wanted, np.arange(count)
        shared = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
        made = shared.clip(0) * wanted / count
    else:
        made = _linear(count, wanted)
    return torch.from_numpy(made.astype(np.float32)).to(device)


def _linear(count: int, wanted: int) -> np.ndarray:
    """(wanted, count) of linear interpolation between pixels' centres; beyond the last ones, those."""
    places = np.clip((np.arange(wanted) + 0.5) * count / wanted - 0.5, 0, count - 1)
    return (1 - np.abs(places[:, None] - np.arange(count))).clip(0)


def find_people(
    network: torch.nn.Module,
    images: Sequence[np.ndarray],
    *,
    size: int,
    floor: float = FLOOR,
    overlap: float = OVERLAP,
    device: torch.device | str = "cpu",
) -> list[np.ndarray]:
    """`look_again` with a network of ultralytics in evaluation mode, in fp32, its first class."""
    find = partial(find_boxes, TorchNetwork(network, device), overlap=overlap)
    return look_again(find, images, size=size, floor=floor, overlap=overlap, score=SCORE)


def _raw(network: torch.nn.Module, pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 RGB -> the network's rows."""
    output: Any = network(pictures.permute(0, 3, 1, 2).float() / 255)
    return output[0] if isinstance(output, tuple | list) else output


class _Distances(torch.nn.Module):
    """In place of ultralytics' DFL: (B, 4 R, N) -> (B, 4, N), the means of distributions over 0 to R - 1.

    The same function without a softmax across memory, for which ONNX Runtime takes a seventh of the detector's time.
    """

    places: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.register_buffer("places", torch.arange(steps, dtype=torch.float32)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(1, (4, self.steps))
        powers = (x - x.amax(dim=2, keepdim=True)).exp()
        return (powers * self.places).sum(dim=2) / powers.sum(dim=2)


class _Graph(torch.nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, head = network, network.model[-1]
        head.dynamic = head.export = True  # cells for each size, one output
        if head.reg_max > 1:
            head.dfl = _Distances(head.reg_max)

    def forward(self, pictures: Tensor) -> Tensor:
        return _raw(self.network, pictures)


def export_network(path: Path, read: Callable[[], None] = lambda: None) -> Graphs:
    """The detector of a weights file as an ONNX graph, for any number of pictures of any size.

    Args:
        read: called when the file has been read.

    Raises:
        InputError: see `load_network`.
        FtpError: the graph's numbers are not torch's.
    """
    network, config = load_network(path)
    read()
    pixels = torch.Generator().manual_seed(0)
    sizes = ((2, 192, 320), (1, 256, 128))
    pictures = [torch.randint(0, 256, (*size, 3), dtype=torch.uint8, generator=pixels) for size in sizes]
    detect, difference = graph(_Graph(network.fuse(verbose=False)), pictures, "pictures", "rows", (0, 1, 2))
    about = {"config": asdict(config), "tolerance": TOLERANCE, "difference": {"detector": difference}}
    return Graphs(about, {"detector": detect})
