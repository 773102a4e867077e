"""Reports: the JSON shape, and the table in the form of the papers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.evaluation.average_precision import PrecisionRecall
from ftpcli.evaluation.hota import FIELDS
from ftpcli.evaluation.mota import ClearMot
from ftpcli.files.output import atomic_output

_SIDES = {
    part: (f"left_{part.lower()}", f"right_{part.lower()}")
    for part in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
}
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


def write_json(value: Any, path: Path, *, overwrite: bool = False, indent: int | None = None) -> None:
    """Write JSON under a temporary name, then move it into place; NaN becomes null.

    Raises:
        OutputError: the file exists and is not to be replaced, or cannot be written.
    """
    with atomic_output(path, overwrite=overwrite) as stream:
        stream.write((json.dumps(plain(value), indent=indent, allow_nan=False) + "\n").encode())


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


def summary(report: Mapping[str, Any]) -> str:
    """The report as text for people. The box source stands in every row."""
    if report["metric"] == "detector":
        return _detector_text(report)
    boxes = "boxes=" + box_label(report.get("boxes", {}))
    write = {
        "posetrack": _posetrack_text,
        "posetrack21": _posetrack_text,
        "coco": _coco_text,
        "pck": _pck_text,
    }[report["metric"]]
    return write(report, boxes)


def box_label(boxes: Mapping[str, Any]) -> str:
    """``gt``, ``detected:FILE`` or ``not stated``."""
    source = str(boxes.get("source", "not stated"))
    return f"{source}:{boxes['file']}" if "file" in boxes else source


def _posetrack_text(report: Mapping[str, Any], boxes: str) -> str:
    kit21 = report["metric"] == "posetrack21"
    name = "HOTA" if kit21 else "MOT"
    ap, tracking = report["AP"], report[name]
    columns = dict(zip((*GROUPS, "Mean"), ap["map"].values(), strict=True)) if kit21 else ap["groups"]
    rows = [("AP", boxes, columns)]
    if tracking is not None and not kit21:
        rows.append(("MOTA", boxes, tracking["MOTA"]["groups"]))
    rules = "PoseTrack21's" if kit21 else "poseval's"
    lines = [paper_table(rows), f"{report['frames_evaluated']} frames evaluated ({rules} rules, percent)"]
    if tracking is None:
        return "\n".join([*lines, f"no tracking figures: {report[f'{name}_error']}"])
    names, which = (FIELDS, "total") if kit21 else (("MOTP", "precision", "recall"), "mean")
    figures = ", ".join(f"{name} {tracking[name][which]:.1f}" for name in names)
    return "\n".join([*lines, f"tracking, {boxes}, {_thinned(report)}: {figures}"])


def _thinned(report: Mapping[str, Any]) -> str:
    """The threshold that the predictions show, which belongs to every tracking figure."""
    lowest = report["lowest_score"]
    return "no joints" if lowest is None or math.isnan(lowest) else f"joint scores from {lowest:.3g}"


def _coco_text(report: Mapping[str, Any], boxes: str) -> str:
    lines = [f"OKS {boxes}: " + ", ".join(f"{name} {value:.3f}" for name, value in report["stats"].items())]
    if report.get("pck"):
        lines.append(_pck_text(report, boxes))
    return "\n".join(lines)


def _pck_text(report: Mapping[str, Any], boxes: str) -> str:
    rows, lines = [], []
    for threshold, result in report["pck"].items():
        joints = {joint: _percent(value) for joint, value in result["per_joint"].items()}
        columns = {name: float(np.mean([joints[joint] for joint in members])) for name, members in _SIDES.items()}
        rows.append((f"PCK@{threshold}", boxes, {**columns, "Mean": _percent(result["mean"])}))
        sources = (f"{name} {_percent(value):.1f}" for name, value in result["per_source"].items())
        counts = f"{result['joints']} joints of {result['persons']} persons"
        lines.append(f"PCK@{threshold} {boxes}, {counts}: " + ", ".join(sources))
    if report.get("exchanged"):
        wrong = report["exchanged"]
        share = f"{wrong['count']} of {wrong['joints']} joints ({_percent(wrong['share']):.1f} %)"
        lines.append(f"left and right exchanged {boxes}: {share}")
    if report.get("jitter") is not None:
        own, labels = report["jitter"], report["jitter_of_labels"]
        lines.append(f"jitter {boxes}: {own:.4f} torso lengths per frame^2 (the labels' own: {labels:.4f})")
    return "\n".join([paper_table(rows), *lines])


def _percent(value: float | None) -> float:
    return math.nan if value is None else 100 * value


def _detector_text(report: Mapping[str, Any]) -> str:
    figures = (f"{name} {report[name]:.3f}" for name in ("ap50", "ap75", "ap", "recall50") if name in report)
    return f"person boxes, {report['pictures']} pictures, {report['boxes']} people: " + ", ".join(figures)
