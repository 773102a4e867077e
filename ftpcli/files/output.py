"""Outputs appear whole or not at all: written beside the target, moved into place at the end."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ftpcli.errors import OutputError, UsageError
from ftpcli.files.inputs import STANDARD, is_address
from ftpcli.files.lock import open_locked

_NAME_MAX = 255
_DIGITS = 8  # of the hash in a shortened name
_REASONS = {
    errno.ENOSPC: "no space left on the disk; free some and go on",
    errno.EDQUOT: "the disk quota is used up; free some space and go on",
    errno.EFBIG: "the file may not grow any further (file size limit); lift the limit and go on",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "writing there is not permitted; choose another place",
    errno.EPERM: "writing there is not permitted; choose another place",
    errno.ENOENT: "the folder does not exist; make it or choose another place",
    errno.ENOTDIR: "part of the path is a file, not a folder; choose another place",
    errno.EISDIR: "this is a folder; name a file",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def write_error(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """The one line for an OSError met while writing ``path``."""
    reason = _REASONS.get(error.errno or 0, f"cannot be written ({error.strerror or error})")
    return OutputError(f"{os.fspath(path)}: {reason}")


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """An OSError in the block becomes the one line for it. Raises OutputError."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder for outputs, if it is not there, before any work is done.

    Raises:
        UsageError: an address, or standard output.
        OutputError: it cannot be made, or nothing can be written in it.
    """
    name = os.fspath(path)
    if is_address(name) or name == STANDARD:
        raise UsageError(f"{name}: is no folder; name one that results can be written to")
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{name}: this is a file; name a folder") from error
    except OSError as error:
        raise write_error(path, error) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise write_error(path, OSError(errno.EACCES, ""))


@contextlib.contextmanager
def folders_if_used(*paths: str | os.PathLike[str] | None) -> Iterator[None]:
    """Folders that the block makes for these paths, and leaves empty, are removed at its end."""
    folders = [folder for path in paths if path for folder in (Path(path), *Path(path).parents)]
    missing = [folder for folder in folders if not os.path.lexists(folder)]
    try:
        yield
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()


def name_beside(path: str | os.PathLike[str], prefix: str, suffix: str) -> Path:
    """``PREFIX`` + name + ``SUFFIX`` in the same folder, for a file that belongs to ``path``.

    Where that is longer than the file system allows, the end of the name gives way to a hash of the whole name: the
    result is the same on every call.
    """
    path = Path(path)
    whole = os.fsencode(path.name)
    room = _longest_name(path.parent) - len(os.fsencode(prefix + suffix))
    if len(whole) <= room:
        return path.with_name(prefix + path.name + suffix)
    digest = hashlib.sha256(whole).hexdigest()[:_DIGITS]
    kept = whole[: room - _DIGITS - 1].decode(errors="ignore")  # no half of a character at the end
    return path.with_name(f"{prefix}{kept}~{digest}{suffix}")


def _longest_name(folder: Path) -> int:
    """Bytes of a file's name: 255 nearly everywhere, fewer on some encrypted file systems."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return _NAME_MAX


def check_target(
    path: str | os.PathLike[str], *, overwrite: bool, inputs: Iterable[str | os.PathLike[str] | None] = ()
) -> None:
    """Refuse a target that exists, is no plain file, or lies where nothing can be written, before any work is done.

    Args:
        inputs: files that are read, and must not be replaced even with ``overwrite``.

    Raises:
        UsageError: the target is an address, standard output, or one of the inputs.
        OutputError: it cannot be written. The message names the path and what to do.
    """
    name = os.fspath(path)
    if is_address(name) or name == STANDARD:
        what = "standard output" if name == STANDARD else "an address"
        raise UsageError(f"{name}: is {what}; name a file here")
    for source in inputs:
        if (
            source is not None
            and os.fspath(source) != STANDARD
            and os.path.exists(source)
            and os.path.exists(path)
            and os.path.samefile(source, path)
        ):
            raise UsageError(f"{name}: is one of the inputs; name another output")
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as error:
        raise write_error(path, error) if isinstance(error, OSError) else OutputError(f"{path!r}: {error}") from error
    if mode is not None:
        if stat.S_ISDIR(mode):
            raise OutputError(f"{name}: this is a folder; name a file")
        # Moving a file onto a device or a pipe would replace it.
        if not stat.S_ISREG(mode):
            raise OutputError(f"{name}: not a plain file; name another output")
        if not overwrite:
            raise OutputError(f"{name}: exists already; give --overwrite to replace it")
    check_place(path)


def check_place(path: str | os.PathLike[str]) -> None:
    """Raises OutputError where nothing can be made under this name: its folder is missing or closed."""
    folder = os.path.dirname(os.path.realpath(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise write_error(path, OSError(errno.EACCES if os.path.isdir(folder) else errno.ENOENT, ""))


class OutputStream:
    """A binary stream that says in one line what went wrong when it cannot write."""

    def __init__(self, stream: IO[bytes], path: str) -> None:
        self._stream = stream
        self._path = path

    def write(self, data: bytes) -> None:
        """Raises OutputError."""
        with writing(self._path):
            self._stream.write(data)

    def flush(self) -> None:
        """Nothing: for libraries that call it, such as torch."""

    def rewrite_start(self, data: bytes) -> None:
        """Replace as many bytes at the start of the file, and leave the position there."""
        with writing(self._path):
            self._stream.seek(0)
            self._stream.write(data)

    def finish(self) -> None:
        """Everything is on the disk when this returns."""
        with writing(self._path):
            self._stream.flush()
            os.fsync(self._stream.fileno())


class PendingFile:
    """A file that stands beside its target as ``.NAME.tmp``, locked against a second run, until it is whole.

    A leftover of a killed run is reused. A symbolic link is followed: its target is replaced, the link stays.

    Attributes:
        path: where to write.
        descriptor: the open file, -1 after ``commit`` and ``discard``.

    Raises:
        OutputError: the target exists (unless ``overwrite``), is being written by another run, or cannot be written.
    """

    def __init__(self, target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self._name = os.fspath(target)
        self._overwrite = overwrite
        check_target(target, overwrite=overwrite)
        self._target = Path(os.path.realpath(target))
        self.path = name_beside(self._target, ".", ".tmp")
        with writing(target):
            descriptor = open_locked(os.fspath(self.path))
        if descriptor is None:
            raise OutputError(f"{self._name}: another run is writing it; wait for that one or name another output")
        self.descriptor = descriptor

    def commit(self) -> None:
        """Move the file to its target.

        Raises:
            OutputError: another file took the target's name meanwhile, or the folder is gone. What was written stays.
        """
        try:
            os.fsync(self.descriptor)
            check_target(self._name, overwrite=self._overwrite)
            if os.name == "nt":  # an open file cannot be moved there
                self._close()
            os.replace(self.path, self._target)
        except (OSError, OutputError) as error:
            reason = error if isinstance(error, OutputError) else write_error(self._name, error)
            kept = f"; what was written is kept as {self.path}" if self.path.exists() else ""
            raise OutputError(f"{reason}{kept}") from error
        finally:
            self._close()
        sync_folder(self._target.parent)

    def discard(self) -> None:
        """Remove the file. Does nothing after ``commit``, and when repeated."""
        if self.descriptor >= 0:
            if os.name == "nt":
                self._close()
            with contextlib.suppress(OSError):
                self.path.unlink()  # elsewhere while it is still locked: by now it cannot be another run's
        self._close()

    def _close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[OutputStream]:
    """A stream whose content becomes ``path`` when the block ends without an exception (see ``PendingFile``).

    Raises:
        OutputError: the target exists (unless ``overwrite``), or cannot be written.
    """
    pending = PendingFile(path, overwrite=overwrite)
    stream = open(pending.descriptor, "r+b", buffering=1 << 18, closefd=False)  # noqa: SIM115 (never flushed in vain)
    try:
        output = OutputStream(stream, os.fspath(path))
        stream.truncate(0)
        yield output
        output.finish()
        pending.commit()
    except BaseException:
        pending.discard()
        raise
    finally:
        with contextlib.suppress(OSError):
            stream.raw.close()  # type: ignore[attr-defined]  # close() would write again what could not be written


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
