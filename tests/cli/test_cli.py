"""The command line: every bad input is one clear line and the documented exit code, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.odd_videos import encode, sound_only, zero_frames
from tests.support.tiny import mot_boxes

ROOT = Path(__file__).resolve().parent.parent.parent
ONE = ["annotate", "clip.mp4", "--boxes", "boxes.txt", "--weights", "model.safetensors"]
DETECT = ["annotate", "clip.mp4", "--weights", "model.safetensors"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", count=4)


@pytest.fixture
def here(clip: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a clip, its boxes, weights, and much that is wrong."""
    monkeypatch.chdir(tmp_path)
    os.link(clip, "clip.mp4")
    os.link(tiny_model, "model.safetensors")
    mot_boxes(tmp_path / "boxes.txt", 4)
    mot_boxes(tmp_path / "long.txt", 9)
    mot_boxes(tmp_path / "large.txt", 4, size=(1920, 1080))
    Path("words.txt").write_text("This is not a video.\n")
    Path("words.mp4").write_text("This is not a video.\n" * 100)
    Path("empty.mp4").touch()
    Path("cut.mp4").write_bytes(clip.read_bytes()[:300])
    Path("cut.safetensors").write_bytes(tiny_model.read_bytes()[:5000])
    Path("words.safetensors").write_text("not weights")
    Path("there.jsonl").write_text("precious\n")
    Path("there.mp4").write_text("precious\n")
    Path("model.pt").write_bytes(b"PK\3\4")
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/readme.txt").write_text("no pictures\n")
    return tmp_path


BAD = [
    # inputs
    (["annotate", "missing.mp4"], 1, "missing.mp4: no such file or folder"),
    (["annotate", "empty"], 1, "empty: no videos or images in this folder"),
    (["annotate", "texts"], 1, "texts: no videos or images in this folder"),
    (["annotate", "*.avi"], 1, "*.avi: no file matches this pattern"),
    ([*ONE[:1], "words.mp4", *ONE[2:]], 1, "words.mp4: not a video"),
    ([*ONE[:1], "words.txt", *ONE[2:]], 1, "words.txt: "),
    ([*ONE[:1], "empty.mp4", *ONE[2:]], 1, "empty.mp4: the file is empty"),
    ([*ONE[:1], "cut.mp4", *ONE[2:]], 1, "cut.mp4: is cut off or damaged"),
    ([*ONE[:1], "/dev/null", *ONE[2:]], 1, "/dev/null: is a device"),
    ([*ONE[:1], "/dev/video99", *ONE[2:]], 1, "/dev/video99: no such file"),
    ([*ONE[:1], "http://127.0.0.1/clip.mp4", *ONE[2:]], 2, "http://127.0.0.1/clip.mp4: is a network address"),
    ([*ONE[:1], "model.safetensors", *ONE[2:]], 1, "model.safetensors: "),
    # time, rate, rotation
    ([*ONE, "--start", "60"], 1, "clip.mp4: no frame from the start, 60 s, on; the last is at 0.12 s"),
    ([*ONE, "--start", "0.1", "--end", "0.05"], 2, "start (0.1 s) must lie before end (0.05 s)"),
    ([*ONE, "--start", "noon"], 2, "noon: is not a time"),
    ([*ONE, "--end", "1:75"], 2, "1:75: is not a time"),
    ([*ONE, "--fps", "0"], 2, "0: is not a frame rate"),
    ([*ONE, "--rotate", "45"], 2, "rotation of 45 degrees"),
    # people
    ([*DETECT, "--boxes", "missing.txt"], 1, "missing.txt: no such boxes file"),
    ([*DETECT, "--boxes", "words.txt"], 1, "words.txt: line 1 is not MOT text"),
    ([*DETECT, "--boxes", "long.txt"], 1, "long.txt: line"),
    ([*DETECT, "--boxes", "large.txt"], 1, "large.txt: "),
    ([*DETECT, "--boxes", "clip.mp4"], 1, "clip.mp4: "),
    ([*DETECT, "--detector", "missing.safetensors"], 1, "missing.safetensors: "),
    ([*DETECT, "--detector", "missing.onnx"], 1, "missing.onnx: "),
    ([*DETECT, "--detector", "model.safetensors"], 1, "model.safetensors: "),
    ([*DETECT, "--detector", "words.safetensors"], 1, "words.safetensors: "),
    ([*DETECT, "--detector", "model.pt"], 2, "model.pt: is a pickle"),
    ([*ONE, "--tracker", "sort"], 2, "--tracker sort: choose bytetrack or botsort"),
    ([*ONE, "--min-score", "3"], 2, "--min-score 3.0: must lie between 0 and 1"),
    # model
    ([*ONE[:4], "--weights", "missing.safetensors"], 1, "missing.safetensors: no such weights file"),
    ([*ONE[:4], "--weights", "cut.safetensors"], 1, "cut.safetensors: not a whole safetensors weights file"),
    ([*ONE[:4], "--weights", "words.safetensors"], 1, "words.safetensors: not a whole safetensors weights file"),
    ([*ONE[:4], "--weights", "model.pt"], 1, "model.pt: not a whole safetensors weights file"),
    ([*ONE[:4], "--weights", "clip.mp4"], 1, "clip.mp4: not a whole safetensors weights file"),
    ([*ONE, "--device", "tpu"], 2, "--device tpu: unknown"),
    ([*ONE, "--device", "cuda:99"], 2, "--device cuda:99: "),
    ([*ONE, "--precision", "fp16"], 2, "--precision fp16: choose one of"),
    ([*ONE, "--smooth", "much"], 2, "--smooth much: choose none or one-euro"),
    # outputs
    ([*ONE, "--out", "there.jsonl"], 1, "there.jsonl: exists already; give --overwrite"),
    ([*ONE, "--out", "there.jsonl", "--resume"], 1, "there.jsonl: exists already and is not that of this run"),
    ([*ONE, "--out", "nowhere/out.jsonl"], 1, "nowhere/out.jsonl.part.jsonl: the folder does not exist"),
    ([*ONE, "--out", "words.txt/out.jsonl"], 1, "words.txt/out.jsonl: part of the path is a file"),
    ([*ONE, "--out", "out.xyz"], 2, "out.xyz: "),
    ([*ONE, "--format", "xml"], 2, "xml"),
    ([*ONE, "--joints", "some"], 2, "some"),
    ([*ONE, "--overlay", "there.mp4"], 1, "there.mp4: exists already; give --overwrite"),
    ([*ONE, "--overlay", "out.avi"], 2, "out.avi: an overlay's name ends in"),
    ([*ONE, "--out", "out.mp4", "--format", "jsonl", "--overlay", "out.mp4"], 2, "out.mp4: --overlay and --out name"),
    (["annotate", "clip.mp4", "model.safetensors", "--out", "out.json"], 2, "out.json: with several inputs"),
    (["annotate", "clip.mp4", "there.mp4", *ONE[2:], "--out", "outs"], 2, "--boxes boxes.txt: belongs to one video"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=[" ".join(a[1:]) for a, _, _ in BAD])
def test_bad_input(arguments, code, message, here, command) -> None:  # type: ignore[no-untyped-def]
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    if "--out" not in arguments:
        arguments = [*arguments, "--out", "out.jsonl"]
    ran = command(*arguments)
    assert (ran.code, len(ran.lines)) == (code, 1), ran.err
    assert ran.lines[0].startswith("ftp: ") and message in ran.lines[0] and ran.out == ""
    assert "Traceback" not in ran.err and "Errno" not in ran.err
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "arguments",
    [[], ["annotate"], ["annotate", "clip.mp4"], [*ONE, "-o", "x.jsonl", "--every", "0"], [*ONE, "-o", "x", "--fast"]],
    ids=["nothing", "no video", "no output", "every 0", "unknown option"],
)
def test_the_parser_s_own_refusals(arguments: list[str], here: Path, command: Callable) -> None:
    ran = command(*arguments)
    assert ran.code == 2 and "Traceback" not in ran.err
    assert not Path("x.jsonl").exists()


@pytest.mark.parametrize(("make", "message"), [(zero_frames, "no video in it"), (sound_only, "only sound")])
def test_no_frames(make: Callable, message: str, here: Path, command: Callable) -> None:
    make(here / "none.mp4")
    ran = command("annotate", "none.mp4", *ONE[2:], "--out", "out.jsonl")
    assert ran.code == 1 and len(ran.lines) == 1 and message in ran.lines[0]
    assert not list(here.glob("out*"))


def test_no_permission(here: Path, command: Callable) -> None:
    Path("clip.mp4").unlink()
    encode(here / "clip.mp4", count=1)
    Path("clip.mp4").chmod(0)
    if os.access("clip.mp4", os.R_OK):
        pytest.skip("this user may read everything")
    ran = command(*ONE, "--out", "out.jsonl")
    assert ran.code == 1 and len(ran.lines) == 1 and "no permission to read it" in ran.lines[0]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")
def test_standard_input_that_is_a_terminal(here: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    run = subprocess.run(
        [sys.executable, "-m", "ftpcli", "annotate", "-", *ONE[2:], "--out", "out.jsonl"],
        stdin=theirs,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    os.close(ours)
    os.close(theirs)
    assert run.returncode == 2 and "standard input is a terminal" in run.stderr.splitlines()[-1]


def test_a_fault_of_the_program_is_one_line_and_others_go_on(here, command, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Nobody knows the faults that are left; they must not take a night's other inputs with them."""
    from ftpcli.annotation import outputs

    honest = outputs.annotate_file

    def faulty(annotator, source, target, **more):  # type: ignore[no-untyped-def]
        if source.endswith("bad.mp4"):
            raise ZeroDivisionError("division by zero\nand more")
        return honest(annotator, source, target, **more)

    monkeypatch.setattr(outputs, "annotate_file", faulty)
    os.link("clip.mp4", "bad.mp4")
    ran = command("annotate", "bad.mp4", "clip.mp4", *DETECT[2:], "--out", "outs", "--detector-size", "64")
    assert ran.code == 1 and Path("outs/clip.json").exists()
    assert ran.lines[0] == (
        "ftp: bad.mp4: a fault of the program (ZeroDivisionError: division by zero); 'ftp --debug' shows where"
    )
    with pytest.raises(ZeroDivisionError):
        command("--debug", "annotate", "bad.mp4", *ONE[2:], "--out", "out.jsonl")
    os.environ.pop("FTP_DEBUG", None)  # monkeypatch would put it back for the tests that follow
