"""Detectors of others: what is opened, what is refused, what is fetched."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ftpcli.errors import InputError, UsageError
from ftpcli.people.loading import load_detector


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("suffix", [".pt", ".torchscript", ".engine", "_saved_model"])
def test_a_pickle_is_not_opened_unasked(tmp_path: Path, suffix: str) -> None:
    sign, path = tmp_path / "sign", tmp_path / f"model{suffix}"
    with open(path, "wb") as file:
        torch.save({"model": Bomb(sign)}, file)
    with pytest.raises(UsageError, match="--trust"):
        load_detector(path)
    assert not sign.exists()
    pickle.loads(pickle.dumps(Bomb(sign)))  # the bomb itself works
    assert sign.exists()


def test_a_fetched_model_is_opened_without_running_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FTP_HOME", str(tmp_path))
    sign, path = tmp_path / "sign", tmp_path / "detectors" / "yolo26n.pt"
    path.parent.mkdir()
    torch.save({"model": Bomb(sign)}, path)
    with pytest.raises(InputError, match=r"yolo26n\.pt"):
        load_detector("yolo26n.pt")
    assert not sign.exists() and "fetching" not in capsys.readouterr().err  # it was there already


def test_only_a_model_name_uses_the_network_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ftpcli.people._ultralytics as inside

    asked: list[str] = []

    def refuse(path: Path, **options: Any) -> None:
        asked.append(Path(path).name)
        raise ConnectionError("no network")

    monkeypatch.setenv("FTP_HOME", str(tmp_path))
    monkeypatch.setattr(inside, "attempt_download_asset", refuse)
    for name in ("missing.pt", "models/yolo26n.pt", "person-finder", "http://example.org/yolo26n.pt"):
        with pytest.raises(InputError, match="no such detector file"):
            load_detector(name)
    assert not asked and capsys.readouterr().err == ""
    with monkeypatch.context() as offline, pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        offline.setenv("HF_HUB_OFFLINE", "1")
        load_detector("yolo26n")
    assert not asked and capsys.readouterr().err == ""
    with pytest.raises(InputError, match="cannot be fetched"):
        load_detector("yolo26n")
    assert asked == ["yolo26n.pt"] and "fetching yolo26n.pt" in capsys.readouterr().err


def test_a_trusted_ultralytics_model_runs(tmp_path: Path, photo: np.ndarray) -> None:
    from ultralytics import YOLO

    path = tmp_path / "own.pt"
    torch.manual_seed(0)
    model = YOLO("yolo26n.yaml", verbose=False)
    model.model.names = {0: "cat", 1: "Person"} | {i: f"thing{i}" for i in range(2, 80)}
    head = model.model.model[-1]
    for branch in (*head.cv3, *head.one2one_cv3):
        branch[-1].bias.data[1] = 0.0  # so that random weights find something
    model.save(path)
    detector = load_detector(path, trust=True, image_size=64)
    rows = detector.detect_batch([photo])[0]
    assert detector.person == 1 and len(rows) > 0  # type: ignore[attr-defined]
    assert rows.dtype == np.float32 and rows[:, [0, 2]].max() <= 810 and rows[:, [1, 3]].max() <= 1080
    assert (np.diff(rows[:, 4]) <= 0).all() and rows[:, 4].min() >= 0.05
    assert set(detector.describe()) == {"name", "sha256", "image_size"}
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(path.read_bytes()[:10000])
    with pytest.raises(InputError, match="ultralytics cannot open it"):
        load_detector(damaged, trust=True)


def test_files_that_are_no_detectors(tmp_path: Path) -> None:
    for name in ("notes.md", "model.pth", "model.bin"):
        (tmp_path / name).write_text("text")
        for trust in (False, True):
            with pytest.raises(InputError, match=f"{name}: not a detector"):
                load_detector(tmp_path / name, trust=trust)
    with pytest.raises(InputError, match="not a detector"):
        load_detector(tmp_path)
    (tmp_path / "a.onnx").write_text("no graph")
    with pytest.raises(InputError, match=r"a\.onnx: ultralytics cannot open it"):
        load_detector(tmp_path / "a.onnx")


def test_bad_options(random_detector: Path) -> None:
    with pytest.raises(UsageError, match="fp16"):
        load_detector(random_detector, precision="fp16")
    with pytest.raises(UsageError, match="size 7"):
        load_detector(random_detector, image_size=7)


def test_ultralytics_stays_silent_and_private() -> None:
    """Importing it must not print, look up anything, or touch the user's settings."""
    import subprocess
    import sys

    code = "import ftpcli.people._ultralytics as u; print(u.SETTINGS['sync'], u.os.environ['YOLO_CONFIG_DIR'])"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YOLO")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    answer, folder = run.stdout.split()
    assert answer == "False" and run.stderr == "" and not Path(folder).exists()  # removed when the process ended


def test_a_stronger_detector_is_named_once(
    tiny_model: Path, tmp_path: Path, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal, at the end of the first run with the bundled detector; nothing is fetched."""
    from tests.support.odd_videos import encode

    monkeypatch.setenv("FTP_HOME", str(tmp_path / "home"))
    clip = encode(tmp_path / "clip.mp4", count=2)
    said = []
    for number, terminal in enumerate((False, True, True)):
        monkeypatch.setattr("ftpcli.cli.annotate._at_a_terminal", lambda answer=terminal: answer)
        out = tmp_path / f"{number}.jsonl"
        words = ("--weights", tiny_model, "--detector-size", "64", "--engine", "torch")
        ran = command("annotate", clip, "--out", out, *words)
        assert ran.code == 0, ran.err
        said.append([line for line in ran.err.splitlines() if "--detector yolo26m.pt" in line])
    assert [len(lines) for lines in said] == [0, 1, 0]
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["stronger-detector-named"]
