"""What annotate writes, scored by eval: every format gives the same figures, on all three PoseTrack layouts."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ftpcli.annotation.chain import Annotation
from ftpcli.annotation.options import Options
from ftpcli.datasets.posetrack.index import PoseTrackIndex, VideoSequence
from ftpcli.evaluation.files import evaluate_files
from ftpcli.evaluation.report import plain
from ftpcli.formats import write_poses
from ftpcli.people.sources import BoxesFile
from ftpcli.records import FramePoses, Header, Pose, SourceInfo, Window
from ftpcli.skeleton import COCO17, PERSON19
from ftpcli.video import open_source
from tests.evaluation.test_model import posetrack as posetrack  # the fixture
from tests.support.eval_models import KnowingModel, posetrack_truth
from tests.support.eval_support import FIGURE, person, save, video18

FORMATS = {"jsonl": ".jsonl", "coco": ".json", "posetrack": ".json", "posetrack17": ".json"}


class AnnotateModel(KnowingModel):
    """As the estimator of ``annotate`` looks to the pipeline."""

    device = "cpu"
    precision = "fp32"
    engine = SimpleNamespace(name="torch")

    def tokens(self) -> None:
        """It encodes nothing, so there is nothing to carry on."""

    def estimate(self, windows: Sequence[Window], tokens: None = None) -> list[Pose]:
        return super().estimate(windows)


def annotate(sequence: VideoSequence, model: KnowingModel, out: Path) -> None:
    """Annotate the pictures of a sequence with the boxes and ids of its annotations; write every format."""
    source = open_source(sequence.images[0].parent, fps=Fraction(25))
    source.__enter__()
    people = BoxesFile(sequence.file, source.info)
    with Annotation(source, people, model, Options(boxes=str(sequence.file), hold_views=0)) as annotation:  # type: ignore[arg-type]
        frames = list(annotation)
        for name, suffix in FORMATS.items():
            write_poses(
                out / name / f"{sequence.file.stem}{suffix}",
                annotation.header,
                frames,
                name,
                joints="all" if name == "coco" else "default",
                frame_name=annotation.frame_name,
            )


@pytest.mark.parametrize("layout", ["17", "18", "21"])
def test_annotate_then_eval(posetrack: dict[str, Path], layout: str, tmp_path: Path) -> None:
    index = PoseTrackIndex(posetrack[layout], layout)
    known = posetrack_truth(index)
    for name in FORMATS:
        (tmp_path / name).mkdir()
    for sequence in index:
        annotate(sequence, AnnotateModel(known, noise=1.0), tmp_path)
    reports: dict[str, dict[str, Any]] = {}
    for name in FORMATS:
        reports[name] = plain(evaluate_files(index.folder, tmp_path / name, "posetrack"))
    expected = reports["jsonl"]
    assert 70 < expected["AP"]["groups"]["Mean"] < 100 and expected["AP"]["recall_mean"] > 95
    # Boxes and ids are those of the annotations, so there is tracking, without a switch.
    assert expected["MOT"]["recall"]["mean"] > 90
    for name, report in reports.items():
        assert report["AP"] == expected["AP"], name
        assert report["MOT"] == expected["MOT"], name


@pytest.fixture
def one_video(tmp_path: Path) -> tuple[Path, list[FramePoses]]:
    """Annotations of one video, and the same people as poses, a little off."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "gt"
    save(folder, video18([[person(5 * t, 20), person(200 + 3 * t, 20, 1)] for t in range(4)]))
    frames = []
    for t in range(4):
        poses = []
        for k, dx in enumerate((5 * t, 200 + 3 * t)):
            points = np.full((19, 2), 50.0)
            for joint, (x, y) in FIGURE.items():
                points[PERSON19.joints.index(joint)] = (x + dx, y + 20)
            points += rng.normal(0, 3, points.shape)
            confidence = rng.uniform(0.1, 1, 19)
            poses.append(Pose(k, np.array([dx, 20.0, dx + 60, 190.0]), 0.9 - t / 10, points, confidence))
        frames.append(FramePoses(t, t, t / 25, tuple(poses)))
    return folder, frames


def _write(folder: Path, frames: list[FramePoses], name: str, header: Header) -> Path:
    folder.mkdir()
    path = folder / f"000001_mpii_test{FORMATS[name]}"
    write_poses(path, header, frames, name, joints="all" if name == "coco" else "default")
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_alone(one_video: tuple[Path, list[FramePoses]], tmp_path: Path, name: str) -> None:
    truth, frames = one_video
    header = Header(PERSON19.joints, SourceInfo(path="000001_mpii_test", width=320, height=240, frames=4))
    report = evaluate_files(truth, _write(tmp_path / name, frames, name, header), "posetrack")
    assert 80 < report["AP"]["groups"]["Mean"] <= 100 and report["MOT"] is not None
    assert report["warnings"] == []
    # The joints' scores rank them, so all are different and none is missing.
    folder = tmp_path / f"{name}-21"
    if name in ("jsonl", "posetrack"):
        crowd = evaluate_files(truth, _write(folder, frames, name, header), "posetrack21")
        assert crowd["AP"]["map"]["Total"] == pytest.approx(report["AP"]["groups"]["Mean"])


def test_poses_without_head_points_are_scored_with_stand_ins(
    one_video: tuple[Path, list[FramePoses]], tmp_path: Path
) -> None:
    truth, frames = one_video
    cut = [
        FramePoses(
            frame.index,
            frame.pts,
            frame.seconds,
            tuple(Pose(p.track_id, p.box, p.score, p.keypoints[:17], p.confidence[:17]) for p in frame.poses),
        )
        for frame in frames
    ]
    header = Header(COCO17.joints, SourceInfo(path="000001_mpii_test"))
    report = evaluate_files(truth, _write(tmp_path / "pred", cut, "jsonl", header), "posetrack")
    assert any("stand-ins" in line for line in report["warnings"])
    assert report["AP"]["per_joint"]["left_knee"] > 80


def test_coco_files_without_head_points_are_refused(one_video: tuple[Path, list[FramePoses]], tmp_path: Path) -> None:
    from ftpcli.errors import InputError

    truth, frames = one_video
    folder = tmp_path / "pred"
    folder.mkdir()
    write_poses(folder / "000001_mpii_test.json", Header(PERSON19.joints, SourceInfo(path="a")), frames, "coco")
    with pytest.raises(InputError, match="COCO's eyes where PoseTrack needs"):
        evaluate_files(truth, folder, "posetrack")
