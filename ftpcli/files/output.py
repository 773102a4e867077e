"""Outputs appear whole or not at all: written beside the target, moved into place at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ftpcli.errors import OutputError
from ftpcli.files.lock import open_locked

_REASONS = {
    errno.ENOSPC: "no space left on the disk; free some and go on",
    errno.EDQUOT: "the disk quota is used up; free some space and go on",
    errno.EFBIG: "the file may not grow any further (file size limit); lift the limit and go on",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "writing there is not permitted; choose another place",
    errno.EPERM: "writing there is not permitted; choose another place",
    errno.ENOENT: "the folder does not exist (any more); make it or choose another place",
    errno.ENOTDIR: "part of the path is a file, not a folder; choose another place",
    errno.EISDIR: "this is a folder; name a file",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def write_error(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """The one line for an OSError met while writing ``path``."""
    reason = _REASONS.get(error.errno or 0, f"cannot be written ({error.strerror or error})")
    return OutputError(f"{os.fspath(path)}: {reason}")


def check_target(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse a target that exists, or that is no plain file, before any work is done.

    Raises:
        OutputError: naming the path and what to do.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise write_error(path, error) if isinstance(error, OSError) else OutputError(f"{path!r}: {error}") from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"{os.fspath(path)}: this is a folder; name a file")
    # Moving a file onto a device or a pipe would replace it.
    if not stat.S_ISREG(mode):
        raise OutputError(f"{os.fspath(path)}: not a plain file; name another output")
    if not overwrite:
        raise OutputError(f"{os.fspath(path)}: exists already; give --overwrite to replace it")


class OutputStream:
    """A binary stream that says in one line what went wrong when it cannot write."""

    def __init__(self, stream: BinaryIO, path: str) -> None:
        self._stream = stream
        self._path = path

    def write(self, data: bytes) -> None:
        """Raises OutputError."""
        try:
            self._stream.write(data)
        except OSError as error:
            raise write_error(self._path, error) from error

    def rewrite_start(self, data: bytes) -> None:
        """Replace as many bytes at the start of the file, and leave the position there."""
        try:
            self._stream.seek(0)
        except OSError as error:
            raise write_error(self._path, error) from error
        self.write(data)

    def finish(self) -> None:
        """Everything is on the disk when this returns."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise write_error(self._path, error) from error


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[OutputStream]:
    """A stream whose content becomes ``path`` when the block ends without an exception.

    Until then it stands beside the target as ``.NAME.tmp``, locked; a leftover of a killed run is reused.
    A symbolic link is followed: its target is replaced, the link stays.

    Raises:
        OutputError: the target exists (unless ``overwrite``), or cannot be written.
    """
    name = os.fspath(path)
    check_target(path, overwrite=overwrite)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        descriptor = open_locked(os.fspath(temporary))
    except OSError as error:
        raise write_error(path, error) from error
    if descriptor is None:
        raise OutputError(f"{name}: another run is writing it; wait for that one or name another output")
    stream = open(descriptor, "r+b", buffering=1 << 18)  # noqa: SIM115 (its end differs from case to case)
    try:
        output = OutputStream(stream, name)
        stream.truncate(0)
        yield output
        output.finish()
        check_target(path, overwrite=overwrite)
        if os.name == "nt":  # an open file cannot be moved there
            stream.close()
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise write_error(path, error) from error
    except BaseException:
        # Unlinked while still locked, so that it cannot be another run's by now.
        _discard(stream, temporary)
        raise
    stream.close()
    sync_folder(target.parent)


def _discard(stream: BinaryIO, path: Path) -> None:
    with contextlib.suppress(OSError):
        if os.name != "nt":
            path.unlink()
    with contextlib.suppress(OSError):
        # Not stream.close(): that would try again to write what could not be written.
        stream.raw.close()  # type: ignore[attr-defined]
    with contextlib.suppress(OSError):
        if os.name == "nt":
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder last through a power failure, where the system can."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
