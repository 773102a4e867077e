"""A model on labelled clips: true neighbours, PCK and jitter."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.errors import InputError, UsageError
from ftpcli.evaluation.pck import exchanged, jitter, pck, torso_lengths
from ftpcli.evaluation.pictures import blurred
from ftpcli.evaluation.report import write_json
from ftpcli.evaluation.runs import PREDICTIONS, KeyFrame, PoseModel, Progress, RunOptions, estimate
from ftpcli.posetrack.index import check_name
from ftpcli.posetrack.jsonfile import load_json, need, need_list
from ftpcli.records import Frame, Person, TrackedFrame
from ftpcli.skeleton import BODY12
from ftpcli.views import HoldViews

#: Share of the joints' extent added on each side of a box.
_MARGIN = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One labelled clip."""

    name: str
    path: Path
    points: np.ndarray  # (T, 12, 2) pixels, in the order of BODY12
    visible: np.ndarray  # (T, 12) bool: labelled and inside the picture
    boxes: np.ndarray  # (T, 4) xyxy, NaN where no joint is inside


def evaluate_clips(model: PoseModel, options: RunOptions, progress: Progress) -> dict[str, Any]:
    """PCK on every N-th frame; jitter where every frame is estimated, beside that of the labels themselves."""
    if options.boxes.file is not None:
        raise UsageError("--dataset clips: the clips' boxes come from their labels; give --boxes gt")
    clips = read_clips(options.data, options.split)
    columns = [list(model.joints).index(joint) for joint in BODY12]
    options.prepare([PREDICTIONS])
    found, entries = [], []
    for done, clip in enumerate(clips):
        keys = _key_frames(model, options, clip)
        poses = {index: people[0] for index, people in estimate(model, keys, options.single) if people}
        places = np.full(clip.points.shape, np.nan)
        for index, pose in poses.items():
            places[index] = pose.keypoints[columns]
        found.append(places)
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
    truth = np.concatenate([clip.points for clip in clips])[estimated]
    seen = np.concatenate([clip.visible for clip in clips])[estimated]
    report = {
        "metric": "pck",
        "pck": pck(places, truth, seen, BODY12, sources=["clips"] * len(places)),
        "exchanged": exchanged(places, truth, seen, BODY12),
        **options.describe(model),
        "boxes": {"source": "gt", "boxes": len(places)},
        "warnings": [],
    }
    return {**report, **_jitter(clips, found, options.every)}


def _jitter(clips: list[Clip], found: list[np.ndarray], every: int) -> dict[str, Any]:
    if every > 1:
        return {"jitter": None, "jitter_error": f"needs consecutive frames, but only one of {every} was estimated"}
    torsos = [torso_lengths(clip.points, clip.visible, BODY12) for clip in clips]
    tracks = [(places, clip.visible) for places, clip in zip(found, clips, strict=True)]
    return {
        "jitter": jitter(((np.nan_to_num(p), v, t) for (p, v), t in zip(tracks, torsos, strict=True)), BODY12),
        "jitter_of_labels": jitter(((c.points, c.visible, t) for c, t in zip(clips, torsos, strict=True)), BODY12),
    }


def read_clips(data: Path, split: str) -> list[Clip]:
    """The clips of a split of ``clips.json`` (in the folder ``data``, or the file itself).

    A joint outside the picture does not count. The box is the extent of the joints inside, 10 % more on each side,
    clipped to the picture.
    """
    path = data if data.is_file() else data / "clips.json"
    content = load_json(path)
    joints = need_list(content, "joints", path, "the file")
    absent = [joint for joint in BODY12 if joint not in joints]
    if absent:
        raise InputError(f"{path}: its joints lack {absent[0]}")
    columns = [joints.index(joint) for joint in BODY12]
    clips = []
    for k, entry in enumerate(need_list(content, "clips", path, "the file")):
        where = f"clip {k}"
        if need(entry, "split", path, where) != split:
            continue
        name = need(entry, "file", path, where)
        if not isinstance(name, str):
            raise InputError(f"{path}: 'file' of {where} is not text")
        check_name(name, path)
        try:
            points = np.array(need(entry, "keypoints", path, where), dtype=np.float64)
            size = np.array([need(entry, key, path, where) for key in ("width", "height")], dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{path}: keypoints, width or height of {where} are not numbers") from None
        if points.ndim != 3 or points.shape[1:] != (len(joints), 2) or not np.isfinite(points).all():
            raise InputError(f"{path}: keypoints of {where} should be (frames, {len(joints)}, 2) numbers")
        inside = np.all((points >= 0) & (points <= size), axis=2)
        boxes = np.array([_box(p[i], size) for p, i in zip(points, inside, strict=True)]).reshape(-1, 4)
        clips.append(Clip(name, path.parent / name, points[:, columns], inside[:, columns], boxes))
    if not clips:
        raise InputError(f"{path}: no clip belongs to the split '{split}'")
    return clips


def _box(points: np.ndarray, size: np.ndarray) -> np.ndarray:
    if not len(points):
        return np.full(4, np.nan)
    low, high = points.min(axis=0), points.max(axis=0)
    grow = _MARGIN * (high - low)
    return np.concatenate([np.maximum(low - grow, 0), np.minimum(high + grow, size)])


def _key_frames(model: PoseModel, options: RunOptions, clip: Clip) -> Iterator[tuple[int, KeyFrame]]:
    from ftpcli.video import open_source

    with open_source(clip.path) as source:
        count = 0
        views = HoldViews(options.hold_views)
        frames = (_blurred(frame, options.blur, clip.name) for frame in source)
        for i, (window, padded) in enumerate(windows(frames, model.window)):
            count += 1
            if i < len(clip.boxes) and i % options.every == 0 and not np.isnan(clip.boxes[i]).any():
                key = TrackedFrame(window[len(window) // 2], (Person(0, clip.boxes[i], 1.0),))
                yield i, KeyFrame(window, padded, views.hold(key).people)
    if count != len(clip.boxes):
        raise InputError(f"{clip.path}: has {count} frames, its labels are for {len(clip.boxes)}")


def _blurred(frame: Frame, longest: int, name: str) -> Frame:
    if longest <= 0:
        return frame
    image = blurred(frame.image, longest, f"{name}/{frame.index}")
    return Frame(frame.index, frame.pts, frame.seconds, image)


def windows(frames: Iterator[Frame], size: int) -> Iterator[tuple[tuple[Frame, ...], tuple[bool, ...]]]:
    """Each frame with its neighbours and which of them are missing; at the ends the key frame stands in for them."""
    half = size // 2
    held: deque[Frame] = deque(maxlen=size)
    waiting = 0  # frames at the right of `held` that were not yet the key frame

    def around() -> tuple[tuple[Frame, ...], tuple[bool, ...]]:
        at = len(held) - waiting
        places = range(at - half, at + half + 1)
        padded = tuple(not 0 <= place < len(held) for place in places)
        return tuple(held[at if gone else place] for place, gone in zip(places, padded, strict=True)), padded

    for frame in frames:
        held.append(frame)
        waiting += 1
        if waiting > half:
            yield around()
            waiting -= 1
    while waiting:
        yield around()
        waiting -= 1
