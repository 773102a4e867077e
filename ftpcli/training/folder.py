"""The folder of a run: one run at a time, and none lost by starting another over it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ftpcli.errors import OutputError, UsageError
from ftpcli.files.inputs import refuse_standard
from ftpcli.files.lock import open_locked
from ftpcli.training.distributed import rank_and_world

#: What a run leaves: its checkpoint, and the weights of the pose model or of the detector.
_RESULTS = ("checkpoint.pt", "last.safetensors", "best.safetensors", "detector.safetensors")


@contextmanager
def claimed(out: Path, *, resume: bool) -> Iterator[None]:
    """Hold the folder while a run writes to it; it is made where it is missing, and goes where it stays empty. Of
    several processes the first does.

    Raises:
        UsageError: it is called ``-``, or holds a run's results already, and ``resume`` was not asked for.
        OutputError: it cannot be written, or another run is writing to it.
    """
    refuse_standard("--out", out)
    if rank_and_world()[0]:
        yield
        return
    lock = out / ".lock"
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = open_locked(os.fspath(lock))
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    if descriptor is None:
        raise OutputError(f"{out}: another training is writing there; wait for it or choose another --out")
    try:
        found = [name for name in _RESULTS if (out / name).exists()]
        if found and not resume:
            raise UsageError(
                f"{out}: holds a run already ({found[0]}); --resume goes on with it, or choose another --out"
            )
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)
        with suppress(OSError):  # only what is empty goes
            for folder in made:
                folder.rmdir()
