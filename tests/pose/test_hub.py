"""Weights by a name of the hub: from its cache, pinned, recorded; and what goes wrong is one line."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from huggingface_hub.utils import logging
from safetensors.torch import save_file

from ftpcli.errors import InputError, OutputError
from ftpcli.files.tensors import sha256
from ftpcli.pose.estimator import Estimator
from ftpcli.pose.weights import load_weights, weights_path
from tests.support.odd_videos import encode
from tests.support.tiny import Ran, mot_boxes, records
from tests.support.training_data import make_coco
from tests.support.vitpose import OriginalViTPose, transformers_names, write_mae, write_vitpose

REPOSITORY = "usyd-community/vitpose-plus-small"
NAME, OLD, NEW = "vitpose-plus-small", "0" * 40, "1" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub's cache, and no network: each attempt to reach any is an error of this test."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda seconds: None), raising=False)
    return cache


def fill(hub: Path, commit: str, seed: int, main: bool = True) -> Path:
    """A revision as huggingface_hub lays it out: a blob by its hash, a link to it, and the branch's commit."""
    torch.manual_seed(seed)
    folder = hub / f"models--{REPOSITORY.replace('/', '--')}"
    blobs, snapshot = folder / "blobs", folder / "snapshots" / commit
    for one in (blobs, snapshot, folder / "refs"):
        one.mkdir(parents=True, exist_ok=True)
    save_file(transformers_names(OriginalViTPose(depth=1, experts=6)), blobs / "new")
    blob = (blobs / "new").rename(blobs / sha256(blobs / "new"))
    (snapshot / "model.safetensors").symlink_to(blob)
    if main:
        (folder / "refs" / "main").write_text(commit)
    return blob


def test_a_name_is_the_revision_in_the_cache(hub: Path) -> None:
    fill(hub, OLD, 0, main=False)
    blob = fill(hub, NEW, 1)
    estimator = Estimator.load(NAME)
    assert estimator.provenance["name"] == NAME and estimator.provenance["sha256"] == sha256(blob)
    assert estimator.provenance["repository"] == REPOSITORY and estimator.provenance["revision"] == NEW
    assert Estimator.load(f"{NAME}@{OLD}").provenance["revision"] == OLD


def test_a_file_of_that_name_goes_before_the_hub(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_vitpose(tmp_path / NAME, OriginalViTPose(depth=1))
    assert weights_path(NAME) == Path(NAME)
    assert "repository" not in Estimator.load(NAME).provenance


def test_offline_says_which_file_to_give(hub: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as caught:
        weights_path(NAME)
    text = str(caught.value)
    assert f"https://huggingface.co/{REPOSITORY}/resolve/main/model.safetensors" in text and "--weights" in text
    assert "\n" not in text
    assert "fetching model.safetensors of usyd-community" in capfd.readouterr().err
    with pytest.raises(InputError, match=r"no such file or folder"):
        weights_path("vitpose-gigantic")


def test_what_the_hub_s_library_says_of_each_attempt_is_not_shown(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And shown again afterwards, to a program that calls this one."""
    before, meanwhile = logging.get_verbosity(), []

    def attempt(*_: object, **__: object) -> None:
        meanwhile.append(logging.get_verbosity())
        raise ConnectionError("no network in this test")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", attempt)
    with pytest.raises(InputError, match="cannot be fetched"):
        weights_path(NAME)
    assert meanwhile == [logging.ERROR] and logging.get_verbosity() == before != logging.ERROR


def test_nothing_is_fetched_where_the_user_forbids_it(
    hub: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("asked the hub"))
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE is set.*--weights model.safetensors"):
        weights_path(NAME)
    assert capfd.readouterr().err == ""
    fill(hub, NEW, 1)
    assert weights_path(NAME).name == "model.safetensors"


def test_pretrained_backbones_that_cannot_be_fetched(
    hub: Path, tmp_path: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    data = ["--data", f"coco={make_coco(tmp_path, 2)}", "--steps", "1", "--out", tmp_path / "run"]
    ran = command("train", *data, "--backbone-weights", "pretrained", "-q")
    assert ran.code == 1 and len(ran.lines) == 1 and "pretrained: vit_tiny_patch16_224 cannot be fetched" in ran.err
    assert not (tmp_path / "run").exists()


def test_a_full_disk(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's library writes whole files only; what it raises meanwhile is one line."""

    def full(*_: object, **__: object) -> str:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("Data processing error") from error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(OutputError, match=r"No space left on device.*free some space"):
        weights_path(NAME)
    assert not list(hub.rglob("model.safetensors"))


class _Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for one file, slowly enough that a second download meets the first."""

    content = b"weights" * 100_000
    sent: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", NEW)
        self.end_headers()

    def do_GET(self) -> None:
        self.sent.append(self.path)
        self.do_HEAD()
        for start in range(0, len(self.content), 70_000):
            self.wfile.write(self.content[start : start + 70_000])
            time.sleep(0.1)

    def log_message(self, *_: object) -> None:
        pass


def test_two_downloads_at_once(tmp_path: Path) -> None:
    """Two processes end up with one whole file, which was sent once."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    more = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_CACHE": str(tmp_path / "hub")}
    words = f"from ftpcli.pose.hub import hub_file; print(hub_file({NAME!r}))"
    command = [sys.executable, "-c", words]
    running = [
        subprocess.Popen(command, env=os.environ | more, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300) for process in running]
    server.shutdown()
    assert [process.returncode for process in running] == [0, 0], said
    assert said[0][0] == said[1][0] and Path(said[0][0].strip()).read_bytes() == _Hub.content
    assert _Hub.sent == [f"/{REPOSITORY}/resolve/main/model.safetensors"]  # nor is anything else asked for
    assert not list(tmp_path.rglob("*.incomplete"))


def test_ftp_annotate_records_repository_and_revision(hub: Path, tmp_path: Path, command: Callable[..., Ran]) -> None:
    blob = fill(hub, NEW, 1)
    clip, out = encode(tmp_path / "clip.mp4", count=4), tmp_path / "out.jsonl"
    words = ("annotate", clip, "--boxes", mot_boxes(tmp_path / "b.txt", 4), "--weights", NAME, "--engine", "torch")
    ran = command(*words, "--out", out)
    assert ran.code == 0, ran.err
    header, frames = records(out)
    model = header["run"]["model"]
    assert (model["repository"], model["revision"], model["sha256"]) == (REPOSITORY, NEW, sha256(blob))
    assert len(header["joints"]) == 17 and any(frame["people"] for frame in frames)
    for name in ("out.json", "out17.json"):
        form = ["--format", "posetrack17"] if "17" in name else []
        ran = command(*words, "--out", tmp_path / name, *form)
        assert ran.code == 0, ran.err
        json.loads((tmp_path / name).read_text())


def test_ftp_import(hub: Path, tmp_path: Path, command: Callable[..., Ran]) -> None:
    out = tmp_path / "x.safetensors"
    write_vitpose(tmp_path / "vitpose.pth", OriginalViTPose(depth=1))
    ran = command("import", tmp_path / "vitpose.pth", "--out", out)
    assert ran.code == 0 and "ViTPose, vit_small_patch16_224, 17 joints" in ran.err
    config, state, provenance = load_weights(out)
    wanted_config, wanted, _ = load_weights(tmp_path / "vitpose.pth")
    assert config == wanted_config and all(torch.equal(state[name], wanted[name]) for name in wanted)
    assert provenance["imported"]["sha256"] == sha256(tmp_path / "vitpose.pth")
    assert command("import", tmp_path / "vitpose.pth", "--out", out).code == 1  # there already
    assert command("import", out, "--out", tmp_path / "y.safetensors").code == 2  # ours already
    assert command("import", tmp_path / "vitpose.pth", "--out", tmp_path / "y.pth").code == 2
    write_mae(tmp_path / "mae.pth")
    ran = command("import", tmp_path / "mae.pth", "--out", tmp_path / "y.safetensors")
    assert ran.code == 1 and "--backbone-weights" in ran.err
    fill(hub, NEW, 1)
    ran = command("import", NAME, "--out", tmp_path / "z.safetensors")
    assert ran.code == 0 and "of other data sets left out" in ran.err
    assert load_weights(tmp_path / "z.safetensors")[2]["imported"]["revision"] == NEW
    assert not (tmp_path / "y.safetensors").exists() and not (tmp_path / "y.pth").exists()
