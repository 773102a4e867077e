"""Tells a source from another of the same name, without reading the whole of it. Imports nothing heavy."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from ftpcli.errors import InputError
from ftpcli.files.inputs import can_reread, is_network_address, local_path, numbered_images

_ENDS = 1 << 20  # bytes from either end of a video: headers, indices, first and last pictures
_MIDDLE = 1 << 12  # bytes from the middle of a picture: uncompressed ones are all of one size


def content_of(source: str) -> str | None:
    """A hash of a file's size and first and last MiB; of the names, sizes and middle 4 KiB of a folder's pictures.

    Returns:
        32 hexadecimal digits; None for pipes and streams.

    Raises:
        InputError: the file or folder cannot be read. Of a picture that cannot, the name counts alone.
    """
    if is_network_address(source) or not can_reread(local_path(source)):
        return None
    path = Path(local_path(source))
    digest = hashlib.sha256()
    if path.is_dir():
        for file in numbered_images(path):
            digest.update(os.fsencode(file.name) + b"\0")
            with contextlib.suppress(OSError), open(file, "rb", buffering=0) as opened:
                size = os.fstat(opened.fileno()).st_size
                opened.seek(max(0, size - _MIDDLE) // 2)
                digest.update(f"{size} ".encode() + opened.read(_MIDDLE))
    else:
        try:
            with open(path, "rb") as opened:
                size = os.fstat(opened.fileno()).st_size
                digest.update(f"{size} ".encode() + opened.read(_ENDS))
                opened.seek(max(0, size - _ENDS))
                digest.update(opened.read(_ENDS))
        except OSError as error:
            raise InputError(f"{source}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()[:32]
