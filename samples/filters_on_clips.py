"""Error and jitter of the filters of ``ftp smooth`` on labelled clips: the table in docs/tools.md.

    ftp annotate CLIPS/*.mp4 --out POSES --format jsonl
    python -m samples.filters_on_clips CLIPS POSES

CLIPS holds videos of 30 frames a second and ``clips.json`` (docs/training.md), POSES a JSON Lines file for each clip
that is to be looked at. Of every clip, the track that is nearest to the labels counts. Figures are shares of the torso
(the longer diagonal from shoulder to hip), over all of BODY12's joints that are labelled inside of the picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ftpcli.datasets.clips import Clip, read_clips
from ftpcli.formats import open_poses
from ftpcli.pose.filters import Filter
from ftpcli.pose.smoothing import Smoothing
from ftpcli.records import FramePoses
from ftpcli.skeleton import BODY12

_CASES = {
    "raw": None,
    **{str(kind): {"kind": kind} for kind in Smoothing if kind is not Smoothing.NONE},
    "outliers only": {"kind": Smoothing.NONE, "outliers": True},
    "butterworth, outliers": {"kind": Smoothing.BUTTERWORTH, "outliers": True},
    "butterworth, 10 Hz": {"kind": Smoothing.BUTTERWORTH, "cutoff": 10.0},
}


def torso(clip: Clip) -> np.ndarray:
    """(T,) pixels."""
    at = {joint: clip.points[:, n] for n, joint in enumerate(clip.joints)}
    pairs = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))
    return np.maximum(*(np.linalg.norm(at[a] - at[b], axis=1) for a, b in pairs))


def places(frames: list[FramePoses], track: int, joints: list[int], count: int) -> np.ndarray:
    """(T, J, 2) places of a track's joints, NaN where it is absent."""
    found = np.full((count, len(joints), 2), np.nan)
    for frame in frames:
        for pose in frame.poses:
            if pose.track_id == track and frame.index < count:
                found[frame.index] = pose.keypoints[joints]
    return found


def measure(found: np.ndarray, clip: Clip, columns: list[int], size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors and second differences of the labelled joints, as shares of the torso."""
    inside = clip.inside[:, columns]
    error = (np.linalg.norm(found - clip.points[:, columns], axis=2) / size[:, None])[inside]
    jitter = np.linalg.norm(np.diff(found, 2, axis=0), axis=2) / size[1:-1, None]
    jitter = jitter[inside[:-2] & inside[1:-1] & inside[2:]]
    return error[np.isfinite(error)], jitter[np.isfinite(jitter)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("poses", type=Path)
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    results: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in (*_CASES, "the labels themselves")}
    frames_seen = 0
    for clip in read_clips(options.clips, options.split):
        file = options.poses / f"{Path(clip.name).stem}.jsonl"
        if not file.exists():
            continue
        with open_poses(file) as reader:
            frames, joints = list(reader), [reader.header.joints.index(joint) for joint in BODY12]
        columns, size, count = [clip.joints.index(joint) for joint in BODY12], torso(clip), len(clip.points)
        errors: dict[int, float] = {}
        for one in {pose.track_id for frame in frames for pose in frame.poses}:
            away = np.linalg.norm(places(frames, one, joints, count) - clip.points[:, columns], axis=2)
            errors[one] = float(np.median(np.nan_to_num(away, nan=1e3)))
        if not errors:
            continue
        track = min(errors, key=lambda one: float(np.median(errors[one])))
        frames_seen += count
        for name, case in _CASES.items():
            filtered = frames if case is None else list(Filter(**case)(frames))  # type: ignore[arg-type]
            results[name].append(measure(places(filtered, track, joints, count), clip, columns, size))
        results["the labels themselves"].append(measure(clip.points[:, columns], clip, columns, size))
    print(f"{len(results['raw'])} clips, {frames_seen} frames\n")
    print("| filter | mean error | median error | PCK@0.2 | jitter |\n|---|---|---|---|---|")
    for name, parts in results.items():
        error, jitter = (np.concatenate(one) for one in zip(*parts, strict=True))
        pck = float((error < 0.2).mean())
        print(f"| {name} | {error.mean():.1%} | {np.median(error):.1%} | {pck:.1%} | {jitter.mean():.2%} |")


if __name__ == "__main__":
    main()
