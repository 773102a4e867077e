"""Many inputs into one folder: lists, shards, what is done already, several runs at once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpcli.files.lock import open_locked
from ftpcli.files.status import NAME, summed_up
from tests.support.many_videos import start, status_lines, wait_until
from tests.support.odd_videos import encode
from tests.support.tiny import Ran

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def models(tiny_model: Path, random_detector: Path) -> tuple[object, ...]:
    return "--weights", tiny_model, "--detector", random_detector, "--detector-size", 64, "--device", "cpu"


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 clips of 4 frames, one of them damaged."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(40):
        encode(folder / f"clip{number:02}.mp4", count=4, size=(64, 48))
    (folder / "clip07.mp4").write_bytes(b"nothing" * 100)
    return folder


@pytest.fixture
def few(forty: Path, tmp_path: Path) -> Path:
    for number in range(3):
        shutil.copy(forty / f"clip0{number}.mp4", tmp_path / f"{number}.mp4")
    return tmp_path


def outputs(out: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*.json") if path.is_file()}


def test_forty_clips_of_which_some_fail(forty: Path, models: tuple[object, ...], tmp_path: Path) -> None:
    """A damaged clip, an output in whose place a folder is, a kill: a second call does what is missing, and no more."""
    out = tmp_path / "out"
    (out / "clip11.json").mkdir(parents=True)
    words = (forty, "--out", out, "--skip-done", "--jobs", 1, *models)
    run = start(*words)
    assert wait_until(lambda: len(status_lines(out)) >= 12, run)
    run.kill()
    run.communicate()
    before = outputs(out)
    assert 12 <= len(status_lines(out)) < 38 and "clip07.json" not in before
    found = summed_up(str(out))
    assert found["done"] == len(status_lines(out)) and found["inputs"] == 40 and len(found["failed"]) == 2

    again = start(*words)
    said = again.communicate(timeout=300)[1]
    assert again.returncode == 1, said
    now = outputs(out)
    assert before.items() <= now.items()  # not written again
    assert len(now) == 38 and len(list(out.glob("*.part*"))) == 0
    assert any(json.loads(data)["annotations"] for _, data in now.values())
    assert Counter(line["out"] for line in status_lines(out)).most_common(1)[0][1] == 1  # no video twice
    failed = {one["source"]: one["error"] for one in summed_up(str(out))["failed"]}
    assert sorted(map(os.path.basename, failed)) == ["clip07.mp4", "clip11.mp4"]
    for error in failed.values():
        assert f"ftp: {error}\n" in said

    alone = tmp_path / "alone.json"
    run = start(forty / "clip39.mp4", "--out", alone, *models)
    run.communicate()
    assert alone.read_bytes() == (out / "clip39.json").read_bytes()


def test_two_runs_share_a_folder(forty: Path, models: tuple[object, ...], tmp_path: Path) -> None:
    out = tmp_path / "out"
    runs = [start(forty, "--out", out, "--skip-done", "--jobs", jobs, *models) for jobs in (1, 2)]
    said = [run.communicate(timeout=400)[1] for run in runs]
    assert [run.returncode for run in runs] == [1, 1]
    done = Counter(line["out"] for line in status_lines(out))
    assert len(done) == 39 and set(done.values()) == {1}, said
    assert all("clip07.mp4" in text and "fault of the program" not in text for text in said)
    assert {line["source"] for line in status_lines(out, "failed")} == {str(forty / "clip07.mp4")}
    assert len(outputs(out)) == 39 and not list(out.glob("*.part*"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_another_run_writes_is_waited_for(
    few: Path, models: tuple[object, ...], command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    out = few / "out"
    out.mkdir()
    held = open_locked(str(out / "0.json.part.jsonl"))
    assert held is not None
    run = start(*few.glob("*.mp4"), "--out", out, "--resume", "--jobs", jobs, *models)
    assert wait_until(lambda: len(status_lines(out)) == 2, run)
    time.sleep(1)
    assert run.poll() is None and not (out / "0.json").exists()
    os.close(held)  # the other run died
    said = run.communicate(timeout=300)[1]
    assert run.returncode == 0 and said.count("another run is at work on it; looking again") == 1, said
    assert len(status_lines(out)) == 3 and not status_lines(out, "failed")


def test_done_is_what_was_noted(few: Path, models: tuple[object, ...], command: Callable[..., Ran]) -> None:
    """Also in a form without a header; an output that is another, or damaged, is named and stays."""
    out = few / "out"
    words = ("annotate", few / "0.mp4", few / "1.mp4", "--out", out, "--format", "csv", *models)
    assert command(*words).code == 0
    files = {path: path.read_bytes() for path in out.iterdir()}
    assert command(*words).code == 1  # exist already
    ran = command(*words, "--skip-done")
    assert ran.code == 0 and len(re.findall("is whole already, 4 frames", ran.err)) == 2, ran.err
    assert {path: path.read_bytes() for path in out.iterdir() if path.name != NAME} == {
        path: data for path, data in files.items() if path.name != NAME
    }
    assert len(status_lines(out)) == 2

    ran = command(*words, "--skip-done", "--fill-gaps", 0.1)
    assert ran.code == 1 and ran.err.count("was made with other options") == 2, ran.err
    shutil.copy(few / "2.mp4", few / "0.mp4")
    encode(few / "0.mp4", count=5, size=(64, 48))
    ran = command(*words, "--skip-done")
    assert ran.code == 1 and "0.csv: was made from another video" in ran.err and ran.err.count("whole already") == 1
    for damage in (b"", b"x" + files[out / "1.csv"][1:], files[out / "1.csv"] + b"\n"):
        (out / "1.csv").write_bytes(damage)
        ran = command(*words, "--skip-done")
        assert ran.code == 1 and "1.csv: is not as it was left (damaged or edited)" in ran.err
        assert (out / "1.csv").read_bytes() == damage
    assert command(*words, "--overwrite").code == 0
    assert command(*words, "--skip-done").err.count("whole already") == 2


def test_outputs_without_a_note(few: Path, models: tuple[object, ...], command: Callable[..., Ran]) -> None:
    """Made before there was a status file, or by a run that was killed just before its line: known by the header."""
    out = few / "out"
    words = ("annotate", few / "0.mp4", few / "1.mp4", "--out", out, "--skip-done", *models)
    assert command(*words).code == 0
    (out / NAME).unlink()
    (out / "1.json").write_bytes((out / "1.json").read_bytes()[:-9])
    for _ in range(2):
        ran = command(*words)
        assert (
            ran.code == 1 and "0.json: is whole already" in ran.err and "1.json: exists already and is not" in ran.err
        )
    noted = [json.loads(line) for line in (out / NAME).read_text().splitlines()]
    assert [line["out"] for line in noted if line["state"] == "done"] == ["0.json"]


def test_table_with_times_and_boxes(few: Path, models: tuple[object, ...], command: Callable[..., Ran]) -> None:
    """A row gives the file that its options would give alone."""
    out = few / "out"
    boxes = few / "boxes.txt"
    boxes.write_text("".join(f"{frame},5,10,8,20,30,1,-1,-1,-1\n" for frame in range(1, 5)))
    rows = [f"{few}/0.mp4,0.05,0.1,", f"{few}/0.mp4,,0.1,", f"{few}/1.mp4,,,{boxes}", f"{few}/gone.mp4,,,",
            f"{few}/2.mp4,,,{few}/none.txt", f"{few}/lost.mp4,,,"]  # fmt: skip
    (few / "list.csv").write_text("\n".join(["path,start,end,boxes", *rows]))
    words = ("annotate", "--inputs-from", few / "list.csv", "--out", out, "--format", "jsonl", *models)
    for _ in range(2):
        ran = command(*words, "--resume")
        assert ran.code == 1, ran.err
        missing = [line for line in ran.lines if "no such file" in line]
        assert ran.lines[:3] == missing and [Path(line.split(": ")[1]).name for line in missing] == [
            "gone.mp4", "none.txt", "lost.mp4"
        ]  # fmt: skip
        assert summed_up(str(out))["done"] == 3 == len(status_lines(out)) and len(summed_up(str(out))["failed"]) == 3
    alone = {
        "0_0.05-0.1": (few / "0.mp4", "--start", 0.05, "--end", 0.1),
        "0_0-0.1": (few / "0.mp4", "--end", 0.1),
        "1": (few / "1.mp4", "--boxes", boxes),
    }
    for name, own in alone.items():
        asked = (*models[:2], *models[-2:]) if "--boxes" in own else models  # without the detector
        assert command("annotate", *own, "--out", few / "one.jsonl", "--overwrite", *asked).code == 0
        assert (few / "one.jsonl").read_bytes() == (out / f"{name}.jsonl").read_bytes()


@pytest.mark.parametrize("kind", ["slurm", "kubernetes", "xargs"])
def test_shards_of_a_job_array(
    kind: str, forty: Path, models: tuple[object, ...], command: Callable[..., Ran], tmp_path: Path
) -> None:
    """The recipes' own lines, with the scheduler's variables as it would set them."""
    recipe = (ROOT / "docs" / "recipes.md").read_text()
    shard = {
        "slurm": '"$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"',
        "kubernetes": '"$((JOB_COMPLETION_INDEX + 1))/4"',
        "xargs": "{}/4",
    }[kind]
    assert f"--shard {shard}" in recipe
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in sorted(forty.glob("clip0*.mp4"))))
    out = tmp_path / "out"
    for index in range(4):
        task = {"SLURM_ARRAY_TASK_ID": index + 1, "SLURM_ARRAY_TASK_COUNT": 4, "JOB_COMPLETION_INDEX": index}
        word = subprocess.run(
            ["sh", "-c", f"printf %s {shard.replace('{}', str(index + 1))}"],
            env={key: str(value) for key, value in task.items()}, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        ran = command("annotate", "--inputs-from", listed, "--out", out, "--shard", word, "--skip-done", *models)
        assert ran.code == int("clip07" in ran.err), ran.err
    assert len(outputs(out)) == 9 and len(status_lines(out)) == 9
    assert summed_up(str(out))["left"] == 0 and {line["inputs"] for line in status_lines(out, "run")} == {10}


def test_bad_lists_and_shards(few: Path, command: Callable[..., Ran], models: tuple[object, ...]) -> None:
    (few / "empty.txt").write_text("\n\n")
    (few / "bad.csv").write_text(f"path,start,end\n{few}/0.mp4,3,2\n{few}/1.mp4,,\n")
    out = ("--out", few / "out")
    for words, code, says in [
        ((), 2, "no inputs: name videos or a folder, or a list with --inputs-from"),
        (("--inputs-from", few / "empty.txt"), 2, "names no input"),
        (("--inputs-from", few / "none.txt"), 1, "none.txt: no such file or folder"),
        ((few / "0.mp4", "--shard", "5/4"), 2, "--shard 5/4: give I/N with I from 1 to N"),
        ((few / "0.mp4", "--shard", ""), 2, "give I/N"),
    ]:
        ran = command("annotate", *words, *out, *models)
        assert ran.code == code and len(ran.lines) == 1 and says in ran.lines[0], ran.err
    ran = command("annotate", "--inputs-from", few / "bad.csv", *out, *models)
    assert (
        ran.code == 1
        and "0.mp4 3-2: start (3 s) must lie before end (2 s)" in ran.err
        and len(status_lines(few / "out")) == 1
    )
    shares = [command("annotate", few / "0.mp4", *out, "--overwrite", "--shard", f"{i}/2", *models) for i in (1, 2)]
    assert [ran.code for ran in shares] == [0, 0]
    assert sum("none of 1 inputs is in shard" in ran.err for ran in shares) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_folder_that_is_read_only(few: Path, models: tuple[object, ...]) -> None:
    """Refused in one line before any work, and nothing in it changes."""
    root = os.geteuid() == 0
    if root and not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, but for setpriv")
    (few / "out").mkdir(mode=0o555)
    words = ["setpriv", "--bounding-set", "-dac_override"] if root else []
    words += [sys.executable, "-m", "ftpcli", "annotate", str(few / "0.mp4"), str(few / "1.mp4"), "--out"]
    ran = subprocess.run([*words, str(few / "out"), *map(str, models)], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 1 and f"ftp: {few / 'out'}: writing there is not permitted" in ran.stderr, ran.stderr
    assert len(ran.stderr.splitlines()) == 2 and not list((few / "out").iterdir())  # the first: starting
