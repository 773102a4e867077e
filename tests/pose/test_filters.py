"""Filters over whole tracks, on motion whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ftpcli.errors import EXIT_SOME_FAILED, EXIT_USAGE, InputError, UsageError
from ftpcli.formats import open_poses, write_poses
from ftpcli.pose.filters import Filter
from ftpcli.pose.smoothing import Smoothing
from ftpcli.records import FramePoses, Pose
from tests.support.formats_samples import flat, frames, header
from tests.support.tiny import Ran

pytest.importorskip("scipy")
AHEAD = [kind for kind in Smoothing if kind.whole_tracks]
BOX = np.array([0.0, 0.0, 200.0, 400.0])
NOISE = 3.0


def motion(times: np.ndarray) -> np.ndarray:
    """(T, 2, 2) a joint that swings at 1 Hz and one that walks."""
    swing = np.column_stack([100 + 60 * np.sin(2 * np.pi * times), 200 + 40 * np.cos(2 * np.pi * times)])
    return np.stack([swing, np.column_stack([50 * times, 300 + 0 * times])], axis=1)


def film(times: Iterable[float], points: np.ndarray, confidence: np.ndarray | None = None) -> list[FramePoses]:
    scores = np.ones(points.shape[:2]) if confidence is None else confidence
    return [
        FramePoses(n, round(t * 1000), float(t), (Pose(1, BOX, 0.9, points[n].copy(), scores[n].copy()),))
        for n, t in enumerate(times)
    ]


def places(items: Iterable[FramePoses]) -> np.ndarray:
    return np.array([frame.poses[0].keypoints for frame in items])


def error(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(found - truth, axis=-1).mean())


def jitter(found: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(found, 2, axis=0), axis=-1).mean())


@pytest.mark.parametrize("kind", AHEAD)
@pytest.mark.parametrize("uneven", [False, True])
def test_noise_goes_and_the_motion_stays(kind: Smoothing, uneven: bool) -> None:
    rng = np.random.default_rng(1)
    times = np.arange(240) / 60
    if uneven:
        times = np.sort(times + rng.uniform(-0.006, 0.006, 240))
    truth = motion(times)
    noisy = truth + rng.normal(0, NOISE, truth.shape)
    chosen = Filter(kind)
    found = places(chosen(film(times, noisy)))
    assert error(found, truth) < 0.75 * error(noisy, truth)
    assert jitter(found) < 0.4 * jitter(noisy)
    assert ("joints at uneven times, resampled" in chosen.counts) == uneven
    clean = places(Filter(kind)(film(times, truth)))
    assert error(clean[12:-12], truth[12:-12]) < (4.5 if kind is Smoothing.GAUSSIAN else 1.5), "no lag, no shrinking"


def test_butterworth_passes_half_the_power_at_its_cutoff() -> None:
    times = np.arange(1200) / 100
    for hertz, share in ((6.0, 0.5**0.5), (2.0, 1.0), (24.0, 0.0)):
        points = np.zeros((1200, 2, 2))
        points[..., 0] = (100 * np.sin(2 * np.pi * hertz * times))[:, None]
        for kind in (Smoothing.BUTTERWORTH, Smoothing.GAUSSIAN):
            if kind is Smoothing.GAUSSIAN and hertz != 6.0:
                continue
            found = places(Filter(kind, cutoff=6.0)(film(times, points)))[200:-200, 0, 0]
            assert np.abs(found).max() / 100 == pytest.approx(share, abs=0.02)


def test_boxes_scores_and_what_is_absent_stay() -> None:
    items = frames(30, seed=2)
    for kind in AHEAD:
        for before, after in zip(items, Filter(kind)(items), strict=True):
            people = sorted(before.poses, key=lambda pose: pose.track_id)
            assert flat(after)[:3] == flat(before)[:3]
            for p, q in zip(people, after.poses, strict=True):
                assert (p.track_id, p.score, p.box.tolist()) == (q.track_id, q.score, q.box.tolist())
                assert p.confidence.tolist() == q.confidence.tolist()


def test_gaps_are_filled_up_to_the_length_that_is_asked_for() -> None:
    times = np.arange(60) / 30
    truth = motion(times)
    seen = np.ones((60, 2))
    seen[10:13, 1] = 0  # 0.13 s between the neighbours
    seen[30:40, 1] = 0
    items = film(times, np.where(seen[..., None] > 0, truth, 0.0), seen)
    items[20] = FramePoses(20, items[20].pts, items[20].seconds, ())
    items[50:58] = [FramePoses(f.index, f.pts, f.seconds, ()) for f in items[50:58]]
    chosen = Filter(Smoothing.NONE, fill_gaps=0.2)
    found = list(chosen(items))
    assert chosen.counts == {"joints filled in": 3 + 2, "people filled in": 1}
    assert [f.index for f in found] == list(range(60)) and found[20].poses[0].filled
    assert not found[10].poses[0].filled and [len(f.poses) for f in found[50:58]] == [0] * 8
    for n in (10, 11, 12, 20):
        np.testing.assert_allclose(found[n].poses[0].keypoints[1], truth[n, 1], atol=1e-9)
        assert found[n].poses[0].confidence[1] == 1
    assert found[35].poses[0].confidence[1] == 0


def test_joints_that_leap_are_put_back() -> None:
    times = np.arange(90) / 30
    truth = motion(times)
    wild = truth.copy()
    wild[[20, 55], 1] += 90
    chosen = Filter(Smoothing.NONE, outliers=True)
    found = places(chosen(film(times, wild)))
    assert error(found[[20, 55], 1], truth[[20, 55], 1]) < 5 and chosen.counts["joints that were outliers"] >= 2
    np.testing.assert_allclose(np.delete(found[:, 1], [20, 55], 0)[3:-3], np.delete(truth[:, 1], [20, 55], 0)[3:-3])


@pytest.mark.parametrize("kind", [*AHEAD, Smoothing.ONE_EURO])
def test_nothing_is_taken_across_a_cut_or_a_long_absence(kind: Smoothing) -> None:
    times = np.concatenate([np.arange(30), np.arange(60, 90)]) / 30
    still = np.concatenate([np.full((30, 2, 2), 10.0), np.full((30, 2, 2), 500.0)])
    np.testing.assert_allclose(places(Filter(kind)(film(times, still))), still, atol=1e-6)
    times = np.arange(60) / 30
    assert np.abs(places(Filter(kind)(film(times, still))) - still).max() > 1 or kind in (Smoothing.MEDIAN,)
    np.testing.assert_allclose(places(Filter(kind)(film(times, still), cuts=[30])), still, atol=1e-6)


def test_times_are_needed_and_numbers_are_checked() -> None:
    still = np.zeros((3, 2, 2))
    for times in ([0.0, np.nan, 1.0], [0.0, 2.0, 1.0]):
        items = [FramePoses(n, n, t, ()) for n, t in enumerate(times)]
        with pytest.raises(InputError, match="time"):
            list(Filter(Smoothing.MEDIAN)(items))
    for wrong in ({"cutoff": 0.0}, {"window": -1.0}, {"fill_gaps": 9.0}):
        with pytest.raises(UsageError):
            Filter(Smoothing.MEDIAN, **wrong)  # type: ignore[arg-type]
    slow = Filter(Smoothing.BUTTERWORTH)
    list(slow(film(np.arange(9) / 5, np.zeros((9, 2, 2)))))
    assert any("too low for this filter (--cutoff below 2)" in what for what in slow.counts) and len(still) == 3
    for kind, number in ((Smoothing.BUTTERWORTH, {"cutoff": 1.99}), (Smoothing.SAVGOL, {"window": 1.0})):
        enough = Filter(kind, **number)  # type: ignore[arg-type]
        list(enough(film(np.arange(9) / 5, np.zeros((9, 2, 2)))))
        assert not enough.counts
    narrow = Filter(Smoothing.SAVGOL)
    list(narrow(film(np.arange(9) / 5, np.zeros((9, 2, 2)))))
    assert any("(--window from 1 on)" in what for what in narrow.counts)
    short = Filter(Smoothing.SAVGOL)
    list(short(film(np.arange(4) / 30, np.zeros((4, 2, 2)))))
    assert any("run of frames that is too short" in what for what in short.counts)


def test_the_command_filters_a_file(tmp_path: Path, command: Callable[..., Ran]) -> None:
    rng = np.random.default_rng(5)
    times = np.arange(90) / 30
    truth = np.repeat(motion(times)[:, :1], 19, axis=1)
    noisy = truth + rng.normal(0, NOISE, truth.shape)
    write_poses(tmp_path / "in.jsonl", header(frames=90), film(times, noisy))
    run = command("smooth", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--filter", "butterworth", "--cutoff", 5)
    assert run.code == 0, run.err
    with open_poses(tmp_path / "out.jsonl") as reader:
        assert error(places(reader), truth) < 0.8 * error(noisy, truth)
        (step,) = reader.header.run.steps
        assert {"command": "smooth", "filter": "butterworth", "cutoff": 5.0}.items() <= step.items()
    nothing = command("smooth", tmp_path / "in.jsonl", tmp_path / "b.jsonl", "--filter", "none")
    assert nothing.code == EXIT_USAGE and not (tmp_path / "b.jsonl").exists()
    assert command("smooth", tmp_path / "in.jsonl", tmp_path / "out.jsonl").code == EXIT_SOME_FAILED
    again = command("smooth", tmp_path / "in.jsonl", tmp_path / "c.jsonl", "--cutoff", 5, "--quiet")
    assert again.code == 0 and (tmp_path / "c.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


def test_what_is_not_filtered_is_a_warning(tmp_path: Path, command: Callable[..., Ran]) -> None:
    """Also where only warnings are wanted: else a file that is as it was would pass for filtered."""
    times = np.arange(3) / 30
    write_poses(tmp_path / "in.jsonl", header(frames=3), film(times, np.repeat(motion(times)[:, :1], 19, axis=1)))
    run = command("smooth", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--filter", "butterworth", "--quiet")
    assert run.code == 0 and run.err.splitlines() == [
        f"ftp: warning: {tmp_path / 'out.jsonl'}: 57 joints in runs of less than four frames, left as they were"
    ]


def test_raw_joints_are_kept_beside(tmp_path: Path, command: Callable[..., Ran]) -> None:
    """In JSON Lines and COCO, through conversions and a second filter; other forms say that they leave them out."""
    times = np.arange(40) / 30
    noisy = np.repeat(motion(times)[:, :1], 19, axis=1) + np.random.default_rng(2).normal(0, NOISE, (40, 19, 2))
    seen = np.ones((40, 19))
    seen[7, 4] = 0.0
    items = film(times, np.where(seen[..., None] > 0, noisy, 0.0), seen)
    items[20] = FramePoses(20, items[20].pts, items[20].seconds, ())
    write_poses(tmp_path / "in.jsonl", header(frames=40), items)
    runs: list[tuple[object, ...]] = [
        ("smooth", "in.jsonl", "a.jsonl", "--fill-gaps", 0.2),
        ("convert", "a.jsonl", "b.json", "--joints", "all"),
        ("smooth", "b.json", "c.json", "--joints", "all", "--filter", "one-euro"),
        ("convert", "c.json", "d.jsonl"),
    ]
    for name, source, out, *options in runs:
        run = command(name, tmp_path / str(source), tmp_path / str(out), *options)
        assert run.code == 0 and "before a filter" not in run.err, run.err
        with open_poses(tmp_path / str(out)) as reader:
            found = list(reader)
        (added,) = found[20].poses
        assert added.filled and added.raw is not None and not added.raw.any(), "nobody was seen there"
        for before, after in zip(items, found, strict=True):
            for p, q in zip(before.poses, after.poses if before.poses else (), strict=True):
                assert q.raw is not None
                np.testing.assert_allclose(q.raw, np.column_stack([p.keypoints, p.confidence]), atol=0.001)
    assert np.abs(found[12].poses[0].keypoints - items[12].poses[0].keypoints).max() > 1
    assert found[7].poses[0].confidence[4] == 1.0 and found[7].poses[0].raw is not None
    assert "40 people's joints from before a filter" in command("convert", tmp_path / "a.jsonl", tmp_path / "e.csv").err
    with open_poses(tmp_path / "in.jsonl") as reader:
        assert all(pose.raw is None for frame in reader for pose in frame.poses)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["in.jsonl", "out.jsonl", "--filter", "kalman"], EXIT_USAGE, "kalman"),
        (["in.jsonl", "out.jsonl", "--cutoff", 0], EXIT_USAGE, "--cutoff"),
        (
            ["in.jsonl", "out.jsonl", "--filter", "median", "--cutoff", 3],
            EXIT_USAGE,
            "--cutoff: is not for --filter median",
        ),
        (["in.jsonl", "out.jsonl", "--window", 0.3], EXIT_USAGE, "--window: is not for --filter butterworth"),
        (["in.jsonl", "out.jsonl", "--fill-gaps", 3], EXIT_USAGE, "--fill-gaps"),
        (["in.jsonl", "out.xyz"], EXIT_USAGE, "--format"),
        (["in.jsonl", "in.jsonl"], EXIT_USAGE, "one of the inputs"),
        (["in.jsonl", "there.jsonl"], EXIT_SOME_FAILED, "exists already"),
        (["empty.jsonl", "out.jsonl"], EXIT_SOME_FAILED, "no frames"),
        (["untimed.jsonl", "out.jsonl"], EXIT_SOME_FAILED, "untimed.jsonl: frame 0: has no time"),
        (["none.jsonl", "out.jsonl"], EXIT_SOME_FAILED, "none.jsonl"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    command: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
    words: list[object],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    items = frames(4)
    write_poses("in.jsonl", header(), items)
    write_poses("empty.jsonl", header(), [])
    write_poses("untimed.jsonl", header(), [FramePoses(f.index, f.index, float("nan"), f.poses) for f in items])
    Path("there.jsonl").write_text("precious")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    run = command("smooth", *words)
    assert run.code == code and says in run.err, run.err
    assert len(run.lines) == 1 or "kalman" in words  # typer frames what it finds itself
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_missing_scipy_is_named_with_its_extra(
    tmp_path: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_poses(tmp_path / "in.jsonl", header(), frames(4))
    monkeypatch.setattr("ftpcli.pose.filters.find_spec", lambda name: None)
    run = command("smooth", tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert run.code == EXIT_USAGE and "pip install 'ftp-pose[smooth]'" in run.err and len(run.lines) == 1


@pytest.mark.parametrize("kind", [Smoothing.NONE, Smoothing.ONE_EURO])
def test_a_gap_of_just_the_limit_is_filled_wherever_it_begins(kind: Smoothing) -> None:
    """Differences of times in floating point lie a little above or below."""
    for first in range(40):
        times = (first + np.arange(7)) / 30
        clip = film(times, motion(times))
        clip[1:6] = [replace(frame, poses=()) for frame in clip[1:6]]
        assert [len(frame.poses) for frame in Filter(kind, fill_gaps=0.2)(clip)] == [1] * 7, first


def test_annotate_filters_at_its_end(tmp_path: Path, command: Callable[..., Ran], tiny_model: Path) -> None:
    from tests.support.tiny import mot_boxes
    from tests.support.training_data import make_clips

    make_clips(tmp_path, clips=1, frames=12)
    boxes = mot_boxes(tmp_path / "boxes.txt", 12, (160, 200), people=1)
    run = ["annotate", tmp_path / "0.mp4", "--boxes", boxes, "--device", "cpu", "--weights", tiny_model, "--quiet"]
    assert command(*run, "--out", tmp_path / "raw.jsonl").code == 0
    assert command(*run, "--out", tmp_path / "a.jsonl", "--smooth", "butterworth").code == 0
    short = command(*run, "--out", tmp_path / "c.jsonl", "--smooth", "savgol", "--duration", 0.1)
    assert short.code == 0 and "--smooth: 57 joints in runs of less than four frames" in short.err, short.err
    drawn = [command(*run, "--out", tmp_path / f"{kind}.jsonl", "--smooth", kind, "--overlay", tmp_path / f"{kind}.mp4")
             for kind in ("butterworth", "one-euro")]  # fmt: skip
    assert [ran.code for ran in drawn] == [0, 0]
    assert ["what is drawn meanwhile is not filtered" in ran.err for ran in drawn] == [True, False]
    assert command("smooth", tmp_path / "raw.jsonl", tmp_path / "b.jsonl").code == 0
    with (
        open_poses(tmp_path / "a.jsonl") as a,
        open_poses(tmp_path / "b.jsonl") as b,
        open_poses(tmp_path / "raw.jsonl") as raw,
    ):
        assert a.header.run.options["smooth"] == "butterworth"
        found, wanted, before = places(a), places(b), places(raw)
    np.testing.assert_allclose(found, wanted, atol=0.01)
    assert np.abs(found - before).max() > 0.01
