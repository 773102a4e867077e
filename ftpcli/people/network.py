"""Detector networks: built from ultralytics' architecture files, stored as safetensors with their own description.

A file holds the tensors as fp16 and, in its header, what is needed to rebuild the network and to use it:
architecture, input side, thresholds and provenance. Nothing in it can run code.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from ftpcli.errors import InputError, UsageError
from ftpcli.files.inputs import require_file
from ftpcli.files.tensors import read_tensors, write_tensors
from ftpcli.people._ultralytics import DetectionModel, get_cfg, yaml_model_load
from ftpcli.people.inference import OVERLAP

FORMAT = "ftp-detector-1"


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """How to rebuild a detector and feed it."""

    architecture: str = "yolo11n"  # an architecture file of ultralytics, without .yaml
    image_size: int = 320  # longer side of the network's input, pixels, a multiple of 32
    end2end: bool = False  # True: the one-to-one head of YOLO26 and v10; False: one-to-many head and NMS
    classes: tuple[str, ...] = ("person",)
    sized_for: int = 0  # the class branch is as wide as for this number of classes; 0: for those it has
    score: float = 0.3  # from this score on a detection may start a track
    overlap: float = OVERLAP  # IoU from which non-maximum suppression drops the weaker box; unused where end2end
    provenance: dict[str, Any] = field(default_factory=dict)  # data, recipe, seed, measured numbers


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
