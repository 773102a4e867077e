"""Makes a small data set laid out as PoseTrack 2017, 2018 or 2021, to try training and evaluation end to end.

    python samples/make_posetrack.py ROOT --layout 18
    python samples/make_posetrack.py ROOT --layout 17 --clips CLIPS

Without --clips the videos show drawn figures walking about. With --clips they are made of labelled clips (a folder
with clips.json); what those lack (head tops, head boxes) is derived from the other joints.

The set has what the real one has: unlabelled frames, frames without people, two people, joints and people that are
not annotated, ignore regions, in 2017 names that start anywhere and people without joints, in 2021 frames with boxes
only. Beside it lie detection lists (val_boxes.json and, but for 2017, posetrack18_val_human_detections.json).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ftpcli.errors import FtpError, InputError, OutputError
from ftpcli.skeleton import POSETRACK15, POSETRACK17

WIDTH, HEIGHT = 320, 240
SOURCES = {"mpii": 1, "bonn": 2, "mpiinew": 3}
JOINTS = POSETRACK15.joints
#: Number and source of the videos of each split; the third is the one with two people.
VIDEOS = {"train": ((11, "mpii"), (12, "bonn"), (13, "mpii")), "val": ((21, "mpii"), (22, "mpiinew"), (23, "bonn"))}


@dataclass
class Figure:
    """A person over a video: (T, 15, 2) joints and (T, 4) head boxes xywh."""

    joints: np.ndarray
    heads: np.ndarray


@dataclass
class Video:
    """Pictures (T of (H, W, 3) BGR), people, and which people are seen and annotated when."""

    number: int
    source: str
    pictures: list[np.ndarray]
    people: list[Figure]
    labelled: list[bool]
    nobody: set[int]  # labelled frames in which nobody is annotated
    regions: dict[int, list[np.ndarray]]  # frame -> polygons
    hidden: set[tuple[int, int, int]]  # (frame, person, joint) that are not annotated


def walk(rng: np.random.Generator, frames: int, start: float, height: float) -> Figure:
    """A drawn figure's joints: it walks from ``start`` (pixels from the left), swinging arms and legs."""
    unit, phase, speed = height / 8, rng.uniform(0, 6), rng.uniform(1.5, 3)
    joints = np.zeros((frames, len(JOINTS), 2))
    heads = np.zeros((frames, 4))
    for t in range(frames):
        swing = np.sin(phase + t * 0.5)
        ground = np.array([start + speed * t, HEIGHT - 12 + 1.5 * np.sin(phase + t)])
        hip, neck = ground - [0, 4 * unit], ground - [0, 6.6 * unit]
        place = {"head_bottom": neck, "nose": neck - [-0.1 * unit, 0.5 * unit], "head_top": neck - [0, 1.3 * unit]}
        for side, sign in (("left", 1), ("right", -1)):
            bend = sign * swing * 0.5
            shoulder = neck + np.array([sign * 0.7, 0.3]) * unit
            pelvis = hip + np.array([sign * 0.45, 0.0]) * unit
            elbow = shoulder + 1.4 * unit * np.array([np.sin(-bend), np.cos(bend)])
            knee = pelvis + 2 * unit * np.array([np.sin(bend), np.cos(bend)])
            place |= {
                f"{side}_shoulder": shoulder,
                f"{side}_elbow": elbow,
                f"{side}_wrist": elbow + 1.3 * unit * np.array([np.sin(-bend + 0.4), np.cos(bend - 0.4)]),
                f"{side}_hip": pelvis,
                f"{side}_knee": knee,
                f"{side}_ankle": knee + 1.9 * unit * np.array([np.sin(bend * 0.4), np.cos(bend * 0.4)]),
            }
        joints[t] = [place[joint] for joint in JOINTS]
        top = place["head_top"]
        heads[t] = [top[0] - 0.5 * unit, top[1], unit, neck[1] - top[1]]
    return Figure(joints, heads)


def draw(image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> None:
    """A figure of thick limbs; left limbs are brighter than right ones."""
    thick = max(3, round(float(np.ptp(points[:, 1])) / 22))
    for a, b in POSETRACK15.edges:
        left = "left" in JOINTS[a] or "left" in JOINTS[b]
        shade = tuple(int(min(255, c * (1.3 if left else 0.8))) for c in colour)
        ends = [tuple(round(float(v)) for v in points[i]) for i in (a, b)]
        cv2.line(image, ends[0], ends[1], shade, thick, cv2.LINE_AA)
    top, bottom = points[JOINTS.index("head_top")], points[JOINTS.index("head_bottom")]
    middle = tuple(round(float(v)) for v in (top + bottom) / 2)
    cv2.circle(image, middle, max(3, int(np.linalg.norm(top - bottom) * 0.55)), colour, -1, cv2.LINE_AA)


def drawn(rng: np.random.Generator, frames: int, people: int) -> tuple[list[np.ndarray], list[Figure]]:
    """Pictures of people on a patterned ground."""
    coarse = rng.integers(60, 190, (8, 10, 3)).astype(np.uint8)
    ground = cv2.GaussianBlur(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST), (0, 0), 3)
    figures = [
        walk(rng, frames, start, rng.uniform(130, 190)) for start in rng.permutation([30.0, 130.0, 220.0])[:people]
    ]
    colours = [(int(r), int(g), int(b)) for r, g, b in rng.integers(40, 230, (len(figures), 3))]
    pictures = []
    for t in range(frames):
        image = ground.copy()
        for figure, colour in zip(figures, colours, strict=True):
            draw(image, figure.joints[t], colour)
        pictures.append(image)
    return pictures, figures


def from_clip(
    folder: Path, clip: dict[str, Any], names: list[str], frames: int
) -> tuple[list[np.ndarray], list[Figure]]:
    """Pictures and the one labelled person of a clip. Head top, nose and head box are derived from face and neck."""
    from ftpcli.video import open_source

    with open_source(folder / clip["file"]) as source:
        pictures = [frame.image[:, :, ::-1].copy() for frame, _ in zip(source, range(frames), strict=False)]
    places = dict(zip(names, np.array(clip["keypoints"][: len(pictures)]).transpose(1, 0, 2), strict=True))
    face, neck = places["face"], places["head_bottom"]
    places |= {"nose": face, "head_top": face + 0.8 * (face - neck)}
    joints = np.stack([places[joint] for joint in JOINTS], axis=1)
    low, high = np.minimum(places["head_top"], neck), np.maximum(places["head_top"], neck)
    side = np.maximum(np.linalg.norm(high - low, axis=1), 4)
    middle = (low + high) / 2
    heads = np.stack([middle[:, 0] - side / 2, middle[:, 1] - side / 2, side, side], axis=1)
    return pictures, [Figure(joints, heads)]


def make_videos(split: str, frames: int, clips: Path | None) -> Iterator[Video]:
    """The videos of a split, always the same ones."""
    listing = read_clips(clips, split) if clips else None
    for k, (number, source) in enumerate(VIDEOS[split]):
        rng = np.random.default_rng(number)
        if listing:
            names, entries = listing
            pictures, people = from_clip(clips, entries[k % len(entries)], names, frames)  # type: ignore[arg-type]
        else:
            pictures, people = drawn(rng, frames, people=2 if k == 2 else 1)
        count = len(pictures)
        # As in the real set: a stretch in the middle, in validation videos also every fourth frame elsewhere.
        middle = range(count // 4, count - count // 4)
        labelled = [t in middle or (split == "val" and t % 4 == 0) for t in range(count)]
        nobody = {middle[1]} if k == 1 else set()
        corner = np.array([[2.5, 2.0], [60.0, 2.0], [50.5, 40.0], [2.5, 30.0]])
        across = np.array([[0.0, HEIGHT - 60.0], [WIDTH, HEIGHT - 60.0], [WIDTH, HEIGHT], [0.0, HEIGHT]])
        regions = {middle[0]: [corner], middle[2]: [corner, across]} if k == 0 else {}
        hidden = {(t, 0, j) for t in range(count) for j in rng.choice(len(JOINTS), 2, replace=False).tolist()}
        if k == 2 and len(people) > 1:  # a person of whom no joint is annotated
            hidden |= {(middle[1], 1, j) for j in range(len(JOINTS))}
        yield Video(number, source, pictures, people, labelled, nobody, regions, hidden)


def read_clips(folder: Path, split: str) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        data = json.loads((folder / "clips.json").read_text())
        return data["joints"], [clip for clip in data["clips"] if clip["split"] == split]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'clips.json'}: not a list of labelled clips ({error})") from None


def seen(video: Video, t: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(person, (15, 2) joints, (15,) annotated) of the people annotated in a frame."""
    if not video.labelled[t] or t in video.nobody:
        return []
    rows = []
    for p, figure in enumerate(video.people):
        known = np.array([(t, p, j) not in video.hidden for j in range(len(JOINTS))])
        rows.append((p, np.round(figure.joints[t], 2), known))
    return rows


def body_box(points: np.ndarray, scale: float) -> np.ndarray:
    """xywh: the extent of (n, 2) joints, scaled about its centre."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre, size = (low + high) / 2, (high - low) * scale
    return np.round(np.concatenate([centre - size / 2, size]), 3)


def form_2018(video: Video, split: str, version: str) -> tuple[str, dict[str, Any]]:
    """Folder name and annotation file of 2018 or 2021."""
    if version == "21":  # its evaluation cannot take labelled frames without people, so there are none
        video = dataclasses.replace(video, nobody=set())
    folder = f"{video.number:06d}_{video.source}_{'train' if split == 'train' else 'test'}"
    base = SOURCES[video.source] * 10**10 + video.number * 10**4
    images, annotations = [], []
    for t in range(len(video.pictures)):
        regions = video.regions.get(t, [])
        image = {
            "file_name": f"images/{split}/{folder}/{t:06d}.jpg",
            "id": base + t,
            "frame_id": base + t,
            "vid_id": f"{video.number:06d}",
            "nframes": len(video.pictures),
            "is_labeled": video.labelled[t],
            "has_no_densepose": True,
            "ignore_regions_x": [region[:, 0].tolist() for region in regions],
            "ignore_regions_y": [region[:, 1].tolist() for region in regions],
        }
        rows = seen(video, t)
        if version == "21":
            boxes_only = not video.labelled[t] and t % 2 == 1
            image["has_labeled_person"] = bool(rows) or boxes_only
            if boxes_only:
                rows = [(p, f.joints[t], np.zeros(len(JOINTS), dtype=bool)) for p, f in enumerate(video.people)]
        images.append(image)
        for k, (p, points, known) in enumerate(rows):
            slots = []
            for joint in POSETRACK17.joints:
                j = JOINTS.index(joint) if joint in JOINTS else None
                slots += [*points[j].tolist(), 1.0] if j is not None and known[j] else [0.0, 0.0, 0.0]
            entry = {
                "image_id": base + t,
                "id": (base + t) * 100 + k,
                "category_id": 1,
                "track_id": p,
                "bbox": body_box(points[known] if known.any() else points, 1.3).tolist(),
                "bbox_head": np.round(video.people[p].heads[t], 2).tolist(),
                "keypoints": slots,
                "scores": [],
            }
            annotations.append(entry | ({"person_id": video.number * 10 + p} if version == "21" else {}))
    category = {
        "supercategory": "person",
        "name": "person",
        "id": 1,
        "keypoints": list(POSETRACK17.joints),
        "skeleton": [[a + 1, b + 1] for a, b in POSETRACK17.edges],
    }
    return folder, {"images": images, "annotations": annotations, "categories": [category]}


def names_2017(video: Video) -> list[str]:
    """Frame names: mpii videos keep the numbers of the film they were cut from, one as crops."""
    group = "bonn_5sec" if video.source == "bonn" else "mpii_5sec"
    folder = f"images/{group}/{video.number:06d}_{'bonn' if video.source == 'bonn' else 'mpii'}"
    if video.source == "mpiinew":
        return [f"{folder}/{t + 37:04d}_crop.jpg" for t in range(len(video.pictures))]
    first = 1 if video.source == "bonn" else 12
    return [f"{folder}/{t + first:08d}.jpg" for t in range(len(video.pictures))]


def form_2017(video: Video) -> tuple[str, dict[str, Any]]:
    """Name and annotation file of 2017."""
    frames = []
    for t, name in enumerate(names_2017(video)):
        rects = []
        for p, points, known in seen(video, t):
            x, y, w, h = np.round(video.people[p].heads[t], 2).tolist()
            rect: dict[str, Any] = {"x1": [x], "y1": [y], "x2": [x + w], "y2": [y + h], "track_id": [p]}
            listed = [
                {"id": [j], "x": [points[j, 0].item()], "y": [points[j, 1].item()], "is_visible": [1]}
                for j in range(len(JOINTS))
                if known[j]
            ]
            rect["annopoints"] = [{"point": listed}] if listed else []
            rects.append(rect)
        frame: dict[str, Any] = {
            "image": [{"name": name}],
            "imgnum": [t + 1],
            "is_labeled": [int(video.labelled[t])],
            "annorect": rects,
        }
        if t in video.regions:
            frame["ignore_regions"] = [
                {"point": [{"x": [x], "y": [y]} for x, y in region.tolist()]} for region in video.regions[t]
            ]
        frames.append(frame)
    return Path(frames[0]["image"][0]["name"]).parent.name, {"annolist": frames}


def detections(video: Video, split: str, names: list[str], layout: str) -> Iterator[dict[str, Any]]:
    """A detector's boxes in every frame: near the people, now and then none or a false one with a low score."""
    rng = np.random.default_rng(1000 + video.number)
    for t in range(len(video.pictures)):
        # Lists of 2017 name the renamed copies, numbered from 1.
        name = str(Path(names[t]).with_name(f"{t + 1:08d}.jpg")) if layout == "17" else names[t]
        common = {
            "image_name": name,
            "category_id": 1,
            "nframes": len(video.pictures),
            "frame_id": t + (layout == "17"),
        }
        for figure in video.people:
            x, y, w, h = body_box(figure.joints[t], 1.2) + rng.normal(0, 2, 4)
            if rng.random() > 0.05:
                yield common | {"bbox": [x, y, max(w, 8.0), max(h, 8.0)], "score": float(rng.uniform(0.6, 1))}
        if rng.random() < 0.3:
            yield common | {"bbox": [5.0, 5.0, 40.0, 60.0], "score": float(rng.uniform(0.05, 0.19))}


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value) + "\n")


def make(root: Path, layout: str = "18", frames: int = 16, clips: Path | None = None) -> None:
    """Write the whole set.

    Args:
        root: a folder that does not exist yet, or is empty.
        layout: "17", "18" or "21".
        frames: length of each video; at least 12.
        clips: folder with labelled clips to draw the videos from.
    """
    if root.exists() and any(root.iterdir()):
        raise OutputError(f"{root}: is not empty; name a new folder")
    folder = {"17": "annotations", "18": "annotations", "21": "posetrack_data"}[layout]
    boxes: list[dict[str, Any]] = []
    for split in VIDEOS:
        for video in make_videos(split, max(frames, 12), clips):
            if layout == "17":
                name, content = form_2017(video)
                names = names_2017(video)
            else:
                name, content = form_2018(video, split, layout)
                names = [image["file_name"] for image in content["images"]]
            write_json(root / folder / split / f"{name}.json", content)
            for path, picture in zip(names, video.pictures, strict=True):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                if not cv2.imwrite(str(root / path), picture, [cv2.IMWRITE_JPEG_QUALITY, 92]):
                    raise OutputError(f"{root / path}: cannot be written")
            if split == "val":
                boxes += detections(video, split, names, layout)
    write_json(root / "val_boxes.json", boxes)
    if layout != "17":
        ids = {
            image["file_name"]: image["id"]
            for path in sorted((root / folder / "val").glob("*.json"))
            for image in json.loads(path.read_text())["images"]
        }
        merged = [
            {"image_id": ids[b["image_name"]], "category_id": 1, "bbox": b["bbox"], "score": b["score"]} for b in boxes
        ]
        write_json(root / "posetrack18_val_human_detections.json", merged)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a small data set laid out as PoseTrack.")
    parser.add_argument("root", type=Path, help="new folder")
    parser.add_argument("--layout", choices=("17", "18", "21"), default="18")
    parser.add_argument("--frames", type=int, default=16, help="length of each video (at least 12)")
    parser.add_argument("--clips", type=Path, help="folder with clips.json to take pictures and joints from")
    options = parser.parse_args()
    try:
        make(options.root, options.layout, options.frames, options.clips)
    except FtpError as error:
        sys.exit(f"make_posetrack: {error}")


if __name__ == "__main__":
    main()
