"""What a resumed run must share with the one it goes on with: version, input, models, options.

The batch is the one that was asked for. Where memory was short, fewer people went through the model at a time, which
changes the last bits of joints; such a run can still be resumed with the options that it was started with.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

from ftpcli.annotation.annotator import Annotator
from ftpcli.errors import InputError
from ftpcli.files.tensors import sha256
from ftpcli.version import __version__


def fingerprint(annotator: Annotator, source: str) -> dict[str, Any]:
    """What a resumed run must share with the one it goes on with."""
    estimator, o = annotator.estimator, annotator.options
    # Files count by their content, wherever they lie and however they are named.
    files = ("weights", "detector", "boxes")
    options = {k: None if v is None else str(v) for k, v in dataclasses.asdict(o).items() if k not in files}
    return {
        "version": __version__,
        "input": _identity(source),
        "model": estimator.provenance.get("sha256"),
        "detector": annotator.detector.describe() if annotator.detector else None,
        "boxes": {"sha256": sha256(Path(o.boxes))} if o.boxes else None,
        "options": options,
        "engine": estimator.engine.name,
        "device": estimator.device.partition(":")[0],
        "precision": estimator.precision,
        "batch": estimator.batch,
    }


_SAMPLE = 1 << 20


def _identity(path: str) -> dict[str, Any]:
    """Size and a hash of the first and last MiB of a file; names and sizes of the files of a folder."""
    if path == "-" or not os.path.exists(path):
        return {"name": path}
    digest = hashlib.sha256()
    try:
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                for name, size in sorted((e.name, e.stat().st_size) for e in entries if e.is_file()):
                    digest.update(f"{name} {size}\n".encode(errors="surrogateescape"))
            return {"files": digest.hexdigest()}
        size = os.path.getsize(path)
        if not os.path.isfile(path):
            return {"name": path}
        with open(path, "rb") as file:
            digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return {"bytes": size, "sha256": digest.hexdigest()}
