"""Small generated training data: drawn figures as COCO-keypoints JSON and as labelled clips."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ftpcli.skeleton import PERSON19

_FIGURE = {
    "nose": (0, -60),
    "head_top": (0, -72),
    "head_bottom": (0, -45),
    "shoulder": (14, -40),
    "elbow": (22, -18),
    "wrist": (26, 4),
    "hip": (9, 8),
    "knee": (11, 38),
    "ankle": (12, 68),
}


def figure(centre: tuple[float, float], scale: float, rng: np.random.Generator) -> np.ndarray:
    """(19, 2) joints of a standing figure facing the camera; eyes and ears are not drawn (NaN)."""
    points = np.full((19, 2), np.nan)
    for i, joint in enumerate(PERSON19.joints):
        part = joint.removeprefix("left_").removeprefix("right_")
        if part in _FIGURE:
            x, y = _FIGURE[part]
            side = 1 if joint.startswith("left_") else -1
            points[i] = np.array([x * side, y]) + rng.normal(0, 1.5, 2)
    return points * scale + np.array(centre)


def draw(points: np.ndarray, size: tuple[int, int], colour: tuple[int, int, int]) -> np.ndarray:
    image = np.full((*size, 3), 90, np.uint8)
    for a, b in PERSON19.edges:
        if np.isfinite(points[[a, b]]).all():
            cv2.line(image, points[a].astype(int).tolist(), points[b].astype(int).tolist(), colour, 3)
    return image


def make_coco(folder: Path, count: int = 12, seed: int = 0) -> Path:
    """``people.json`` with one picture a person."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in range(count):
        points = figure((80 + rng.uniform(-8, 8), 100 + rng.uniform(-8, 8)), rng.uniform(0.8, 1.1), rng)
        name = f"images/{i:03d}.png"
        cv2.imwrite(str(folder / name), draw(points, (200, 160), (int(rng.integers(130, 255)), 200, 60)))
        known = np.isfinite(points).all(axis=1)
        low, high = points[known].min(axis=0) - 6, points[known].max(axis=0) + 6
        flat = [v for p, k in zip(points, known, strict=True) for v in ([*p.tolist(), 2] if k else [0, 0, 0])]
        images.append({"id": i, "file_name": name, "width": 160, "height": 200, "source": "drawn"})
        box = [*low.tolist(), *(high - low).tolist()]
        annotations.append(
            {"id": i + 1, "image_id": i, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            | {"keypoints": flat, "num_keypoints": int(known.sum()), "label": "gt"}
        )
    categories = [{"id": 1, "name": "person", "keypoints": list(PERSON19.joints), "skeleton": []}]
    path = folder / "people.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def make_clips(folder: Path, clips: int = 2, frames: int = 5) -> Path:
    """A folder with ``clips.json``; the first half of the clips is for training, the rest for validation."""
    from ftpcli.video import VideoWriter

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    joints = [j for j in PERSON19.joints if "ear" not in j and "eye" not in j]
    columns = [PERSON19.joints.index(j) for j in joints]
    entries = []
    for number in range(clips):
        start = figure((70, 100), 1.0, rng)
        labels = []
        with VideoWriter(folder / f"{number}.mp4", 160, 200, Fraction(1, 25), crf=8, overwrite=True) as writer:
            for t in range(frames):
                points = start + np.array([2.0 * t, 0])
                writer.write(draw(points, (200, 160), (60, 200, 255)), t)
                labels.append(points[columns].tolist())
        split = "train" if number < (clips + 1) // 2 else "val"
        entry = {"file": f"{number}.mp4", "split": split, "fps": 25, "frames": frames, "width": 160, "height": 200}
        entries.append({**entry, "keypoints": labels})
    (folder / "clips.json").write_text(json.dumps({"joints": joints, "clips": entries}))
    return folder
