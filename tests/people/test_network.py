"""Weights files of the detector."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from ftpcli.errors import InputError, UsageError
from ftpcli.people.loading import load_detector
from ftpcli.people.network import DetectorConfig, build_network, load_network, save_network
from tests.support.detector_data import random_network


def test_weights_come_back_as_they_were(random_detector: Path) -> None:
    network, config = load_network(random_detector)
    first, own = random_network()
    assert config == own
    for (name, before), after in zip(first.state_dict().items(), network.state_dict().values(), strict=True):
        assert torch.equal(before.half().float() if before.is_floating_point() else before, after), name
    assert random_detector.stat().st_size < 6e6


def test_weights_files_that_are_none(random_detector: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    whole = random_detector.read_bytes()
    cases: dict[str, bytes] = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"hello, this is no weights file",
    }
    for name, content in cases.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            load_detector(path)
    foreign = tmp_path / "pose.safetensors"
    save_file({"a": torch.zeros(2)}, foreign, {"format": "something-else"})
    with pytest.raises(InputError, match="weights of another model"):
        load_detector(foreign)
    with pytest.raises(InputError, match="no such file or folder"):
        load_detector(tmp_path / "absent.safetensors")
    mixed = tmp_path / "mixed.safetensors"
    config = DetectorConfig(architecture="yolov8n")
    save_network(torch.nn.Linear(2, 2), config, mixed)
    with pytest.raises(InputError, match="do not fit yolov8n"):
        load_detector(mixed)
    with pytest.raises(UsageError, match="no detection architecture"):
        build_network(DetectorConfig(architecture="yolo99z"))


def test_log_lines_are_json(random_detector: Path) -> None:
    header = io.BytesIO(random_detector.read_bytes()).read(8)
    size = int.from_bytes(header, "little")
    description = json.loads(random_detector.read_bytes()[8 : 8 + size])["__metadata__"]
    assert json.loads(description["config"])["architecture"] == "yolo11n"
