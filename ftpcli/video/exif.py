"""Reads the orientation tag of a photograph.

FFmpeg does so too, but PyAV 18 cannot hand on what it finds, save for the angle.
"""

from __future__ import annotations

import re
import struct

_HEADER = re.compile(rb"(?:Exif\0\0|eXIf)(II\*\0|MM\0\*)", re.DOTALL)
_ORIENTATION = 0x0112
_SHORT = 3
#: Tag value to degrees counterclockwise and whether to mirror left to right afterwards (Exif 2.32, 4.6.4 A).
_MEANING = {
    1: (0, False),
    2: (0, True),
    3: (180, False),
    4: (180, True),
    5: (270, True),
    6: (270, False),
    7: (90, True),
    8: (90, False),
}


def exif_orientation(head: bytes) -> tuple[int, bool] | None:
    """Degrees counterclockwise and mirroring from the first bytes of a JPEG or PNG file; None where not said."""
    match = _HEADER.search(head)
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
                return _MEANING.get(value)
    except struct.error:
        return None
    return None
