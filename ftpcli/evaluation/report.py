"""Reports: the JSON shape, and the table in the form of the papers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.errors import OutputError
from ftpcli.evaluation.average_precision import PrecisionRecall
from ftpcli.evaluation.hota import FIELDS
from ftpcli.evaluation.mota import ClearMot

_SIDES = {part: (f"left_{part.lower()}", f"right_{part.lower()}") for part in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")}
#: The columns of the papers' tables, each the mean of its joints; "Mean" follows.
GROUPS: dict[str, tuple[str, ...]] = {"Head": ("head_top", "head_bottom", "nose"), **_SIDES}
#: The same columns as the PoseTrack21 program calls them.
SHORT = ("Head", "Shou", "Elb", "Wri", "Hip", "Knee", "Ankl", "Total")


def mean_of_numbers(values: np.ndarray) -> float:
    """Mean over what is a number; NaN where nothing is."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else math.nan


def groups(values: np.ndarray, joints: Sequence[str]) -> dict[str, float]:
    """Columns of the papers' tables; NaN where a member is NaN. "Mean" is over joints, not over columns."""
    at = {joint: i for i, joint in enumerate(joints)}
    columns = {name: float(np.mean([values[at[joint]] for joint in members])) for name, members in GROUPS.items()}
    return {**columns, "Mean": mean_of_numbers(values)}


def per_joint(values: np.ndarray, joints: Sequence[str]) -> dict[str, float]:
    return {joint: float(value) for joint, value in zip(joints, values, strict=True)}


def ap_section(result: PrecisionRecall, joints: Sequence[str]) -> dict[str, Any]:
    """``AP`` of a poseval report."""
    return {
        "per_joint": per_joint(result.ap, joints),
        "groups": groups(result.ap, joints),
        "precision_per_joint": per_joint(result.precision, joints),
        "recall_per_joint": per_joint(result.recall, joints),
        "precision_mean": mean_of_numbers(result.precision),
        "recall_mean": mean_of_numbers(result.recall),
    }


def ap21_section(result: PrecisionRecall, joints: Sequence[str]) -> dict[str, Any]:
    """``AP`` of a PoseTrack21 report."""

    def short(values: np.ndarray) -> dict[str, float]:
        return dict(zip(SHORT, groups(values, joints).values(), strict=True))

    return {
        "map": short(result.ap),
        "precision": short(result.precision),
        "recall": short(result.recall),
        "per_joint": per_joint(result.ap, joints),
    }


def mot_section(result: ClearMot, joints: Sequence[str]) -> dict[str, Any]:
    """``MOT`` of a poseval report."""
    section = {
        name: {"per_joint": per_joint(values, joints), "mean": mean_of_numbers(values)}
        for name, values in (
            ("MOTA", result.mota),
            ("MOTP", result.motp),
            ("precision", result.precision),
            ("recall", result.recall),
        )
    }
    return {**section, "MOTA": {**section["MOTA"], "groups": groups(result.mota, joints)}}


def hota_section(fields: Mapping[str, np.ndarray], joints: Sequence[str]) -> dict[str, Any]:
    """``HOTA`` of a PoseTrack21 report: means over the 19 thresholds, and the counts at each."""
    section: dict[str, Any] = {}
    for name in FIELDS:
        values = 100 * fields[name].mean(axis=0)
        section[name] = {"per_joint": per_joint(values[:-1], joints), "total": float(values[-1])}
    for name in ("TP", "FN", "FP"):
        section[f"HOTA_{name}"] = {"per_alpha_total": fields[name][:, -1].tolist()}
    return section


def plain(value: Any) -> Any:
    """The value as JSON has it: NaN becomes null, numpy scalars become numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_report(report: Mapping[str, Any], path: Path, overwrite: bool = False) -> None:
    """Write the report beside its name, then move it into place."""
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; give --overwrite to replace it")
    write_json(plain(report), path, indent=1)


def write_json(value: Any, path: Path, indent: int | None = None) -> None:
    """Write JSON to a temporary name beside ``path`` and move it into place."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None


def paper_table(rows: Sequence[tuple[str, str, Mapping[str, float | None]]]) -> str:
    """Rows (figure, box source, values of one set of columns) as aligned text."""
    names = list(rows[0][2])
    width = max(len(figure) for figure, _, _ in rows)
    source = max(len(boxes) for _, boxes, _ in rows)
    lines = [f"{'':<{width}}  {'boxes':<{source}}  " + "  ".join(f"{name:>8}" for name in names)]
    for figure, boxes, values in rows:
        cells = ("-" if v is None or math.isnan(v) else f"{v:.1f}" for v in (values[name] for name in names))
        lines.append(f"{figure:<{width}}  {boxes:<{source}}  " + "  ".join(f"{cell:>8}" for cell in cells))
    return "\n".join(lines)
