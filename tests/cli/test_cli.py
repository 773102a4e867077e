"""The command line: every bad input is one clear line and the documented exit code, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.odd_videos import encode, sound_only, zero_frames
from tests.support.tiny import mot_boxes, records

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
    ([*ONE[:1], "/dev/video99", *ONE[2:]], 1, "there is no camera /dev/video99"),
    (["annotate", "http://127.0.0.1/clip.mp4", *ONE[2:]], 2, "it first, or allow it with --allow-network"),
    (["annotate", "rtsp://127.0.0.1/1", *ONE[2:]], 2, "rtsp://127.0.0.1/1: is a network address"),
    (["annotate", "file:///missing.mp4", *ONE[2:]], 1, "file:///missing.mp4: no such file"),
    ([*ONE[:1], "model.safetensors", *ONE[2:]], 1, "model.safetensors: "),
    # time, rate, rotation
    ([*ONE, "--start", "60"], 1, "clip.mp4: no frame from the start, 60 s, on; the last is at 0.12 s"),
    ([*ONE, "--start", "0.1", "--end", "0.05"], 2, "start (0.1 s) must lie before end (0.05 s)"),
    ([*ONE, "--start", "noon"], 2, "noon: is not a time"),
    ([*ONE, "--end", "1:75"], 2, "1:75: is not a time"),
    ([*ONE, "--fps", "0"], 2, "0: is not a frame rate"),
    ([*ONE, "--rotate", "45"], 2, "rotation of 45 degrees"),
    # people
    ([*ONE, "--tracker", "ocsort"], 2, "--tracker ocsort: --boxes boxes.txt takes the place of detector and tracker"),
    ([*ONE, "--detector", "yolo11n"], 2, "--detector yolo11n: --boxes boxes.txt takes the place of detector"),
    ([*ONE, "--detector-size", "640"], 2, "--detector-size 640: --boxes boxes.txt takes the place"),
    ([*ONE, "--min-score", "0.5"], 2, "--min-score 0.5: --boxes boxes.txt takes the place"),
    ([*ONE, "--detect-every", "2"], 2, "--detect-every 2: --boxes boxes.txt takes the place"),
    ([*ONE, "--tracker", "botsort", "--appearance"], 2, "--tracker botsort: --boxes boxes.txt takes the place"),
    ([*DETECT, "--boxes", "missing.txt"], 1, "missing.txt: no such file or folder"),
    ([*DETECT, "--boxes", "words.txt"], 1, "words.txt: line 1 is not MOT text"),
    ([*DETECT, "--boxes", "long.txt"], 1, "long.txt: line"),
    ([*DETECT, "--boxes", "large.txt"], 1, "large.txt: "),
    ([*DETECT, "--boxes", "clip.mp4"], 1, "clip.mp4: "),
    ([*DETECT, "--detector", "missing.safetensors"], 1, "missing.safetensors: "),
    ([*DETECT, "--detector", "missing.onnx"], 1, "missing.onnx: "),
    ([*DETECT, "--detector", "model.safetensors"], 1, "model.safetensors: "),
    ([*DETECT, "--detector", "words.safetensors"], 1, "words.safetensors: "),
    ([*DETECT, "--detector", "model.pt"], 2, "model.pt: is a pickle"),
    ([*ONE, "--min-score", "3"], 2, "--min-score 3.0: must lie between 0 and 1"),
    ([*DETECT, "--detector-size", "5000"], 2, "--detector-size 5000: must lie between 32 and 4096"),
    ([*DETECT, "--detector-size", "5000"], 2, "--detector-size 5000: must lie between 32 and 4096"),
    # model
    ([*ONE[:4], "--weights", "missing.safetensors"], 1, "missing.safetensors: no such file or folder"),
    ([*ONE[:4], "--weights", "cut.safetensors"], 1, "cut.safetensors: not a whole safetensors weights file"),
    ([*ONE[:4], "--weights", "words.safetensors"], 1, "words.safetensors: not a whole safetensors weights file"),
    ([*ONE[:4], "--weights", "model.pt"], 1, "model.pt: cannot be read as a checkpoint"),
    ([*ONE[:4], "--weights", "clip.mp4"], 1, "clip.mp4: not a whole safetensors weights file"),
    ([*ONE, "--device", "tpu"], 2, "--device tpu: unknown"),
    ([*ONE, "--device", "cuda:99"], 2, "--device cuda:99: "),
    # outputs
    ([*ONE, "--out", "there.jsonl"], 1, "there.jsonl: exists already; give --overwrite"),
    ([*ONE, "--out", "there.jsonl", "--resume"], 1, "there.jsonl: exists already and is not that of this run"),
    ([*ONE, "--out", "nowhere/out.jsonl"], 1, "nowhere/out.jsonl: the folder does not exist"),
    ([*ONE, "--out", "words.txt/out.jsonl"], 1, "words.txt/out.jsonl: part of the path is a file"),
    ([*ONE, "--out", "out.xyz"], 2, "out.xyz: "),
    ([*ONE, "--overlay", "there.mp4"], 1, "there.mp4: exists already; give --overwrite"),
    ([*ONE, "--overlay", "out.avi"], 2, "out.avi: videos are written as .mp4"),
    ([*ONE, "--out", "out.mp4", "--format", "jsonl", "--overlay", "out.mp4"], 2, "out.mp4: --overlay and --out name"),
    ([*ONE, "--overlay", "nowhere/o.mp4"], 1, "nowhere/o.mp4: the folder does not exist"),
    ([*ONE, "--overlay", "clip.mp4", "--overwrite"], 2, "clip.mp4: is one of the inputs"),
    ([*ONE, "--out", "clip.mp4", "--format", "coco", "--overwrite"], 2, "clip.mp4: is one of the inputs"),
    ([*ONE, "--out", "boxes.txt", "--format", "coco", "--resume"], 2, "boxes.txt: is one of the inputs"),
    ([*ONE, "--out", "clip.mp4/outs"], 1, "clip.mp4/outs: part of the path is a file"),
    ([*ONE, "--out", "http://127.0.0.1/out.json"], 2, "--out http://127.0.0.1/out.json: is an address"),
    ([*ONE, "--overlay", "file:///tmp/o.mp4"], 2, "--overlay file:///tmp/o.mp4: is an address"),
    ([*ONE, "--overlay", "-"], 2, "-: videos are written as .mp4"),
    ([*DETECT, "--boxes", "https://x.org/b.txt"], 2, "--boxes https://x.org/b.txt: is an address; download the file"),
    ([*ONE[:4], "--weights", "https://x.org/w"], 2, "--weights https://x.org/w: is an address; download the file"),
    ([*DETECT, "--detector", "https://x.org/d.pt"], 2, "--detector https://x.org/d.pt: is an address"),
    ([*ONE, "--out", "-", "--format", "coco"], 2, "--format coco: standard output takes JSON Lines"),
    ([*ONE, "--out", "-", "--resume"], 2, "--resume: standard output cannot be resumed"),
    ([*ONE, "--out", "-", "--json"], 2, "--json: --out - writes to standard output already"),
    (["annotate", "clip.mp4", "model.safetensors", "--out", "-"], 2, "--out -: is standard output; name a folder"),
    (["annotate", "clip.mp4", "model.safetensors", "--out", "out.json"], 2, "out.json: with several inputs"),
    (
        ["annotate", "clip.mp4", "model.safetensors", "--out", "words.txt"],
        1,
        "words.txt: this is a file; name a folder",
    ),
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


def test_every_bad_input_of_several_is_named(here: Path, command: Callable) -> None:
    ran = command("annotate", "missing.mp4", "rtsp://camera/1", "empty", *DETECT[2:], "--out", "outs")
    assert ran.code == 1 and len(ran.lines) == 3 and not Path("outs").exists()
    assert [line.split(": ")[1] for line in ran.lines] == ["missing.mp4", "rtsp://camera/1", "empty"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["annotate", "missing.mp4"], 1, "missing.mp4: no such file or folder"),
        (["annotate", "missing.mp4", "--out", "nowhere/x.json"], 1, "missing.mp4: no such file or folder"),
        (["annotate", "clip.mp4"], 2, "--out is missing: a poses file (.jsonl, .json), a folder"),
        (["render", "missing.mp4", "missing.json"], 1, "missing.mp4: no such file or folder"),
        (["render", "missing.mp4", "missing.json", "--out", "nowhere/x.mp4"], 1, "missing.mp4: no such file or folder"),
        (["render", "clip.mp4", "missing.json", "--out", "nowhere/x.mp4"], 1, "missing.json: no such file or folder"),
        (["render", "clip.mp4", "there.jsonl"], 2, "--out is missing: name the video to write"),
        (["render", "clip.mp4", "there.jsonl", "--out", "out.avi"], 2, "out.avi: videos are written as .mp4"),
        (["render", "clip.mp4", "there.jsonl", "--out", "-"], 2, "-: videos are written as .mp4"),
        (["render", "clip.mp4", "there.jsonl", "--out", "nowhere/x.mp4"], 1, "nowhere/x.mp4: the folder does not"),
        (["render", "http://127.0.0.1/x.mp4", "there.jsonl", "--out", "x.mp4"], 2, "allow it with --allow-network"),
        (
            ["eval", "--annotations", "a", "--predictions", "b", "--metric", "coco", "--report", "no/r.json"],
            1,
            "a: no such file or folder",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_inputs_are_checked_before_outputs_and_both_before_models(
    arguments: list[str], code: int, message: str, here: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(here.rglob("*"))
    monkeypatch.setattr("ftpcli.pose.estimator.Estimator.load", lambda *a, **k: pytest.fail("a model is loaded"))
    ran = command(*arguments)
    assert (ran.code, len(ran.lines)) == (code, 1) and message in ran.lines[0], ran.err
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([*ONE, "--start", "0.1", "--end", "0.05"], 2),
        ([*ONE, "--rotate", "45"], 2),
        ([*DETECT, "--boxes", "missing.txt"], 1),
        ([*ONE, "--overlay", "there.mp4"], 1),
        ([*ONE, "--out", "there.jsonl"], 1),
        ([*ONE, "--out", "nowhere/out.jsonl"], 1),
    ],
)
def test_options_are_checked_before_models(arguments, code, here, command, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("ftpcli.pose.estimator.Estimator.load", lambda *a, **k: pytest.fail("a model is loaded"))
    assert command(*arguments, *([] if "--out" in arguments else ["--out", "out.jsonl"])).code == code


@pytest.mark.parametrize("arguments", [[*ONE, "--out", "dir/x.jsonl"], [*ONE, "--out", "dir"]], ids=["file", "folder"])
def test_a_folder_that_cannot_be_written(arguments, here, command, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("ftpcli.pose.estimator.Estimator.load", lambda *a, **k: pytest.fail("a model is loaded"))
    Path("dir").mkdir()
    Path("dir").chmod(0o555)
    if os.access("dir", os.W_OK):  # root may write everywhere
        monkeypatch.setattr("os.access", lambda path, mode: "dir" not in os.fspath(path))
    ran = command(*arguments)
    assert ran.code == 1 and len(ran.lines) == 1 and "writing there is not permitted" in ran.lines[0]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["annotate"],
        [*ONE, "-o", "x.jsonl", "--every", "0"],
        [*ONE, "-o", "x", "--fast"],
        *(
            [*ONE, "-o", "x.jsonl", f"--{name}", "odd"]
            for name in ("tracker", "smooth", "precision", "format", "joints")
        ),
        ["render", "clip.mp4", "there.jsonl", "-o", "x.mp4", "--codec", "odd"],
        ["render", "clip.mp4", "there.jsonl", "-o", "x.mp4", "--preset", "odd"],
    ],
    ids=" ".join,
)
def test_the_parser_s_own_refusals(arguments: list[str], here: Path, command: Callable) -> None:
    ran = command(*arguments)
    assert ran.code == 2 and "Traceback" not in ran.err
    assert "odd" not in arguments or arguments[-2] in ran.err
    assert not Path("x.jsonl").exists()


def test_help_lists_the_choices(command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftpcli.choices import Codec, Format, Precision
    from ftpcli.people.tracking import TrackerName
    from ftpcli.pose.smoothing import Smoothing

    monkeypatch.setenv("COLUMNS", "200")
    said = command("annotate", "--help").out + command("render", "--help").out
    for choice in (Format, TrackerName, Smoothing, Precision, Codec):
        assert all(value in said for value in choice), choice


# --- standard input and output -------------------------------------------------------------------------------------


def ftp(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "ftpcli", *map(str, arguments)],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        **options,  # type: ignore[call-overload]
    )


@pytest.mark.skipif(sys.platform == "win32", reason="names of Unix")
def test_from_standard_input_to_standard_output(here: Path, clip: Path, command: Callable) -> None:
    """Where files and folders named - lie in the way; nothing more of that name is made."""
    assert command(*ONE, "--out", "file.jsonl").code == 0
    boxes = mot_boxes(here / "boxes.txt", 4)
    encode(here / "pipe.mkv", count=4)
    Path("-").write_text("not a video")
    model = ["--boxes", boxes, "--weights", "model.safetensors"]
    before = sorted(here.iterdir())
    run = ftp("annotate", "-", *model, "-o", "-", input=Path("pipe.mkv").read_bytes())
    assert run.returncode == 0, run.stderr
    header, *rows = map(json.loads, run.stdout.splitlines())
    assert header["records"] is None and header["source"]["path"] == "-" and header["source"]["frames"] is None
    of_file = records(Path("file.jsonl"))[1]
    assert [(row["index"], row["seconds"]) for row in rows] == [(row["index"], row["seconds"]) for row in of_file]
    assert b"standard output: 4 frames" in run.stderr
    assert Path("-").read_text() == "not a video" and sorted(here.iterdir()) == before
    # What was streamed is a poses file like any other.
    Path("streamed.jsonl").write_bytes(run.stdout)
    assert command("render", "pipe.mkv", "streamed.jsonl", "--out", "drawn.mp4").code == 0
    assert (
        ftp("render", "-", "streamed.jsonl", "--out", "piped.mp4", input=Path("pipe.mkv").read_bytes()).returncode == 0
    )
    Path("-").unlink()
    Path("-").mkdir()  # a folder is no source either, and takes no output
    run = ftp("annotate", "-", *model, "-o", "-", input=Path("pipe.mkv").read_bytes())
    assert run.returncode == 0 and run.stdout.splitlines()[1:] == Path("streamed.jsonl").read_bytes().splitlines()[1:]
    assert os.listdir("-") == []


def test_standard_output_of_a_file_is_what_the_file_holds(here: Path, command: Callable) -> None:
    ran = command(*ONE, "--out", "-", "--smooth", "one-euro", "--overlay", "drawn.mp4")
    assert ran.code == 0 and command(*ONE, "--out", "out.jsonl", "--smooth", "one-euro").code == 0
    assert ran.out.splitlines()[1:] == Path("out.jsonl").read_text().splitlines()[1:]
    assert Path("drawn.mp4").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Unix")
def test_a_reader_that_goes_away_ends_the_run_quietly(here: Path) -> None:
    command = [sys.executable, "-m", "ftpcli", *ONE, "--out", "-", "--quiet"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as run:
        assert run.stdout and run.stderr
        run.stdout.close()
        assert run.wait(300) == 141 and run.stderr.read() == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_standard_output_on_a_full_disk(here: Path) -> None:
    with open("/dev/full", "wb") as full:
        run = subprocess.run(
            [sys.executable, "-m", "ftpcli", *ONE, "--out", "-", "--quiet"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    assert run.returncode == 1 and run.stderr.splitlines()[0].startswith("ftp: standard output: no space left")


# --- long names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [239, 252, 255])
@pytest.mark.parametrize("letter", ["x", "走"])
def test_names_up_to_the_file_system_s_limit(size: int, letter: str, here: Path, command: Callable) -> None:
    """The part file, the temporary file and the overlay's too; a resumed run finds the part again."""
    from ftpcli.annotation.annotator import Annotator
    from ftpcli.annotation.options import Options
    from ftpcli.annotation.outputs import Interrupted, Target, annotate_file
    from ftpcli.formats import part_path

    room = size - len(".jsonl")
    name = letter * (room // len(letter.encode())) + "y" * (room % len(letter.encode())) + ".jsonl"
    drawn = Path(name).with_suffix(".mp4")
    assert len(os.fsencode(name)) == size
    one = Annotator(Options(weights="model.safetensors", boxes="boxes.txt"))
    with pytest.raises(Interrupted):
        annotate_file(one, "clip.mp4", Target(Path(name), overlay=drawn), stop=lambda: True)
    part = part_path(name)
    assert part.is_file() and part.name.endswith(".part.jsonl") and not Path(name).exists()
    assert part_path(name) == part != part_path("z" + name[1:])
    summary = annotate_file(one, "clip.mp4", Target(Path(name), overlay=drawn, resume=True))
    assert summary.frames == 4 and Path(name).is_file() and drawn.is_file() and not part.exists()
    assert not [path for path in os.listdir() if path.endswith(".tmp")]


def test_outputs_named_after_an_input_with_a_long_name(here: Path, command: Callable) -> None:
    for letter in "ab":
        os.link("clip.mp4", letter + "x" * 250 + ".mp4")
    options = ["--weights", "model.safetensors", "--detector-size", "64", "--out", "outs"]
    assert command("annotate", *sorted(here.glob("?xxx*")), *options).code == 0
    made = sorted(set(os.listdir("outs")) - {"ftp-status.ndjson"})
    assert len(made) == 2 and all(name.endswith(".json") and len(name) == 255 for name in made)


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

    def short_of_memory(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(outputs, "annotate_file", faulty)
    os.link("clip.mp4", "bad.mp4")
    ran = command("annotate", "bad.mp4", "clip.mp4", *DETECT[2:], "--out", "outs", "--detector-size", "64")
    assert ran.code == 1 and Path("outs/clip.json").exists()
    assert ran.lines[0] == (
        "ftp: bad.mp4: a fault of the program (ZeroDivisionError: division by zero); 'ftp --debug' shows where"
    )
    monkeypatch.setattr(outputs, "annotate_file", short_of_memory)
    ran = command("annotate", "clip.mp4", *DETECT[2:], "--out", "outs", "--overwrite", "--detector-size", "64")
    assert ran.code == 1 and ran.lines[0].startswith("ftp: clip.mp4: out of memory; close other programs, or choose"), (
        ran
    )
    monkeypatch.setattr(outputs, "annotate_file", faulty)
    with pytest.raises(ZeroDivisionError):
        command("--debug", "annotate", "bad.mp4", *ONE[2:], "--out", "out.jsonl")
    os.environ.pop("FTP_DEBUG", None)  # monkeypatch would put it back for the tests that follow
