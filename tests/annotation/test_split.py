"""``--split``: the file of an unsplit run, byte by byte, from stretches that are looked at apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.batch import Job, Video, remove_split
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Interrupted, Target, annotate_file
from ftpcli.annotation.split import Split, check_split
from ftpcli.errors import InputError, OutputError, UsageError
from ftpcli.files.inputs import Source
from ftpcli.model.ftp_pose import FTPPose
from ftpcli.video import VideoReader
from ftpcli.video.ranges import FrameTimes, RangeReader
from ftpcli.video.selection import Selection
from tests.support.odd_videos import ODD_VIDEOS, Odd
from tests.support.tiny import Ran, mot_boxes, records
from tests.support.walkers import SIZE, Bright, _figures

FRAMES = 110
#: Odd videos whose frames can only be told apart by decoding all of them.
REFUSED = {"repeated_times", "clock_restarts", "clock_steps_back", "no_times", "size_changes"}


def write(path: Path, pts: Sequence[int] | None = None, codec: str = "libx264", **options: str) -> Path:
    """Two figures who walk to and fro before a background; both change at frame 61. Short groups of
    pictures with reordered frames."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=25, options={"crf": "20", "g": "12", "bf": "2", **options})
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 100)
        rng = np.random.default_rng(0)
        scenes = rng.integers(0, 60, (2, SIZE[1] // 8, SIZE[0] // 8, 3)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
        scenes[1, ..., 1] += 90
        for index in range(FRAMES):
            image = scenes[int(index >= 61)].copy()
            for left, top, shade in _figures((index + 25 * (index >= 61)) % 60, 60):
                image[top : top + 50, left : left + 22] = shade
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
            frame.pts = 4 * index if pts is None else pts[index]
            frame.time_base = Fraction(1, 100)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("split") / "clip.mp4")


@pytest.fixture(autouse=True)
def bright(monkeypatch: pytest.MonkeyPatch) -> None:
    import ftpcli.people.loading

    monkeypatch.setattr(ftpcli.people.loading, "load_detector", lambda *a, **k: Bright())


def run(annotator: Annotator, clip: Path, target: Target, stop: Callable[[], bool] = lambda: False) -> None:
    """Stretches are done in this process, the last one first."""

    def share(jobs: Sequence[Job], stop: Callable[[], bool]) -> None:
        for job in reversed(jobs):
            if not stop():
                job.run(annotator, None, lambda progress: None, stop)

    video = Video(Source(str(clip), "video"), target)
    Split(video, 1.0, share).run(annotator, None, lambda progress: None, stop)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"smooth": "one-euro", "hold_views": 0.0},
        {"detect_every": 3, "cuts": False},
        {"every": 2, "start": 0.5, "end": 4.0},
        {"people": 1, "join": 0.4, "flip_test": True},
        {"tracker": "ocsort", "rotate": 90, "duration": 3.0, "fill_gaps": 1.0},
        {"boxes": "boxes.txt"},
    ],
    ids=["plain", "smoothed", "every third", "a part", "chosen", "turned", "boxes"],
)
def test_the_file_is_that_of_a_single_run(
    options: dict[str, Any], clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    if "boxes" in options:
        options = {"boxes": str(mot_boxes(tmp_path / "boxes.txt", FRAMES, SIZE))}
    annotator = Annotator(Options(weights=str(tiny_model), **options))
    annotate_file(annotator, str(clip), Target(tmp_path / "whole.jsonl"))
    run(annotator, clip, Target(tmp_path / "split.jsonl"))
    assert (tmp_path / "split.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.suffix != ".txt") == [".jsonl", ".jsonl"]
    rows = records(tmp_path / "whole.jsonl")[1]
    assert sum(len(row["people"]) for row in rows) > len(rows) / 2
    if not options:
        assert len({person["track_id"] for row in rows for person in row["people"]}) > 2  # the cut begins new ones


@pytest.mark.parametrize("options", [{}, {"cuts": False, "hold_views": 0.1}], ids=["plain", "no cuts"])
def test_batches_on_an_accelerator_are_those_of_a_single_run(
    options: dict[str, Any], clip: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There tokens depend on how many crops are encoded together; here they are made to."""
    honest = FTPPose.encode
    monkeypatch.setattr(FTPPose, "encode", lambda self, crops: honest(self, crops) * (1 + 1e-5 * len(crops)))
    monkeypatch.setattr("ftpcli.pose.torch_engine.in_steps", lambda batch, device: batch)
    annotator = Annotator(Options(weights=str(tiny_model), **options), device="cpu:0")
    annotate_file(annotator, str(clip), Target(tmp_path / "whole.jsonl"))
    with pytest.raises(Interrupted):
        run(annotator, clip, Target(tmp_path / "split.jsonl"), iter([False] * 7 + [True] * 99).__next__)
    run(annotator, clip, Target(tmp_path / "split.jsonl", resume=True))
    assert (tmp_path / "split.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_stop_at_any_point(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    """What is stored is not computed again; another run, and another length, are refused."""
    annotator = Annotator(Options(weights=str(tiny_model)))
    annotate_file(annotator, str(clip), Target(tmp_path / "whole.jsonl"))
    looked: list[int] = []
    seen = Bright.detect_batch

    class Counting(Bright):
        def detect_batch(self, images: Any) -> list[np.ndarray]:
            looked.append(len(images))
            return seen(self, images)

    annotator.detector = Counting()  # type: ignore[assignment]
    out = tmp_path / "out.jsonl"
    for asked in (1, 6, 12, 17, 22):
        count = iter(range(asked))
        with pytest.raises(Interrupted):
            run(annotator, clip, Target(out, resume=asked > 1), lambda count=count: next(count, None) is None)  # type: ignore[misc]
        assert not out.exists()
    with pytest.raises(OutputError, match="holds an unfinished run; go on with --resume"):
        run(annotator, clip, Target(out))
    done = sum(looked)
    assert done == FRAMES
    run(annotator, clip, Target(out, resume=True))
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes() and sum(looked) == FRAMES
    run(annotator, clip, Target(out, resume=True))  # whole already
    assert sum(looked) == FRAMES and not (tmp_path / "out.jsonl.split").exists()
    run(annotator, clip, Target(out, overwrite=True))
    assert sum(looked) == 2 * FRAMES


def test_a_run_without_it_goes_on(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    """What was stored goes, with nothing else, and not under the hands of another run."""
    annotator, out = Annotator(Options(weights=str(tiny_model))), tmp_path / "out.jsonl"
    count = iter(range(6))
    with pytest.raises(Interrupted):
        run(annotator, clip, Target(out), lambda: next(count, None) is None)
    stored = list((tmp_path / "out.jsonl.split").iterdir())
    (tmp_path / "out.jsonl.part.jsonl").touch()
    remove_split(out)
    assert stored and all(path.exists() for path in stored)
    Video(Source(str(clip), "video"), Target(out, resume=True)).run(annotator, None, lambda _: None, lambda: False)
    assert list(tmp_path.iterdir()) == [out]
    for name, goes in {"poses-00001.jsonl": True, "mine.txt": False}.items():
        (tmp_path / "out.jsonl.split").mkdir()
        (tmp_path / "out.jsonl.split" / name).touch()
        Video(Source(str(clip), "video"), Target(out, resume=True)).run(annotator, None, lambda _: None, lambda: False)
        assert (tmp_path / "out.jsonl.split").exists() != goes


@pytest.mark.parametrize("kind", ["x264.mp4", "open.mkv", "variable.mp4", "mpeg2.ts", "x265.mp4", "offset.mkv"])
def test_a_stretch_has_the_pictures_of_the_whole(kind: str, tmp_path: Path) -> None:
    uneven = [4 * index + (index % 3 == 0) + 900 * (kind == "offset.mkv") for index in range(FRAMES)]
    more: dict[str, dict[str, Any]] = {
        "open.mkv": {"x264-params": "open-gop=1:bframes=3"},
        "variable.mp4": {"pts": uneven},
        "offset.mkv": {"pts": uneven},
        "mpeg2.ts": {"codec": "mpeg2video", "pts": None},
        "x265.mp4": {"codec": "libx265", "x265-params": "log-level=none:open-gop=1"},
    }
    path = write(tmp_path / kind, **more.get(kind, {}))
    with VideoReader(path) as reader:
        whole = list(reader)
    times, decoded = FrameTimes.of(str(path), Selection("", None, None, 1))
    assert decoded == FRAMES and [(f.index, f.pts) for f in whole] == list(zip(times.index, times.pts, strict=True))
    for start, end in pairwise([0, 1, 12, 50, 99, FRAMES]):
        with RangeReader(path, times.part(start, end)) as stretch:
            assert stretch.info == reader.info
            frames = list(stretch)
        assert [(f.index, f.pts, f.seconds) for f in frames] == [(f.index, f.pts, f.seconds) for f in whole[start:end]]
        for one, other in zip(frames, whole[start:end], strict=True):
            assert np.array_equal(one.image, other.image), (kind, one.index)


@pytest.mark.parametrize("name", sorted(ODD_VIDEOS))
def test_odd_videos_are_read_right_or_refused(name: str, odd_video: Callable[[str], Odd]) -> None:
    path = odd_video(name).path
    with VideoReader(path) as reader:
        whole = list(reader)
    try:
        times, _ = FrameTimes.of(str(path), Selection("", None, None, 1))
        with RangeReader(path, times.part(len(times) // 2)) as stretch:
            frames = list(stretch)
    except InputError as error:
        assert "cannot be split (" in str(error) and name in REFUSED, error
        return
    assert name not in REFUSED and len(times) == len(whole)
    for one, other in zip(frames, whole[len(times) // 2 :], strict=True):
        assert (one.index, one.pts) == (other.index, other.pts) and np.array_equal(one.image, other.image)


def test_what_cannot_be_split(clip: Path, tmp_path: Path, tiny_model: Path, odd_video: Callable[[str], Odd]) -> None:
    target, source = Target(tmp_path / "out.jsonl"), Source(str(clip), "video")
    check_split(1, Options(), source, target)
    for seconds, options, where, to, says in [
        (0.5, {}, source, target, "--split 0.5: give at least 1 second"),
        (9, {"tracker": "botsort"}, source, target, "--split 9: --tracker botsort: looks at pictures"),
        (9, {}, source, replace(target, overlay=tmp_path / "o.mp4"), "--split 9: --overlay, --show: draw the finished"),
        (9, {}, source, replace(target, frames=tmp_path), "--split 9: --frames: write them with ftp convert"),
        (9, {}, Source("-", "video"), target, "--split 9: -: is for video files"),
        (9, {}, Source("pictures", "images"), target, "--split 9: pictures: is for"),
    ]:
        with pytest.raises(UsageError, match=says):
            check_split(seconds, Options(**options), where, to)
    annotator = Annotator(Options(weights=str(tiny_model)))
    twice = odd_video("repeated_times").path
    broken = bytearray(clip.read_bytes())
    broken[len(broken) // 2 : len(broken) // 2 + 400] = bytes(400)
    (tmp_path / "broken.mp4").write_bytes(broken)
    for path in (twice, tmp_path / "broken.mp4"):
        with pytest.raises(InputError, match=f"{path.name}: cannot be split"):
            run(annotator, path, Target(tmp_path / "x.jsonl", overwrite=True))
        assert not list(tmp_path.glob("x.jsonl*"))  # nor what was stored
        annotate_file(annotator, str(path), Target(tmp_path / "y.jsonl", overwrite=True))


def test_the_command(
    clip: Path, tiny_model: Path, random_detector: Path, command: Callable[..., Ran], tmp_path: Path
) -> None:
    """With processes; a summary and a status line as without."""
    shutil.copy(clip, tmp_path / "clip.mp4")
    boxes = mot_boxes(tmp_path / "boxes.txt", FRAMES, SIZE)
    (tmp_path / "list.csv").write_text(f"path,start,end,boxes\n{tmp_path}/clip.mp4,0.4,4,{boxes}\n")
    words = ("annotate", "--inputs-from", tmp_path / "list.csv", "--format", "jsonl", "--weights", tiny_model)
    words += ("--device", "cpu", "--skip-done")
    said = [command(*words, "--out", tmp_path / "whole"), command(*words, "--out", tmp_path / "split", "--split", 1)]
    assert [ran.code for ran in said] == [0, 0] and "interrupted" not in said[1].err, said[1].err
    one, other = (next((tmp_path / name).glob("*.jsonl")) for name in ("whole", "split"))
    assert one.read_bytes() == other.read_bytes() and len(list((tmp_path / "split").iterdir())) == 2
    again = command(*words, "--out", tmp_path / "split", "--split", 1)
    assert again.code == 0 and "is whole already" in again.err
    ran = command("annotate", clip, "--out", tmp_path / "a.jsonl", "--split", 1, "--overlay", tmp_path / "o.mp4")
    assert ran.code == 2 and "--split 1: --overlay" in ran.err and "ftp: on" not in ran.err
