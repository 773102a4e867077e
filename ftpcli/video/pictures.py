"""A decoded picture becomes upright RGB: colour matrix and range stated explicitly, orientation applied."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

# AVColorSpace (ITU-T H.273 matrix coefficients) to the scaler's name for the same matrix.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
# H.273 transfer characteristics of high dynamic range video.
_HDR = {16: "PQ", 18: "HLG"}
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
# Where photographs state how they are to stand. FFmpeg reads that too, but PyAV 18 hands on only the angle.
_EXIF = re.compile(rb"(?:Exif\0\0|eXIf)(II\*\0|MM\0\*)", re.DOTALL)
_ORIENTATION = 0x0112
_SHORT = 3
#: Tag value to degrees counterclockwise and whether to mirror left to right afterwards (Exif 2.32, 4.6.4 A).
_TURNED = {
    1: (0, False),
    2: (0, True),
    3: (180, False),
    4: (180, True),
    5: (270, True),
    6: (270, False),
    7: (90, True),
    8: (90, False),
}


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture becomes upright: turned counterclockwise, then mirrored left to right."""

    rotation: int = 0  # degrees counterclockwise: 0, 90, 180, 270
    mirrored: bool = False
    exact: bool = True  # False where the file asks for an angle between quarter turns

    @property
    def swaps_sides(self) -> bool:
        return self.rotation in (90, 270)

    @classmethod
    def of(cls, frame: av.VideoFrame, head: bytes = b"") -> Orientation:
        """From the display matrix of the frame, the nearest quarter turn. ``head``: the file's first bytes.

        The matrix (a b u; c d v; x y w) maps the stored (x, y) to (ax + cy, bx + dy), y down
        (ISO/IEC 14496-12, track header).
        """
        try:
            matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        except (ValueError, KeyError):  # PyAV 18 knows fewer kinds of side data than its FFmpeg, not EXIF
            photograph = exif_orientation(head)
            return cls(*photograph) if photograph else cls._nearest(-frame.rotation, mirrored=False)
        if matrix is None:
            return cls()
        a, b, _, c, d = np.frombuffer(matrix, dtype=np.int32)[:5].astype(np.float64)
        if not (a or b) or not (c or d):
            return cls()
        mirrored = a * d - b * c < 0
        return cls._nearest(math.degrees(math.atan2(b, -a if mirrored else a)), mirrored)

    @classmethod
    def _nearest(cls, clockwise: float, mirrored: bool) -> Orientation:
        quarter = round(-clockwise / 90)
        return cls(quarter * 90 % 360, mirrored, abs(-clockwise - quarter * 90) < 1)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 stored -> upright, contiguous."""
        if self.rotation:
            image = cv2.rotate(image, _TURNS[self.rotation])
        return cv2.flip(image, 1) if self.mirrored else image


def exif_orientation(head: bytes) -> tuple[int, bool] | None:
    """Degrees counterclockwise and mirroring from the first bytes of a JPEG or PNG file; None where not said."""
    match = _EXIF.search(head)
    if match is None:
        return None
    order = "<" if match[1].startswith(b"II") else ">"
    tiff = head[match.start(1) :]
    try:
        (offset,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, offset)
        for entry in range(min(count, 256)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, offset + 2 + 12 * entry)
            if tag == _ORIENTATION and kind == _SHORT:
                return _TURNED.get(value)
    except struct.error:
        return None
    return None


def sample_aspect_ratio(stored: Fraction, orientation: Orientation) -> Fraction:
    """Width over height of an upright pixel."""
    return 1 / stored if orientation.swaps_sides else stored


def hdr_kind(frame: av.VideoFrame) -> str | None:
    """``PQ`` or ``HLG`` where the frame is tagged so."""
    return _HDR.get(int(frame.color_trc))


class ToRgb:
    """Converts decoded frames to RGB. One instance per stream: it keeps the scaler's tables.

    Untagged YCbCr is taken as BT.709 from 1280 wide or more than 576 high, as BT.601 below, as players do.
    Untagged range is limited, save for JPEG and grey formats. Alpha is dropped: the colours stay as stored.
    High dynamic range is converted without tone mapping. The scaler's fast paths are used: flat colours come out
    within 3 of 255, a tenth of the time of its exact ones.
    """

    def __init__(self, orientation: Orientation, width: int, height: int) -> None:
        """``width`` and ``height``: the stored size all frames are brought to."""
        self._orientation = orientation
        self._width = width
        self._height = height
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright."""
        converted = self._reformatter.reformat(
            frame,
            width=self._width,
            height=self._height,
            format="rgb24",
            src_colorspace=_matrix(frame),
            src_color_range=_range(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,  # more only cost: a picture takes a millisecond or two
        )
        return self._orientation.apply(converted.to_ndarray())


def _matrix(frame: av.VideoFrame) -> Colorspace:
    tagged = _MATRICES.get(int(frame.colorspace))
    if tagged is not None:
        return tagged
    return Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601


def _range(frame: av.VideoFrame) -> ColorRange:
    if int(frame.color_range) in (1, 2):
        return ColorRange(int(frame.color_range))
    full = frame.format.name.startswith(("yuvj", "gray", "ya", "rgb", "bgr", "gbr", "argb", "abgr", "pal", "mono"))
    return ColorRange.JPEG if full else ColorRange.MPEG
