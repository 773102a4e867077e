"""Annotating a film of several shots: each shot's people are those of the shot alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import ftpcli
from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Interrupted, Target, annotate_file
from ftpcli.records import FramePoses
from tests.support.stops import stop_after
from tests.support.tiny import mot_boxes
from tests.support.walkers import Bright

LENGTHS = (13, 9, 2, 12)  # chunks of eight frames end elsewhere; the shot of two frames is taken for a flash
CUTS = (13, 24)
EVERYTHING = {"smooth": "one-euro", "fill_gaps": 0.2, "hold_views": 0.05}


@pytest.fixture(autouse=True)
def bright(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftpcli.people.loading.load_detector", lambda *_, **__: Bright())


def picture(shot: int, index: int) -> np.ndarray:
    """A bright figure that goes on through the cuts, on a background that changes with the shot."""
    image = np.full((96, 160, 3), (10, 10, 10), np.uint8)
    place, colour = (
        (np.s_[:, :80], (60, 100, 170)),
        (np.s_[:, 80:], (170, 100, 60)),
        (np.s_[:48], (100, 170, 60)),
    )[shot]
    image[place] = colour
    image[20:70, 10 + 2 * index : 32 + 2 * index] = np.random.default_rng(0).integers(200, 240, (50, 22, 1))
    if index in (5, 17):  # missed there: a gap to be filled
        image[20:70, 10 + 2 * index : 32 + 2 * index] //= 3
    return image


def folder(path: Path, begin: int, end: int) -> Path:
    """A folder of these pictures, without loss, so that a shot alone has the very pixels."""
    path.mkdir()
    shots = [shot for shot, length in zip((0, 1, 2, 1), LENGTHS, strict=True) for _ in range(length)]
    for index in range(begin, end):
        cv2.imwrite(str(path / f"{index:03d}.png"), picture(shots[index], index)[..., ::-1])
    return path


def same(film: list[FramePoses], alone: list[FramePoses], ids: bool = False) -> float:
    """The largest distance of a joint in pixels. Boxes and people must be the same; ids only where asked for."""
    worst = 0.0
    for one, other in zip(film, alone, strict=True):
        assert len(one.poses) == len(other.poses)
        for a, b in zip(one.poses, other.poses, strict=True):
            assert np.array_equal(a.box, b.box) and a.filled == b.filled and (not ids or a.track_id == b.track_id)
            worst = max(worst, float(np.abs(a.keypoints - b.keypoints).max()))
    return worst


def ids_of(frames: list[FramePoses]) -> set[int]:
    return {pose.track_id for frame in frames for pose in frame.poses}


def test_each_shot_is_annotated_as_if_alone(tmp_path: Path, tiny_model: Path) -> None:
    annotator = Annotator(Options(weights=str(tiny_model), fps=Fraction(25), **EVERYTHING), precision="fp32")
    with annotator.open(str(folder(tmp_path / "film", 0, 36))) as run:
        film = list(run)
    assert run.cuts == 1 and [frame.index for frame in film] == list(range(36))
    before, after = film[: CUTS[0]], film[CUTS[0] :]
    assert ids_of(before) == {1} and ids_of(after) == {2}
    assert any(pose.filled for frame in before for pose in frame.poses)
    for name, part, begin, end in (("first", before, 0, CUTS[0]), ("second", after, CUTS[0], 36)):
        with annotator.open(str(folder(tmp_path / name, begin, end))) as run:
            assert same(part, list(run)) < 0.02  # batches differ, and with them the last bits

    uncut = Annotator(Options(weights=str(tiny_model), fps=Fraction(25), cuts=False, **EVERYTHING), precision="fp32")
    with uncut.open(str(tmp_path / "film")) as run:
        taken = list(run)
    assert run.cuts == 0 and ids_of(taken) == {1} and run.header.run.options["cuts"] is False
    assert np.abs(taken[13].poses[0].keypoints - film[13].poses[0].keypoints).max() > 0.1


def test_given_ids_stay_and_nothing_else_is_taken_across(tmp_path: Path, tiny_model: Path) -> None:
    boxes = mot_boxes(tmp_path / "film.txt", 36, (160, 96), people=1)
    lines = boxes.read_text().splitlines()
    options: dict[str, Any] = {"weights": str(tiny_model), "fps": Fraction(25), "smooth": "one-euro"}
    with ftpcli.annotate(folder(tmp_path / "film", 0, 36), boxes=str(boxes), precision="fp32", **options) as run:
        film = list(run)
    assert run.cuts == 1 and ids_of(film) == {1}
    for name, part, begin, end in (("first", film[:13], 0, 13), ("second", film[13:], 13, 36)):
        mine = tmp_path / f"{name}.txt"
        rows = [line.split(",", 1) for line in lines[begin:end]]
        mine.write_text("".join(f"{int(frame) - begin},{rest}\n" for frame, rest in rows))
        with ftpcli.annotate(folder(tmp_path / name, begin, end), boxes=str(mine), precision="fp32", **options) as run:
            assert same(part, list(run), ids=True) < 0.02


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_a_resumed_run_has_the_same_shots(chunks: int, tmp_path: Path, tiny_model: Path) -> None:
    film = str(folder(tmp_path / "film", 0, 36))
    annotator = Annotator(Options(weights=str(tiny_model), fps=Fraction(25), **EVERYTHING))
    whole = annotate_file(annotator, film, Target(tmp_path / "whole.jsonl", overlay=tmp_path / "whole.mp4"))
    assert whole.cuts == 1
    target = Target(tmp_path / "out.jsonl", overlay=tmp_path / "out.mp4")
    with pytest.raises(Interrupted):
        annotate_file(annotator, film, target, stop=stop_after(chunks))
    resumed = annotate_file(annotator, film, Target(target.out, overlay=target.overlay, resume=True))
    assert (resumed.cuts, resumed.replayed) == (1, 8 * chunks)
    for suffix in ("jsonl", "mp4"):
        assert (tmp_path / f"out.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()


def test_a_real_film(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bundled models. The shots alone are other encodings of the same pictures."""
    monkeypatch.undo()
    films = {name: shared / "cases" / "video" / f"{name}.mp4" for name in ("cut", "cut_first_shot", "cut_second_shot")}
    found = {}
    for name, path in films.items():
        with ftpcli.annotate(path, precision="fp32") as run:
            found[name] = list(run)
    film, first, second = found.values()
    before, after = film[: len(first)], film[len(first) :]
    assert len(after) == len(second) and not ids_of(before) & ids_of(after)
    for part, alone in ((before, first), (after, second)):
        for one, other in zip(part, alone, strict=True):
            assert len(one.poses) == len(other.poses) >= 1
            left_to_right = (sorted(poses, key=lambda pose: pose.box[0]) for poses in (one.poses, other.poses))
            for a, b in zip(*left_to_right, strict=True):
                size = np.sqrt(np.prod(b.box[2:] - b.box[:2]))
                assert np.linalg.norm(a.keypoints - b.keypoints, axis=1).mean() < 0.02 * size, one.index
