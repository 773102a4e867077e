"""Frames as picture files."""

from __future__ import annotations

import cv2
import numpy as np

from ftpcli.errors import OutputError

_JPEG_QUALITY = 95


def encoded(image: np.ndarray, kind: str) -> bytes:
    """An (H, W, 3) uint8 RGB picture as a "jpg" or "png" file. Raises OutputError."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if kind == "jpg" else []
    done, data = cv2.imencode(f".{kind}", image[..., ::-1], quality)
    if not done:
        raise OutputError(f"a frame of {image.shape[1]}x{image.shape[0]} cannot be written as {kind}")
    return data.tobytes()
