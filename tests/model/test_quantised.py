"""The stem in 8 bits: torch rounds as ONNX Runtime computes, and little is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ftpcli.device import choose_precision
from ftpcli.errors import InputError, UsageError
from ftpcli.model.config import ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.model.movenet import MoveNetTrunk
from ftpcli.model.quantised import measure_ranges, quantise
from ftpcli.pose.engine import load_engine
from ftpcli.pose.torch_engine import TorchEngine
from ftpcli.pose.weights import save_weights

CONFIG = ModelConfig(stem="movenet", depth=0, image_size=(64, 48), branches="none", frames=1, heatmap="softmax")


@pytest.fixture
def images() -> Tensor:
    """Smooth pictures, as photographs are."""
    torch.manual_seed(1)
    return nn.functional.interpolate(torch.randn(4, 3, 8, 6), size=(64, 48), mode="bilinear")


@pytest.fixture
def trunk() -> MoveNetTrunk:
    torch.manual_seed(0)
    return MoveNetTrunk().eval()


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().mean() / b.abs().mean())


def test_rounding_changes_little_and_wrong_ranges_much(trunk: MoveNetTrunk, images: Tensor) -> None:
    with torch.no_grad():
        plain = trunk(images)
        ranges = measure_ranges(trunk, images.split(2))
        assert ranges == measure_ranges(trunk, [images])  # the extremes of all batches
        assert torch.equal(trunk(images), plain)  # measuring leaves no trace
        narrow = {name: (low / 20, high / 20) for name, (low, high) in ranges.items()}
        quantise(trunk, ranges)
        rounded = trunk(images)
        assert 0 < distance(rounded, plain) < 0.15
        torch.manual_seed(0)
        other = MoveNetTrunk().eval()
        quantise(other, narrow)
        assert distance(other(images), plain) > 0.3


def test_a_rounded_map_has_no_more_than_256_numbers(trunk: MoveNetTrunk, images: Tensor) -> None:
    """Also in the sums, and in filters of each output channel."""
    ranges = measure_ranges(trunk, [images])
    quantise(trunk, ranges)
    seen: dict[str, int] = {}

    def note(name: str, x: Tensor) -> None:
        seen[name] = len(x.unique())

    names = [
        "first.1",
        "blocks.3.layers.1",
        "blocks.3.joint",
        "blocks.15.layers.4",
        "last.1",
    ]
    for name in names:
        trunk.get_submodule(name).register_forward_hook(lambda _, given, x, name=name: note(name, x))
    trunk(images)
    assert set(seen) == set(names) and min(seen.values()) > 16 and max(seen.values()) <= 256


def test_two_products_fit_in_16_bits(trunk: MoveNetTrunk, images: Tensor) -> None:
    """Which processors without VNNI add them up in: neighbouring input channels of the filters that are products."""
    quantise(trunk, measure_ranges(trunk, [images]))
    convs = [m for m in trunk.modules() if hasattr(m, "steps") and m.conv.groups == 1]
    assert len(convs) == 34
    for conv in convs:
        filters = (conv.conv.weight.flatten(1) / conv.steps[:, None]).round()
        assert filters.abs().amax() <= 127
        assert 255 * (filters[:, 1:] + filters[:, :-1]).abs().amax() < 2**15


def test_ranges_of_another_model_are_refused(trunk: MoveNetTrunk, images: Tensor) -> None:
    ranges = measure_ranges(trunk, [images])
    del ranges["blocks.3.joint"]
    with pytest.raises(ValueError, match=r"no range of blocks\.3\.joint"):
        quantise(trunk, ranges)


def saved(path: Path, images: Tensor, **provenance: object) -> FTPPose:
    torch.manual_seed(0)
    model = FTPPose(CONFIG).eval()
    assert model.backbone.trunk is not None
    ranges = measure_ranges(model.backbone.trunk, [images])
    save_weights(path, model.state_dict(), CONFIG, {"step": 0, "ranges": ranges} | provenance, exact=True)
    return model


def test_onnx_runtime_computes_in_8_bits_where_the_weights_have_ranges(
    images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    monkeypatch.setenv("FTP_HOME", str(tmp_path / "home"))
    crops = (128 + 40 * images).clamp(0, 255).byte().movedim(1, 3).contiguous().numpy()
    model = saved(tmp_path / "w.safetensors", (images * 40 / 255) / 0.225)
    engines = [load_engine(tmp_path / "w.safetensors", engine="onnx", precision=p) for p in ("fp32", "auto", "int8")]
    assert [engine.precision for engine in engines] == ["fp32", "int8", "int8"]
    exact, rounded, same = (np.stack(list(engine.encode(crops))) for engine in engines)
    assert np.array_equal(rounded, same)
    reference = torch.stack(list(TorchEngine(model, device="cpu", precision="fp32").encode(crops))).numpy()
    assert np.abs(exact - reference).max() < 1e-3 * np.abs(reference).max()
    difference = np.abs(rounded - reference).mean() / np.abs(reference).mean()
    assert 1e-3 < difference < 0.2


def test_what_cannot_be_quantised_is_one_line(images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    monkeypatch.setenv("FTP_HOME", str(tmp_path / "home"))
    with pytest.raises(UsageError, match="add --engine onnx"):
        choose_precision("int8", torch.device("cpu"))
    for name, ranges in (("none", {}), ("damaged", {"first.4": "x"}), ("list", [1])):
        path = tmp_path / f"{name}.safetensors"
        saved(path, images, ranges=ranges)
        with pytest.raises(InputError, match="no whole ranges for --precision int8"):
            load_engine(path, engine="onnx", precision="int8")
    patch = CONFIG.replace(stem="patch", depth=1)
    save_weights(tmp_path / "patch.safetensors", FTPPose(patch).state_dict(), patch, {"step": 0})
    assert load_engine(tmp_path / "patch.safetensors", engine="onnx").precision == "fp32"
    with pytest.raises(InputError, match="only the movenet stem"):
        load_engine(tmp_path / "patch.safetensors", engine="onnx", precision="int8")
