"""ONNX Runtime gives what torch gives, for every kind of model, and is what ``annotate`` says it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Interrupted, Target, annotate_file
from ftpcli.device import Threads, choose_engine
from ftpcli.errors import UsageError
from ftpcli.files.graphs import TOLERANCE, ExportError, Runner, graph
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.pose.engine import load_engine
from ftpcli.pose.estimator import Estimator
from ftpcli.pose.export import pose_graphs
from ftpcli.pose.onnx_engine import OnnxEngine
from ftpcli.pose.torch_engine import TorchEngine
from ftpcli.records import Frame, Person, Window
from samples.make_sample import make_sample
from tests.support.odd_videos import encode
from tests.support.stops import stop_after
from tests.support.tiny import CONFIG, Ran, records, tiny_weights

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

KINDS = {
    "patch": CONFIG.replace(stem="patch", depth=1),
    "movenet": CONFIG.replace(stem="movenet", depth=1, fine_maps=True),
    "movenet_alone": CONFIG.replace(stem="movenet", depth=0, frames=1, branches="none"),
    "low": CONFIG.replace(depth=1, branches="low", low_ratio=1),
    "neighbours": CONFIG.replace(depth=1, coarse_blocks=0, keep_key=True),
    "grid": CONFIG.replace(depth=1, selector="grid", upsample=4),
    "random": CONFIG.replace(depth=1, selector="random"),
    "adaptive": CONFIG.replace(depth=1, temperature="adaptive", frames=5, heatmap="gaussian"),
    "vitpose": CONFIG.replace(
        depth=1, width=192, heads=12, class_token=False, patch_padding=2, head="deconvolution", codec="udp",
        heatmap="gaussian", branches="none",
    ),
    "vitpose_simple": CONFIG.replace(depth=1, head="simple", heatmap="gaussian"),
}  # fmt: skip


def random_model(kind: str) -> FTPPose:
    """No parameter is zero, so that every branch counts."""
    torch.manual_seed(0)
    model = FTPPose(KINDS[kind]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return model


def onnx_engine(model: FTPPose) -> OnnxEngine:
    made = pose_graphs(model, {})
    return OnnxEngine(made.about, {name: Runner(content) for name, content in made.content.items()})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_gives_the_same_numbers(kind: str) -> None:
    model = random_model(kind)
    ours, reference = onnx_engine(model), TorchEngine(model, device="cpu", precision="fp32")
    assert ours.config == reference.config
    frames = model.config.frames if model.config.branches != "none" else 1
    pixels = np.random.default_rng(1)
    for count in (1, 2, 5):  # other numbers of crops than at export
        crops = pixels.integers(0, 256, (count, *model.config.image_size, 3)).astype(np.uint8)
        results = []
        for engine in (ours, reference):
            tokens = engine.encode(crops)
            results.append(engine.decode([[tokens[(n + t) % count] for t in range(frames)] for n in range(count)]))
        np.testing.assert_allclose(results[0], results[1], atol=TOLERANCE * np.abs(results[1]).max())


def test_joints_are_those_of_torch_whatever_the_number_of_threads() -> None:
    model = random_model("patch")
    image = np.random.default_rng(2).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    frames = [Frame(n, n, n / 25, np.roll(image, 3 * n, axis=1)) for n in range(3)]
    people = [Person(n, np.array([10.0 + 9 * n, 5, 60 + 9 * n, 110]), 0.9) for n in range(5)]
    windows = [Window(person, tuple(frames), (False, False, False)) for person in people]
    found, ours = [], onnx_engine(model)
    for engine in (TorchEngine(model, device="cpu", precision="fp32"), ours, ours):
        if found:
            engine.threads = Threads(2, len(found), torch=False)
        found.append(np.stack([pose.keypoints for pose in Estimator(engine).estimate(windows)]))
    assert np.array_equal(found[1], found[2])
    assert np.median(np.abs(found[0] - found[1])) < 0.05 and np.abs(found[0] - found[1]).max() < 1


def test_a_graph_with_other_numbers_is_refused() -> None:
    class Fickle(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + float(x.sum() > 0)  # a constant to the exporter

    with pytest.raises(ExportError, match="differs from torch"):
        graph(Fickle(), [torch.ones(1, 2), -torch.ones(1, 2)], "x", "y")

    class Foreign(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigh(x @ x.T).eigenvalues

    with pytest.raises(ExportError, match="--engine torch"):
        graph(Foreign(), [torch.ones(2, 2)], "x", "y")


def test_graphs_are_made_once_and_again_where_they_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tiny_weights(tmp_path / "w.safetensors", config=KINDS["low"])
    monkeypatch.setenv("FTP_HOME", str(tmp_path / "home"))
    crops = np.full((1, *CONFIG.image_size, 3), 99, np.uint8)
    tokens = []
    for damaged in ("", "", "cut off", "away"):
        made = list((tmp_path / "home" / "onnx").glob("*/encode.onnx"))
        if damaged == "cut off":
            made[0].write_bytes(made[0].read_bytes()[:1000])
        elif damaged:
            made[0].unlink()
        engine = load_engine(weights, engine="onnx")
        assert engine.provenance == {"step": 0}
        tokens.append(engine.encode(crops)[0])
        assert ("preparing the pose model" in capsys.readouterr().err) == (not made or bool(damaged))
    assert all(np.array_equal(tokens[0], others) for others in tokens)
    assert load_engine(weights, engine="onnx", selector="grid").config.selector == "grid"
    first, second = sorted((tmp_path / "home" / "onnx").iterdir(), key=lambda folder: folder.stat().st_mtime)
    long_ago = time.time() - 31 * 24 * 3600
    foreign = first.parent / "my-models-0123"
    foreign.mkdir()
    for folder in (first, second, foreign):
        os.utime(folder, (long_ago, long_ago))
    load_engine(weights, engine="onnx")  # used: kept
    load_engine(weights, engine="onnx", selector="random")
    assert first.is_dir() and not second.exists() and foreign.is_dir() and len(list(first.parent.iterdir())) == 3

    capsys.readouterr()
    (tmp_path / "file").touch()
    monkeypatch.setenv("FTP_HOME", str(tmp_path / "file"))
    assert np.array_equal(load_engine(weights, engine="onnx").encode(crops)[0], tokens[0])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "prepared again in every run" in said[1]


def test_what_onnx_runtime_does_not_do_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftpcli.device._accelerator_possible", lambda: False)
    assert choose_engine("auto", "auto", "auto") == "onnx" == choose_engine("onnx", "auto", "fp32")
    assert choose_engine("auto", "cuda", "auto") == choose_engine("auto", "cpu", "bf16") == "torch"
    for device, precision in (("cuda", "auto"), ("cpu", "bf16"), ("mps", "fp32")):
        with pytest.raises(UsageError, match="on the CPU in fp32"):
            choose_engine("onnx", device, precision)
    with pytest.raises(UsageError, match="choose one of"):
        choose_engine("tensorrt", "auto", "auto")
    monkeypatch.setattr("ftpcli.device._accelerator_possible", lambda: True)
    assert choose_engine("auto", "auto", "auto") == "torch" and choose_engine("auto", "cpu", "auto") == "onnx"
    monkeypatch.setattr("ftpcli.files.graphs.missing_package", lambda: "onnxruntime")
    assert choose_engine("auto", "cpu", "auto") == "torch"
    with pytest.raises(UsageError, match="onnxruntime is missing; pip install"):
        choose_engine("onnx", "cpu", "auto")


def test_a_file_names_its_engine_and_goes_on_with_no_other(
    command: Callable[..., Ran], tiny_model: Path, random_detector: Path, tmp_path: Path
) -> None:
    clip, out = encode(tmp_path / "clip.mp4", count=12), tmp_path / "a.jsonl"
    models = ("--weights", tiny_model, "--detector", random_detector, "--detector-size", 64)
    given = ("annotate", clip, "--out", out, *models)
    for engine in ("torch", "onnx"):
        ran = command(*given, "--engine", engine, "--overwrite")
        assert ran.code == 0, ran.err
        head, frames = records(out)
        assert head["run"]["engine"] == engine and any(frame["people"] for frame in frames)
    ran = command(*given, "--engine", "torch", "--resume")
    assert ran.code == 1 and "not that of this run" in ran.err
    assert command(*given, "--engine", "onnx", "--resume").code == 0


def test_the_same_file_from_any_number_of_cores_and_after_a_stop(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, files = tmp_path / "clip.mp4", []
    make_sample(clip, seconds=1.12, width=320, height=240)
    options = Options(weights=str(tiny_model), detector_size=256)
    for cores, stops in (("1", False), ("2", False), ("3", True)):
        monkeypatch.setenv("OMP_NUM_THREADS", cores)
        target = Target(tmp_path / f"{cores}.jsonl", resume=stops)
        if stops:
            with pytest.raises(Interrupted):
                annotate_file(Annotator(options, engine="onnx"), str(clip), target, stop=stop_after(2))
        summary = annotate_file(Annotator(options, engine="onnx"), str(clip), target)
        assert (summary.frames, summary.replayed) == (28, 16 if stops else 0) and summary.people > 50
        files.append((tmp_path / f"{cores}.jsonl").read_bytes())
    assert files[0] == files[1] == files[2]


#: Runs the command line and then names those of the libraries that it has loaded.
LOADED = """
import sys
import typer
from ftpcli.cli import main
echo, early = typer.echo, []
def first(line, **more):
    if line == "ftp: starting":
        early.extend({"numpy", "cv2", "av", "onnxruntime", "torch", "rich.progress"} & sys.modules.keys())
    echo(line, **more)
typer.echo = first
try:
    main()
except SystemExit as end:
    assert not end.code
assert not early, f"loaded before the first line: {early}"
print(*sorted({"torch", "torchvision", "timm", "ultralytics", "onnx"} & sys.modules.keys()))
"""


def test_annotate_loads_no_torch(tiny_model: Path, random_detector: Path, tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", count=5)
    models = ("--weights", tiny_model, "--detector", random_detector, "--detector-size", "64", "--device", "cpu")
    words = ["annotate", clip, "--out", tmp_path / "a.jsonl", "--overlay", tmp_path / "a.mp4", *models, "--overwrite"]
    loaded = []
    Annotator(Options(str(tiny_model), str(random_detector)), engine="onnx", device="cpu")  # prepares the graphs
    for engine in ("auto", "torch"):
        run = subprocess.run(
            [sys.executable, "-c", LOADED, *map(str, words), "--engine", engine],
            capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": os.getcwd()},
        )  # fmt: skip
        loaded.append(run.stdout.split())
        assert any(frame["people"] for frame in records(tmp_path / "a.jsonl")[1])
    assert loaded[0] == [] and "timm" in loaded[1]


def test_export(command: Callable[..., Ran], tiny_model: Path, random_detector: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = command("export", out, "--weights", tiny_model, "--detector", random_detector)
    assert ran.code == 0 and len(ran.lines) == 3, ran.err
    assert sorted(path.name for path in out.iterdir()) == ["about.json", "decode.onnx", "detector.onnx", "encode.onnx"]
    about = json.loads((out / "about.json").read_text())
    assert about["pose"]["config"]["image_size"] == [64, 48] and about["pose"]["name"] == tiny_model.name
    assert about["detector"]["config"]["classes"] == ["person"]
    assert about["pose"]["precision"] == "fp32" and set(about["pose"]["tolerance"].values()) == {TOLERANCE}
    assert max(about["pose"]["difference"].values()) < TOLERANCE
    tokens = Runner((out / "encode.onnx").read_bytes())(np.zeros((4, 64, 48, 3), np.uint8))
    heatmaps = Runner((out / "decode.onnx").read_bytes())(np.repeat(tokens[:, None], 3, axis=1))
    assert heatmaps.shape == (4, 19, 16, 12)
    assert Runner((out / "detector.onnx").read_bytes())(np.zeros((1, 64, 96, 3), np.uint8)).shape[:2] == (1, 5)
    assert command("export", out).code == 1  # it is not empty


def test_the_detector_finds_the_same(photo: np.ndarray) -> None:
    """In pictures of several shapes."""
    from ftpcli.people.loading import load_detector

    detectors = [load_detector(engine=engine) for engine in ("onnx", "torch")]
    for image in (photo, photo[:900].copy(), photo[:, :600].copy()):
        found, expected = (detector.detect_batch([image])[0] for detector in detectors)
        assert len(expected) > 1
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.05)


def test_a_detector_of_two_heads_is_exported_too(tmp_path: Path) -> None:
    from ftpcli.people.network import DetectorConfig, build_network, export_network, save_network

    torch.manual_seed(0)
    config = DetectorConfig(architecture="yolo26n", image_size=96, end2end=True)
    save_network(build_network(config), config, tmp_path / "d.safetensors")
    made = export_network(tmp_path / "d.safetensors")
    rows = Runner(made.content["detector"])(np.zeros((1, 96, 160, 3), np.uint8))
    assert rows.ndim == 3 and len(rows) == 1 and made.about["difference"]["detector"] < TOLERANCE
