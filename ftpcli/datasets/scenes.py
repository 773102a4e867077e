"""Reading pictures and their people's boxes from COCO detection files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ftpcli.datasets.coco import Annotation, Id, read_coco
from ftpcli.datasets.cutouts import Cutout, cut_out
from ftpcli.datasets.left_out import EMPTY
from ftpcli.datasets.pictures import all_pictures
from ftpcli.errors import InputError
from ftpcli.files.pictures import read_picture


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture and its people."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    people: np.ndarray  # (N, 4) float32 xyxy pixels
    ignore: np.ndarray  # (M, 4) float32 xyxy pixels: neither person nor background


def load_pictures(
    path: Path | str, longest: int, folder: Path | None = None
) -> tuple[list[Picture], list[Cutout], list[str]]:
    """Decode every picture of a COCO file into memory, shrunk to at most ``longest`` pixels a side.

    Args:
        folder: holds the pictures, see `find_pictures`.

    Returns:
        The pictures, those people cut out whose ``segmentation`` is a list of polygons, and what was left out, one
        line each.

    Raises:
        InputError: unreadable, a picture is missing, or no person is left of those that the file lists.
    """
    file = read_coco(path)
    names = {key: image.name for key, image in file.images.items()}
    of: dict[Id, list[Annotation]] = {key: [] for key in file.images}
    for annotation in file.annotations:
        of[annotation.image].append(annotation)
    pictures, cutouts = [], []
    for key, place in all_pictures(file.path, names, folder).items():
        image = read_picture(place, file.images[key].size)
        scale = min(longest / max(image.shape[:2]), 1.0)
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        boxes: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])  # people, crowds
        for annotation in of[key]:
            box = annotation.box
            if box is None:
                file.left_out.add(EMPTY)
                continue
            boxes[annotation.crowd].append(box * scale)
            outline = annotation.outline
            cutout = cut_out(image, [polygon * scale for polygon in outline]) if outline else None
            if cutout is not None:
                cutouts.append(cutout)
        people, ignore = (np.array(rows, np.float32).reshape(-1, 4) for rows in boxes)
        pictures.append(Picture(image, people, ignore))
    lines = file.left_out.lines()
    if not any(len(picture.people) for picture in pictures):
        if lines:
            raise InputError(f"{path}: no person is left{file.left_out.why()}")
        lines = ["there is nobody in it: all of its pictures count as background"]
    return pictures, cutouts, [f"{path}: {line}" for line in lines]
