"""People of each frame: tracker on given detections, box files, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftpcli.annotation.options import Options
from ftpcli.errors import InputError, UsageError
from ftpcli.files.tensors import sha256
from ftpcli.people.sources import BoxesFile, DetectAndTrack
from ftpcli.people.tracking import Tracker, TrackerName
from ftpcli.records import Frame, FramePoses, Header, Pose, RunInfo, SourceInfo, TrackedFrame, VideoInfo
from ftpcli.skeleton import PERSON19
from tests.support.walkers import followed

WIDTH, HEIGHT, FRAMES = 320, 240, 40
INFO = VideoInfo("walk.mp4", WIDTH, HEIGHT, 0, Fraction(1, 30), Fraction(30), FRAMES, FRAMES / 30, 0.0, "h264", False)


def frame(index: int, seed: int = 0) -> Frame:
    image = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    return Frame(index, index, index / 30, image)


class Walkers:
    """Two people crossing; the second is away for ``gap`` frames from frame 10 on."""

    score = 0.4

    def __init__(self, gap: int = 0, weak: tuple[int, ...] = ()) -> None:
        self.gap, self.weak, self.calls = gap, weak, 0

    def at(self, index: int) -> np.ndarray:
        left = [20 + 2 * index, 40, 60 + 2 * index, 200, 0.15 if index in self.weak else 0.9]
        right = [280 - 2 * index, 50, 330 - 2 * index, 210, 0.8]
        rows = [left] if 10 <= index < 10 + self.gap else [left, right]
        return np.array(rows, np.float32)

    def detect(self, image: np.ndarray) -> np.ndarray:
        self.calls += 1
        return self.at(self.calls - 1)

    def detect_batch(self, images: Any) -> list[np.ndarray]:
        return [self.detect(image) for image in images]

    def describe(self) -> dict[str, Any]:
        return {"name": "walkers"}


def frames(count: int, **more: Any) -> list[Frame]:
    return [frame(i, **more) for i in range(count)]


@pytest.mark.parametrize("tracker", TrackerName)
def test_ids_stay_with_the_people_and_begin_at_one(tracker: str) -> None:
    for _ in range(2):  # a second video in the same process begins at 1 again
        rows = [one.people for one in followed(DetectAndTrack(Walkers(), tracker, 30), frames(12))]
        assert all([p.track_id for p in people] == [1, 2] for people in rows)
        assert all(people[0].box[0] == 20 + 2 * i for i, people in enumerate(rows))


def test_boxes_are_those_of_the_detector_cut_to_the_picture() -> None:
    (only,) = followed(DetectAndTrack(Walkers(), frame_rate=30), frames(1))
    person = only.people[1]
    assert person.box.tolist() == [280, 50, WIDTH, 210] and person.box.dtype == np.float64
    assert person.score == pytest.approx(0.8)


@pytest.mark.parametrize("tracker", TrackerName)
def test_weak_detections_carry_a_track_on_but_start_none(tracker: str) -> None:
    rows = [one.people for one in followed(DetectAndTrack(Walkers(weak=(5, 6, 7)), tracker, 30), frames(10))]
    assert [p.track_id for p in rows[6]] == [1, 2] and rows[6][0].score == pytest.approx(0.15)
    alone = followed(DetectAndTrack(Walkers(weak=tuple(range(40))), tracker, 30), frames(5))
    assert [[p.score > 0.5 for p in one.people] for one in alone] == [[True]] * 5


@pytest.mark.parametrize("tracker", TrackerName)
@pytest.mark.parametrize(("rate", "gap", "kept"), [(60, 30, True), (60, 70, False), (5, 4, True), (5, 12, False)])
def test_an_id_survives_about_a_second_whatever_the_frame_rate(tracker: str, rate: float, gap: int, kept: bool) -> None:
    class Still(Walkers):
        def at(self, index: int) -> np.ndarray:
            return np.array([[100, 40, 160, 200, 0.9]] if not 10 <= index < 10 + gap else np.zeros((0, 5)), np.float32)

    source = DetectAndTrack(Still(), tracker, rate)
    ids = {p.track_id for one in followed(source, frames(10 + gap + 5)) for p in one.people}
    assert ids == ({1} if kept else {1, 2})


@pytest.mark.parametrize(("tracker", "appearance"), [(t, a) for t in TrackerName for a in {False, t.sees}])
def test_replayed_detections_give_the_same_people(tracker: TrackerName, appearance: bool) -> None:
    pictures = [frame(i, i) for i in range(30)]
    live = list(followed(DetectAndTrack(Walkers(gap=6), tracker, 30, appearance=appearance), pictures))
    again = DetectAndTrack(Walkers(gap=6), tracker, 30, appearance=appearance)
    stored = [TrackedFrame(one.frame, detections=one.detections) for one in live]
    for before, after in zip(live, again.follow(stored), strict=True):
        assert before.frame is after.frame and len(before.detections) >= len(before.people)
        assert [(p.track_id, p.box.tolist(), p.score) for p in before.people] == [
            (p.track_id, p.box.tolist(), p.score) for p in after.people
        ]
    assert again.detector.calls == 0


@pytest.mark.parametrize("tracker", TrackerName)
def test_new_people_are_reported_late_but_placed_from_the_start(tracker: str) -> None:
    class Comers(Walkers):
        """Somebody comes in frame 4; frame 8 has a false alarm."""

        def at(self, index: int) -> np.ndarray:
            rows = [[20 + 2 * index, 40, 60 + 2 * index, 200, 0.9]]
            rows += [[280 - 2 * index, 50, 330 - 2 * index, 210, 0.8]] * (index >= 4)
            return np.array(rows + [[150, 100, 170, 140, 0.7]] * (index == 8), np.float32)

    pictures = [frame(i, 1) for i in range(12)]
    final = list(followed(DetectAndTrack(Comers(), tracker, 30), pictures))
    assert [one.frame for one in final] == pictures
    assert [[p.track_id for p in one.people] for one in final] == [[1]] * 4 + [[1, 2]] * 8
    assert final[4].people[1].box.tolist() == [272, 50, 320, 210]
    found = Tracker(tracker, 30)
    for i in range(6):
        people, late = found.update(Comers().at(i), pictures[i].image)
        assert people[:, 0].tolist() == ([1, 2] if i > 4 else [1])
        assert late[:, 0].tolist() == ([2] if i == 5 else [])


@pytest.mark.parametrize("first", [0, 2])
def test_between_two_looks_people_move_on_straight_lines(first: int) -> None:
    """Somebody walks at one speed, somebody else comes late and leaves; a shot may begin and end between two looks."""
    looked = range(first, 10, 3)  # 0, 3, 6, 9 or 2, 5, 8
    boxes = {
        at: [[10 + 4 * at, 20, 40 + 4 * at, 90, 0.9]] + [[200, 30, 240, 95, 0.8]] * (2 < at < 9) for at in range(10)
    }
    given = [
        TrackedFrame(one, detections=np.array(boxes[one.index], np.float32) if one.index in looked else None)
        for one in frames(10)
    ]
    out = list(DetectAndTrack(Walkers(), frame_rate=10).follow(given))
    assert [one.frame.index for one in out] == list(range(10))
    for one in out:
        at = min(max(one.frame.index, looked[0]), looked[-1])
        assert one.people[0].box == pytest.approx(boxes[at][0][:4])
        assert one.people[0].filled == (one.frame.index not in looked)
    assert [one.frame.index for one in out if len(one.people) == 2] == ([3, 4, 5, 6] if not first else [5, 6, 7, 8, 9])


def test_no_people_is_no_error() -> None:
    nobody = (TrackedFrame(one, detections=np.zeros((0, 5), np.float32)) for one in frames(3))
    assert [one.people for one in DetectAndTrack(Walkers(), frame_rate=None).follow(nobody)] == [()] * 3


def test_unknown_tracker() -> None:
    with pytest.raises(UsageError, match="--tracker sort: choose bytetrack or botsort"):
        Options(tracker="sort")
    with pytest.raises(UsageError, match="--appearance: ocsort does not look at pictures; choose botsort or"):
        Options(tracker="ocsort", appearance=True)


def test_every_tracker_of_ultralytics_can_be_chosen() -> None:
    from ftpcli.people._ultralytics import TRACKER_MAP

    assert set(TrackerName) == set(TRACKER_MAP)


@pytest.mark.parametrize("tracker", [name for name in TrackerName if name.sees])
def test_appearance_tells_people_apart(tracker: TrackerName) -> None:
    """Two people who stand close, red and blue: the tracker keeps how each looks, if it is asked to."""
    image = frame(0).image.copy()
    for left, colour in ((40, (220, 20, 20)), (110, (20, 20, 220))):
        image[40:200, left : left + 40] = colour
    boxes = np.array([[40, 40, 80, 200, 0.9], [110, 40, 150, 200, 0.9]], np.float32)
    for appearance in (False, True):
        one = Tracker(tracker, 25, appearance=appearance)
        for _ in range(4):
            one.update(boxes, image)
        looks = [track.smooth_feat for track in one._tracker.tracked_stracks]
        if not appearance:
            assert looks == [None, None]
        else:
            assert looks[0] @ looks[1] < 0.1 and looks[0] @ looks[0] == pytest.approx(1)


# -- boxes from files


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_mot_text(tmp_path: Path) -> None:
    path = write(tmp_path / "b.txt", "2,7,10.5,20,30,40,0.8,-1,-1,-1", "1,3,0,0,50,60,1,-1,-1,-1", "2,3,-20,0,50,60")
    source = BoxesFile(path, INFO)
    assert [(p.track_id, p.box.tolist(), p.score) for p in source(frame(1)).people] == [
        (3, [0, 0, 30, 60], 1.0),
        (7, [10.5, 20, 40.5, 60], 0.8),
    ]
    assert len(source(frame(0)).people) == 1 and source(frame(2)).people == ()
    assert source.describe() == {"boxes": "b.txt", "sha256": (digest := sha256(path)), "format": "mot"}
    path.unlink()  # by whoever thinks that the run has read it
    assert source.describe()["sha256"] == digest
    source.check_end(FRAMES)


def test_mot_text_with_blanks_and_scores_of_other_scales(tmp_path: Path) -> None:
    path = write(tmp_path / "b.txt", "", "# made by hand", "1 1 10 10 20 20 73.5", "2 1 10 10 20 20 -1")
    source = BoxesFile(path, INFO)
    assert source(frame(0)).people[0].score == source(frame(1)).people[0].score == 1.0


def test_mot_ground_truth_flags_and_classes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "gt.txt",
        "1,1,10,10,20,20,1,1,0.9",
        "1,2,50,10,20,20,0,1,0.9",
        "1,3,90,10,20,20,1,3,1",
        "1,4,1,1,9,9,1,7,1",
    )
    assert [p.track_id for p in BoxesFile(path, INFO)(frame(0)).people] == [1, 4]


def test_mot_ground_truth_says_what_it_leaves_out(tmp_path: Path) -> None:
    path = write(tmp_path / "gt.txt", "1,1,10,10,20,20,1,1,0.9", "1,2,50,10,20,20,0,1,0.9", "1,3,90,10,20,20,1,3,1")
    assert list(BoxesFile(path, INFO).warnings) == [
        "gt.txt: 2 boxes are left out: 1 marked with 0, to be ignored, "
        "1 of class 3, where people are class 1 or 2 or 7",
    ]


@pytest.mark.parametrize("tail", ["", ",-1"])
@pytest.mark.parametrize(
    ("classes", "ids", "left_out"),
    [
        ((0, 0, 0), [1, 2, 3], 0),  # detectors count from 0
        ((0, 2, 0), [1, 3], 1),
        ((1, 1, 3), [1, 2], 1),  # without any 0 they count from 1
        ((-1, -1, -1), [1, 2, 3], 0),  # says nothing
    ],
)
def test_classes_of_trackers(
    tmp_path: Path, classes: tuple[int, ...], ids: list[int], left_out: int, tail: str
) -> None:
    rows = [f"1,{n},{40 * n},10,20,20,0.{n + 5},{kind}{tail}" for n, kind in enumerate(classes, 1)]
    source = BoxesFile(write(tmp_path / "b.txt", *rows), INFO)
    assert [(p.track_id, p.score) for p in source(frame(0)).people] == [(i, (i + 5) / 10) for i in ids]
    assert len(source.warnings) == left_out


def test_a_file_in_which_nobody_is_a_person_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "b.txt", "1,1,10,10,20,20,0.9,3,-1", "2,1,10,10,20,20,0.9,5,-1")
    with pytest.raises(InputError, match=r"no person is left \(2 boxes are left out: 1 of class 3.*1 of class 5"):
        BoxesFile(path, INFO)


def test_an_empty_file_means_nobody_and_that_is_said(tmp_path: Path) -> None:
    source = BoxesFile(write(tmp_path / "b.txt"), INFO)
    assert source(frame(0)).people == () and list(source.warnings) == ["b.txt: there is nobody in it"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1,1,10,10,20", "line 2 has 5 numbers"),
        ("1,1,nan,10,20,20", "line 2 holds a number that is not finite"),
        ("1,1,10,inf,20,20", "line 2 holds a number that is not finite"),
        ("1,1,10,10,1e30,20", "far too large"),
        ("1,1,10,10,-20,20", "a box of -20 x 20"),
        ("0,1,10,10,20,20", "frame number 0"),
        ("1.5,1,10,10,20,20", "frame number 1.5"),
        ("1,-1,10,10,20,20", "id -1"),
        ("9,5,10,10,20,20", "line 2 names id 5 a second time in frame 8, counted from 0"),
        ("41,1,10,10,20,20", "line 2 has people in frame 40, counted from 0, but walk.mp4 has 40 frames"),
        ("frame,id,x,y,w,h", "line 2 is not MOT text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = write(tmp_path / "b.txt", "9,5,10,10,20,20", line)
    with pytest.raises(InputError) as caught:
        BoxesFile(path, INFO)
    assert says in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_boxes_of_a_larger_video_do_not_fit(tmp_path: Path) -> None:
    path = write(tmp_path / "b.txt", *(f"{i + 1},1,{i * 40},10,60,100" for i in range(FRAMES)))
    with pytest.raises(InputError, match=r"32 of 40 boxes lie beside the 320x240 picture"):
        BoxesFile(path, INFO)


def test_one_box_beside_the_picture_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "b.txt", *(f"{i + 1},1,{10 if i < 39 else 400},10,60,100" for i in range(FRAMES)))
    source = BoxesFile(path, INFO)
    assert len(source(frame(38)).people) == 1 and source(frame(39)).people == ()
    assert "1 of 40 boxes lie beside the 320x240 picture of walk.mp4 and are left out" in source.warnings[0]


def test_more_frames_than_the_video_turned_out_to_have(tmp_path: Path) -> None:
    source = BoxesFile(write(tmp_path / "b.txt", "50,1,10,10,20,20"), replace(INFO, frames=None))
    source.check_end(50)
    with pytest.raises(InputError, match="has people in frame 49, counted from 0, but the video has 49 frames"):
        source.check_end(49)


def test_files_that_are_no_boxes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        BoxesFile(tmp_path / "missing.txt", INFO)
    binary = tmp_path / "b.txt"
    binary.write_bytes(b"\xff\xfe\x00\x01\x80")
    with pytest.raises(InputError, match="in UTF-16; save it as UTF-8"):
        BoxesFile(binary, INFO)
    with pytest.raises(InputError):
        BoxesFile(write(tmp_path / "b.json", "[1, 2"), INFO)


def poses_file(path: Path, run: RunInfo = RunInfo(), width: int = WIDTH, count: int = FRAMES, **more: object) -> Path:
    from ftpcli.formats import write_poses

    joints = np.full((len(PERSON19.joints), 2), 50.0)
    rows = [
        FramePoses(
            i,
            i,
            i / 30,
            (Pose(4, np.array([10.0 + i, 20, 60 + i, 120]), 0.9, joints, np.ones(len(joints))),) if i % 2 else (),
        )
        for i in range(count)
    ]
    known: dict[str, Any] = {"width": width, "height": HEIGHT, "time_base": Fraction(1, 30), "frames": count, **more}
    write_poses(path, Header(PERSON19.joints, SourceInfo(path="walk.mp4", **known), run), rows)
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_our_own_poses_files(tmp_path: Path, suffix: str) -> None:
    source = BoxesFile(poses_file(tmp_path / f"poses.{suffix}"), INFO)
    assert source(frame(2)).people == ()
    (person,) = source(frame(3)).people
    assert (
        person.track_id == 4 and person.box == pytest.approx([13, 20, 63, 120]) and person.score == pytest.approx(0.9)
    )


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_a_poses_file_of_another_video(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match="width 640"):
        BoxesFile(poses_file(tmp_path / f"a.{suffix}", width=640), INFO)
    with pytest.raises(InputError, match="frames"):
        BoxesFile(poses_file(tmp_path / f"b.{suffix}", count=12), INFO)
    # Our own file of a damaged copy, or of a part, knows that frames are missing.
    for option in ("end", "duration"):
        part = poses_file(tmp_path / f"{option}.{suffix}", RunInfo(options={option: 0.4}), count=12)
        assert BoxesFile(part, INFO)(frame(3)).people
    damaged = BoxesFile(poses_file(tmp_path / f"c.{suffix}", count=12, bad_packets=2), INFO)
    assert damaged(frame(3)).people
