"""Reading a single picture file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ftpcli.errors import InputError


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright by its EXIF orientation.

    Raises:
        InputError: missing, unreadable, or not a picture.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise InputError(f"{path}: picture is missing") from None
    except OSError as error:
        raise InputError(f"{path}: picture cannot be read ({error.strerror})") from None
    image = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if content.size else None
    if image is None:
        raise InputError(f"{path}: not a picture, or damaged")
    return image
