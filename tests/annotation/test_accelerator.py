"""A whole run as it goes on an accelerator, for which torch's CPU stands in (``--device cpu:0``)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Interrupted, Target, annotate_file
from ftpcli.drawing.drawer import Drawer
from ftpcli.errors import OutputError
from ftpcli.pose.device_steps import DeviceSteps
from ftpcli.video.ahead import ReadAhead
from samples.make_sample import make_sample
from tests.support.tiny import Ran, mot_boxes, records

FRAMES = 70  # two whole chunks of 32, and some


@pytest.fixture(scope="module")
def given(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    folder = tmp_path_factory.mktemp("given")
    make_sample(folder / "clip.mp4", seconds=FRAMES / 25, width=96, height=64, people=3)
    boxes = mot_boxes(folder / "boxes.txt", FRAMES)
    return ["annotate", folder / "clip.mp4", "--boxes", boxes, "--weights", tiny_model, "--engine", "torch"]


def annotator(given: list[object], **how: object) -> Annotator:
    return Annotator(Options(boxes=str(given[3]), weights=str(given[5])), device="cpu:0", **how)  # type: ignore[arg-type]


def test_the_file_is_that_of_the_cpu(command: Callable[..., Ran], given: list[object], tmp_path: Path) -> None:
    words = [*given, "--precision", "fp32", "--overlay"]
    for device, name in (("cpu", "a"), ("cpu:0", "b")):
        ran = command(*words, tmp_path / f"{name}.mp4", "--device", device, "--out", tmp_path / f"{name}.jsonl")
        assert ran.code == 0, ran.err
    (head, expected), (other, found) = (records(tmp_path / f"{name}.jsonl") for name in "ab")
    assert head == other and len(found) == FRAMES
    people = [
        (p, q) for a, b in zip(expected, found, strict=True) for p, q in zip(a["people"], b["people"], strict=True)
    ]
    assert all((p["track_id"], p["bbox"]) == (q["track_id"], q["bbox"]) for p, q in people) and len(people) > FRAMES
    apart = np.abs([np.subtract(p["keypoints"], q["keypoints"]) for p, q in people])
    assert np.median(apart) < 0.01 and np.quantile(apart, 0.98) < 0.1
    assert (tmp_path / "b.mp4").stat().st_size == pytest.approx((tmp_path / "a.mp4").stat().st_size, rel=0.02)


def test_a_stopped_run_goes_on_to_the_same_files(given: list[object], tmp_path: Path) -> None:
    one, clip = annotator(given), str(given[1])
    annotate_file(one, clip, Target(tmp_path / "a.jsonl", overlay=tmp_path / "a.mp4"))
    target = Target(tmp_path / "b.jsonl", overlay=tmp_path / "b.mp4")
    before = threading.active_count()
    with pytest.raises(Interrupted, match="stopped after 32 frames"):
        annotate_file(one, clip, target, stop=lambda: True)
    assert threading.active_count() == before and not (tmp_path / "b.mp4").exists()
    done = annotate_file(one, clip, Target(target.out, overlay=target.overlay, resume=True))
    assert done.replayed == 32
    for name in ("jsonl", "mp4"):
        assert (tmp_path / f"a.{name}").read_bytes() == (tmp_path / f"b.{name}").read_bytes()


@pytest.mark.parametrize("failing", [2, 40, FRAMES - 1])
def test_what_fails_beside_the_work_ends_the_run(
    failing: int, given: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first chunk, a later one, and the last frame, after which nothing more is drawn."""
    honest, drawn = Drawer.__call__, []

    def draw(self: Drawer, image: np.ndarray, *rest: object) -> np.ndarray:
        drawn.append(threading.current_thread())
        if len(drawn) == failing + 1:
            raise OutputError("disk full")
        return honest(self, image, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Drawer, "__call__", draw)
    target = Target(tmp_path / "b.jsonl", overlay=tmp_path / "b.mp4")
    with pytest.raises(OutputError, match="disk full"):
        annotate_file(annotator(given), str(given[1]), target)
    assert threading.main_thread() not in drawn and len(drawn) == failing + 1
    assert [path.name for path in tmp_path.iterdir()] == ["b.jsonl.part.jsonl"]


def test_the_path_is_the_accelerators(
    given: list[object], random_detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = annotator(given)
    with one.open(str(given[1])) as annotation:
        assert isinstance(annotation._source, ReadAhead) and isinstance(one.estimator._steps, DeviceSteps)
        looked: list[int] = []
        monkeypatch.setattr(DeviceSteps, "look", lambda self, image: looked.append(id(image)))
        chunks = list(annotation.chunks())
        assert annotation._ahead is None  # a thread for each video would prepare the detector anew
    assert one.estimator.batch == 128 and one.estimator.engine.threads.most is None
    assert len(looked) == FRAMES and [*map(len, chunks)] == [32, 32, 6]
    found = Annotator(Options(weights=str(given[5]), detector=str(random_detector)), device="cpu:0")
    assert "letterbox_on" in repr(found.detector._letterbox)  # type: ignore[union-attr]


def test_the_check_for_a_gpu_machine(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes here, with a stand-in; and fails where joints are not those of the CPU."""
    from samples.check_device import main

    words = ["--device", "cpu:0", "--people", "2", "--width", "320", "--height", "180", "--seconds", "0.2", "--rounds"]
    words += ["1", "--compared", "0.12", "--presets", "tiny", "--batches", "1"]
    assert main(words) == 0
    said = capfd.readouterr().out
    assert "0 missing" in said and "0 by more than 1 px" in said
    assert "frames/s" in said and said.count("tiny: poses a second") == 1

    honest = DeviceSteps.joints
    monkeypatch.setattr(DeviceSteps, "joints", lambda self, maps: (honest(self, maps)[0] + 2, honest(self, maps)[1]))
    for name in ("bench", "compare_detections"):
        monkeypatch.setattr(f"samples.check_device.{name}", lambda *a, **k: None)
    assert main(words) == 1
    assert "differ by more than rounding" in capfd.readouterr().err
