"""Advisory locks on open files, by which a second run on the same output is refused."""

from __future__ import annotations

import errno
import os
import sys

_BUSY = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock of an open file without waiting.

    The lock goes with the descriptor: the system drops it when the process ends, however it ends.
    On a file system without locks there is nothing to take, and the answer is True.

    Returns:
        False where another process, or another descriptor of this one, holds it.
    """
    try:
        _lock(descriptor)
    except OSError as error:
        return error.errno not in _BUSY
    return True


if sys.platform == "win32":
    import msvcrt

    # Far behind any real content, since Windows forbids others to read what is locked.
    _OFFSET = 1 << 46

    def _lock(descriptor: int) -> None:
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _OFFSET, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # flock, not lockf: record locks vanish when the process closes any other descriptor of the file.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_locked(path: str) -> int | None:
    """Open or create a file for reading and writing and lock it; None where somebody else holds the lock.

    Raises:
        OSError: it cannot be opened.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            if not try_lock(descriptor):
                os.close(descriptor)
                return None
            if same_file(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # The former holder removed the file between our opening and locking it: ours has no name any more.
        os.close(descriptor)


def same_file(descriptor: int, path: str) -> bool:
    """Whether ``path`` still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
