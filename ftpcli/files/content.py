"""Tells a source from another of the same name, without reading the whole of it. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ftpcli.errors import InputError
from ftpcli.files.inputs import STANDARD, local_path, numbered_images

_ENDS = 1 << 20  # bytes from either end of a video: headers, indices, first and last pictures
_MIDDLE = 1 << 12  # bytes from the middle of a picture: uncompressed ones are all of one size


def content_of(source: str) -> str | None:
    """A hash of a file's size and first and last MiB; of the names, sizes and middle 4 KiB of a folder's pictures.

    Returns:
        32 hexadecimal digits; None for what cannot be read twice (standard input, cameras, streams).

    Raises:
        InputError: it cannot be read.
    """
    path = Path(local_path(source))
    if source == STANDARD or not (path.is_file() or path.is_dir()):
        return None
    digest = hashlib.sha256()
    try:
        for file in numbered_images(path) if path.is_dir() else [path]:
            size = file.stat().st_size
            digest.update(f"{size} ".encode())
            with open(file, "rb", buffering=0) as opened:
                if path.is_dir():
                    digest.update(os.fsencode(file.name) + b"\0")
                    opened.seek(max(0, size - _MIDDLE) // 2)
                    digest.update(opened.read(_MIDDLE))
                else:
                    digest.update(opened.read(_ENDS))
                    opened.seek(max(0, size - _ENDS))
                    digest.update(opened.read(_ENDS))
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()[:32]
