"""``ftp doctor`` and ``ftp weights``: what is at hand, without network."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from ftpcli.choices import HUB_MODELS


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A hub's cache with one model in it, as the hub's library lays it out."""
    from huggingface_hub import constants, file_download

    commit, repository = "a" * 40, HUB_MODELS["vitpose-base"].replace("/", "--")
    folder = tmp_path / "hub" / f"models--{repository}"
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(file_download.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("FTP_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "detectors").mkdir(parents=True)
    (tmp_path / "home" / "detectors" / "yolo26n.pt").write_bytes(b"12345")
    return tmp_path


def test_weights_say_which_are_here(command, cache: Path) -> None:
    listed = json.loads(command("weights", "--json").out)
    assert list(listed) == ["default", *HUB_MODELS]
    assert [name for name, one in listed.items() if one["here"]] == ["default", "vitpose-base"]
    assert Path(listed["vitpose-base"]["here"]).read_bytes() == b"weights"
    said = command("weights").out
    assert "vitpose-plus-huge" in said and said.count("yes") == 2


def test_doctor(command, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ran = command("doctor", "--json")
    found = json.loads(ran.out)
    assert ran.code == 0 and found["problems"] == [] and found["offline"]
    assert found["libraries"]["torch"] == version("torch") and "cpu" in found["devices"]
    assert found["codecs"]["written"] == {"h264": True, "hevc": True, "aac": True} and found["codecs"]["read"]["h264"]
    assert list(found["detectors"]) == ["bundled", "yolo26n.pt"]
    assert [(Path(c["folder"]).name, c["files"], c["bytes"]) for c in found["caches"]] == [
        ("onnx", 0, 0),
        ("detectors", 1, 5),
        ("hub", 2, 47),
    ]
    said = command("doctor").out
    assert "vitpose-base" in said and "yolo26n.pt" in said
    (cache / "home" / "detectors" / "[red]x[0].pt").write_bytes(b"1")
    assert "[red]x[0].pt" in command("doctor").out  # brackets are markup to the library that draws tables


def test_what_is_missing_is_said(command, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftpcli.people import loading
    from ftpcli.video import codecs

    monkeypatch.setattr(loading, "BUNDLED", cache / "gone.safetensors")
    monkeypatch.setattr(codecs, "_WRITTEN", {"h264": "no-such-encoder"})
    ran = command("doctor")
    assert ran.code == 1 and "h264" in ran.lines[0] and "bundled detector is missing" in ran.lines[1]
