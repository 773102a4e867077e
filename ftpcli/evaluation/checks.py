"""What a pair of files must fulfil, and what its user should be told (A6, B1 to B5)."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from ftpcli.datasets.posetrack.files import FrameEntry, VideoFile
from ftpcli.errors import InputError
from ftpcli.evaluation.notices import Notices
from ftpcli.files.inputs import require

#: The official program refuses track ids from here on.
MAX_TRACK_ID = 10000


def first_video(video: VideoFile, notices: Notices) -> VideoFile:
    """poseval reads the first video of a 2018-form file only (A6); the others are dropped with a warning."""
    if video.form != "2018" or not video.frames:
        return video
    numbers = [frame.folder.split("_")[0] for frame in video.frames]
    if len(set(numbers)) == 1:
        return video
    kept = tuple(frame for frame, number in zip(video.frames, numbers, strict=True) if number == numbers[0])
    notices.add(
        "several videos",
        video.path,
        f"holds several videos; as the official program does, only the first ({numbers[0]}) is read",
    )
    return dataclasses.replace(video, frames=kept)


def check_pair(truth: VideoFile, predicted: VideoFile, notices: Notices) -> None:
    """Frame counts, order, and what the files lack. Raises InputError for what cannot be evaluated."""
    if len(truth.frames) != len(predicted.frames):
        raise InputError(
            f"{predicted.path}: has {len(predicted.frames)} frames, the annotations {truth.path.name} have "
            f"{len(truth.frames)}; list every frame of the annotations, also those without people"
        )
    _check_order(truth, predicted, notices)
    labelled = sum(1 for frame in truth.frames if frame.labelled and frame.rows.start == frame.rows.stop)
    boxes = sum(1 for frame in truth.frames if truth.box_only(frame) and frame.rows.stop > frame.rows.start)
    orphans = "annotations belong to no listed image and are left out"
    jointless = "people have no list of joints and are left out"
    unscored = "people have joints without a score, which count with -9999"
    for kind, video, count, what in (
        ("orphans", truth, truth.orphans, orphans),
        ("no joints", truth, truth.jointless, jointless),
        ("orphans", predicted, predicted.orphans, orphans),
        ("no joints", predicted, predicted.jointless, jointless),
        ("no scores", predicted, predicted.missing_scores, unscored),
        ("nobody labelled", truth, labelled, "labelled frames have no people"),
        ("box-only", truth, boxes, "frames have boxes but no labelled poses (PoseTrack21) and are left out"),
    ):
        if count:
            notices.add(kind, video.path, f"{count} {what}")


def _key(frame: FrameEntry) -> tuple[str, ...]:
    return PurePosixPath(frame.name).parts[-2:]


def _check_order(truth: VideoFile, predicted: VideoFile, notices: Notices) -> None:
    """Frames are paired by position; say so where ids or names tell another order."""
    pairs = list(zip(truth.frames, predicted.frames, strict=True))
    ids = ({frame.image_id for frame in truth.frames}, {frame.image_id for frame in predicted.frames})
    if None not in ids[0] | ids[1] and ids[0] & ids[1]:
        wrong = [(a, b) for a, b in pairs if a.image_id != b.image_id]
    else:
        wrong = [(a, b) for a, b in pairs if _key(a) != _key(b)]
        if wrong and _rising(truth) and _rising(predicted):
            return  # another numbering of the same frames, in order
    if wrong:
        a, b = wrong[0]
        notices.add(
            "order",
            predicted.path,
            f"lists {b.name} where the annotations have {a.name}; frames are paired by position, "
            f"{len(wrong)} of {len(pairs)} differ",
        )


def _rising(video: VideoFile) -> bool:
    numbers = [frame.number for frame in video.frames]
    known = [number for number in numbers if number is not None]
    return len(known) == len(numbers) and all(a < b for a, b in pairwise(known))


def check_tracks(truth: VideoFile, predicted: VideoFile, notices: Notices, strict: bool) -> str | None:
    """Why tracking figures cannot be computed, or None. Ids that the official program refuses are errors.

    Args:
        strict: ids that occur twice in a frame are refused in annotations as well (PoseTrack21's program);
            poseval looks at predictions only.
    """
    reason = None
    for video in (truth, predicted):
        if not video.has_track.all():
            missing = int((~video.has_track).sum())
            notices.add("no track ids", video.path, f"{missing} people lack a track_id; there are no tracking figures")
            reason = reason or f"{video.path.name} lacks track ids"
        if len(video.track) and video.track.max() >= MAX_TRACK_ID:
            raise InputError(
                f"{video.path}: track_id {video.track.max()} is too large, it must be below {MAX_TRACK_ID}"
            )
        for frame in video.frames:
            tracks = video.track[frame.rows][video.has_track[frame.rows]]
            if len(tracks) > 1 and len(np.unique(tracks)) < len(tracks):
                twice = sorted(t for t in set(tracks.tolist()) if (tracks == t).sum() > 1)[0]
                if video is predicted or strict:
                    raise InputError(f"{video.path}: track_id {twice} occurs twice in {frame.name}")
                notices.add("twice", video.path, f"track_id {twice} occurs twice in {frame.name}; no tracking figures")
                reason = reason or f"{video.path.name} has a track_id twice in a frame"
    if _counts_people(predicted):
        text = "track ids count the people of each frame; if nobody was tracked, tracking figures mean nothing"
        notices.add("running ids", predicted.path, text)
    return reason


def _counts_people(video: VideoFile) -> bool:
    """Whether ids run from 0 or 1 to the number of people in each frame, and people in their places exchange them."""
    of_frames = [(video.track[frame.rows], _middles(video, frame.rows)) for frame in video.frames]
    of_frames = [one for one in of_frames if len(one[0])]
    if not any(all((np.sort(ids) == np.arange(len(ids)) + first).all() for ids, _ in of_frames) for first in (0, 1)):
        return False
    exchanged = 0
    for (before, there), (now, here) in pairwise(of_frames):
        nearest = before[np.linalg.norm(here[:, None] - there, axis=2).argmin(axis=1)]
        exchanged += int((np.isin(now, before) & (now != nearest)).sum())
    return exchanged > 1


def _middles(video: VideoFile, rows: slice) -> np.ndarray:
    """(n, 2) means of people's joints; far away where there are none."""
    present = video.present[rows][..., None]
    count = present.sum(axis=1)
    total = np.where(present, video.keypoints[rows], 0.0).sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), 1e9))


def check_posetrack21(truth: VideoFile, predicted: VideoFile, notices: Notices) -> None:
    """What the PoseTrack21 program asks for beyond poseval (B5)."""
    for video in (truth, predicted):
        if video.form == "2017":
            raise InputError(f"{video.path}: PoseTrack21's evaluation reads the 2018 form only, this is the 2017 form")
    if predicted.empty_scores:
        raise InputError(
            f"{predicted.path}: {predicted.empty_scores} people have an empty 'scores' list; give 17 scores each"
        )
    whole = 0
    for entry, other in zip(truth.frames, predicted.frames, strict=True):
        if entry.labelled is None:
            raise InputError(f"{truth.path}: image {entry.image_id} lacks 'is_labeled', which tells frames to evaluate")
        if not entry.labelled:
            continue
        if predicted.form != "native" and entry.image_id != other.image_id:
            raise InputError(
                f"{predicted.path}: image id {other.image_id} stands where the annotations have {entry.image_id}; "
                "list the frames in the same order"
            )
        if entry.regions is None:
            notices.add(
                "no ignore lists",
                truth.path,
                "frames lack ignore_regions_x and _y, taken as none (the official program stops here)",
            )
        whole += other.whole_numbers
    if whole:
        notices.add(
            "integers",
            predicted.path,
            f"{whole} frames hold whole numbers only, so the official program cuts their scores; write floats",
        )
    if predicted.form != "native" and "_test" not in predicted.path.name and predicted.path.parent.name != "sequences":
        notices.add("file name", predicted.path, "the official program would not find it: '_test' is not in its name")


def check_ties(video: VideoFile, notices: Notices) -> None:
    """Equal scores leave the order of the ranking, and so the AP, open (B3)."""
    use = video.present & video.scored
    for joint in range(use.shape[1]):
        scores = video.scores[use[:, joint], joint]
        if len(np.unique(scores)) < len(scores):
            tied = sum(int(use[:, j].sum()) - len(np.unique(video.scores[use[:, j], j])) for j in range(use.shape[1]))
            notices.add(
                "ties",
                video.path,
                f"{tied} joint scores repeat another; among equal scores the later entry ranks first, "
                "other programs may differ",
            )
            return


def annotation_pairs(annotations: Path, predictions: Path, notices: Notices) -> list[tuple[Path, Path]]:
    """(annotation file, prediction file), by equal name within folders, sorted by name."""
    require(annotations, predictions)
    if annotations.is_file():
        partner = predictions / annotations.name if predictions.is_dir() else predictions
        if not partner.is_file():
            raise InputError(f"{partner}: no prediction file for {annotations}")
        return [(annotations, partner)]
    if not predictions.is_dir():
        raise InputError(f"{predictions}: is a file, but the annotations {annotations} are a folder; give both alike")
    files = sorted(annotations.glob("*.json"))
    if not files:
        hint = "; .mat files are not read, use the JSON files" if any(annotations.glob("*.mat")) else ""
        raise InputError(f"{annotations}: no .json files in this folder{hint}")
    pairs = []
    for path in files:
        partners = [predictions / path.name, predictions / f"{path.stem}.jsonl"]
        found = next((partner for partner in partners if partner.is_file()), None)
        if found is None:
            raise InputError(f"{partners[0]}: no prediction file for {path}; write one, also when it is empty")
        pairs.append((path, found))
    extra = sorted({p.name for p in predictions.glob("*.json")} - {p.name for p in files})
    if extra:
        notices.add("extra files", predictions / extra[0], f"{len(extra)} prediction files have no annotations")
    return pairs
