"""The one rule of picture names: ``NAME/00000000.jpg``, where NAME is the source's and the number the frame's index.

A folder of pictures keeps the names of its own.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from ftpcli.formats.base import WriteOptions
from ftpcli.records import Header


def source_name(header: Header) -> str:
    """The source's file name without its extension, safe as the name of a folder."""
    name = PurePath(re.sub(r"[/\\:\0]", "_", header.source.path or "")).stem
    return name if name.strip(".") else "video"


def picture_file(index: int, kind: str) -> str:
    """File name of a frame's picture, without its folder."""
    return f"{index:08d}.{kind}"


class PictureNames:
    """File names of frames, with slashes."""

    def __init__(self, header: Header, options: WriteOptions) -> None:
        self.folder = source_name(header)
        self._own, self._kind = options.frame_name, options.picture

    def __call__(self, index: int) -> str:
        return self._own(index) if self._own else f"{self.folder}/{picture_file(index, self._kind)}"
