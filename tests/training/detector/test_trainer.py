"""Training of the detector."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ftpcli.errors import InputError, UsageError
from ftpcli.evaluation.on_scenes import evaluate_detector
from ftpcli.people.loading import BUNDLED
from ftpcli.people.network import find_people, load_network
from ftpcli.training.detector.trainer import DetectorTrainer, train_detector
from ftpcli.training.folder import claimed
from ftpcli.training.loop import batches
from tests.support.detector_data import coco_file, detector_run
from tests.support.tiny import Ran


def events(folder: Path, event: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["event"] == event]


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path) -> None:
    path, whole, parts = coco_file(tmp_path), tmp_path / "whole", tmp_path / "parts"
    outcome = train_detector(detector_run(path, whole))
    assert outcome == {"step": 3, "steps": 3, "finished": True, "best": -1.0}

    asked = iter((False, True))
    outcome = train_detector(detector_run(path, parts), stop=lambda: next(asked))
    assert outcome == {"step": 2, "steps": 3, "finished": False, "best": -1.0}
    with pytest.raises(UsageError, match="holds a run already"), claimed(parts, resume=False):
        pass
    with pytest.raises(UsageError, match="optimiser musgd, not adamw"):
        train_detector(detector_run(path, parts, resume=True, optimiser="adamw"))
    assert train_detector(detector_run(path, parts, resume=True, workers=2))["step"] == 3
    networks = [load_network(out / "detector.safetensors")[0].state_dict() for out in (whole, parts)]
    assert all(torch.equal(a, b) for a, b in zip(networks[0].values(), networks[1].values(), strict=True))
    config = load_network(whole / "detector.safetensors")[1]
    assert config.provenance["data"] == {"a": {"pictures": 6, "weight": 1.0}} and config.provenance["steps"] == 3
    last = events(whole, "step")[-1]
    assert last["step"] == 3 and last["parts"] and all(np.isfinite(v) for v in last["parts"].values())


def test_training_starts_from_weights(random_detector: Path, tmp_path: Path) -> None:
    path, out = coco_file(tmp_path), tmp_path / "out"
    outcome = train_detector(detector_run(path, out, weights=random_detector, steps=1, lr=0.0))
    assert outcome == {"step": 1, "steps": 1, "finished": True, "best": -1.0}
    before, (after, config) = load_network(random_detector)[0].state_dict(), load_network(out / "detector.safetensors")
    learned = [name for name, _ in after.named_parameters()]
    assert all(torch.allclose(before[n], after.state_dict()[n], atol=1e-4) for n in learned)
    assert config.provenance["start"]["provenance"] == {"note": "random"}
    assert train_detector(detector_run(path, out, resume=True, steps=2, lr=0.0))["step"] == 2
    assert load_network(out / "detector.safetensors")[1].provenance["start"] == config.provenance["start"]
    with pytest.raises(InputError, match="no such file or folder"):
        train_detector(detector_run(path, tmp_path / "none", weights=tmp_path / "none.safetensors"))


def test_the_command_trains_a_detector_from_the_bundled_one(command: Callable[..., Ran], tmp_path: Path) -> None:
    words: list[object] = ["train-detector", "--data", f"a={coco_file(tmp_path)}:2", "--weights", "default"]
    words += ["--steps", 1, "--batch", 2, "--lr", "1e-9", "--image-size", 64, "--device", "cpu", "-q", "--out"]
    assert command(*words, tmp_path / "wrong", "--min-size", "64x64").code == 2
    assert command(*words, tmp_path / "out", "--min-size", 64, "--max-size", 64).code == 0
    network, config = load_network(tmp_path / "out" / "detector.safetensors")
    first = load_network(BUNDLED)[0].state_dict()
    assert all(torch.allclose(first[n], p, atol=1e-3) for n, p in network.named_parameters())
    assert config.image_size == 64 and config.provenance["data"] == {"a": {"pictures": 6, "weight": 2.0}}


def test_refusals_come_before_any_training(command: Callable[..., Ran], tmp_path: Path) -> None:
    words = ["train-detector", "--out", tmp_path / "out", "--data"]
    for more, code, said in (
        (["a"], 2, "give NAME=boxes.json"),
        (["a=x.json", "--data", "a=y.json"], 2, "two files of the same name"),
        (["a=absent.json"], 1, "absent.json: "),
        ([f"a={coco_file(tmp_path)}", "--resume"], 1, "no checkpoint here"),
        ([f"a={coco_file(tmp_path)}:0"], 1, "nothing to train on"),
    ):
        ran = command(*words, *more)
        assert ran.code == code and said in ran.err and len(ran.err.strip().splitlines()) == 1


def test_the_loss_falls(tmp_path: Path) -> None:
    run = detector_run(coco_file(tmp_path), tmp_path, architecture="yolo26n", steps=24, mosaic=0.0)
    trainer = DetectorTrainer(run, lambda row: None)
    losses = [
        sum(trainer.one_step(batch).values())
        for batch in batches(trainer.examples(), trainer.collate, batch=4, first=0, steps=24)
    ]
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_validation_is_logged_and_described_in_the_weights(tmp_path: Path) -> None:
    path, out = coco_file(tmp_path, 3, "gt"), tmp_path / "out"
    outcome = train_detector(detector_run(path, out, val=path, steps=1))
    (row,) = events(out, "validation")
    assert row["boxes"] == 3 and row["score"] == row["ap50"] == outcome["best"]
    val = load_network(out / "detector.safetensors")[1].provenance["val"]
    assert val["step"] == 1 and val["ap50"] == pytest.approx(row["ap50"], abs=1e-4)


@pytest.mark.slow
def test_training_learns_and_measures(tmp_path: Path) -> None:
    path, out = coco_file(tmp_path, 12, "gt"), tmp_path / "out"
    train_detector(detector_run(path, out, val=path, steps=180, optimiser="adamw", lr=2e-3, ema=0.9, warmup=18))
    report = events(out, "validation")[-1]
    assert report["ap50"] > 0.5 and report["boxes"] == 12 and set(report["sources"]) == {"a", "b"}
    again = evaluate_detector(out / "detector.safetensors", path)
    assert again["ap50"] == pytest.approx(report["ap50"], abs=0.05)
    assert again["detector"]["architecture"] == "yolo11n"


def test_end_to_end_heads_train_too(tmp_path: Path) -> None:
    train_detector(detector_run(coco_file(tmp_path), tmp_path / "out", architecture="yolo26n", end2end=True, steps=2))
    network, config = load_network(tmp_path / "out" / "detector.safetensors")
    assert config.end2end and find_people(network, [np.zeros((60, 80, 3), np.uint8)], size=64, floor=1e-9)[0].ndim == 2


def test_an_unknown_optimiser(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown optimiser 'lion'"):
        train_detector(detector_run(coco_file(tmp_path), tmp_path / "o", optimiser="lion"))


def test_pictures_of_nobody_alone_teach_nothing(tmp_path: Path) -> None:
    path = coco_file(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    with pytest.raises(InputError, match="nobody to learn from"):
        train_detector(detector_run(path, tmp_path / "o"))
