"""``ftp annotate`` from end to end: one record per decoded frame, with its own time, in every kind of file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

import ftpcli
from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Interrupted, Target, annotate_file
from ftpcli.datasets.header import encode_run, encode_source
from ftpcli.device import Threads
from ftpcli.formats import open_poses
from ftpcli.video import VideoReader, VideoWriter
from tests.support.odd_videos import ODD_VIDEOS, audio_packets, encode, faststart, picture, read_mark
from tests.support.others_files import coco, pictures, put
from tests.support.stops import stop_after
from tests.support.tiny import Ran, mot_boxes, records, times
from tests.support.walkers import Bright, walkers

Command = Callable[..., Ran]


@pytest.fixture
def run(command: Command, tiny_model: Path, tmp_path: Path) -> Callable[..., Ran]:
    """``ftp annotate`` with the tiny model, in an empty folder; boxes from a file unless told otherwise."""

    def annotate(*arguments: object, boxes: Path | None = None, expect: int = 0) -> Ran:
        people = [] if boxes is None else ["--boxes", boxes]
        ran = command("annotate", *arguments, "--weights", tiny_model, *people)
        assert ran.code == expect and "Traceback" not in ran.err, ran.err
        return ran

    return annotate


@pytest.mark.parametrize("name", ODD_VIDEOS)
def test_odd_video(name, odd_video, run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Every decoded frame has one record, with the reader's index, pts and seconds and its people in their boxes."""
    odd = odd_video(name)
    out = tmp_path / "out.jsonl"
    expected = times(odd.path)
    assert not odd.seconds or [t[2] for t in expected] == pytest.approx(odd.seconds, abs=1e-9)
    boxes = mot_boxes(tmp_path / "boxes.txt", len(expected), odd.size)
    ran = run(odd.path, "--out", out, boxes=boxes)
    header, rows = records(out)
    assert [(row["index"], row["pts"], row["seconds"]) for row in rows] == expected
    source = header["source"]
    assert (source["path"], source["width"], source["height"]) == (odd.path.name, *odd.size)
    assert (source["rotation"], source["mirrored"]) == (odd.rotation, odd.mirrored)
    assert source["frames"] == source["annotated_frames"] == header["records"] == len(expected)
    assert odd.warning in " ".join(source["warnings"]) and bool(source["warnings"]) == bool(odd.warning)
    assert not odd.warning or any(odd.warning in line for line in ran.lines)
    for row in rows:
        for person in row["people"]:
            left, top, width, height = person["bbox"]
            points = np.array(person["keypoints"])
            assert points.shape == (19, 3) and (points[:, 2] >= 0).all() and (points[:, 2] <= 1).all()
            # Joints come from the crop, which is the box enlarged by a quarter and then to the crop's shape.
            reach = 1.5 * max(width, height)
            assert (abs(points[:, 0] - left - width / 2) < reach).all()
            assert (abs(points[:, 1] - top - height / 2) < reach).all()
    assert os.listdir(tmp_path).count("out.jsonl.part.jsonl") == 0


def test_what_a_form_cannot_hold_is_said_with_the_video_s_name(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip, boxes = encode(tmp_path / "clip.mp4", count=3), tmp_path / "boxes.txt"
    boxes.write_text("2,20000,10,8,40,50\n")
    ran = run(clip, "--out", tmp_path / "out.json", "--format", "posetrack", boxes=boxes, expect=1)
    assert f"ftp: {clip}: frame 1: track id 20000 does not fit" in ran.err


def test_people_are_those_of_the_boxes(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mp4", count=12)
    boxes = mot_boxes(tmp_path / "boxes.txt", 12, absent=(0, 7))
    run(clip, "--out", tmp_path / "out.jsonl", boxes=boxes)
    _, rows = records(tmp_path / "out.jsonl")
    of: dict[int, list[list[float]]] = {index: [] for index in range(12)}
    for line in boxes.read_text().split():
        frame, person, *box = map(float, line.split(","))
        of[int(frame) - 1].append([person, *box])
    for row in rows:
        got = [[p["track_id"], *p["bbox"]] for p in row["people"]]
        assert np.array(got) == pytest.approx(np.array(of[row["index"]]), abs=1e-3)
    assert rows[0]["people"] == rows[7]["people"] == []


@pytest.mark.parametrize(
    ("format", "suffix"), [(None, "json"), ("coco", "json"), ("posetrack", "json"), ("posetrack17", "json")]
)
def test_every_format_holds_every_frame(format, suffix, run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mkv", pts=[0, 400, 1500, 1777, 3000, 30000, 30512])
    boxes = mot_boxes(tmp_path / "boxes.txt", 7, absent=(3,))
    run(clip, "--out", tmp_path / "native.jsonl", boxes=boxes)
    out = tmp_path / f"out.{suffix}"
    run(clip, "--out", out, *([] if format is None else ["--format", format]), boxes=boxes)
    with open_poses(tmp_path / "native.jsonl") as native, open_poses(out) as other:
        assert other.format == (format or "coco")
        for one, two in zip(native, other, strict=True):
            assert [p.track_id for p in one.poses] == [p.track_id for p in two.poses]
            if format != "posetrack17":  # the old form has no room for times
                assert (one.index, one.pts, one.seconds) == (two.index, two.pts, two.seconds)
            here, there = native.header.joints.index("left_wrist"), other.header.joints.index("left_wrist")
            for a, b in zip(one.poses, two.poses, strict=True):
                assert b.keypoints[there] == pytest.approx(a.keypoints[here], abs=2e-3)
        assert other.header.source.path == "clip.mkv"


def test_coco_loads_in_pycocotools(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    coco = pytest.importorskip("pycocotools.coco")
    clip = encode(tmp_path / "clip.mp4", count=9)
    run(clip, "--out", tmp_path / "out.json", boxes=mot_boxes(tmp_path / "boxes.txt", 9, absent=(2,)))
    run(clip, "--out", tmp_path / "all.json", "--joints", "all", boxes=tmp_path / "boxes.txt")
    loaded = coco.COCO(str(tmp_path / "out.json"))
    assert len(loaded.getImgIds()) == 9 and len(loaded.getAnnIds(imgIds=3)) == 0
    assert {image["seconds"] for image in loaded.loadImgs(loaded.getImgIds())} == {n / 25 for n in range(9)}
    category = loaded.loadCats(1)[0]
    assert category["keypoints"][:3] == ["nose", "left_eye", "right_eye"] and len(category["keypoints"]) == 17
    assert len(loaded.loadAnns(1)[0]["keypoints"]) == 51
    assert len(json.loads((tmp_path / "all.json").read_text())["categories"][0]["keypoints"]) == 19


def test_start_end_every_select_by_time(odd_video, run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    odd = odd_video("starts_at_ten_seconds")
    whole = times(odd.path)
    boxes = mot_boxes(tmp_path / "boxes.txt", len(whole))
    run(odd.path, "--out", tmp_path / "whole.jsonl", boxes=boxes)
    run(odd.path, "--out", tmp_path / "part.jsonl", "--start", "10.08", "--end", "0:10.4", boxes=boxes)
    run(odd.path, "--out", tmp_path / "third.jsonl", "--every", 3, boxes=boxes)
    _, all_rows = records(tmp_path / "whole.jsonl")
    header, rows = records(tmp_path / "part.jsonl")
    assert [(r["index"], r["pts"], r["seconds"]) for r in rows] == [t for t in whole if 10.08 <= t[2] < 10.4]
    assert header["run"]["options"]["start"] == 10.08
    # Away from the ends the windows are the same, so the joints are.
    for row in rows[1:-1]:
        same = all_rows[row["index"]]
        assert [p["track_id"] for p in row["people"]] == [p["track_id"] for p in same["people"]]
    _, rows = records(tmp_path / "third.jsonl")
    assert [row["index"] for row in rows] == [0, 3, 6, 9]


def test_several_inputs_one_of_them_bad(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "c.mkv"):
        encode(folder / name, count=3, size=(64, 64))
    (folder / "b.mp4").write_text("no video\n" * 50)
    model = ["--detector-size", 64]
    ran = run(folder, folder / "missing.mp4", "--out", tmp_path / "outs", "--json", *model, expect=1)
    assert sorted(os.listdir(tmp_path / "outs")) == ["a.json", "c.json", "ftp-status.ndjson"]
    failed = [line for line in ran.lines if line.startswith("ftp: ") and "preparing the" not in line]
    assert len(failed) == 2 and "missing.mp4: no such file" in failed[0] and "b.mp4: not a video" in failed[1]
    told = json.loads(ran.out)
    assert [Path(done["out"]).name for done in told["done"]] == ["a.json", "c.json"]
    assert len(told["failed"]) == 2
    # A second time nothing is replaced; with --resume what is whole is passed over.
    before = (tmp_path / "outs" / "a.json").stat().st_mtime_ns
    ran = run(folder / "a.mp4", folder / "c.mkv", "--out", tmp_path / "outs", *model, expect=1)
    assert ran.err.count("exists already; give --overwrite") == 2
    ran = run(folder / "a.mp4", folder / "c.mkv", "--out", tmp_path / "outs", "--resume", *model)
    assert ran.err.count("is whole already, 3 frames") == 2
    assert (tmp_path / "outs" / "a.json").stat().st_mtime_ns == before


def test_a_folder_of_numbered_images(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(5):
        cv2.imwrite(str(folder / f"img{number + 8}.png"), picture(number)[:, :, ::-1])
    boxes = mot_boxes(tmp_path / "boxes.txt", 5)
    run(folder, "--fps", "30000/1001", "--out", tmp_path / "out.jsonl", boxes=boxes)
    header, rows = records(tmp_path / "out.jsonl")
    assert [row["seconds"] for row in rows] == pytest.approx([n * 1001 / 30000 for n in range(5)])
    assert header["source"]["path"] == "frames"
    run(folder, "--fps", "30000/1001", "--out", tmp_path / "out.json", boxes=boxes)
    images = json.loads((tmp_path / "out.json").read_text())["images"]
    assert [image["file_name"] for image in images] == [f"img{number}.png" for number in range(8, 13)]


def test_a_damaged_picture_takes_no_boxes_but_its_own(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Of a data set that names its pictures. What is left out is said once."""
    names = [f"{number}.png" for number in range(1, 6)]
    folder, data = pictures(tmp_path / "frames", names), coco(names)
    (folder / "3.png").write_bytes(b"nonsense")
    ran = run(folder, "--fps", "25", "--out", tmp_path / "out.jsonl", boxes=put(tmp_path / "boxes.json", data))
    _, rows = records(tmp_path / "out.jsonl")
    assert (
        [row["pts"] for row in rows] == [0, 1, 3, 4]
        and "1 damaged image left out" in ran.err
        and "decoded" not in ran.err
    )
    found = [sorted(pose["bbox"] for pose in row["people"]) for row in rows]
    own = [[one["bbox"] for one in data["annotations"] if one["image_id"] == image["id"]] for image in data["images"]]
    assert found == [sorted(boxes) for boxes in (*own[:2], *own[3:])]


@pytest.mark.parametrize("last", [False, True], ids=["nobody in the last picture", "people to the end"])
@pytest.mark.parametrize("form", ["jsonl", "json", "txt"])
def test_boxes_of_ours_keep_to_their_pictures(form, last, run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Before and after one of them is damaged, however the file says which they are."""
    folder = pictures(tmp_path / "frames", [f"{number}.png" for number in range(1, 9)])
    boxes = tmp_path / "boxes.txt"
    boxes.write_text("".join(f"{n},1,{10 + n},5,{20 + 2 * n},40,1,-1,-1,-1\n" for n in range(1, 9 if last else 7)))
    whole, given = tmp_path / "whole.jsonl", tmp_path / f"given.{form}"
    run(folder, "--out", whole, boxes=boxes)
    run(folder, "--out", given, boxes=boxes)
    (folder / "3.png").write_bytes(b"nonsense")
    right = {row["pts"]: [one["bbox"] for one in row["people"]] for row in records(whole)[1] if row["pts"] != 2}
    for number, file in enumerate((given, tmp_path / f"0.{form}")):
        run(folder, "--out", tmp_path / f"{number}.{form}", boxes=file)
        run(folder, "--out", tmp_path / f"{number}.jsonl", "--overwrite", boxes=file)
        rows = records(tmp_path / f"{number}.jsonl")[1]
        assert {row["pts"]: [one["bbox"] for one in row["people"]] for row in rows} == right
        assert len(rows) == 7


def test_nothing_is_overwritten_unasked(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mp4", count=3)
    boxes = mot_boxes(tmp_path / "boxes.txt", 3)
    out = tmp_path / "out.jsonl"
    out.write_text("precious\n")
    ran = run(clip, "--out", out, boxes=boxes, expect=1)
    assert "exists already; give --overwrite to replace it" in ran.err and out.read_text() == "precious\n"
    run(clip, "--out", out, "--overwrite", "--quiet", boxes=boxes)
    assert records(out)[0]["records"] == 3


@pytest.mark.parametrize("name", ["variable_rate_with_gap", "aac_mp4", "rotated_90", "odd_size"])
def test_overlay_has_the_source_s_frames_times_and_sound(name, odd_video, run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    odd = odd_video(name)
    expected = times(odd.path)
    boxes = mot_boxes(tmp_path / "boxes.txt", len(expected), odd.size)
    overlay = tmp_path / "overlay.mp4"
    run(odd.path, "--out", tmp_path / "out.jsonl", "--overlay", overlay, boxes=boxes)
    with VideoReader(overlay) as reader:
        frames = list(reader)
    assert [frame.seconds for frame in frames] == pytest.approx([t[2] for t in expected], abs=1e-4)
    assert [read_mark(frame.image, drawn_on=True) is not None for frame in frames].count(True) >= 0
    even = tuple(side + side % 2 for side in odd.size)
    assert (reader.info.width, reader.info.height, reader.info.rotation) == (*even, 0)
    assert [data for data, _ in audio_packets(overlay)] == [data for data, _ in audio_packets(odd.path)]
    plain = tmp_path / "plain.jsonl"
    run(odd.path, "--out", plain, boxes=boxes)
    assert plain.read_bytes() == (tmp_path / "out.jsonl").read_bytes()  # drawing changes no result


def test_summary_for_machines(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mp4", count=6)
    boxes = mot_boxes(tmp_path / "boxes.txt", 6, people=2)
    ran = run(clip, "--out", tmp_path / "out.jsonl", "--json", "--quiet", boxes=boxes)
    assert ran.err == ""
    told = json.loads(ran.out)
    assert told["failed"] == [] and len(told["done"]) == 1
    done = told["done"][0]
    poses = sum(len(row["people"]) for row in records(tmp_path / "out.jsonl")[1])
    assert (done["frames"], done["people"], done["tracks"], done["bad_packets"]) == (6, poses, 2, 0)
    assert done["seconds"] == pytest.approx(5 / 25) and done["elapsed"] > 0 and done["replayed"] == 0
    assert ran.out.count("\n") == 1


def test_what_is_printed(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mp4", count=3)
    ran = run(clip, "--out", tmp_path / "out.jsonl", "--device", "cpu", boxes=mot_boxes(tmp_path / "boxes.txt", 3))
    assert ran.err.startswith("ftp: starting\nftp: on cpu in ")
    assert "weights tiny.safetensors" in ran.err and ran.out == ""
    assert ran.lines[-1].startswith(f"{tmp_path / 'out.jsonl'}: 3 frames, 2 tracks, ")
    run_of = records(tmp_path / "out.jsonl")[0]["run"]
    assert run_of["device"] == "cpu" and run_of["precision"] in ("fp32", "bf16")
    assert run_of["version"] == ftpcli.__version__ and len(run_of["model"]["sha256"]) == 64


@pytest.mark.parametrize("people", [0, 1])
def test_one_frame_and_nobody(people, run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mp4", count=1)
    boxes = mot_boxes(tmp_path / "boxes.txt", 1, people=people)
    for suffix in ("jsonl", "json"):
        run(clip, "--out", tmp_path / f"out.{suffix}", boxes=boxes)
        with open_poses(tmp_path / f"out.{suffix}") as poses:
            assert [len(record.poses) for record in poses] == [people]


@pytest.mark.parametrize("comes", [1, 7, 8, 9])  # around the end of a chunk
def test_a_new_person_is_there_from_the_first_frame(comes, tmp_path, tiny_model, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    class Sure(Bright):
        def detect(self, image: np.ndarray) -> np.ndarray:
            return np.maximum(super().detect(image), np.array([0, 0, 0, 0, 0.9], np.float32))

    monkeypatch.setattr("ftpcli.people.loading.load_detector", lambda *a, **k: Sure())
    clip = tmp_path / "comer.mp4"
    with VideoWriter(clip, 160, 96, Fraction(1, 25), preset="ultrafast") as writer:
        for index in range(30):
            image = np.full((96, 160, 3), 20, np.uint8)
            if index >= comes:
                image[20:70, 20 + index : 42 + index] = 220
            if index == 20:
                image[20:70, 110:132] = 220  # a false alarm
            writer.write(image, index)
    people = [[pose.track_id for pose in record.poses] for record in ftpcli.annotate(str(clip), weights=tiny_model)]
    assert people == [[]] * comes + [[1]] * (30 - comes)


def test_the_first_frames_come_soon(tmp_path, tiny_model, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Two of them, before the detector has looked at more than one chunk."""
    looked: list[int] = []
    monkeypatch.setattr(Bright, "detect_batch", lambda self, images: looked.append(1) or [*map(self.detect, images)])
    monkeypatch.setattr("ftpcli.people.loading.load_detector", lambda *a, **k: Bright())
    monkeypatch.setattr("ftpcli.annotation.chain.can_reread", lambda path: False)  # everything in one thread
    clip = walkers(tmp_path / "clip.mp4", 27)
    with Annotator(Options(weights=str(tiny_model))).open(str(clip)) as annotation:
        chunks = annotation.chunks()
        assert [one.frame.index for one in next(chunks)] == [0, 1] and len(looked) == 1
        assert [len(chunk) for chunk in chunks] == [6, 8, 8, 3] and len(looked) == 4


def test_nobody_in_the_picture_for_the_bundled_detector(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from ftpcli.people.loading import BUNDLED

    if not BUNDLED.is_file():
        pytest.skip("the bundled detector is not there yet")
    clip = encode(tmp_path / "clip.mp4", count=5)
    run(clip, "--out", tmp_path / "out.jsonl", "--detector-size", 64)
    header, rows = records(tmp_path / "out.jsonl")
    assert [row["people"] for row in rows] == [[]] * 5
    assert header["run"]["people"]["detector"]["name"] == "bundled"


@pytest.mark.parametrize("share", [0.6, 0.9])
def test_truncated_files_keep_what_decodes_and_say_so(share, run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    whole = faststart(tmp_path / "whole.mp4", 40)
    cut = tmp_path / "cut.mp4"
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * share)])
    expected = times(cut)
    assert 0 < len(expected) < 40
    run(cut, "--out", tmp_path / "out.jsonl", boxes=mot_boxes(tmp_path / "boxes.txt", len(expected)))
    header, rows = records(tmp_path / "out.jsonl")
    assert [(row["index"], row["pts"], row["seconds"]) for row in rows] == expected
    assert any("claims 40 frames" in line for line in header["source"]["warnings"])


def test_same_input_same_files(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mp4", count=20)
    boxes = mot_boxes(tmp_path / "boxes.txt", 20)
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        for suffix in ("jsonl", "json"):
            run(clip, "--out", folder / f"out.{suffix}", "--overlay", folder / f"{suffix}.mp4", boxes=boxes)
        made.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert made[0] == made[1] and len(made[0]) == 4


def test_rotation_by_hand(odd_video, run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    odd = odd_video("rotated_90")
    run(odd.path, "--out", tmp_path / "out.jsonl", "--rotate", 0, boxes=mot_boxes(tmp_path / "boxes.txt", 12))
    source = records(tmp_path / "out.jsonl")[0]["source"]
    assert (source["width"], source["height"], source["rotation"]) == (96, 64, 0)


def test_our_own_poses_as_boxes(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mp4", count=10)
    first = tmp_path / "first.jsonl"
    run(clip, "--out", first, boxes=mot_boxes(tmp_path / "boxes.txt", 10))
    run(clip, "--out", tmp_path / "second.jsonl", boxes=first)
    assert records(tmp_path / "second.jsonl")[1] == records(first)[1]


def test_boxes_of_every_third_frame(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mp4", count=10)
    third = tmp_path / "third.jsonl"
    run(clip, "--out", third, "--every", 3, boxes=mot_boxes(tmp_path / "boxes.txt", 10))
    said = "third.jsonl: holds one frame of 3; in the others is nobody; --every 3 skips them"
    for every, told in ((1, True), (2, True), (3, False), (6, False)):
        ran = run(clip, "--out", tmp_path / f"{every}.jsonl", "--every", every, boxes=third)
        assert (said in ran.err) == told
        assert [bool(frame["people"]) for frame in records(tmp_path / f"{every}.jsonl")[1]] == [
            index % 3 == 0 for index in range(0, 10, every)
        ]


def test_a_pipe(run, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mkv", count=6)
    boxes = mot_boxes(tmp_path / "boxes.txt", 6)
    run(clip, "--out", tmp_path / "file.jsonl", boxes=boxes)
    saved = os.dup(0)
    try:
        with clip.open("rb") as file:
            os.dup2(file.fileno(), 0)
        run("-", "--out", tmp_path / "pipe.jsonl", boxes=boxes)
        ran = run("-", "--out", tmp_path / "again.jsonl", "--resume", boxes=boxes, expect=2)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
    assert "cannot be resumed" in ran.err
    assert records(tmp_path / "pipe.jsonl")[1] == records(tmp_path / "file.jsonl")[1]


def test_names_that_are_odd(run, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    boxes = mot_boxes(tmp_path / "boxes.txt", 2)
    clip = encode(tmp_path / "clip.mp4", count=2)
    for name in ("with space.mp4", "Grüße 走る.mp4", "a[1].mp4", "12:30.mp4", "%d.mp4"):
        shutil.copy(clip, name)
        run(name, "--out", "out.jsonl", "--overwrite", boxes=boxes)
        assert records(Path("out.jsonl"))[0]["source"]["path"] == name
    shutil.copy(clip, "-dash.mp4")
    run("--out", "out.jsonl", "--overwrite", "./-dash.mp4", boxes=boxes)


def test_the_library_gives_what_the_command_writes(run, tiny_model, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = encode(tmp_path / "clip.mp4", count=10)
    boxes = mot_boxes(tmp_path / "boxes.txt", 10)
    run(clip, "--out", tmp_path / "out.jsonl", "--smooth", "one-euro", boxes=boxes)
    with ftpcli.annotate(clip, weights=str(tiny_model), boxes=str(boxes), smooth="one-euro") as annotation:
        frames = list(annotation)
        header = annotation.header
    with ftpcli.open_poses(tmp_path / "out.jsonl") as poses:
        plain = [encode_source(header.source), json.loads(json.dumps(encode_run(header.run)))]
        assert plain == [encode_source(poses.header.source), encode_run(poses.header.run)]
        for mine, theirs in zip(frames, poses, strict=True):
            assert (mine.index, mine.pts, mine.seconds) == (theirs.index, theirs.pts, theirs.seconds)
            for a, b in zip(mine.poses, theirs.poses, strict=True):
                assert a.keypoints == pytest.approx(b.keypoints, abs=1e-3)


def test_real_clips_with_the_bundled_models(shared, command, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A second of each: people are found, and every record has the reader's time."""
    from ftpcli.people.loading import BUNDLED
    from ftpcli.pose.weights import DEFAULT_WEIGHTS

    if not BUNDLED.is_file() or not DEFAULT_WEIGHTS.is_file():
        pytest.skip("the bundled weights are not there yet")
    clips = sorted(path for path in (shared / "videos").iterdir() if path.suffix in (".mp4", ".webm", ".mov", ".mkv"))
    assert clips
    for clip in clips[:2]:
        with VideoReader(clip) as reader:
            info = reader.info
        out = tmp_path / f"{clip.stem}.jsonl"
        ran = command("annotate", clip, "--out", out, "--start", info.start, "--end", info.start + 0.5, "--every", 3)
        assert ran.code == 0, ran.err
        _, rows = records(out)
        with VideoReader(clip, start=info.start, end=info.start + 0.5, every=3) as reader:
            assert [(r["index"], r["pts"], r["seconds"]) for r in rows] == [(f.index, f.pts, f.seconds) for f in reader]


def test_a_run_after_one_that_ran_out_of_memory_can_be_resumed(tmp_path, tiny_model, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """The smaller batch goes on to the next source; what must be the same on resuming is the batch asked for."""
    import torch

    from ftpcli.model.ftp_pose import FTPPose

    def annotator() -> Annotator:
        one = Annotator(Options(weights=str(tiny_model), boxes=str(boxes)), engine="torch", batch=8)
        one.estimator.engine.threads = Threads(None)  # as on a GPU: whole batches
        return one

    clip, boxes = encode(tmp_path / "clip.mp4", count=20), mot_boxes(tmp_path / "boxes.txt", 20)
    honest, sizes = FTPPose.decode, []

    def full(self, tokens):  # type: ignore[no-untyped-def]
        if len(tokens) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return honest(self, tokens)

    monkeypatch.setattr(FTPPose, "decode", full)
    first = annotator()
    with pytest.warns(RuntimeWarning, match="out of memory"):
        annotate_file(first, str(clip), Target(tmp_path / "a.jsonl"))
    monkeypatch.setattr(FTPPose, "decode", lambda self, tokens: sizes.append(len(tokens)) or honest(self, tokens))
    with pytest.raises(Interrupted):
        annotate_file(first, str(clip), Target(tmp_path / "b.jsonl"), stop=stop_after(1))
    assert max(sizes) == 2
    assert annotate_file(annotator(), str(clip), Target(tmp_path / "b.jsonl", resume=True)).replayed == 8
    assert records(tmp_path / "b.jsonl")[0]["records"] == 20
