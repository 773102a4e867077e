"""Annotation files as other tools write them, about pictures of one or two people who walk to the right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ftpcli.skeleton import COCO17

SIZE = (96, 64)  # width and height
FRAMES = 5
Data = dict[str, Any]


def joints(frame: int, person: int) -> np.ndarray:
    """(17, 2) pixels, another place for each frame and person."""
    grid = np.array([[k % 4 * 4, k // 4 * 7] for k in range(17)], dtype=float)
    return grid + np.array([8 + 40 * person + 3 * frame, 6])


def box(frame: int, person: int) -> list[float]:
    """xywh."""
    low, high = joints(frame, person).min(axis=0) - 4, joints(frame, person).max(axis=0) + 4
    return [*low.tolist(), *(high - low).tolist()]


def pictures(folder: Path, names: list[str]) -> Path:
    """One picture a name."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.full((SIZE[1], SIZE[0], 3), 30 * number, np.uint8)
        assert cv2.imwrite(str(folder / name), image)
    return folder


def coco(names: list[str], **more: Any) -> Data:
    """COCO's own form with two people a picture; ids of annotations and images as COCO has them, none of tracks."""
    images = [
        {"id": 100 + n, "file_name": name, "width": SIZE[0], "height": SIZE[1], "license": 1}
        for n, name in enumerate(names)
    ]
    annotations = []
    for n in range(len(names)):
        for person in range(2):
            flat = [v for x, y in joints(n, person).tolist() for v in (x, y, 2)]
            x, y, w, h = box(n, person)
            annotations.append(
                {
                    "id": 1 + len(annotations),
                    "image_id": 100 + n,
                    "category_id": 1,
                    "keypoints": flat,
                    "num_keypoints": 17,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO17.joints), "skeleton": []}
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": [category], **more}


def cvat(names: list[str]) -> Data:
    """CVAT's COCO export: ids in ``attributes``, no field of others, a person outside of the picture left empty."""
    data = coco(names)
    for n, annotation in enumerate(data["annotations"]):
        annotation["attributes"] = {"occluded": False, "track_id": 7 + n % 2, "keyframe": True}
        annotation["segmentation"] = []
    empty = {"id": 900, "image_id": 100, "category_id": 1, "keypoints": [], "num_keypoints": 0, "segmentation": []}
    attributes = {"attributes": {"occluded": False, "track_id": 0, "keyframe": True}}
    data["annotations"].append(empty | {"bbox": [0, 0, 0, 0], "area": 0, "iscrowd": 0} | attributes)
    return data


def coco_vid(names: list[str]) -> Data:
    """CocoVID: ``videos``, ``frame_id`` from 0, people by ``instance_id``; images in no order."""
    data = coco(names, videos=[{"id": 1, "name": "walk"}])
    for n, image in enumerate(data["images"]):
        image |= {"video_id": 1, "frame_id": n}
    for n, annotation in enumerate(data["annotations"]):
        annotation["instance_id"] = 3 + n % 2
    data["images"].reverse()
    return data


def put(path: Path, data: Any) -> Path:
    """The data as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path
