"""A single picture file, read and written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ftpcli.errors import InputError, OutputError
from ftpcli.files.inputs import refuse_pointer

_JPEG_QUALITY = 95


def read_picture(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright by its EXIF orientation.

    Args:
        size: width and height that its annotations state; None where they do not.

    Raises:
        InputError: missing, unreadable, not a picture, or of another size.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise InputError(f"{path}: picture is missing") from None
    except OSError as error:
        raise InputError(f"{path}: picture cannot be read ({error.strerror})") from None
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if content.size else None
    except cv2.error:
        raise InputError(f"{path}: claims more pixels than can be read; take it out or make it smaller") from None
    if image is None:
        refuse_pointer(path)
        raise InputError(f"{path}: not a picture, or damaged")
    height, width = image.shape[:2]
    if size not in (None, (width, height)):
        raise InputError(
            f"{path}: is {width}x{height}, its annotations are of a picture of {size[0]}x{size[1]}; give the pictures "
            "that were annotated"
        )
    return image


def encoded(image: np.ndarray, kind: str) -> bytes:
    """An (H, W, 3) uint8 RGB picture as a "jpg" or "png" file. Raises OutputError."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if kind == "jpg" else []
    done, data = cv2.imencode(f".{kind}", image[..., ::-1], quality)
    if not done:
        raise OutputError(f"a frame of {image.shape[1]}x{image.shape[0]} cannot be written as {kind}")
    return data.tobytes()
