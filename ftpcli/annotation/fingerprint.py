"""What a resumed run must share with the one it goes on with: version, input, models, options.

The batch is the one that was asked for. Where memory was short, fewer people went through the model at a time, which
changes the last bits of joints; such a run can still be resumed with the options that it was started with.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ftpcli.annotation.annotator import Annotator
from ftpcli.files.tensors import sha256
from ftpcli.version import __version__


def fingerprint(annotator: Annotator, source: str, content: str | None) -> dict[str, Any]:
    """What a resumed run must share with the one it goes on with.

    Args:
        content: of the source, see :func:`ftpcli.files.content.content_of`.
    """
    estimator, o = annotator.estimator, annotator.options
    # Files count by their content, wherever they lie and however they are named.
    files = ("weights", "detector", "boxes")
    options = {k: None if v is None else str(v) for k, v in dataclasses.asdict(o).items() if k not in files}
    return {
        "version": __version__,
        "input": content or source,
        "model": estimator.provenance.get("sha256"),
        "detector": annotator.detector.describe() if annotator.detector else None,
        "boxes": {"sha256": sha256(Path(o.boxes))} if o.boxes else None,
        "options": options,
        "engine": estimator.engine.name,
        "device": estimator.device.partition(":")[0],
        "precision": estimator.precision,
        "batch": estimator.batch,
    }
