"""An output that is a folder of files: it appears under its name whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ftpcli.errors import OutputError
from ftpcli.files.inputs import refuse_standard
from ftpcli.files.lock import open_locked
from ftpcli.files.output import check_place, make_folder, name_beside, sync_folder, writing


def check_folder(path: str | os.PathLike[str]) -> None:
    """Refuse a folder that holds something, before any work is done: what lies in it may be anything.

    Raises:
        UsageError: it is called like standard output.
        OutputError: it is not empty, is a file, or cannot be made.
    """
    refuse_standard("output", path)
    target = Path(path)
    with writing(path):
        holds = target.is_dir() and any(target.iterdir())
    if holds:
        raise OutputError(
            f"{target}: this folder is not empty; empty it or name another one (--overwrite replaces files alone)"
        )
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target}: this is a file; name a folder")
    check_place(path)


class OutputFolder:
    """Files below a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: set[Path] = set()

    def write(self, name: str, data: bytes) -> None:
        """Write a file by its relative name, with slashes. Raises OutputError."""
        path = self._path / name
        with writing(path):
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            path.write_bytes(data)


@contextlib.contextmanager
def output_folder(path: str | os.PathLike[str]) -> Iterator[OutputFolder]:
    """A folder that stands beside its target as ``.NAME.tmp`` and gets its name when the block ends well.

    Raises:
        OutputError: see ``check_folder``; or another run is writing it.
    """
    check_folder(path)
    target = Path(os.path.realpath(path))
    pending, lock = name_beside(target, ".", ".tmp"), name_beside(target, ".", ".lock")
    with writing(path):
        descriptor = open_locked(os.fspath(lock))
    if descriptor is None:
        raise OutputError(f"{os.fspath(path)}: another run is writing it; wait for that one or name another output")
    try:
        shutil.rmtree(pending, ignore_errors=True)  # of a run that was killed
        make_folder(pending)
        yield OutputFolder(pending)
        check_folder(path)
        with writing(path):
            with contextlib.suppress(FileNotFoundError):
                target.rmdir()
            os.replace(pending, target)
    finally:
        shutil.rmtree(pending, ignore_errors=True)
        if os.name != "nt":  # while locked, so that it cannot be another run's
            lock.unlink(missing_ok=True)
        os.close(descriptor)
    sync_folder(target.parent)
