"""The provenance that every file of ours holds, ``source`` and ``run`` (see records.Header), as JSON and back."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

from ftpcli.files import checked_json as checks
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


def decode_source(value: Any, where: str) -> SourceInfo:
    """Fields that are not ours are passed over.

    Raises:
        InputError: a field of ours that is not what it should be.
    """
    source = checks.as_object(value, "'source'", where)
    checks.shallow(source, where)
    width, height = checks.picture_size(source, where) or (None, None)
    counts = {
        name: None if source.get(name) is None else checks.integer(source[name], f"the source's {name!r}", where)
        for name in ("frames", "annotated_frames", "bad_packets")
    }
    path, content, warnings = source.get("path"), source.get("content"), source.get("warnings")
    rotation = source.get("rotation")
    return SourceInfo(
        path=path if isinstance(path, str) else None,
        content=content if isinstance(content, str) else None,
        width=width,
        height=height,
        rotation=rotation if rotation in (0, 90, 180, 270) else None,
        mirrored=source["mirrored"] if isinstance(source.get("mirrored"), bool) else None,
        time_base=_ratio(source, "time_base", where),
        average_rate=_ratio(source, "average_rate", where),
        codec=source["codec"] if isinstance(source.get("codec"), str) else None,
        warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else (),
        **counts,
    )


def _ratio(source: dict[str, Any], name: str, where: str) -> Fraction | None:
    value = source.get(name)
    return None if value is None else checks.ratio(value, f"the source's {name!r}", where)


def decode_run(value: Any) -> RunInfo:
    """Nothing in it decides what the poses are, so that whatever does not fit counts as unknown."""
    known = value if isinstance(value, dict) else {}

    def get(name: str, kind: type) -> Any:
        return known[name] if isinstance(known.get(name), kind) else None

    return RunInfo(
        program=get("program", str),
        version=get("version", str),
        model=get("model", dict),
        people=get("people", dict),
        engine=get("engine", str),
        device=get("device", str),
        precision=get("precision", str),
        window=get("window", int),
        options=get("options", dict) or {},
        steps=tuple(step for step in get("steps", list) or () if isinstance(step, dict)),
    )
