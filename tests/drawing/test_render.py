"""``ftp render``: people on the frames they belong to, with the source's times and sound."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ftpcli.cli import main
from ftpcli.drawing.overlay import LEFT, RIGHT, Style, person_colour
from ftpcli.drawing.rendering import render
from ftpcli.errors import InputError, OutputError, UsageError
from ftpcli.formats import write_poses
from ftpcli.records import FramePoses, Header, RunInfo, SourceInfo
from ftpcli.skeleton import PERSON19
from ftpcli.video import VideoReader, VideoWriter, open_source
from tests.drawing.test_overlay import person
from tests.support.odd_videos import ODD_VIDEOS, audio_packets, encode, picture, read_mark

ROOT = Path(__file__).resolve().parent.parent.parent
BARE = Style(boxes=False, ids=False)


def poses_of(video, path: Path, *, format: str | None = None, tracks=(3,), options=None, fps=None, **selection) -> Path:
    """A poses file of a video: standing figures in the lower half of every frame, moving to the right."""
    records = []
    with open_source(video, fps=fps, **selection) as reader:
        info = reader.info
        for frame in reader:
            height, width = info.height, info.width
            people = []
            for place, track in enumerate(tracks):
                left = width * (0.1 + 0.3 * place) + frame.index % 8
                people.append(person((left, height * 0.55, left + width * 0.25, height * 0.97), track))
            records.append(FramePoses(frame.index, frame.pts, frame.seconds, tuple(people)))
    source = SourceInfo(
        path=Path(info.path).name,
        width=info.width,
        height=info.height,
        rotation=info.rotation,
        time_base=info.time_base,
        frames=reader.decoded,
        bad_packets=reader.bad_packets,
    )
    asked = {"start": None, "end": None, "every": 1, **{k: v for k, v in selection.items() if k != "rotate"}}
    write_poses(path, Header(PERSON19.joints, source, RunInfo(options=options or asked)), records, format)
    return path


def read(path):
    with VideoReader(path) as reader:
        frames = list(reader)
    return reader, frames


def marks(frames) -> list[int | None]:
    return [read_mark(frame.image, drawn_on=True) for frame in frames]


def near(image, colour) -> int:
    """Pixels of about this colour; encoding blurs them."""
    return int((np.abs(image.astype(int) - np.array(colour)).max(axis=2) < 60).sum())


@pytest.mark.parametrize("name", ODD_VIDEOS)
def test_odd_video(name, odd_video, tmp_path):
    odd = odd_video(name)
    poses = poses_of(odd.path, tmp_path / "poses.jsonl")
    done = render(odd.path, poses, tmp_path / "out.mp4", style=BARE, preset="ultrafast")
    before, after = read(odd.path), read(tmp_path / "out.mp4")
    assert marks(after[1]) == marks(before[1])
    assert done.frames == len(before[1]) == done.people
    assert [frame.seconds for frame in after[1]] == pytest.approx([frame.seconds for frame in before[1]], abs=1e-5)
    width, height = odd.size
    assert (after[0].info.width, after[0].info.height) == (width + width % 2, height + height % 2)
    assert (after[0].info.rotation, after[0].info.mirrored) == (0, False)
    assert after[0].info.sample_aspect_ratio == odd.aspect
    assert (done.audio, after[0].info.has_audio) == (odd.audio is not None,) * 2
    if odd.audio:
        assert len(audio_packets(odd.path)) == len(audio_packets(tmp_path / "out.mp4"))
    if width >= 96:
        assert all(near(frame.image[height // 2 :], LEFT) for frame in after[1])
    assert bool(done.warnings) == bool(odd.warning)


@pytest.mark.parametrize("format", ["jsonl", "coco", "posetrack", "posetrack17"])
def test_every_format(format, odd_video, tmp_path):
    odd = odd_video("aac_mp4")
    poses = poses_of(odd.path, tmp_path / "poses.json", format=format, tracks=(3, 7))
    done = render(odd.path, poses, tmp_path / "out.mp4", preset="ultrafast")
    assert (done.frames, done.people, done.ids, done.audio) == (12, 24, (3, 7), True)
    frames = read(tmp_path / "out.mp4")[1]
    assert marks(frames) == list(range(12))
    assert all(near(frame.image[32:], RIGHT) for frame in frames)


def test_figures_sit_where_the_poses_say(tmp_path):
    clip = encode(tmp_path / "clip.mp4", size=(320, 240))
    poses = poses_of(clip, tmp_path / "poses.jsonl")
    render(clip, poses, tmp_path / "out.mp4", style=Style(black=True, ids=False, boxes=False), crf=1)
    wrist = PERSON19.joints.index("left_wrist")
    for frame in read(tmp_path / "out.mp4")[1]:
        left = 32 + frame.index % 8
        expected = person((left, 132, left + 80, 232.8)).keypoints[wrist]
        x, y = expected.round().astype(int)
        assert np.abs(frame.image[y, x].astype(int) - LEFT).max() < 70
        assert frame.image[:120].max() < 20  # the picture itself is gone


def test_options_of_the_drawing(odd_video, tmp_path):
    odd = odd_video("aac_mp4")
    poses = poses_of(odd.path, tmp_path / "poses.jsonl", tracks=(3, 7))
    run = lambda name, **options: render(odd.path, poses, tmp_path / name, preset="ultrafast", **options)  # noqa: E731
    done = run("only.mp4", only=[7, 9], style=Style(black=True))
    assert done.ids == (7,) and done.people == 12
    assert done.warnings == (f"{poses}: has nobody with id 9",)
    image = read(tmp_path / "only.mp4")[1][4].image
    assert near(image, person_colour(7)) > 20 and near(image, person_colour(3)) == 0
    run("none.mp4", style=Style(threshold=0.95, boxes=False, ids=False))
    assert [read_mark(frame.image) for frame in read(tmp_path / "none.mp4")[1]] == list(range(12))
    assert not run("silent.mp4", audio=False).audio
    assert not read(tmp_path / "silent.mp4")[0].info.has_audio


def test_poses_of_a_range(tmp_path):
    clip = encode(tmp_path / "clip.mp4", count=50, audio="aac")
    poses = poses_of(clip, tmp_path / "poses.jsonl", start=0.4, end=1.2)
    done = render(clip, poses, tmp_path / "out.mp4", preset="ultrafast")
    frames = read(tmp_path / "out.mp4")[1]
    assert marks(frames) == list(range(10, 30))
    assert [frame.seconds for frame in frames] == pytest.approx([index / 25 for index in range(20)])
    times = [time for _, time in audio_packets(tmp_path / "out.mp4")]
    assert -0.03 < times[0] < 0.02 and 0.75 < times[-1] < 0.82
    assert done.people == 20


def test_poses_of_every_third_frame(odd_video, tmp_path):
    """All frames are written; those nobody looked at show nobody."""
    odd = odd_video("aac_mp4")
    poses = poses_of(odd.path, tmp_path / "poses.jsonl", every=3)
    done = render(odd.path, poses, tmp_path / "out.mp4", style=BARE, preset="ultrafast")
    frames = read(tmp_path / "out.mp4")[1]
    assert marks(frames) == list(range(12))
    assert [near(frame.image[32:], LEFT) > 0 for frame in frames] == [index % 3 == 0 for index in range(12)]
    assert (done.frames, done.people) == (12, 4)
    assert done.warnings == (f"{poses}: holds one frame of 3; the others show nobody",)


def test_start_end_and_every_together(tmp_path):
    clip = encode(tmp_path / "clip.mp4", count=50)
    poses = poses_of(clip, tmp_path / "poses.json", start=0.4, end=1.2, every=4)
    render(clip, poses, tmp_path / "out.mp4", style=BARE, preset="ultrafast")
    frames = read(tmp_path / "out.mp4")[1]
    assert marks(frames) == list(range(10, 30))
    assert [near(frame.image[32:], LEFT) > 0 for frame in frames] == [index % 4 == 0 for index in range(20)]


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("name", ["rotated_90", "rotated_270_mirrored", "non_square_pixels"])
def test_rotation_that_the_poses_were_made_with(name, rotation, odd_video, tmp_path):
    odd = odd_video(name)
    poses = poses_of(odd.path, tmp_path / "poses.jsonl", rotate=rotation)
    render(odd.path, poses, tmp_path / "out.mp4", style=BARE, crf=5)
    with VideoReader(odd.path, rotate=rotation) as reader:
        expected = [frame.image for frame in reader]
    written, frames = read(tmp_path / "out.mp4")
    assert written.info.sample_aspect_ratio == reader.info.sample_aspect_ratio
    assert frames[0].image.shape == expected[0].shape
    height = frames[0].image.shape[0] // 2
    assert np.abs(frames[5].image[:height].astype(int) - expected[5][:height]).mean() < 6


def test_image_folder(tmp_path):
    import cv2

    folder = tmp_path / "walk"
    folder.mkdir()
    for number in range(6):
        cv2.imwrite(str(folder / f"{number}.png"), picture(number))
    poses = poses_of(folder, tmp_path / "poses.jsonl", fps=Fraction(10))
    done = render(folder, poses, tmp_path / "out.mp4", style=BARE, preset="ultrafast")
    frames = read(tmp_path / "out.mp4")[1]
    assert marks(frames) == list(range(6))
    assert [frame.seconds for frame in frames] == [index / 10 for index in range(6)]
    assert done.warnings == ()


def test_truncated_video(tmp_path):
    from tests.support.odd_videos import faststart

    clip = faststart(tmp_path / "clip.mp4", 40)
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) * 9 // 11])
    poses = poses_of(clip, tmp_path / "poses.jsonl")
    done = render(clip, poses, tmp_path / "out.mp4", style=BARE, preset="ultrafast")
    assert marks(read(tmp_path / "out.mp4")[1]) == list(range(done.frames))
    assert 10 < done.frames < 40 and any("claims 40 frames" in line for line in done.warnings)


def test_foreign_coco_file(odd_video, tmp_path):
    """Another program's file: no times, no header, only some of the frames."""
    images = [{"id": index + 1, "file_name": f"{index:06d}.jpg", "width": 96, "height": 64} for index in range(12)]
    keypoints = [value for x, y in person((10, 35, 40, 62)).keypoints for value in (float(x), float(y), 2)]
    annotations = [
        {"id": 1, "image_id": 5, "category_id": 1, "bbox": [10, 35, 30, 27], "keypoints": keypoints, "score": 0.9}
    ]
    categories = [{"id": 1, "name": "person", "keypoints": list(PERSON19.joints), "skeleton": []}]
    poses = tmp_path / "poses.json"
    poses.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    done = render(odd_video("aac_mp4").path, poses, tmp_path / "out.mp4", style=BARE, preset="ultrafast")
    frames = read(tmp_path / "out.mp4")[1]
    assert [near(frame.image[32:], LEFT) > 0 for frame in frames] == [index == 4 for index in range(12)]
    assert (done.frames, done.people) == (12, 1)


# --- poses of another video, and other refusals ------------------------------------------------------------------


def refused(video, poses, out) -> str:
    with pytest.raises(InputError, match=r"poses\.json.*is of another video") as caught:
        render(video, poses, out, preset="ultrafast")
    assert not out.exists() and not any(name.endswith(".tmp") for name in os.listdir(out.parent))
    return str(caught.value)


@pytest.mark.parametrize("format", ["jsonl", "coco", "posetrack"])
def test_poses_of_another_video(format, odd_video, tmp_path):
    odd = odd_video("aac_mp4")
    poses = poses_of(odd.path, tmp_path / "poses.json", format=format)
    out = tmp_path / "out.mp4"
    other_size = refused(odd_video("uhd").path, poses, out)
    assert "96x64" in other_size and "3840x2160" in other_size
    shorter = encode(tmp_path / "shorter.mp4", count=8)
    assert "8 frames" in refused(shorter, poses, out)
    longer = encode(tmp_path / "longer.mp4", count=20)
    assert "12 frames" in refused(longer, poses, out)
    other_times = odd_video("variable_rate_with_gap").path
    if format != "posetrack":
        assert " s" in refused(other_times, poses, out)
    assert "time base" in refused(odd_video("gif").path, poses, out) or format == "posetrack"


def test_range_of_another_video(tmp_path):
    clip = encode(tmp_path / "clip.mp4", count=30)
    poses = poses_of(clip, tmp_path / "poses.json", start=0.4, end=1.0)
    shorter = encode(tmp_path / "shorter.mp4", count=20)
    assert "20 frames" in refused(shorter, poses, tmp_path / "out.mp4")
    much_shorter = encode(tmp_path / "much_shorter.mp4", count=5)
    with pytest.raises(InputError, match="another video"):
        render(much_shorter, poses, tmp_path / "out.mp4")


def test_inputs_are_never_overwritten(odd_video, tmp_path):
    clip = encode(tmp_path / "clip.mp4", count=3)
    poses = poses_of(clip, tmp_path / "poses.jsonl")
    content = clip.read_bytes()
    with pytest.raises(UsageError, match="is one of the inputs"):
        render(clip, poses, clip, overwrite=True)
    (tmp_path / "same.mp4").symlink_to(clip)
    with pytest.raises(UsageError, match="is one of the inputs"):
        render(clip, poses, tmp_path / "same.mp4", overwrite=True)
    assert clip.read_bytes() == content
    with pytest.raises(OutputError, match="exists already"):
        render(clip, poses, encode(tmp_path / "out.mp4", count=1))


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def ftp(monkeypatch, capsys):
    def run(*arguments) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ftp", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code or 0, capsys.readouterr().err

    return run


def test_command(ftp, odd_video, tmp_path):
    odd = odd_video("aac_mp4")
    poses = poses_of(odd.path, tmp_path / "poses.jsonl", tracks=(3, 7))
    out = tmp_path / "out.mp4"
    flags = [
        "--black",
        "--threshold",
        0.5,
        "--no-boxes",
        "--no-ids",
        "--ids",
        "7",
        "--crf",
        30,
        "--preset",
        "ultrafast",
    ]
    assert ftp("render", odd.path, poses, "--out", out, *flags) == (0, f"{out}: 12 frames, 1 person, with sound\n")
    image = read(out)[1][4].image
    assert near(image, LEFT) > 0 and near(image, person_colour(7)) == 0 and image[:20].max() < 20
    code, error = ftp("render", odd.path, poses, "--out", out)
    assert code == 1 and error == f"ftp: {out}: exists already; give --overwrite to replace it\n"
    assert ftp("render", odd.path, poses, "-o", out, "--overwrite", "--no-audio", "--quiet") == (0, "")
    with VideoReader(out) as reader:
        assert not reader.info.has_audio


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.mp4", "poses.jsonl", "--out", "x.mp4"], 1, "missing.mp4: no such file"),
        (["clip.mp4", "missing.jsonl", "--out", "x.mp4"], 1, "missing.jsonl: no such file or folder"),
        (["clip.mp4", "clip.mp4", "--out", "x.mp4"], 1, "clip.mp4: "),
        (["clip.mp4", "poses.jsonl", "--out", "x.avi"], 2, "x.avi: videos are written as .mp4"),
        (["clip.mp4", "poses.jsonl", "--out", "no/x.mp4"], 1, "no/x.mp4: the folder does not exist"),
        (["clip.mp4", "poses.jsonl", "--out", "x.mp4", "--ids", "a"], 2, "a: is not a list of ids"),
        (["clip.mp4", "poses.jsonl", "--out", "x.mp4", "--fps", "0"], 2, "0: is not a frame rate"),
        (["clip.mp4", "poses.jsonl", "--out", "x.mp4", "--preset", "x"], 2, None),
        (["clip.mp4", "poses.jsonl", "--out", "x.mp4", "--codec", "x"], 2, None),
        (["http://localhost/x.mp4", "poses.jsonl", "--out", "x.mp4"], 2, "http://localhost/x.mp4: is a network"),
        (["clip.mp4", "poses.jsonl"], 2, None),
        (["clip.mp4", "poses.jsonl", "--out", "x.mp4", "--crf", "99"], 2, None),
    ],
)
def test_command_refuses(arguments, code, message, ftp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    poses_of(encode(tmp_path / "clip.mp4", count=2), tmp_path / "poses.jsonl")
    got, error = ftp("render", *arguments)
    assert got == code
    if message is not None:  # else the option parser's own words
        assert error.startswith(f"ftp: {message}") and error.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "poses.jsonl"]


def test_standard_input(odd_video, tmp_path):
    path = odd_video("starts_at_ten_seconds").path
    poses = poses_of(path, tmp_path / "poses.jsonl")
    arguments = [sys.executable, "-m", "ftpcli", "render", "-", poses, "--out", tmp_path / "out.mp4", "--no-ids"]
    with path.open("rb") as file:
        run = subprocess.run(arguments, stdin=file, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert "-: sound cannot be copied from a pipe" in run.stderr
    assert marks(read(tmp_path / "out.mp4")[1]) == list(range(12))


def test_real_clip_with_sound(shared, tmp_path):
    clip = shared / "videos" / "dancer_with_sound.avi"
    poses = poses_of(clip, tmp_path / "poses.jsonl", end=3.0)
    done = render(clip, poses, tmp_path / "out.mp4", preset="ultrafast")
    before, after = audio_packets(clip), audio_packets(tmp_path / "out.mp4")
    assert done.audio and 110 < len(after) < 120
    assert [content for content, _ in after] == [content for content, _ in before[: len(after)]]
    assert [time for _, time in after] == pytest.approx([time for _, time in before[: len(after)]], abs=1e-4)
    with VideoReader(clip, end=3.0) as reader, VideoReader(tmp_path / "out.mp4") as written:
        for a, b in zip(reader, written, strict=True):
            assert a.seconds == b.seconds
            assert np.abs(a.image[:200].astype(int) - b.image[:200]).mean() < 5


def test_whole_of_the_sound_is_copied(shared, tmp_path):
    clip = shared / "videos" / "dancer_with_sound.avi"
    with VideoWriter(tmp_path / "out.mp4", 64, 48, Fraction(1, 25), audio_from=clip, preset="ultrafast") as writer:
        for index in range(0, 1571, 50):
            writer.write(picture(0, 64, 48), index)
    before, after = audio_packets(clip), audio_packets(tmp_path / "out.mp4")
    assert len(before) == 2408
    assert [content for content, _ in before] == [content for content, _ in after]
    assert max(abs(a - b) for (_, a), (_, b) in zip(before, after, strict=True)) < 1e-4
    assert math.isclose(after[-1][1], 62.87673, abs_tol=1e-4)
