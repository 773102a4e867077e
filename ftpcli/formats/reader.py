"""Opening a poses file of any form. What a file is shows in its content, not in its name."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftpcli.errors import InputError
from ftpcli.formats import checks
from ftpcli.formats.base import PosesReader
from ftpcli.formats.document import Document
from ftpcli.formats.header import decode_run, decode_source
from ftpcli.formats.image_list import ImageList
from ftpcli.formats.native import NativeReader
from ftpcli.formats.posetrack17 import AnnoList
from ftpcli.formats.store import PoseStore, StoredReader
from ftpcli.records import Header, SourceInfo
from ftpcli.skeleton import POSETRACK15

_STREAMED = frozenset({"images", "annotations", "categories", "annolist"})
_FORMAT = re.compile(rb'\s*\{\s*"format"\s*:\s*"([a-z-]{1,40})"')


def open_poses(path: str | os.PathLike[str]) -> PosesReader:
    """Open a poses file: our JSON Lines, COCO keypoints JSON, PoseTrack 2017, 2018 or 2021 JSON.

    JSON Lines are streamed. JSON documents are read and checked here, and hold a few dozen bytes of memory per
    person; the rest waits in a temporary file.

    Returns:
        A reader to be closed, or used in a ``with`` statement.

    Raises:
        InputError: the file is missing, unreadable, or not what it should be; while iterating also: a bad record,
            with its line.
    """
    name = os.fspath(path)
    try:
        handle = open(name, "rb")  # noqa: SIM115 (the reader owns it)
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be opened ({error})"
        if isinstance(error, IsADirectoryError):
            reason = "is a folder; name a poses file"
        raise InputError(f"{name}: {reason}") from error
    try:
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise InputError(f"{name}: is not a plain file")
        start = handle.read(256).removeprefix(b"\xef\xbb\xbf")
        handle.seek(0)
        match = _FORMAT.match(start)
        if match and match[1] == b"ftp-poses-part":
            raise InputError(f"{name}: the unfinished part of a run; finish it with ftp annotate --resume")
        if match or Path(name).suffix.lower() == ".jsonl":
            return NativeReader(name, handle)
    except BaseException:
        handle.close()
        raise
    handle.close()
    return _open_document(name)


def _open_document(path: str) -> StoredReader:
    store = PoseStore(path)
    try:
        images, frames = ImageList(store), AnnoList(store)
        document = Document(path)
        info: dict[str, Any] = {}
        for key, value, where in document.items(_STREAMED):
            if key == "annolist":
                frames.add(value, where)
            elif key in _STREAMED:
                images.add(key, value, where)
            elif key == "info" and isinstance(value, dict):
                checks.shallow(value, where)
                info = value
        if "annolist" in document.keys:
            if "images" in document.keys:
                raise InputError(f"{path}: holds both 'annolist' and 'images'; it should be one of the two forms")
            header = _header(POSETRACK15.joints, info, None, path)
            return StoredReader(store, "posetrack17", header, 1)
        if not {"images", "annotations", "categories"} <= set(document.keys):
            raise InputError(
                f"{path}: not a poses file; it should be JSON Lines of ftp, COCO keypoints JSON with images, "
                "annotations and categories, or PoseTrack JSON"
            )
        images.check()
        category, joints = images.category()
        header = _header(joints, info, images.size(), path)
        return StoredReader(store, images.file_format(), header, category)
    except BaseException:
        store.close()
        raise


def _header(joints: tuple[str, ...], info: dict[str, Any], size: tuple[int, int] | None, path: str) -> Header:
    """The header that a document of ours keeps under ``info``; of a foreign one, what can be told."""
    source = SourceInfo()
    if isinstance(info.get("source"), dict):
        source = decode_source(info["source"], f"{path}, 'info'")
    if size is not None and source.width is None:
        source = replace(source, width=size[0], height=size[1])
    return Header(joints, source, decode_run(info.get("run")))
