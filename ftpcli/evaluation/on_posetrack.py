"""A model on PoseTrack: boxes, windows, prediction files, then the evaluation of those files (C1, C4, C6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ftpcli.datasets.posetrack.detections import Detections
from ftpcli.datasets.posetrack.index import PoseTrackIndex, VideoFrame, VideoSequence, clipped_box
from ftpcli.evaluation.files import evaluate_files
from ftpcli.evaluation.pictures import Pictures
from ftpcli.evaluation.runs import KeyFrame, PoseModel, Progress, RunOptions, estimate
from ftpcli.formats import write_poses
from ftpcli.formats.joints import HEAD_POINTS
from ftpcli.records import FramePoses, Header, Person, RunInfo, SourceInfo

UNTRACKED = "the boxes are not tracked: track ids are running numbers within a frame"


def evaluate_posetrack(model: PoseModel, options: RunOptions, progress: Progress) -> dict[str, Any]:
    """Estimate every person of every labelled frame, write one prediction file a video, and score the files.

    Nothing is thresholded but detected boxes: AP wants every prediction. Joint scores are heatmap maximum times box
    score. Predictions of 2017 have the 2017 form.
    """
    version = options.dataset.removeprefix("posetrack")
    index = PoseTrackIndex(options.data, version, options.split)
    detections = None
    if options.boxes.file is not None:
        detections = Detections(options.boxes.file, index, options.min_score)
    options.prepare([sequence.file.name for sequence in index])
    run = RunInfo(model=model.provenance, people={"boxes": options.boxes.label})
    pictures = Pictures(options.blur, keep=model.window + 2)
    for done, sequence in enumerate(index):
        keys = _key_frames(model, pictures, sequence, done, detections)
        poses = dict(estimate(model, keys, options.single))
        names = [frame.name for frame in sequence.frames]
        write_poses(
            options.predictions / sequence.file.name,
            Header(model.joints, SourceInfo(path=sequence.name, frames=len(names)), run),
            (FramePoses(i, i, float(i), tuple(poses.get(i, ()))) for i in range(len(names))),
            format="posetrack17" if version == "17" else "posetrack",
            overwrite=options.overwrite,
            frame_name=names.__getitem__,
        )
        progress(done + 1, len(index))
    metric = options.metric or ("posetrack21" if version == "21" else "posetrack")
    result = evaluate_files(index.folder, options.predictions, metric, untracked=UNTRACKED)
    result |= options.describe(model)
    result["boxes"] = {"source": "gt"} if detections is None else detections.describe()
    more = [] if detections is None else [f"{detections.path}: {line}" for line in detections.left_out.lines()]
    if not set(HEAD_POINTS) <= set(model.joints):
        more.append(
            "the model lacks head_bottom and head_top: the customary stand-ins of shoulders and nose are scored"
        )
    return result | {"warnings": [*result["warnings"], *more]}


def _key_frames(
    model: PoseModel, pictures: Pictures, sequence: VideoSequence, number: int, detections: Detections | None
) -> Iterator[tuple[int, KeyFrame]]:
    for frame in sequence.frames:
        if not frame.labelled:
            continue
        if detections is None:
            boxes = [p.box for p in frame.people if p.box is not None and p.visible.any()]
            rows = np.array([[*box, 1.0] for box in boxes]).reshape(-1, 5)
        else:
            rows = detections.of(number, frame.index)
        if not len(rows):
            continue
        yield frame.index, _key_frame(model, pictures, sequence, frame, rows)


def _key_frame(
    model: PoseModel, pictures: Pictures, sequence: VideoSequence, frame: VideoFrame, rows: np.ndarray
) -> KeyFrame:
    paths, padded = sequence.window(frame.index, model.window)
    key = pictures.read(paths[len(paths) // 2], frame.index)
    frames = tuple(
        key if missing else pictures.read(path, place)
        for place, (path, missing) in enumerate(zip(paths, padded, strict=True), frame.index - len(paths) // 2)
    )
    height, width = key.image.shape[:2]
    people: list[Person] = []
    for row in rows:
        box = clipped_box(row[:4], width, height)
        if box is not None:
            people.append(Person(len(people), box, float(row[4])))
    return KeyFrame(frames, padded, tuple(people))
