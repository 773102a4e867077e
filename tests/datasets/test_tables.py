"""Every form that is written and read: there and back, through the tool that it is for, and damaged."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftpcli.annotation.conversion import convert
from ftpcli.choices import Format
from ftpcli.errors import EXIT_SOME_FAILED, InputError
from ftpcli.formats import SINKS, open_poses, write_poses
from ftpcli.records import FramePoses, Pose
from ftpcli.skeleton import PERSON19
from tests.support.formats_samples import SIZE, WRITABLE, header, walk
from tests.support.tiny import Ran

COUNT = 12
WRIST = PERSON19.joints.index("left_wrist")
#: Forms that are only written.
ONE_WAY = {"coco_results", "mot", "openpose", "openpose18", "trc", "yolo", "nwb", "deeplabcut_h5"}


@pytest.fixture
def items() -> list[FramePoses]:
    return walk(COUNT)


@pytest.fixture
def poses(tmp_path: Path, items: list[FramePoses]) -> Path:
    write_poses(tmp_path / "walk.jsonl", header(frames=COUNT), items)
    return tmp_path / "walk.jsonl"


def read(path: Path) -> list[FramePoses]:
    with open_poses(path) as reader:
        return list(reader)


def same(path: Path, wanted: list[FramePoses], *, scored: bool = True) -> None:
    """Frames with people, ids, and joints within a hundredth of a pixel, by their names."""
    with open_poses(path) as reader:
        found = {frame.index: frame for frame in reader}
        at = {joint: n for n, joint in enumerate(reader.header.joints)}
        timed = [frame.seconds for frame in found.values()]
    assert set(found) <= {frame.index for frame in wanted}
    for frame in wanted:
        mine = sorted(found[frame.index].poses, key=lambda p: p.track_id) if frame.index in found else []
        assert [p.track_id for p in mine] == [p.track_id for p in frame.poses], frame.index
        for p, q in zip(mine, frame.poses, strict=True):
            for n, joint in enumerate(PERSON19.joints):
                if joint not in at:  # a form with joints of its own
                    continue
                assert (p.confidence[at[joint]] > 0) == (q.confidence[n] > 0) or joint.endswith("_ear")
                if p.confidence[at[joint]] > 0:
                    np.testing.assert_allclose(p.keypoints[at[joint]], q.keypoints[n], atol=0.01)
                    assert not scored or p.confidence[at[joint]] == pytest.approx(q.confidence[n], abs=1e-6)
    times = {frame.index: frame.seconds for frame in wanted}
    assert all(np.isnan(t) or t == times[n] for n, t in zip(found, timed, strict=True))


@pytest.mark.parametrize("form", WRITABLE)
def test_there_and_back(tmp_path: Path, poses: Path, items: list[FramePoses], form: Format) -> None:
    out = tmp_path / f"out{SINKS[form].suffix}"
    convert(poses, out, form, joints="all" if form in ("coco", "cvat") else "default")
    if form in ONE_WAY:
        with pytest.raises(InputError):
            open_poses(out)
        return
    same(out, items)
    with open_poses(out) as reader:
        assert reader.format == {Format.CVAT: "coco", Format.SLEAP_ANALYSIS: "sleap"}.get(form, form)
    again = tmp_path / f"again{SINKS[form].suffix}"
    convert(out, again, form, joints="all" if form in ("coco", "cvat") else "default")
    same(again, items)


@pytest.mark.parametrize("form", ["csv_wide", "parquet_wide"])
def test_a_wide_table_keeps_boxes_scores_and_times(
    tmp_path: Path, poses: Path, items: list[FramePoses], form: str
) -> None:
    convert(poses, tmp_path / "a", form)
    with open_poses(tmp_path / "a") as reader:
        assert not reader.warnings and not reader.timed and reader.header.joints == PERSON19.joints
        found = list(reader)
    wanted = [frame for frame in items if frame.poses]
    assert [(f.index, f.seconds) for f in found] == [(f.index, f.seconds) for f in wanted]
    for a, b in zip(found, wanted, strict=True):
        assert [p.score for p in a.poses] == [p.score for p in b.poses]
        np.testing.assert_allclose([p.box for p in a.poses], [p.box for p in b.poses], atol=0.002)


def test_a_corrected_table_takes_times_and_empty_frames_from_the_video(
    tmp_path: Path, command: Callable[..., Ran]
) -> None:
    from ftpcli.video import open_source
    from tests.support.training_data import make_clips

    make_clips(tmp_path, clips=1, frames=6)
    rows = ["frame,seconds,track,joint,x,y,confidence", *(f"{n},{n / 9},5,nose,30,{40 + n},1" for n in (1, 4))]
    (tmp_path / "corrected.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "a.jsonl"
    for source in (tmp_path / "corrected.csv", tmp_path / "untimed.jsonl"):
        if source.suffix == ".jsonl":  # has seconds but not the video's ticks
            assert command("convert", tmp_path / "corrected.csv", source).code == 0
        run = command("convert", source, out, "--video", tmp_path / "0.mp4", "--overwrite")
        assert run.code == 0, run.err
        with open_source(tmp_path / "0.mp4") as video:
            wanted = [(frame.index, frame.pts, frame.seconds) for frame in video]
        found = read(out)
        assert [(f.index, f.pts, f.seconds) for f in found] == wanted
        assert [[p.track_id for p in f.poses] for f in found] == [[], [5], [], [], [5], []]


# --- through the tools --------------------------------------------------------------------------------------------


def moved(items: list[FramePoses]) -> list[FramePoses]:
    """The left wrists set by a person."""
    for frame in items:
        for pose in frame.poses:
            pose.keypoints[WRIST] = [12.5, 8.25]
            pose.confidence[WRIST] = 1.0
    return items


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_that_pandas_has_corrected(
    tmp_path: Path, poses: Path, items: list[FramePoses], wide: bool, kind: str
) -> None:
    pandas: Any = pytest.importorskip("pandas")
    if kind == "parquet" and not find_spec("pyarrow"):
        pytest.skip("pyarrow is not installed")
    path = tmp_path / f"a.{kind}"
    convert(poses, path, f"{kind}_wide" if wide else kind)
    rows = pandas.read_csv(path) if kind == "csv" else pandas.read_parquet(path)
    if wide:
        rows[["left_wrist_x", "left_wrist_y", "left_wrist_confidence"]] = [12.5, 8.25, 1.0]
    else:
        rows.loc[rows.joint == "left_wrist", ["x", "y", "confidence"]] = [12.5, 8.25, 1.0]
    rows = rows[[*reversed(rows.columns)]]  # columns go by name
    rows.to_csv(path) if kind == "csv" else rows.to_parquet(path)
    same(path, moved(items))


def test_deeplabcut_tables_that_pandas_has_saved(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    """As DeepLabCut keeps its HDF5 file and CSV beside each other."""
    pandas: Any = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    convert(poses, tmp_path / "a.h5")
    table = pandas.read_hdf(tmp_path / "a.h5", key="df_with_missing")
    assert table.columns.names == ["scorer", "individuals", "bodyparts", "coords"] and len(table) == COUNT
    table.to_csv(tmp_path / "a.csv")
    same(tmp_path / "a.csv", items)
    with open_poses(tmp_path / "a.csv") as reader:
        assert reader.format == "deeplabcut" and [frame.index for frame in reader] == list(range(COUNT))


def test_labels_of_deeplabcut_go_by_picture(tmp_path: Path) -> None:
    """ "CollectedData" of a project with one animal: no likelihood, and three columns for a picture's name."""
    rows = [
        "scorer,,,me,me,me,me",
        "bodyparts,,,nose,nose,left_knee,left_knee",
        "coords,,,x,y,x,y",
        "labeled-data,clip,img004.png,10.5,20,30,40",
        "labeled-data,clip,img000.png,,,31,41",
    ]
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    with open_poses(tmp_path / "a.csv") as reader:
        assert reader.header.joints == ("nose", "left_knee") and "file names" in " ".join(reader.warnings)
        first, second = reader
    assert (first.index, second.index) == (0, 4) and first.poses[0].track_id == second.poses[0].track_id == 1
    assert first.poses[0].confidence.tolist() == [0, 1] and second.poses[0].keypoints.tolist() == [[10.5, 20], [30, 40]]


def test_a_correction_in_sleap_counts_in_place_of_its_prediction(
    tmp_path: Path, poses: Path, items: list[FramePoses]
) -> None:
    sio: Any = pytest.importorskip("sleap_io")
    convert(poses, tmp_path / "a.slp")
    labels = sio.load_slp(str(tmp_path / "a.slp"))
    for frame in labels:
        for guess in list(frame.predicted_instances):
            points = guess.numpy()
            points[WRIST] = [12.5, 8.25]
            person = sio.Instance.from_numpy(points, labels.skeleton, track=guess.track)
            person.from_predicted = guess
            frame.instances.append(person)
    sio.save_slp(labels, str(tmp_path / "b.slp"), verbose=False)
    same(tmp_path / "b.slp", moved(items), scored=False)
    with open_poses(tmp_path / "b.slp") as reader:
        assert (reader.header.source.path, reader.header.source.width) == ("walk in park.mp4", SIZE[0])
        assert {c for frame in reader for pose in frame.poses for c in pose.confidence} <= {0.0, 1.0}


def test_movement_gives_tables_back(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    pytest.importorskip("movement")
    from movement.io import load_poses, save_poses

    convert(poses, tmp_path / "a.h5", "deeplabcut_h5")
    convert(poses, tmp_path / "a.analysis.h5")
    dlc = load_poses.from_dlc_file(tmp_path / "a.h5", fps=30)
    save_poses.to_dlc_file(dlc, tmp_path / "b.csv", split_individuals=False)
    same(tmp_path / "b.csv", items)
    analysis = load_poses.from_sleap_file(tmp_path / "a.analysis.h5", fps=30)
    save_poses.to_dlc_file(analysis, tmp_path / "c.csv", split_individuals=False)
    same(tmp_path / "c.csv", items)


# --- damaged ------------------------------------------------------------------------------------------------------

_HEAD = "frame,seconds,track,joint,x,y,confidence\n"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", _HEAD + "0,0,1,nose,1,2,0.5,7\n", "line 2: has 8 cells"),
        ("a.csv", _HEAD + "0,0,1,nose,left,2,0.5\n", "'left' is not a number"),
        ("a.csv", _HEAD + "0,0,1,nose,1e9,2,0.5\n", "'1e9' is not a number"),
        ("a.csv", _HEAD + "half,0,1,nose,1,2,0.5\n", "'half' is not a whole number"),
        ("a.csv", _HEAD + "4,0,1,nose,1,2,1\n2,0,1,nose,1,2,1\n", "sort the rows by frame"),
        ("a.csv", _HEAD + "4,0,1,nose,1,2,1\n4,0,1,nose,3,4,1\n", "stands twice"),
        ("a.csv", _HEAD + '4,0,1,"no', "not a table"),
        ("a.csv", _HEAD + "0,0,M\xfcller,nose,1,2,1\n", "save the table as UTF-8"),
        ("a.csv", _HEAD, "holds no people"),
        ("a.csv", "scorer,me\nbodyparts,nose\n0,1\n", "begins with rows"),
        ("a.csv", "when,what\n1,2\n", "a.csv"),
        ("a.csv", "frame,track,nose_x,nose_y,box_x,box_y,box_width,box_height\n0,1,2,3,0,0,-5,5\n", "line 2"),
        ("a.csv", "frame;track;joint;x;y\n0;1;nose;1;2\n", "not a poses file; give"),
        ("a.mp4", "\0\0\0\x20ftypisom\xff\xfe", "not a poses file; give"),
        ("a.parquet", "PAR1 and no more", "Parquet file cannot be read"),
        ("a.slp", "\x89HDF\r\n\x1a\n and no more", "SLEAP"),
    ],
)
def test_damaged_tables_are_one_line(
    tmp_path: Path, command: Callable[..., Ran], name: str, content: str, says: str
) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    run = command("convert", tmp_path / name, tmp_path / "out.jsonl")
    assert run.code == EXIT_SOME_FAILED and len(run.lines) == 1 and says in run.err and name in run.err, run.err
    assert not (tmp_path / "out.jsonl").exists()


def test_a_damaged_table_in_a_parquet_file_is_named(tmp_path: Path, command: Callable[..., Ran]) -> None:
    polars: Any = pytest.importorskip("polars")
    polars.DataFrame({"frame": [0], "track": [1], "joint": ["toe"], "x": [1.0], "y": [2.0]}).write_parquet(
        tmp_path / "a.parquet"
    )
    run = command("convert", tmp_path / "a.parquet", tmp_path / "b.csv")
    assert (
        run.code == EXIT_SOME_FAILED
        and f"{tmp_path / 'a.parquet'}: joint 'toe'" in run.err
        and "table.csv" not in run.err
    )


def test_tracks_with_names_get_numbers(tmp_path: Path) -> None:
    rows = [f"0,0,{who},nose,{x},2,1" for who, x in (("anna", 1), ("7", 2), ("", 3))]
    (tmp_path / "a.csv").write_text(_HEAD + "\n".join(rows) + "\n")
    with open_poses(tmp_path / "a.csv") as reader:
        (frame,) = reader
        assert "anna is 8" in " ".join(reader.warnings) and "no track id" in " ".join(reader.warnings)
    assert [pose.track_id for pose in frame.poses] == [8, 7, 9]


def test_a_person_keeps_what_is_known(tmp_path: Path) -> None:
    person = Pose(3, np.array([1.0, 2, 50, 60]), 0.5, np.full((19, 2), 20.0), np.full(19, 0.25))
    write_poses(tmp_path / "a.csv", header(), [FramePoses(0, 0, 0.0, (person,))])
    (frame,) = read(tmp_path / "a.csv")
    assert frame.poses[0].confidence.tolist() == [0.25] * 19 and frame.poses[0].score == 1.0
