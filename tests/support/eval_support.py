"""Small PoseTrack files with known content, for the tests of the evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.skeleton import POSETRACK15, POSETRACK17

SLOTS = POSETRACK17.joints
#: Joint positions of a standing person 60 px wide and 170 px high, head box 20 x 26.
FIGURE = {
    "nose": (30.0, 14.0),
    "head_bottom": (30.0, 28.0),
    "head_top": (30.0, 2.0),
    "left_shoulder": (42.0, 36.0),
    "right_shoulder": (18.0, 36.0),
    "left_elbow": (48.0, 60.0),
    "right_elbow": (12.0, 60.0),
    "left_wrist": (52.0, 84.0),
    "right_wrist": (8.0, 84.0),
    "left_hip": (38.0, 88.0),
    "right_hip": (22.0, 88.0),
    "left_knee": (40.0, 126.0),
    "right_knee": (20.0, 126.0),
    "left_ankle": (41.0, 164.0),
    "right_ankle": (19.0, 164.0),
}
HEAD = (20.0, 2.0, 18.0, 24.0)  # xywh; diagonal 30, head size 18


def person(dx: float = 0.0, dy: float = 0.0, track: int | None = 0, **options: Any) -> dict[str, Any]:
    """One person entry of a 2018-form file, without image_id.

    Options: ``only`` or ``without`` (joint names), ``shift`` (joint -> (dx, dy)), ``scores`` (one number or a list,
    None for no field), ``head`` (xywh, None for no field), and further fields as they are.
    """
    only, without, shift = options.pop("only", None), options.pop("without", ()), options.pop("shift", {})
    scores, head = options.pop("scores", 0.5), options.pop("head", HEAD)
    keypoints: list[float] = []
    for joint in SLOTS:
        if joint not in FIGURE or joint in without or (only is not None and joint not in only):
            keypoints += [0.0, 0.0, 0.0]
        else:
            sx, sy = shift.get(joint, (0.0, 0.0))
            keypoints += [FIGURE[joint][0] + dx + sx, FIGURE[joint][1] + dy + sy, 1.0]
    entry: dict[str, Any] = {"keypoints": keypoints, "category_id": 1, **options}
    if track is not None:
        entry["track_id"] = track
    if scores is not None:
        entry["scores"] = list(scores) if isinstance(scores, list | tuple) else [scores] * 17
    if head is not None:
        entry["bbox_head"] = [head[0] + dx, head[1] + dy, head[2], head[3]]
    return entry


def video18(frames: list[list[dict[str, Any]]], name: str = "000001_mpii_test", **images: Any) -> dict[str, Any]:
    """A 2018-form file. ``images``: field -> list of values, one a frame (None: field absent)."""
    base = 10_000_000_000 + int(name[:6]) * 10_000
    result: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    result["categories"][0]["keypoints"] = list(SLOTS)
    for i, people in enumerate(frames):
        image = {
            "file_name": f"images/val/{name}/{i:06d}.jpg",
            "id": base + i,
            "frame_id": base + i,
            "is_labeled": bool(people),
            "ignore_regions_x": [],
            "ignore_regions_y": [],
        }
        image |= {key: values[i] for key, values in images.items() if values[i] is not None}
        result["images"].append(image)
        for k, entry in enumerate(people):
            result["annotations"].append({**entry, "image_id": base + i, "id": (base + i) * 100 + k})
    return result


def as_2017(data: dict[str, Any]) -> dict[str, Any]:
    """The same content in the 2017 form."""
    annolist = []
    for i, image in enumerate(data["images"]):
        rects = []
        for entry in data["annotations"]:
            if entry["image_id"] != image["id"]:
                continue
            points = []
            for slot, (x, y, v) in enumerate(np.array(entry["keypoints"]).reshape(-1, 3).tolist()):
                if (x, y, v) == (0, 0, 0):
                    continue
                point = {"id": [POSETRACK15.joints.index(SLOTS[slot])], "x": [x], "y": [y], "is_visible": [int(v)]}
                if entry.get("scores"):
                    point["score"] = [entry["scores"][slot]]
                points.append(point)
            rect: dict[str, Any] = {"annopoints": [{"point": points}]}
            if "track_id" in entry:
                rect["track_id"] = [entry["track_id"]]
            if "bbox_head" in entry:
                x, y, w, h = entry["bbox_head"]
                rect |= {"x1": [x], "y1": [y], "x2": [x + w], "y2": [y + h]}
            rects.append(rect)
        frame: dict[str, Any] = {"image": [{"name": image["file_name"]}], "imgnum": [i + 1], "annorect": rects}
        frame["is_labeled"] = [int(image["is_labeled"])]
        regions = zip(image["ignore_regions_x"], image["ignore_regions_y"], strict=True)
        polygons = [{"point": [{"x": [x], "y": [y]} for x, y in zip(xs, ys, strict=True)]} for xs, ys in regions]
        if polygons:
            frame["ignore_regions"] = polygons
        annolist.append(frame)
    return {"annolist": annolist}


def save(folder: Path, data: Any, name: str = "000001_mpii_test") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(data))
    return path


def crowd(rng: np.random.Generator, frames: int, people: int, miss: float = 0.1) -> tuple[list[Any], list[Any]]:
    """Annotated and predicted people walking about: misses, inventions, noise, identity switches."""
    places = rng.uniform(0, 1000, (people, 2))
    speed = rng.normal(0, 4, (people, 2))
    ids = rng.permutation(people)
    truth, predicted = [], []
    for _ in range(frames):
        places = places + speed
        if rng.random() < 0.1 and people > 1:
            a, b = rng.choice(people, 2, replace=False)
            ids[[a, b]] = ids[[b, a]]
        absent = {j: FIGURE[j] for j in FIGURE if rng.random() < 0.1}
        truth.append([person(*places[k], track=k, without=absent) for k in range(people)])
        guesses = []
        for k in range(people):
            if rng.random() > miss:
                shift = {joint: tuple(rng.normal(0, 5, 2)) for joint in FIGURE}
                scores = rng.random(17).tolist()
                guesses.append(person(*places[k], track=int(ids[k]), shift=shift, scores=scores, head=None))
        if rng.random() < 0.3:
            scores = rng.random(17).tolist()
            guesses.append(person(*rng.uniform(0, 1000, 2), track=500, scores=scores, head=None))
        predicted.append(guesses)
    return truth, predicted
