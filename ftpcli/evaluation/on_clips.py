"""A model on labelled clips: true neighbours, PCK and jitter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ftpcli.datasets.clips import Clip, read_clips
from ftpcli.errors import InputError, UsageError
from ftpcli.evaluation.pck import exchanged, jitter, pck, reliability, torso_lengths
from ftpcli.evaluation.pictures import blurred
from ftpcli.evaluation.report import write_json
from ftpcli.evaluation.runs import PREDICTIONS, KeyFrame, PoseModel, Progress, RunOptions, estimate
from ftpcli.pose.views import HoldViews
from ftpcli.pose.windows import Windows
from ftpcli.records import Person, TrackedFrame
from ftpcli.skeleton import BODY12


def evaluate_clips(model: PoseModel, options: RunOptions, progress: Progress) -> dict[str, Any]:
    """PCK on every N-th frame; jitter where every frame is estimated, beside that of the labels themselves."""
    if options.boxes.file is not None:
        raise UsageError("--dataset clips: the clips' boxes come from their labels; give --boxes gt")
    clips = read_clips(options.data, options.split)
    absent = [joint for joint in BODY12 if joint not in clips[0].joints]
    if absent:
        raise InputError(f"{options.data}: the clips' joints lack {absent[0]}")
    labels = [clips[0].joints.index(joint) for joint in BODY12]
    points = [clip.points[:, labels] for clip in clips]
    visible = [clip.inside[:, labels] for clip in clips]
    columns = [list(model.joints).index(joint) for joint in BODY12]
    options.prepare([PREDICTIONS])
    found, sure, entries = [], [], []
    for done, (clip, labelled) in enumerate(zip(clips, points, strict=True)):
        keys = _key_frames(model, options, clip)
        poses = {index: people[0] for index, people in estimate(model, keys, options.single) if people}
        places = np.full(labelled.shape, np.nan)
        for index, pose in poses.items():
            places[index] = pose.keypoints[columns]
        found.append(places)
        sure += [poses[index].confidence[columns] for index in sorted(poses)]
        entries.append(
            {
                "file": clip.name,
                "frames": list(poses),
                "keypoints": [np.column_stack([p.keypoints, p.confidence]).tolist() for p in poses.values()],
            }
        )
        progress(done + 1, len(clips))
    content = {"joints": list(model.joints), "clips": entries}
    write_json(content, options.predictions / PREDICTIONS, overwrite=options.overwrite)

    places = np.concatenate(found)
    estimated = np.flatnonzero(~np.isnan(places[:, 0, 0]))
    places = places[estimated]
    truth, seen = np.concatenate(points)[estimated], np.concatenate(visible)[estimated]
    report = {
        "metric": "pck",
        "pck": pck(places, truth, seen, BODY12, sources=["clips"] * len(places)),
        "exchanged": exchanged(places, truth, seen, BODY12),
        "reliability": reliability(places, np.array(sure).reshape(-1, 12), truth, seen, BODY12),
        **options.describe(model),
        "boxes": {"source": "gt", "boxes": len(places)},
        "warnings": [],
    }
    return {**report, **_jitter(points, visible, found, options.every)}


def _jitter(points: list[np.ndarray], visible: list[np.ndarray], found: list[np.ndarray], every: int) -> dict[str, Any]:
    if every > 1:
        return {"jitter": None, "jitter_error": f"needs consecutive frames, but only one of {every} was estimated"}
    torsos = [torso_lengths(p, v, BODY12) for p, v in zip(points, visible, strict=True)]
    return {
        "jitter": jitter(zip(map(np.nan_to_num, found), visible, torsos, strict=True), BODY12),
        "jitter_of_labels": jitter(zip(points, visible, torsos, strict=True), BODY12),
    }


def _key_frames(model: PoseModel, options: RunOptions, clip: Clip) -> Iterator[tuple[int, KeyFrame]]:
    from ftpcli.video import open_source

    boxes = clip.boxes()
    with open_source(clip.path) as source:
        count = 0
        views = HoldViews(options.hold_views)
        nobody = (Person(0, np.zeros(4), 0.0),)  # every frame is everybody's neighbour
        frames = (
            TrackedFrame(replace(frame, image=blurred(frame.image, options.blur, f"{clip.name}/{frame.index}")), nobody)
            for frame in source
        )
        for i, (key, (window,)) in enumerate(Windows(model.window)(frames)):
            count += 1
            if i < len(boxes) and i % options.every == 0 and not np.isnan(boxes[i]).any():
                held = views.hold(replace(key, people=(Person(0, boxes[i], 1.0),)))
                yield i, KeyFrame(window.frames, window.padded, held.people)
    if count != len(boxes):
        raise InputError(f"{clip.path}: has {count} frames, its labels are for {len(boxes)}")
