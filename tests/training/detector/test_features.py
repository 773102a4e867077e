"""Convolutions taken from an OpenVINO file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ftpcli.errors import InputError
from ftpcli.people.network import DetectorConfig, build_network, find_people, load_network
from ftpcli.training.detector.features import load_features, normalise, read_convolutions
from ftpcli.training.detector.trainer import train_detector
from tests.support.detector_data import coco_file, detector_run
from tests.support.openvino import write_ir
from tests.support.tiny import Ran


def norms_and_all(network: nn.Module, seed: int) -> nn.Module:
    """Random norms, too: those of a new network change nothing, so that a mistake with them would not show."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
            ):
                assert values is not None
                values.data.copy_(low + (high - low) * torch.rand(values.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize(("kind", "tolerance"), [("float", 1e-4), ("int8", 0.05)])
def test_the_person_of_an_exported_network_is_found_as_there(tmp_path: Path, kind: str, tolerance: float) -> None:
    torch.manual_seed(1)
    theirs = norms_and_all(build_network(DetectorConfig("yolo11n", classes=tuple(map(str, range(80))))), 2)
    pictures = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        expected = theirs(pictures)[0][:, :5]  # boxes and the first class
    path = write_ir(theirs, tmp_path / "net.xml", int8=kind == "int8")

    ours = build_network(DetectorConfig("yolo11n", sized_for=80)).eval()
    load_features(ours, path)
    with torch.no_grad():
        loaded = ours(pictures)[0]
        normalise(ours, [torch.rand(4, 3, 64, 64), torch.rand(2, 3, 96, 64)])
        normalised = ours(pictures)[0]
    assert loaded.shape == expected.shape
    for found in (loaded, normalised):
        assert (found - expected).abs().amax() < tolerance * expected.abs().amax()
    spread = [norm.running_var.mean() for norm in ours.modules() if isinstance(norm, nn.BatchNorm2d)]
    assert not any(torch.isclose(value, torch.tensor(1.0), atol=1e-4) for value in spread)


def test_norms_see_in_training_what_they_were_given(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = norms_and_all(build_network(DetectorConfig("yolo11n", sized_for=80)), 2)
    pictures = torch.rand(4, 3, 64, 64)
    normalise(network, [pictures])
    with torch.no_grad():
        still = network(pictures)[1]["scores"]
        network.train()
        learning = network(pictures)["scores"]
    assert torch.allclose(still, learning, atol=1e-3)


def test_files_that_hold_no_such_network(tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = write_ir(build_network(DetectorConfig("yolo11n", classes=("a", "b"))).eval(), tmp_path / "whole.xml")
    network = build_network(DetectorConfig("yolo11n", sized_for=80))
    assert set(read_convolutions(whole)) == {n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    with pytest.raises(InputError, match=r"its model\.23\.cv3\.0\.0\.1\.conv is \(64, 64, 1, 1\), this model's \(80, "):
        load_features(network, whole)
    other = write_ir(build_network(DetectorConfig("yolov8n")).eval(), tmp_path / "other.xml")
    with pytest.raises(InputError, match=r"other\.xml: its model\.2\."):
        load_features(network, other)
    blob = whole.with_suffix(".bin")
    blob.write_bytes(blob.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"does not fit whole\.bin"):
        read_convolutions(whole)
    blob.unlink()
    with pytest.raises(InputError, match=r"whole\.bin: cannot be read"):
        read_convolutions(whole)
    for name, text in (("text", "no xml"), ("page", "<html><body/></html>"), ("nothing", "")):
        path = tmp_path / f"{name}.xml"
        path.write_text(text)
        path.with_suffix(".bin").write_bytes(b"")
        with pytest.raises(InputError, match=name):
            read_convolutions(path)


def test_training_starts_from_features(command: Callable[..., Ran], tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = norms_and_all(build_network(DetectorConfig("yolo11n", classes=tuple(map(str, range(80))))), 2)
    path = write_ir(theirs, tmp_path / "net.xml", int8=True)
    data, out = coco_file(tmp_path), tmp_path / "out"
    train_detector(detector_run(data, out, features=path, steps=1, lr=0.0, ema=0.0))
    network, config = load_network(out / "detector.safetensors")
    taken = read_convolutions(path)["model.0.conv"][0]
    assert np.allclose(network.state_dict()["model.0.conv.weight"].numpy(), taken, atol=1e-3)
    assert config.provenance["start"]["features"] == "net.xml" and len(config.provenance["start"]["sha256"]) == 64
    ran = command(
        "train-detector", "--data", f"a={data}", "--out", tmp_path / "o", "--weights", "default", "--features", path
    )
    assert ran.code == 2 and "give one of them" in ran.err


def test_yolo11n_of_the_teachers_finds_people(shared: Path, tmp_path: Path) -> None:
    """In every fourth of the validation pictures."""
    from ftpcli.evaluation.on_scenes import evaluate

    val = json.loads((shared / "data/detector/val.json").read_text())
    images = val["images"][::4]
    listed = {image["id"] for image in images}
    few = {"images": images, "annotations": [one for one in val["annotations"] if one["image_id"] in listed]}
    (tmp_path / "val.json").write_text(json.dumps(val | few))
    network = build_network(DetectorConfig("yolo11n", sized_for=80))
    load_features(network, shared / "teachers" / "yolo11n_int8_640.xml")
    network.eval()
    report = evaluate(
        lambda pictures: find_people(network, pictures, size=320),
        tmp_path / "val.json",
        folder=shared / "data" / "detector",
    )
    assert report["pictures"] > 50 and report["ap50"] > 0.75 and report["ap75"] > 0.5
