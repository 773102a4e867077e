"""The script that trains the encoder's variants."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ftpcli.pose.weights import load_weights
from samples import ablation
from tests.support.tiny import CONFIG, tiny_weights
from tests.support.training_data import make_coco


def test_every_variant_is_trained_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    single = CONFIG.replace(branches="none", frames=1, depth=1, stem="movenet")
    weights = tiny_weights(tmp_path / "single.safetensors", config=single)
    words = ["--weights", str(weights), "--data", f"coco={make_coco(tmp_path / 'coco', 4)}", "--batch", "2"]
    words += ["--steps", "2", "--token-cache", "0.0001"]
    monkeypatch.setattr(sys, "argv", ["ablation", str(tmp_path / "runs"), *words])
    assert ablation.main() == 0
    made = {path.parent.name: load_weights(path)[0] for path in tmp_path.glob("runs/*/last.safetensors")}
    assert len(made) == len(ablation.VARIANTS) == len(set(map(str, made.values())))
    assert made["finer-maps"].fine_maps and made["low-resolution-branch-alone"].branches == "low"
    assert len(capsys.readouterr().out.splitlines()) == len(made)
    (tmp_path / "runs/grid/last.safetensors").unlink()
    assert ablation.main() == 0
    assert capsys.readouterr().out == f"grid: {tmp_path / 'runs/grid'}\n"
