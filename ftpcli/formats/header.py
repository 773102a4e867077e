"""The provenance that every file of ours holds, as JSON: ``source`` and ``run`` (see records.Header).

``ftpcli.datasets.header`` reads them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ftpcli.records import RunInfo, SourceInfo


def encode_source(source: SourceInfo) -> dict[str, Any]:
    """Every field by its name; ratios as "1/25", null where unknown."""
    values = dataclasses.asdict(source)
    for name in ("time_base", "average_rate"):
        ratio = values[name]
        values[name] = None if ratio is None else f"{ratio.numerator}/{ratio.denominator}"
    return values | {"warnings": list(source.warnings)}


def encode_run(run: RunInfo) -> dict[str, Any]:
    """Every field by its name, null where unknown; ``steps`` only where there are any."""
    values = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    steps = list(values.pop("steps"))
    return values | ({"steps": steps} if steps else {})
