"""Cases with the official programs' own numbers, where the shared test data is present."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftpcli.evaluation.files import evaluate_files
from ftpcli.evaluation.report import plain
from tests.conftest import ROOT

#: Not numbers to reproduce: who computed them, and MOTP with another version of a library.
_ASIDE = {"version", "MOTP_current_head", "MOT_error"}
_GOLDEN = ROOT.parent / "shared" / "golden"
CASES = sorted(path.parent.name for path in _GOLDEN.glob("*/expected.json")) or ["none here"]


def differences(expected: Any, found: Any, place: str = "") -> list[str]:
    """Where two results differ by more than 1e-6."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{place}: {found}"]
        pairs = [(k, v) for k, v in expected.items() if k not in _ASIDE]
        return [line for k, v in pairs for line in differences(v, found.get(k, "missing"), f"{place}/{k}")]
    if isinstance(expected, list):
        return [line for i, v in enumerate(expected) for line in differences(v, found[i], f"{place}/{i}")]
    if expected is None or not isinstance(found, int | float):
        return [] if expected == found else [f"{place}: {expected} {found}"]
    return [] if abs(expected - found) <= 1e-6 else [f"{place}: {expected} {found}"]


@pytest.mark.parametrize("case", CASES)
def test_official_numbers(shared: Path, case: str) -> None:
    folder = shared / "golden" / case
    expected = json.loads((folder / "expected.json").read_text())
    if "stats" in expected:
        report = plain(evaluate_files(folder / "gt/annotations.json", folder / "pred/keypoints.json", "coco"))
        assert differences(expected["stats"], report["stats"]) == []
        return
    compared = 0
    for program, metric in (("poseval", "posetrack"), ("posetrack21", "posetrack21")):
        if expected.get(program) and "error" not in expected[program]:
            report = plain(evaluate_files(folder / "gt", folder / "pred", metric))
            assert differences(expected[program], report) == []
            assert ("MOT_error" in report) == ("MOT_error" in expected[program])
            compared += 1
    assert compared


def test_the_comparison_sees_differences() -> None:
    assert differences({"a": [1.0, None]}, {"a": [1.0, None]}) == []
    assert differences({"a": 1.0}, {"a": 1.0001}) and differences({"a": None}, {"a": 0.0})
    assert differences({"a": 1.0}, {"a": None}) and differences({"a": 1.0}, {}) and differences({"a": {"b": 1}}, {})
