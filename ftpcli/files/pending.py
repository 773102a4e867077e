"""A file that a library writes by its path: it stands beside its target until it is whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ftpcli.errors import OutputError
from ftpcli.files.lock import open_locked
from ftpcli.files.output import check_target, sync_folder, write_error


class PendingFile:
    """``.NAME.tmp`` beside the target, locked against a second run; a leftover of a killed run is reused.

    A symbolic link is followed: its target is replaced, the link stays.

    Attributes:
        path: what is to be written to.

    Raises:
        OutputError: the target exists (unless ``overwrite``), is being written by another run, or cannot be written.
    """

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        self._name = target
        self._overwrite = overwrite
        check_target(target, overwrite=overwrite)
        self._target = Path(os.path.realpath(target))
        self.path = self._target.with_name(f".{self._target.name}.tmp")
        try:
            self._lock = open_locked(os.fspath(self.path))
        except OSError as error:
            raise write_error(target, error) from error
        if self._lock is None:
            raise OutputError(f"{target}: another run is writing it; wait for that one or name another output")

    def commit(self) -> None:
        """Move the file to its target.

        Raises:
            OutputError: something took the target's name meanwhile, or the folder is gone. The file is kept.
        """
        try:
            if self._lock is not None:
                os.fsync(self._lock)
            check_target(self._name, overwrite=self._overwrite)
            os.replace(self.path, self._target)
        except (OSError, OutputError) as error:
            reason = error if isinstance(error, OutputError) else write_error(self._name, error)
            raise OutputError(f"{reason}; what was written is kept as {self.path}") from error
        finally:
            self._unlock()
        sync_folder(self._target.parent)

    def discard(self) -> None:
        """Remove the file. Harmless after commit, and to repeat."""
        if self._lock is not None:  # removed while still locked: it cannot be another run's
            with contextlib.suppress(OSError):
                self.path.unlink()
        self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
