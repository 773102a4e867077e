"""Who goes into the output of a run: the same after a resume, recorded in the file, refused where it comes too late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ftpcli
from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Interrupted, Target, annotate_file
from ftpcli.cli.app import app
from ftpcli.errors import UsageError
from ftpcli.formats import open_poses
from tests.support.stops import stop_after
from tests.support.walkers import Bright, walkers


@pytest.fixture(autouse=True)
def bright(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftpcli.people.loading.load_detector", lambda *_, **__: Bright())


def ids_in(path: Path) -> dict[int, int]:
    counts: dict[int, int] = {}
    with open_poses(path) as poses:
        for frame in poses:
            for pose in frame.poses:
                counts[pose.track_id] = counts.get(pose.track_id, 0) + 1
    return counts


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_the_file_holds_who_was_chosen_and_says_who_was_not(suffix: str, tmp_path: Path, tiny_model: Path) -> None:
    video = str(walkers(tmp_path / "v.mp4"))
    everybody = annotate_file(Annotator(Options(weights=str(tiny_model))), video, Target(tmp_path / "all.jsonl"))
    counts = ids_in(tmp_path / "all.jsonl")
    assert len(counts) == everybody.tracks >= 2
    only = Annotator(Options(weights=str(tiny_model), ids=(2, 77), smooth="one-euro"))
    out = tmp_path / f"two.{suffix}"
    summary = annotate_file(only, video, Target(out))
    assert ids_in(out) == {2: counts[2]} and (summary.tracks, summary.people) == (1, counts[2])
    with open_poses(out) as poses:
        header = poses.header
    assert header.run.options["ids"] == [2, 77]
    others = ", ".join(str(track) for track in counts if track != 2)
    poses_out = sum(count for track, count in counts.items() if track != 2)
    assert f"left out by --ids: ids {others} ({poses_out} poses)" in header.source.warnings
    assert "--ids: there is nobody with id 77" in header.source.warnings
    assert set(header.source.warnings) <= set(summary.warnings)
    again = annotate_file(only, video, Target(out, resume=True))
    assert again.already and (again.tracks, again.people) == (1, counts[2])


def test_a_resumed_run_joins_the_same_tracks(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftpcli.people.tracking.MEMORY", 0.1)  # so that the one who leaves comes back with another id
    video = str(walkers(tmp_path / "v.mp4"))
    apart = annotate_file(Annotator(Options(weights=str(tiny_model))), video, Target(tmp_path / "apart.jsonl"))
    annotator = Annotator(Options(weights=str(tiny_model), join=1.0))
    whole = annotate_file(annotator, video, Target(tmp_path / "whole.jsonl"))
    assert whole.tracks < apart.tracks and whole.people == apart.people
    assert any("joined" in line for line in whole.warnings)
    with pytest.raises(Interrupted):
        annotate_file(annotator, video, Target(tmp_path / "out.jsonl"), stop=stop_after(3))
    annotate_file(annotator, video, Target(tmp_path / "out.jsonl", resume=True))
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_refused_where_the_output_is_made_on_the_way(tmp_path: Path, tiny_model: Path) -> None:
    video = str(walkers(tmp_path / "v.mp4", 10))
    options: dict[str, Any] = {"weights": str(tiny_model), "people": 1}
    with pytest.raises(UsageError, match="--people: is applied once the run is over"):
        annotate_file(Annotator(Options(**options)), video, Target(tmp_path / "a.jsonl", overlay=tmp_path / "a.mp4"))
    with pytest.raises(UsageError, match="--people: is applied once the run is over"):
        ftpcli.annotate(video, **options)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--people", "0"], "--people 0: must be at least 1"),
        (["--ids", "x"], "x: is not a list of ids"),
        (["--tracker", "sort"], "is not one of"),
        (["--select", "tallest"], "is not one of"),
        (["--people", "1", "--select", "best", "--boxes", "b.txt"], "--people: --boxes b.txt says who is who"),
        (["--people", "1", "--overlay", "o.mp4"], "too late for --overlay; draw the finished file with ftp render"),
        (["--appearance"], "--appearance: bytetrack does not look at pictures"),
    ],
)
def test_one_line_before_models_load(arguments: list[str], said: str, tmp_path: Path) -> None:
    video = walkers(tmp_path / "v.mp4", 3)
    result = CliRunner().invoke(app, ["annotate", str(video), "--out", str(tmp_path / "o.jsonl"), "-q", *arguments])
    text = (
        result.output if result.exception is None or isinstance(result.exception, SystemExit) else str(result.exception)
    )
    assert said in " ".join(text.replace("│", " ").split()) and result.exit_code
