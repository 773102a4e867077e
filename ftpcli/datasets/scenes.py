"""Reading pictures and their people's boxes from COCO detection files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ftpcli.datasets.cutouts import Cutout, cut_out, outline_of
from ftpcli.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture and its people."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    people: np.ndarray  # (N, 4) float32 xyxy pixels
    ignore: np.ndarray  # (M, 4) float32 xyxy pixels: neither person nor background


def read_coco(path: Path | str) -> dict[str, Any]:
    """A COCO detection file as a dict with ``images`` and ``annotations``; its people are category 1.

    Raises:
        InputError: unreadable, not JSON, or without images and annotations.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in ("images", "annotations")):
        raise InputError(f"{path}: not a COCO file, it lacks the lists 'images' and 'annotations'")
    return content


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB.

    Raises:
        InputError: missing or not a picture.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: missing, or not a picture")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def load_pictures(path: Path | str, longest: int) -> tuple[list[Picture], list[Cutout]]:
    """Decode every picture of a COCO file into memory, shrunk to at most ``longest`` pixels a side.

    People whose ``segmentation`` is a list of polygons come as cutouts as well (COCO data format, section 1).

    Raises:
        InputError: unreadable, or polygons that are none.
    """
    content, root = read_coco(path), Path(path).parent
    of: dict[int, list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        if annotation.get("category_id", 1) == 1:
            of.setdefault(annotation["image_id"], []).append(annotation)
    pictures, cutouts = [], []
    for record in content["images"]:
        image = read_image(root / record["file_name"])
        annotations = of.get(record["id"], [])
        boxes = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4)
        crowd = np.array([bool(a.get("iscrowd", 0)) for a in annotations], bool)
        boxes[:, 2:] += boxes[:, :2]
        scale = min(longest / max(image.shape[:2]), 1.0)
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            boxes *= scale
        pictures.append(Picture(image, boxes[~crowd], boxes[crowd]))
        for annotation in annotations:
            outline = outline_of(annotation, path)
            cutout = cut_out(image, [polygon * scale for polygon in outline]) if outline else None
            if cutout is not None:
                cutouts.append(cutout)
    return pictures, cutouts
