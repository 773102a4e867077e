"""``ftp train`` as a user runs it: options, refusals, two processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from ftpcli.cli import main
from ftpcli.skeleton import COCO17
from ftpcli.training.folder import claimed
from tests.conftest import ROOT
from tests.support.tiny import Command
from tests.support.training_data import make_clips, make_coco

TINY = ["--image-size", "64x48", "--depth", "2", "--batch", "4", "--precision", "fp32", "--device", "cpu"]
TINY += ["--recipe", "scratch"]


def ftp(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of ``ftp`` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["ftp", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def rows(folder: Path, event: str) -> list[dict]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["event"] == event]


def test_train_on_a_mixture_then_finetune_from_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    coco, clips = make_coco(tmp_path / "coco"), make_clips(tmp_path / "clips")
    words = ["train", *TINY, "--data", f"coco={coco}:0.5", "--data", f"clips={clips}", "--val", f"clips={clips}"]
    out = tmp_path / "a"
    assert ftp(monkeypatch, *words, "--steps", 2, "--branches", "none", "--frames", 1, "--out", out, "-q") == 0
    assert rows(out, "start")[0]["examples_per_epoch"] == 6 + 5
    assert "clips" in rows(out, "validation")[-1]["pck_0.2"]
    again = tmp_path / "b"
    assert (
        ftp(
            monkeypatch,
            *words,
            "--steps",
            1,
            "--preset",
            "tiny",
            "--weights",
            out / "last.safetensors",
            "--out",
            again,
            "-q",
        )
        == 0
    )
    start = rows(again, "init")[0]
    assert start["taken"] > 100 and start["fresh"] > 10


def test_weights_bring_their_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ftpcli.model.config import PRESETS
    from ftpcli.pose.weights import load_weights

    words = ["train", "--data", f"coco={make_coco(tmp_path / 'coco')}", "--recipe", "scratch", "--precision", "fp32"]
    words += ["--steps", "1", "--batch", "2", "-q"]
    made = ["--image-size", "96x64", "--depth", "2", "--branches", "none", "--frames", "1"]
    assert ftp(monkeypatch, *words, *made, "--out", tmp_path / "a") == 0
    first = tmp_path / "a" / "last.safetensors"
    assert ftp(monkeypatch, *words, "--weights", first, "--out", tmp_path / "b") == 0
    assert load_weights(tmp_path / "b" / "last.safetensors")[0] == load_weights(first)[0]
    assert rows(tmp_path / "b", "init")[0]["fresh"] == 0
    more = ["--weights", first, "--preset", "tiny", "--depth", "2", "--image-size", "96x64"]
    assert ftp(monkeypatch, *words, *more, "--out", tmp_path / "c") == 0
    assert load_weights(tmp_path / "c" / "last.safetensors")[0].branches == PRESETS["tiny"].branches


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--backbone", "resnet18"], 2, "unknown backbone"),
        (["--data", "coco=nowhere.json"], 1, "nowhere.json: no such file"),
        (["--data", "lions=x"], 2, "unknown kind 'lions'"),
        (["--device", "cuda:77"], 2, "--device cuda:77"),
        (["--size", "64"], 2, "size 64"),
        (["--size", "100x100"], 2, "size 100x100: both sides must be multiples of 16"),
        (["--size", "0x0"], 2, "at least 32"),
        (["--steps", "0"], 2, "--steps"),
        (["--seed", str(2**64)], 2, "--seed"),
        (["--picture-cache", "inf"], 2, "--picture-cache"),
        (["--resume"], 1, "no checkpoint here"),
        (["--backbone-weights", "missing.pth"], 1, "missing.pth: no such file or folder"),
        (["--weights", "missing.safetensors"], 1, "no such file or folder"),
        (["--batch", "5", "--accumulate", "2"], 2, "does not divide"),
        (["--frames", "2"], 2, "frames"),
    ],
)
def test_refusals_are_one_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    data = [] if "--data" in words else ["--data", f"coco={make_coco(tmp_path, 2)}"]
    got = ftp(monkeypatch, "train", *TINY, *data, "--steps", 1, "--out", tmp_path / "out", "-q", *words)
    error = capsys.readouterr().err
    assert got == code and said in error and len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preset", "giant"], ["tiny", "small", "base"]),
        (["--recipe", "magic"], ["paper", "scratch", "temporal", "finetune"]),
        (["--augment", "wild"], ["none", "paper", "moderate", "strong"]),
        (["--precision", "fp8"], ["auto", "fp32", "bf16", "fp16"]),
        (["--task", "detector"], ["No such option", "--task"]),
        (["--min-size", "64"], ["No such option"]),
    ],
)
def test_what_is_no_choice_is_answered_with_the_choices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: list[str]
) -> None:
    assert ftp(monkeypatch, "train", "--data", "coco=x", "--out", "out", *words) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in said)


@pytest.mark.parametrize(
    ("name", "other"), [("train", ["--min-size", "NAME=boxes"]), ("train-detector", ["--preset", "--val KIND"])]
)
def test_help_lists_the_command_s_own_options_with_their_choices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, other: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert ftp(monkeypatch, name, "--help") == 0
    text = capsys.readouterr().out
    assert "<cosine|step>" in text and "<auto|fp32|bf16|fp16>" in text and not any(part in text for part in other)
    assert ("<patch|movenet>" in text) == (name == "train")


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "ftpcli", "train", *TINY, *map(str, words)]


def test_a_run_s_folder_is_not_written_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", *TINY, "--data", f"coco={make_coco(tmp_path / 'coco', 4)}", "--steps", "1", "-q"]
    out = tmp_path / "run"
    assert ftp(monkeypatch, *words, "--out", out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert ftp(monkeypatch, *words, "--out", out) == 2
    assert "holds a run already" in capsys.readouterr().err
    with claimed(out, resume=True):
        assert ftp(monkeypatch, *words, "--out", out, "--resume") == 1
    assert "another training is writing there" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_signal_writes_a_checkpoint(tmp_path: Path) -> None:
    """Terminals and clusters send it to the whole group, the processes that prepare batches too."""
    coco = make_coco(tmp_path / "coco")
    words = command("--data", f"coco={coco}", "--steps", 100000, "--log-every", 1, "--out", tmp_path / "run")
    words += ["--workers", "2"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:  # the first report of speed: it is at work
        if line.startswith("step "):
            break
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 143 and "go on with --resume" in said, said
    assert not (tmp_path / "run" / ".lock").exists()
    assert (tmp_path / "run" / "checkpoint.pt").is_file()


def _join(rank: int, world: int, port: int) -> None:
    """What torchrun tells its processes."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def test_two_processes_give_the_loss_of_one_with_the_double_batch(tmp_path: Path) -> None:
    words = ["train", *TINY, "--data", f"coco={make_coco(tmp_path / 'coco')}", "--stem", "patch", "--branches", "none"]
    words += ["--frames", "1", "--heatmap", "softmax", "--depth", "4", "--steps", "5", "--threads", "1", "--ema", "0"]
    words += ["--log-every", "1", "--out"]
    curves = []
    for count in (1, 2):
        out = tmp_path / f"run{count}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running = [
            Command([*words, out], tmp_path, partial(_join, rank, count, port), f"log{rank}") for rank in range(count)
        ]
        assert [process.wait(400) for process in running] == [0] * count, running[0].said[-2000:]
        losses = [row["loss"] for row in rows(out, "step")]
        assert len(losses) == 5
        curves.append(losses)
    # Batch norm sees half a batch in each process, so the curves agree, not bit for bit.
    for one, two in zip(*curves, strict=True):
        assert one == pytest.approx(two, rel=0.03)
    assert curves[0][0] == pytest.approx(curves[1][0], rel=0.01)


def test_two_machines(tmp_path: Path) -> None:
    """The documentation's line, as both machines would run it: they meet over TCP, here on the loopback."""
    line = next(one for one in (ROOT / "docs" / "training.md").read_text().splitlines() if "--rdzv-endpoint" in one)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = line.partition(" -m ftpcli train ")[0].split()
    changed = {"10.0.0.5:29500": f"127.0.0.1:{port}", "4": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", *(changed.get(word, word) for word in words[1:])]
    assert f"127.0.0.1:{port}" in launch and launch[launch.index("--nnodes") + 1] == "2"
    more = ["--data", f"coco={make_coco(tmp_path / 'coco')}", "--stem", "patch", "--branches", "none", "--frames", "1"]
    more += ["--heatmap", "softmax", "--depth", "4", "--threads", "1", "--ema", "0", "--log-every", "1"]
    words = [*launch, "-m", "ftpcli", "train", *TINY, *more, "--steps", "3", "--out", str(tmp_path / "run")]
    machines = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    said = [machine.communicate(timeout=400)[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert [row["step"] for row in rows(tmp_path / "run", "step")] == [1, 2, 3]  # one of the two writes


def test_an_encoder_is_trained_on_vitpose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The temporal recipe puts both branches behind it and leaves the backbone as it is; the codec goes along."""
    import torch

    from ftpcli.pose.weights import load_weights
    from tests.support.vitpose import OriginalViTPose, write_vitpose

    write_vitpose(tmp_path / "vitpose.pth", OriginalViTPose(depth=1))
    data = make_coco(tmp_path / "coco", 4)
    content = json.loads(data.read_text())  # COCO's joints come first among ours
    content["categories"][0]["keypoints"] = list(COCO17.joints)
    for annotation in content["annotations"]:
        annotation["keypoints"] = annotation["keypoints"][: 3 * len(COCO17.joints)]
    data.write_text(json.dumps(content))
    words = ["train", "--data", f"coco={data}", "--weights", tmp_path / "vitpose.pth"]
    words += ["--recipe", "temporal", "--steps", "2", "--batch", "2", "--precision", "fp32", "-q"]
    words += ["--temperature", "adaptive"]
    assert ftp(monkeypatch, *words, "--out", tmp_path / "run") == 0
    config, state, _ = load_weights(tmp_path / "run" / "last.safetensors")
    assert (config.frames, config.branches, config.codec, config.head) == (3, "both", "udp", "deconvolution")
    assert config.temperature == "adaptive" and len(config.joints) == 17
    before = load_weights(tmp_path / "vitpose.pth")[1]
    assert all(torch.equal(before[n].half().float(), state[n]) for n in before if n.startswith("backbone."))
    assert any(state[name].any() for name in state if name.startswith("encoder.") and "mlp.fc2.weight" in name)


def test_the_papers_recipe_trains_squared_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ftpcli.cli.train import ModelOptions
    from ftpcli.errors import UsageError
    from ftpcli.model.choices import Heatmap
    from ftpcli.training.recipe import RecipeName

    assert ModelOptions().config(None, RecipeName.PAPER).heatmap == "gaussian"
    assert ModelOptions().config(None, RecipeName.SCRATCH).heatmap == "softmax"
    with pytest.raises(UsageError, match="--recipe paper trains squared error"):
        ModelOptions(heatmap=Heatmap.SOFTMAX).config(None, RecipeName.PAPER)
    for wrong in ("warm", "0", "-1"):
        with pytest.raises(UsageError, match="temperature"):
            ModelOptions(temperature=wrong).config(None, RecipeName.SCRATCH)


@pytest.mark.parametrize("name", ["train", "train-detector"])
def test_what_takes_no_time_is_checked_before_data_and_leaves_no_folder(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Data is read last, so that nobody waits for it to learn of a wrong word."""
    import ftpcli.datasets.coco
    import ftpcli.training.detector.samples
    import ftpcli.training.sources.coco

    data, out = make_coco(tmp_path / "data", 2), tmp_path / "runs" / "out"
    words = [name, "--data", f"coco={data}", "--steps", 1, "--device", "cpu", "-q", "--out"]

    def read(*_: object, **__: object) -> None:
        raise AssertionError("data was read")

    with monkeypatch.context() as patch:
        patch.setattr(ftpcli.training.sources.coco, "read_coco", read)
        patch.setattr(ftpcli.training.detector.samples, "load_pictures", read)
        for more in (["--weights", "missing.safetensors"], ["--device", "cuda:77"], ["--data", "two=missing.json"]):
            ran = command(*words, out, *more)
            assert (ran.code and "missing" in ran.err) or "cuda:77" in ran.err, ran.err
            assert not out.parent.exists()
        (tmp_path / "done").mkdir()
        (tmp_path / "done" / "checkpoint.pt").touch()
        assert "holds a run already" in command(*words, tmp_path / "done").err
    data.write_text(data.read_text().replace('"image_id"', '"image_of"'))
    assert command(*words, out).code == 1 and not out.parent.exists()


def test_quiet_still_says_what_is_left_out(command: Command, tmp_path: Path) -> None:
    data = make_coco(tmp_path / "data", 4)
    content = json.loads(data.read_text())
    content["annotations"][0]["keypoints"] = []
    data.write_text(json.dumps(content))
    words = ["train", *TINY, "--data", f"coco={data}", "--steps", 1, "--batch", 2, "-q", "--out", tmp_path / "out"]
    ran = command(*words)
    assert ran.code == 0
    assert ran.err == f"ftp: warning: {data}: 1 annotation is left out: 1 without a labelled joint\n"
