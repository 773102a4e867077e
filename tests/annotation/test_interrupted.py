"""Whatever stops a run, nothing is lost: the resumed run's files are those of an unbroken one, byte by byte."""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Interrupted, Progress, Summary, Target, annotate_file
from ftpcli.errors import InputError, OutputError
from ftpcli.video import VideoReader, VideoWriter
from tests.support.odd_videos import encode
from tests.support.stops import stop_after
from tests.support.tiny import Command, Ran, mot_boxes, records
from tests.support.walkers import Bright, use_bright_detector, use_slow_detector, walkers

FRAMES = 40
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and file locks of Unix")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return walkers(tmp_path_factory.mktemp("walkers") / "clip.mp4", FRAMES)


@pytest.fixture(autouse=True)
def bright(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import ftpcli.people.loading

    monkeypatch.setattr(ftpcli.people.loading, "load_detector", lambda *a, **k: Bright())
    yield


def annotator(model: Path, **options: object) -> Annotator:
    return Annotator(Options(weights=str(model), **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def unbroken(clip: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an unbroken run of the command makes."""
    folder = tmp_path_factory.mktemp("unbroken")
    run = Command([*arguments(clip, tiny_model, folder / "out.jsonl")], folder, use_bright_detector)
    assert run.wait() == 0, run.said
    rows = records(folder / "out.jsonl")[1]
    assert len(rows) == FRAMES and {p["track_id"] for row in rows for p in row["people"]} >= {1, 2}
    return folder / "out.jsonl"


@pytest.fixture(scope="module")
def whole(clip: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Whole]:
    """What an unbroken run with these options makes; each is made once."""
    made: dict[str, Whole] = {}

    def get(**options: object) -> Whole:
        if repr(options) not in made:
            out = tmp_path_factory.mktemp("whole") / "whole.jsonl"
            summary = annotate_file(annotator(tiny_model, **options), str(clip), Target(out))
            made[repr(options)] = Whole(summary, out.read_bytes())
        return made[repr(options)]

    return get


@pytest.fixture(scope="module")
def begun(clip: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], bytes]:
    """Leaves the part of a run that was stopped after its first chunk; it is made once."""
    made: list[bytes] = []

    def leave(out: Path) -> bytes:
        if not made:
            first = tmp_path_factory.mktemp("begun") / "out.jsonl"
            with pytest.raises(Interrupted):
                annotate_file(annotator(tiny_model), str(clip), Target(first), stop=stop_after(1))
            made.append(part_of(first).read_bytes())
        part_of(out).write_bytes(made[0])
        return made[0]

    return leave


@dataclass(frozen=True)
class Whole:
    summary: Summary
    content: bytes


def arguments(clip: Path, model: Path, out: Path, *more: object) -> list[object]:
    return ["annotate", clip, "--weights", model, "--out", out, "--smooth", "one-euro", *more]


def part_of(out: Path) -> Path:
    return out.with_name(out.name + ".part.jsonl")


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(condition: Callable[[], bool], run: Command, timeout: float = 300) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert run.process.is_alive() and time.monotonic() < end, run.said
        time.sleep(0.002)


# --- stops in this process: many, and exactly where wanted ---------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"smooth": "one-euro"},
        {"tracker": "botsort", "smooth": "one-euro"},
        {"every": 2, "start": 0.1, "end": 1.5},
        {"detect_every": 3},
    ],
    ids=["bytetrack", "one-euro", "botsort", "part of the clip", "every third frame"],
)
def test_a_stop_after_any_chunk(options: dict, whole, clip: Path, tiny_model: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    one, expected = annotator(tiny_model, **options), whole(**options)
    out = tmp_path / "out.jsonl"
    for chunks in (0, 1, 2):
        with pytest.raises(Interrupted, match=r"they are kept in out.jsonl.part.jsonl, go on with --resume"):
            annotate_file(one, str(clip), Target(out), stop=stop_after(chunks))
        done = min(8 * chunks or 2, expected.summary.frames)
        assert not out.exists() and lines_in(part_of(out)) == done + 1
        again = annotator(tiny_model, **options)
        summary = annotate_file(again, str(clip), Target(out, resume=True))
        assert summary.replayed == (done // 8 * 8 or 2) and summary.frames == expected.summary.frames
        assert (summary.people, summary.tracks) == (expected.summary.people, expected.summary.tracks)
        assert out.read_bytes() == expected.content
        assert not part_of(out).exists()
        out.unlink()


def test_people_are_found_beside_the_poses_and_are_the_same(
    whole: Callable[..., Whole], clip: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a run that does one after the other; and what fails there leaves as much of what was before it."""
    expected, threads = whole().content, set[threading.Thread]()
    one, torn = annotator(tiny_model), False
    honest = Bright.detect

    def detect(self: Bright, image: np.ndarray) -> np.ndarray:
        threads.add(threading.current_thread())
        if torn and image[60, 30].mean() > 220:  # the brighter one has come to the left
            raise InputError("torn")
        return honest(self, image)

    monkeypatch.setattr(Bright, "detect", detect)
    for name, beside in (("a", True), ("b", False)):
        threads.clear()
        if not beside:
            monkeypatch.setattr("ftpcli.annotation.chain.can_reread", lambda path: False)
        torn = False
        annotate_file(one, str(clip), Target(tmp_path / f"{name}.jsonl"))
        assert (tmp_path / f"{name}.jsonl").read_bytes() == expected
        torn = True
        with pytest.raises(InputError, match="torn"):
            annotate_file(one, str(clip), Target(tmp_path / f"{name}-torn.jsonl"))
        assert (threading.main_thread() in threads) != beside
        assert not beside or not any(thread.is_alive() for thread in threads)
    parts = [part_of(tmp_path / f"{name}-torn.jsonl").read_bytes() for name in "ab"]
    assert parts[0] == parts[1] and parts[0].count(b"\n") > 1


def test_an_annotation_is_iterated_once_and_leaves_nothing_behind(clip: Path, tiny_model: Path) -> None:
    """Also where nobody closes it."""
    one = annotator(tiny_model)
    annotation = one.open(str(clip))
    frames = iter(annotation)
    next(frames)
    with pytest.raises(RuntimeError, match="iterated once"):
        list(annotation)
    assert len(list(frames)) == FRAMES - 1
    frames = iter(one.open(str(clip)))
    next(frames)
    threads = [thread for thread in threading.enumerate() if thread.name == "ftp-ahead"]
    assert threads
    del frames, annotation
    gc.collect()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_part_finished_in_another_format(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    one = annotator(tiny_model, smooth="one-euro")
    annotate_file(one, str(clip), Target(tmp_path / "whole.json"))
    with pytest.raises(Interrupted):
        annotate_file(one, str(clip), Target(tmp_path / "out.json"), stop=stop_after(2))
    annotate_file(one, str(clip), Target(tmp_path / "out.json", resume=True))
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


@pytest.mark.parametrize("tracker", ["bytetrack", "botsort"])
def test_a_part_torn_at_any_byte(tracker: str, whole, clip: Path, tiny_model: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    one = annotator(tiny_model, tracker=tracker)
    out = tmp_path / "out.jsonl"
    with pytest.raises(Interrupted):
        annotate_file(one, str(clip), Target(out), stop=stop_after(4))
    kept = part_of(out).read_bytes()
    generator = random.Random(7)
    torn = [kept[:size] for size in (100, len(kept) - 1, generator.randrange(len(kept)))]
    torn.append(kept[:-30] + b"\0" * 500)  # as file systems leave it after a power failure
    for content in torn:
        part_of(out).write_bytes(content)
        annotate_file(one, str(clip), Target(out, resume=True))
        assert out.read_bytes() == whole(tracker=tracker).content, len(content)
        out.unlink()


def test_a_run_without_a_frame_leaves_no_part(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Whatever ended it; one that a killed run left, without a frame in it, is in nobody's way."""
    out = tmp_path / "out.jsonl"

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    one = annotator(tiny_model)
    one.detector.detect_batch = fail  # type: ignore[union-attr,method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        annotate_file(one, str(clip), Target(out))
    assert os.listdir(tmp_path) == []
    with pytest.raises(Interrupted):
        annotate_file(annotator(tiny_model), str(clip), Target(out), stop=stop_after(1))
    header = part_of(out).read_bytes().splitlines(keepends=True)[0]
    for content in (b"", header[:50], header):
        part_of(out).write_bytes(content)
        # Of other options, and without --resume.
        annotate_file(annotator(tiny_model, every=10), str(clip), Target(out, overwrite=False))
        assert len(records(out)[1]) == FRAMES // 10 and not part_of(out).exists()
        out.unlink()


def test_a_stop_of_a_pipe_ends_its_output(clip, tiny_model, whole, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """It cannot be read again, so that nobody could go on: what was seen is in the output, which says so."""
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    moved = tmp_path / "clip.mkv"
    with VideoReader(clip) as reader, VideoWriter.like(moved, reader.info, crf=0, preset="ultrafast") as writer:
        for frame in reader:
            writer.write(frame.image, frame.pts)
    content = moved.read_bytes()

    def feed() -> None:
        with suppress(BrokenPipeError):
            pipe.write_bytes(content)

    feeder = threading.Thread(target=feed)
    feeder.start()
    out = tmp_path / "out.jsonl"
    summary = annotate_file(annotator(tiny_model), str(pipe), Target(out), stop=stop_after(2))
    feeder.join(60)
    header, rows = records(out)
    assert summary.frames == len(rows) == 16 and "stopped after 16 frames" in header["source"]["warnings"]
    assert not part_of(out).exists()


def test_overlay_of_a_resumed_run(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    one = annotator(tiny_model, smooth="one-euro")
    annotate_file(one, str(clip), Target(tmp_path / "whole.jsonl", overlay=tmp_path / "whole.mp4"))
    target = Target(tmp_path / "out.jsonl", overlay=tmp_path / "out.mp4")
    with pytest.raises(Interrupted):
        annotate_file(one, str(clip), target, stop=stop_after(1))
    assert not target.overlay.exists() and not list(tmp_path.glob(".*"))  # type: ignore[union-attr]
    annotate_file(one, str(clip), Target(target.out, overlay=target.overlay, resume=True))
    for suffix in ("jsonl", "mp4"):
        assert (tmp_path / f"out.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()


def test_boxes_in_place_of_the_detector(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    boxes = mot_boxes(tmp_path / "boxes.txt", FRAMES, (160, 96))
    one = annotator(tiny_model, boxes=str(boxes))
    annotate_file(one, str(clip), Target(tmp_path / "whole.jsonl"))
    with pytest.raises(Interrupted):
        annotate_file(one, str(clip), Target(tmp_path / "out.jsonl"), stop=lambda: True)
    annotate_file(one, str(clip), Target(tmp_path / "out.jsonl", resume=True))
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("input", "input was"),
        ("weights", "model was"),
        ("tracker", 'options.tracker was "bytetrack", is now "botsort"'),
        ("start", 'options.start was null, is now "0.2"'),
        ("boxes", "boxes was null, is now"),
        ("version", "version was"),
        ("batch", "batch was 16, is now 4"),
    ],
)
def test_a_part_of_another_run_is_refused(change, named, begun, clip, tiny_model, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    out, source, model, batch = tmp_path / "out.jsonl", clip, tiny_model, 16
    before = begun(out)
    options: dict[str, object] = {}
    if change == "input":
        source = walkers(tmp_path / "clip.mp4", FRAMES - 1)
    elif change == "weights":
        from tests.support.tiny import tiny_weights

        model = tiny_weights(tmp_path / "other.safetensors", seed=1)
    elif change == "version":
        monkeypatch.setattr("ftpcli.annotation.fingerprint.__version__", "99.0")
    elif change == "boxes":
        options = {"boxes": str(mot_boxes(tmp_path / "boxes.txt", FRAMES, (160, 96)))}
    elif change == "batch":
        batch = 4
    else:
        options = {change: {"tracker": "botsort", "start": 0.2}[change]}
    other = Annotator(Options(weights=str(model), **options), batch=batch)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="belongs to another run") as caught:
        annotate_file(other, str(source), Target(out, resume=True))
    assert named in str(caught.value) and "\n" not in str(caught.value)
    assert part_of(out).read_bytes() == before


def test_boxes_that_were_changed_in_the_middle_are_others(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Also in a large file, whose size, beginning and end stay as they are."""
    boxes, rest = mot_boxes(tmp_path / "boxes.txt", FRAMES, (160, 96)), "\n" * (3 << 20)
    text = boxes.read_text()
    middle = f"{FRAMES},77,5,5,40,60,1,-1,-1,-1\n"
    boxes.write_text(text + rest + middle + rest)
    one = annotator(tiny_model, boxes=str(boxes))
    with pytest.raises(Interrupted):
        annotate_file(one, str(clip), Target(tmp_path / "out.jsonl"), stop=lambda: True)
    boxes.write_text(text + rest + middle.replace(",77,", ",78,") + rest)
    with pytest.raises(InputError, match=r"boxes\.sha256 was"):
        annotate_file(one, str(clip), Target(tmp_path / "out.jsonl", resume=True))


@pytest.mark.parametrize("name", ["out.jsonl", "out.json", "out.posetrack.json"])
def test_a_whole_output_of_a_replaced_source_is_not_this_runs(name: str, tiny_model: Path, tmp_path: Path) -> None:
    """The source keeps its name, size and clock; of pictures without compression also their bytes' number."""
    video = walkers(tmp_path / "clip.mp4", FRAMES)
    (folder := tmp_path / "pictures").mkdir()
    for number in range(8):
        cv2.imwrite(str(folder / f"{number}.bmp"), np.full((96, 160, 3), number, np.uint8))
    one, form = annotator(tiny_model), "posetrack" if "posetrack" in name else None
    for source in (video, folder):
        # A folder may hold the output, too.
        out = (folder if source is folder else tmp_path) / name
        annotate_file(one, str(source), Target(out, format=form))
        assert annotate_file(one, str(source), Target(out, format=form, resume=True)).already
        if source is folder:
            cv2.imwrite(str(folder / "7.bmp"), np.full((96, 160, 3), 99, np.uint8))
        else:
            walkers(tmp_path / "other.mp4", FRAMES - 2).replace(video)
        with pytest.raises(OutputError, match="is not that of this run"):
            annotate_file(one, str(source), Target(out, format=form, resume=True))


def test_a_whole_output_of_other_boxes_is_not_this_runs(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    boxes, out = mot_boxes(tmp_path / "boxes.txt", FRAMES, (160, 96)), Target(tmp_path / "out.jsonl", resume=True)
    annotate_file(annotator(tiny_model, boxes=str(boxes)), str(clip), out)
    boxes.write_text(boxes.read_text().replace("1,1,", "1,7,", 1))
    with pytest.raises(OutputError, match="is not that of this run"):
        annotate_file(annotator(tiny_model, boxes=str(boxes)), str(clip), out)


def test_a_moved_video_and_model_are_still_the_same_run(begun, clip: Path, tiny_model: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Which goes on where that is asked for, and only there."""
    out = tmp_path / "out.jsonl"
    before = begun(out)
    (tmp_path / "elsewhere").mkdir()
    one = annotator(Path(shutil.copy(tiny_model, tmp_path / "elsewhere")))
    moved = Path(shutil.copy(clip, tmp_path / "elsewhere"))
    with pytest.raises(OutputError, match="go on with --resume, or start again with --overwrite"):
        annotate_file(one, str(moved), Target(out))
    assert part_of(out).read_bytes() == before
    assert annotate_file(one, str(moved), Target(out, resume=True)).replayed == 8


def test_a_stop_between_the_last_two_steps(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    """The output is in place, its part not yet deleted."""
    out, one = tmp_path / "out.jsonl", annotator(tiny_model)
    with pytest.raises(Interrupted):
        annotate_file(one, str(clip), Target(out), stop=lambda: True)
    kept = part_of(out).read_bytes()
    annotate_file(one, str(clip), Target(out, resume=True))
    made = out.read_bytes()
    part_of(out).write_bytes(kept)
    summary = annotate_file(one, str(clip), Target(out, resume=True))
    assert summary.already and summary.frames == FRAMES and not part_of(out).exists()
    assert out.read_bytes() == made
    with pytest.raises(OutputError, match="is not that of this run"):
        annotate_file(annotator(tiny_model, smooth="one-euro"), str(clip), Target(out, resume=True))
    out.write_bytes(made[:-200])
    with pytest.raises(OutputError, match="is not that of this run"):
        annotate_file(one, str(clip), Target(out, resume=True))


# --- progress ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"end": 0.9},
        {"start": 0.5},
        {"start": 0.3, "end": 1.21, "every": 3},
        {"every": 7},
        {"start": 1.0, "end": 9.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["constant.mp4", "variable.mp4", "variable.mkv", "joined.ts"])
def test_the_total_is_the_frames_that_come(name: str, options: dict, tmp_path: Path, tiny_model: Path) -> None:
    """Known from the start where the container lists every frame; a bar never ends before or behind its end."""
    pts = [512 * n for n in range(40)]
    if name.startswith("variable"):  # 25 a second, then 10, then a burst of 50
        pts = [*range(0, 10240, 512), *range(10240, 20480, 1280), *range(20480, 25600, 256)]
    clip = encode(tmp_path / name, pts, size=(64, 48))
    if name == "joined.ts":
        clip.write_bytes(clip.read_bytes() * 2)
    boxes = mot_boxes(tmp_path / "boxes.txt", 80, (64, 48), people=0)
    seen: list[Progress] = []
    summary = annotate_file(
        annotator(tiny_model, boxes=str(boxes), **options),
        str(clip),
        Target(tmp_path / "out.jsonl"),
        tell=lambda progress: seen.append(replace(progress)),
    )
    assert seen[-1].frames == seen[-1].total == summary.frames > 0
    assert all(one.total is not None and one.frames <= one.total for one in seen)
    if name != "joined.ts" and name.endswith("mp4"):
        assert {one.total for one in seen} == {summary.frames}


# --- stops of a real process ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_stop_cleanly(number, code, clip, tiny_model, unbroken, command, tmp_path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out.jsonl"
    run = Command(arguments(clip, tiny_model, out), tmp_path, use_slow_detector)
    wait_for(lambda: lines_in(part_of(out)) > 8, run)
    run.signal(number)
    assert run.wait() == code, run.said
    said = run.said.splitlines()
    assert said[-2:-1] == ["ftp: stopping after this chunk"] and "Traceback" not in run.said
    kept = lines_in(part_of(out)) - 1
    assert said[-1] == (
        f"ftp: {clip}: stopped after {kept} frames; they are kept in out.jsonl.part.jsonl, go on with --resume"
    )
    assert part_of(out).read_bytes().endswith(b"\n") and not out.exists()
    ran: Ran = command(*arguments(clip, tiny_model, out, "--resume"))
    assert ran.code == 0 and f"{kept} of them from the interrupted run" in ran.err
    assert out.read_bytes() == unbroken.read_bytes()


def kill_and_resume(moments: list[float], clip, model, unbroken, command, folder) -> int:  # type: ignore[no-untyped-def]
    """Kill -9 a run at each of these moments (0 to 1), resume it, compare. Returns how many are identical."""
    identical = 0
    size = 3000 * FRAMES  # about what a whole part file holds; beyond it the run is over when the kill comes
    for number, moment in enumerate(moments):
        out = folder / f"{number}.jsonl"
        run = Command(arguments(clip, model, out), folder, use_slow_detector, log=f"{number}.log")
        while run.process.is_alive():
            grown = part_of(out).stat().st_size if part_of(out).exists() else -1
            if grown >= moment * size or (moment < 0.05 and grown >= 0):
                time.sleep(moment % 0.01)
                break
            time.sleep(0.001)
        run.signal(signal.SIGKILL)
        run.process.join()
        ran = command(*arguments(clip, model, out, "--resume"))
        assert ran.code == 0, ran.err
        identical += out.read_bytes() == unbroken.read_bytes()
        assert sorted(path.name for path in folder.iterdir() if path.stem.lstrip(".").startswith(f"{number}.")) == []
    return identical


def test_kill_at_three_moments(clip, tiny_model, unbroken, command, tmp_path) -> None:  # type: ignore[no-untyped-def]
    generator = random.Random(os.getpid())
    moments = [0.0, *(generator.random() for _ in range(2))]
    assert kill_and_resume(moments, clip, tiny_model, unbroken, command, tmp_path) == 3, moments


@pytest.mark.slow
def test_kill_at_fifty_moments(clip, tiny_model, unbroken, command, tmp_path) -> None:  # type: ignore[no-untyped-def]
    generator = random.Random(11)
    moments = [generator.random() for _ in range(50)]
    assert kill_and_resume(moments, clip, tiny_model, unbroken, command, tmp_path) == 50


def test_two_runs_on_one_output(clip, tiny_model, unbroken, command, tmp_path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out.jsonl"
    run = Command(arguments(clip, tiny_model, out), tmp_path, use_slow_detector)
    wait_for(lambda: lines_in(part_of(out)) > 1, run)
    run.signal(signal.SIGSTOP)  # or it might be done before the others have asked
    try:
        for more in ([], ["--resume"], ["--overwrite"]):
            ran = command(*arguments(clip, tiny_model, out, *more))
            assert ran.code == 1 and "another run is writing this output" in ran.lines[-1]
    finally:
        run.signal(signal.SIGCONT)
    assert run.wait() == 0, run.said
    assert out.read_bytes() == unbroken.read_bytes()


# --- the disk ------------------------------------------------------------------------------------------------------


def limit_file_size() -> None:
    import resource

    use_bright_detector()
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


def test_no_room_keeps_what_was_done(clip, tiny_model, unbroken, command, tmp_path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out.jsonl"
    run = Command(arguments(clip, tiny_model, out), tmp_path, limit_file_size)
    assert run.wait() == 1
    assert "file size limit" in run.said.splitlines()[-1] and "Traceback" not in run.said
    assert lines_in(part_of(out)) > 8 and part_of(out).read_bytes().endswith(b"\n") and not out.exists()
    assert command(*arguments(clip, tiny_model, out, "--resume")).code == 0
    assert out.read_bytes() == unbroken.read_bytes()


def test_the_folder_is_removed_meanwhile(clip, tiny_model, tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "results"
    folder.mkdir()
    out = folder / "out.jsonl"
    run = Command(arguments(clip, tiny_model, out), tmp_path, use_slow_detector)
    wait_for(lambda: lines_in(part_of(out)) > 1, run)
    shutil.rmtree(folder)
    assert run.wait() == 1
    last = run.said.splitlines()[-1]
    assert "was removed while the run was writing it" in last and "Traceback" not in run.said


def test_a_read_only_folder(clip, tiny_model, command, tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    ran = command(*arguments(clip, tiny_model, folder / "out.jsonl"))
    assert ran.code == 1 and "not permitted" in ran.lines[-1]


# --- memory and time -----------------------------------------------------------------------------------------------


def test_a_batch_that_does_not_fit_is_halved_and_said(clip, tiny_model, command, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    import torch

    from ftpcli.device import Threads
    from ftpcli.model.ftp_pose import FTPPose

    plain = tmp_path / "plain.jsonl"
    model = ["--weights", tiny_model, "--engine", "torch"]
    assert command("annotate", clip, *model, "--out", plain).code == 0
    honest, sizes = FTPPose.decode, []

    def small(self, tokens):  # type: ignore[no-untyped-def]
        sizes.append(len(tokens))
        if len(tokens) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return honest(self, tokens)

    monkeypatch.setattr(FTPPose, "decode", small)
    monkeypatch.setattr("ftpcli.pose.torch_engine.Threads.of", lambda *_: Threads(None))  # as on a GPU: whole batches
    out = tmp_path / "out.jsonl"
    ran = command("annotate", clip, *model, "--out", out, "--batch", "8")
    assert ran.code == 0 and sizes[:3] == [4, 2, 1] and max(sizes[3:]) == 1
    said = [line for line in ran.lines if "out of memory" in line]
    assert [line.partition(" with ")[2] for line in said] == ["4 people at a time; now 2", "2 people at a time; now 1"]
    (_, mine), (_, theirs) = records(out), records(plain)
    for a, b in zip(mine, theirs, strict=True):
        for p, q in zip(a["people"], b["people"], strict=True):
            assert p["bbox"] == q["bbox"] and p["track_id"] == q["track_id"]

    def none(self, images):  # type: ignore[no-untyped-def]
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(FTPPose, "decode", none)
    ran = command("annotate", clip, *model, "--out", tmp_path / "none.jsonl")
    assert ran.code == 1 and "out of memory on cpu with a single person" in ran.lines[-1]
    assert not list(tmp_path.glob("none*"))


def test_patience_ends(clip, tiny_model, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A decoder that gives nothing for long ends the file; what was done is kept."""
    from ftpcli.video import reading

    one = annotator(tiny_model)
    packets, decode = reading.VideoReader._packets, reading.VideoReader._decode

    class Stuck:
        """Stands in for a stream whose decoder goes on taking packets and returns nothing more."""

        def __init__(self, stream) -> None:  # type: ignore[no-untyped-def]
            self.stream, self.taken = stream, 0

        def decode(self, packet):  # type: ignore[no-untyped-def]
            self.taken += 1
            return self.stream.decode(packet) if self.taken <= 30 else []

    def endless(self, container, stream):  # type: ignore[no-untyped-def]
        for packet in packets(self, container, stream.stream):
            yield packet
        while True:
            time.sleep(0.01)
            yield packet

    monkeypatch.setattr(reading.VideoReader, "_packets", endless)
    monkeypatch.setattr(reading.VideoReader, "_decode", lambda self, c, stream: decode(self, c, Stuck(stream)))
    monkeypatch.setattr(reading, "PATIENCE", 0.2)
    with pytest.raises(InputError, match=r"no picture in 0.2 s of decoding after frame \d+; try again"):
        annotate_file(one, str(clip), Target(tmp_path / "out.jsonl"))
    assert lines_in(part_of(tmp_path / "out.jsonl")) > 8 and not (tmp_path / "out.jsonl").exists()


def test_patience_with_a_container(clip, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from ftpcli.video import VideoReader, opening

    monkeypatch.setattr(opening, "PATIENCE", 1e-9)
    with pytest.raises(InputError, match="nothing of it could be read in 1e-09 s"):
        VideoReader(clip).__enter__()


def test_json_of_a_stopped_batch(clip, tiny_model, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A stop in the second of three: the first is whole, the summary says so, --resume does the other two."""
    for name in "abc":
        shutil.copy(clip, tmp_path / f"{name}.mp4")
    words = ["annotate", *(tmp_path / f"{n}.mp4" for n in "abc"), "--weights", tiny_model, "--out", tmp_path / "o"]
    run = Command([*words, "--json", "--format", "jsonl"], tmp_path, use_slow_detector)
    wait_for(lambda: lines_in(part_of(tmp_path / "o" / "b.jsonl")) > 1, run)
    run.signal(signal.SIGTERM)
    assert run.wait() == 143
    told = next(json.loads(line) for line in run.said.splitlines() if line.startswith("{"))
    assert [Path(done["out"]).name for done in told["done"]] == ["a.jsonl"]
    again = Command([*words, "--json", "--format", "jsonl", "--resume"], tmp_path, use_bright_detector, log="again")
    assert again.wait() == 0, again.said
    told = next(json.loads(line) for line in again.said.splitlines() if line.startswith("{"))
    assert [done["already"] for done in told["done"]] == [True, False, False]
    rows = [records(tmp_path / "o" / f"{name}.jsonl")[1] for name in "abc"]
    assert rows[0] == rows[1] == rows[2]
