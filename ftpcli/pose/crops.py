"""From a person's box to the model's crop and back (the geometry of posetrack.md C1: aspect, enlargement, affine).

Coordinates are pixel indices: the first pixel's centre is 0. An affine is a (2, 3) matrix from picture to crop. The
``udp`` codec (see :class:`ModelConfig`) follows mmpose to the letter: the box spans the steps from the crop's first to
its last pixel, and a box's middle is taken for a pixel index as it is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ftpcli.model.choices import Codec

if TYPE_CHECKING:
    import torch

#: The paper enlarges the person's box by 25 %.
ENLARGEMENT = 1.25
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)  # ImageNet, RGB
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def crop_frame(boxes: np.ndarray, size: tuple[int, int], codec: str = Codec.CENTRED) -> tuple[np.ndarray, np.ndarray]:
    """Centre (..., 2) and width (...) in picture pixels of the region that a crop shows.

    The box is grown about its centre to the crop's aspect, then enlarged by 25 %.

    Args:
        boxes: (..., 4) xyxy edges in pixels.
        size: height and width of the crop.
    """
    boxes = np.asarray(boxes, np.float64)
    shift = 0.0 if codec == Codec.UDP else 0.5  # from edges to pixel indices
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 - shift
    sides = (boxes[..., 2:] - boxes[..., :2]) * (1.0, size[1] / size[0])
    return centre, sides.max(axis=-1).clip(1.0) * ENLARGEMENT


def affine(
    centre: np.ndarray,
    width: float | np.ndarray,
    size: tuple[int, int],
    rotation: float = 0.0,
    flip: bool = False,
    codec: str = Codec.CENTRED,
) -> np.ndarray:
    """(..., 2, 3) similarities from picture to crop: ``centre`` (..., 2) to the crop's middle, ``width`` (...) to its
    width.

    With ``udp`` the two scales differ by a fraction of a percent.

    Args:
        rotation: degrees, clockwise as seen on screen.
        flip: mirror left and right after that.
    """
    width = np.asarray(width, np.float64)
    scale_x = scale_y = size[1] / width
    if codec == Codec.UDP:
        scale_x, scale_y = (size[1] - 1) / width, (size[0] - 1) * size[1] / (size[0] * width)
    angle = np.deg2rad(rotation)
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = np.stack([cosine * scale_x, -sine * scale_x, sine * scale_y, cosine * scale_y], axis=-1)
    linear = linear.reshape(*linear.shape[:-1], 2, 2)
    if flip:
        linear[..., 0, :] *= -1
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    return np.concatenate([linear, middle[:, None] - linear @ centre[..., None]], axis=-1)


def box_affine(boxes: np.ndarray, size: tuple[int, int], codec: str = Codec.CENTRED) -> np.ndarray:
    """(..., 2, 3) affines of the crops of boxes, (..., 4) xyxy, as the model sees them at inference."""
    return affine(*crop_frame(boxes, size, codec), size, codec=codec)


def invert(matrix: np.ndarray) -> np.ndarray:
    """(..., 2, 3) affines from crop to picture."""
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(..., K, 2) points through (..., 2, 3) affines; or (2,), one point, through one."""
    shift = matrix[..., 2] if matrix.ndim == 2 else matrix[..., None, :, 2]
    return points @ matrix[..., :2].swapaxes(-1, -2) + shift


def cut(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The crop of ``size`` (height, width) that ``matrix`` describes, bilinear, black outside the picture.

    Where the crop shrinks the picture by two or more, the picture is averaged first: plain bilinear sampling
    would alias.

    Args:
        image: (H, W, C) uint8.

    Returns:
        (height, width, C) uint8.
    """
    shrink = int(shrinking(matrix))
    if shrink >= 2:
        image, matrix = _shrunk(image, matrix, size, shrink)
        if image.size == 0:
            return np.zeros((*size, *image.shape[2:]), np.uint8)
    return cv2.warpAffine(image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def shrinking(matrix: np.ndarray) -> np.ndarray:
    """By which whole numbers, (...), pictures are shrunk before they are sampled through (..., 2, 3) affines: at least
    1."""
    area = np.abs(np.linalg.det(matrix[..., :2]))
    return (1 / np.sqrt(np.where(area > 0, area, 1.0))).clip(1).astype(np.int64)


def _shrunk(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], factor: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of the picture that the crop needs, averaged over factor x factor blocks, and its affine."""
    corners = np.array([[0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]], dtype=np.float64)
    corners = transform(corners, invert(matrix))
    low = np.maximum(np.floor(corners.min(axis=0)) - factor, 0).astype(int) // factor * factor
    high = np.minimum(np.ceil(corners.max(axis=0)) + factor + 1, image.shape[1::-1]).astype(int)
    high = np.maximum(low, low + (high - low) // factor * factor)
    part = image[low[1] : high[1], low[0] : high[0]]
    if part.size == 0:
        return part, matrix
    small = cv2.resize(part, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    # A small pixel's index i stands for the part's index factor * i + (factor - 1) / 2.
    offset = low + (factor - 1) / 2
    linear = matrix[:, :2] * factor
    return small, np.concatenate([linear, (matrix[:, :2] @ offset + matrix[:, 2])[:, None]], axis=1)


def normalise(crops: torch.Tensor, device: torch.device) -> torch.Tensor:
    """(..., H, W, 3) RGB, 0 to 255 -> (..., 3, H, W) float32 on ``device``, ImageNet's mean and deviation removed.

    There, because bytes are a quarter of what would travel otherwise, and because a process that prepares training
    batches would spend half of its time on it.
    """
    mean, deviation = _moments(device)
    last = crops.dim() - 1  # counted from the front: the export to ONNX cannot count from the back
    return (crops.to(device).movedim(last, last - 2).float() / 255 - mean) / deviation


@lru_cache(maxsize=8)
def _moments(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation, (3, 1, 1) each."""
    import torch

    with torch.inference_mode(False):  # the same tensors serve inference and training
        mean, deviation = (torch.from_numpy(values).to(device)[:, None, None] for values in (MEAN, STD))
    return mean, deviation
