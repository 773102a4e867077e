"""Confidence that means the share of right joints: samples/calibrate_confidence.py, and the estimator that uses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ftpcli.errors import InputError
from ftpcli.pose.estimator import Estimator
from ftpcli.pose.weights import load_weights, save_weights
from ftpcli.records import Frame, Person, Window
from samples.calibrate_confidence import error, main, rising
from tests.support.training_data import make_clips, make_coco


def test_the_line_rises_and_makes_bins_mean_what_they_say() -> None:
    confidence = np.linspace(0.05, 0.95, 10)
    right = np.array([0.1, 0.05, 0.2, 0.3, 0.28, 0.5, 0.62, 0.7, 0.9, 0.97])
    bins = np.column_stack([np.full(10, 100.0), confidence, right])
    x, y = rising([bins])
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1) and (np.diff(x) > 0).all() and (np.diff(y) > 0).all()
    mapped = np.column_stack([bins[:, 0], np.interp(confidence, x, y), right])
    assert error(mapped) < 0.03 < error(bins)
    few = np.vstack([bins, [3, 0.99, 0.0]])  # too few joints to say anything
    assert np.allclose(rising([few])[0], x)


def test_the_mapping_goes_with_the_weights(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pycocotools")
    monkeypatch.setattr("samples.calibrate_confidence.FEWEST", 1)
    out = tmp_path / "calibrated.safetensors"
    data = [f"--data=coco={make_coco(tmp_path / 'people', 3)}", f"--check=clips={make_clips(tmp_path / 'clips')}"]
    monkeypatch.setattr("sys.argv", ["calibrate", str(tiny_model), str(out), *data])
    assert main() == 0 and capsys.readouterr().out.count("mean difference") == 4
    before, after = Estimator.load(tiny_model), Estimator.load(out)
    assert before.calibration is None and after.calibration is not None
    image = np.random.default_rng(0).integers(0, 255, (90, 60, 3), np.uint8)
    frame = Frame(0, 0, 0.0, image)
    count = before.window
    window = Window(Person(1, np.array([5.0, 5, 50, 80]), 0.9), (frame,) * count, (True,) * count)
    (plain,), (mapped,) = before.estimate([window]), after.estimate([window])
    assert np.array_equal(plain.keypoints, mapped.keypoints)
    assert np.allclose(mapped.confidence, np.interp(plain.confidence, *after.calibration))
    assert not np.allclose(mapped.confidence, plain.confidence)
    assert main() == 1 and "calibrated.safetensors" in capsys.readouterr().err  # never replaced unasked


@pytest.mark.parametrize(
    "line", [[[0, 1]], "x", [[0, 1], [0]], [[1, 0], [0, 1]], [[0, 1], [0, 1.5]], [[0, 1], [0, None]]]
)
def test_a_damaged_mapping_is_one_line(line: object, tiny_model: Path, tmp_path: Path) -> None:
    config, tensors, provenance = load_weights(tiny_model)
    save_weights(tmp_path / "w.safetensors", tensors, config, {**provenance, "calibration": line})
    with pytest.raises(InputError, match="the calibration in the weights' header is damaged"):
        Estimator.load(tmp_path / "w.safetensors")
