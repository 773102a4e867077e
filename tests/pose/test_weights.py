"""Weights files: what goes in comes out, and anything else is one clear line."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from ftpcli.errors import FtpError, InputError
from ftpcli.files.tensors import sha256
from ftpcli.model.config import ModelConfig
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.pose.weights import build_model, load_weights, save_weights, transfer, weights_path

CONFIG = ModelConfig(image_size=(64, 48), shared_blocks=1, head_width=16, heatmap="softmax")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_weights(path, FTPPose(CONFIG).state_dict(), CONFIG, {"step": 7})
    return path


def test_round_trip_in_half_precision(weights: Path) -> None:
    config, state, provenance = load_weights(weights)
    assert config == CONFIG and provenance == {"step": 7}
    torch.manual_seed(0)
    for name, value in FTPPose(CONFIG).state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=2e-3, atol=1e-6)
    model, _ = build_model(weights)
    assert not model.training
    assert list(weights.parent.iterdir()) == [weights]  # no temporary file is left


def test_options_that_keep_the_tensors_can_be_changed(weights: Path) -> None:
    model, _ = build_model(weights, low_ratio=1, selector="grid")
    assert model.config.low_ratio == 1
    with pytest.raises(InputError, match="do not fit"):
        build_model(weights, shared_blocks=2)


def _metadata_changed(content: bytes, **changes: object) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    entry = json.loads(header["__metadata__"]["ftp"]) | changes
    header["__metadata__"]["ftp"] = json.dumps(entry)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "foreign", "other", "config", "pickle", "length"])
def test_wrong_files_are_one_clear_line(weights: Path, tmp_path: Path, kind: str) -> None:
    good = weights.read_bytes()
    made = {
        "empty": b"",
        "text": b"hello, this is no weights file at all",
        "truncated": good[: len(good) // 2],
        "foreign": _metadata_changed(good, format="something-else"),
        "config": _metadata_changed(good, config={"colour": 1}),
        "other": _metadata_changed(good, config=CONFIG.replace(width=128).to_dict()),
        "pickle": b"",
        "length": (1 << 60).to_bytes(8, "little") + good[8:],
    }
    path = tmp_path / "bad.safetensors"
    path.write_bytes(made[kind])
    if kind == "pickle":
        torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(InputError) as caught:
        build_model(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_mutated_files_never_give_a_traceback(weights: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    good = weights.read_bytes()
    head = 8 + int.from_bytes(good[:8], "little")
    path = tmp_path / "mutated.safetensors"
    refused = 0
    for _ in range(60):
        data = bytearray(good[: rng.choice([len(good), rng.randrange(len(good))])])
        for _ in range(rng.randrange(1, 6)):
            if data:
                data[rng.randrange(min(len(data), head))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            load_weights(path)
        except FtpError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 30


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that is there and cannot be read")
def test_a_file_that_cannot_be_read_is_named() -> None:
    for read in (build_model, sha256):
        with pytest.raises(InputError, match=r"^/proc/self/mem: .*cannot be read"):
            read(Path("/proc/self/mem"))


def test_a_missing_file_says_what_to_give() -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        weights_path("nowhere.safetensors")


def test_transfer_between_configurations_and_crop_sizes() -> None:
    torch.manual_seed(2)
    single = FTPPose(CONFIG.replace(branches="none", image_size=(128, 96)))
    full = FTPPose(CONFIG)
    taken, fresh = transfer(full, single.state_dict(), single.config)
    assert "backbone.vit.pos_embed" in taken
    assert all(name.startswith(("encoder.", "head.")) for name in fresh)
    assert torch.equal(full.state_dict()["head.dense.weight"], single.state_dict()["head.dense.weight"])


def test_weights_that_are_no_numbers_are_refused(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    config, state, _ = load_weights(weights)
    state["head.dense.bias"][3] = float("nan")
    save_weights(path, state, config, {})
    with pytest.raises(InputError, match=r"w.safetensors: head.dense.bias holds values that are no numbers"):
        load_weights(path)
