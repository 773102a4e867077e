"""Mutated prediction and annotation files: a result or one clear line, never anything else."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ftpcli.errors import FtpError
from ftpcli.evaluation.files import evaluate_files
from ftpcli.evaluation.report import plain, summary
from tests.support.eval_support import as_2017, person, save, video18

NAME = "000001_mpii_test"
STRANGE: tuple[Any, ...] = (
    None, True, "", "x", -1, 0, 3.5, 1e308, -1e308, 10**30, [], {}, [[]], [None], {"id": 1}, "0", [1, [2]], [1e9] * 51,
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return []
    return [(value, key) for key, _ in pairs] + [place for _, item in pairs for place in places(item)]


def mutate(data: Any, rng: random.Random) -> None:
    """Change one to three places: another value, a missing key, a repeated entry."""
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(places(data))
        action = rng.random()
        if action < 0.6:
            container[key] = json.loads(json.dumps(rng.choice(STRANGE)))
        elif action < 0.8 and container:
            del container[key]
        elif isinstance(container, list):
            container.insert(key, container[key])


def sample() -> dict[str, Any]:
    """Two frames, two people, an ignore region."""
    regions = {"ignore_regions_x": [[[0.0, 9.0, 9.0]], []], "ignore_regions_y": [[[0.0, 0.0, 9.0]], []]}
    return video18([[person(scores=0.9), person(200, 0, 1, scores=0.4)], [person(5, scores=0.8)]], **regions)


@pytest.mark.parametrize("metric", ["posetrack", "posetrack21", "coco"])
@pytest.mark.parametrize("form", ["17", "18"])
def test_mutated_files(tmp_path: Path, metric: str, form: str) -> None:
    rng = random.Random(f"{metric}{form}")
    good = as_2017(sample()) if form == "17" else sample()
    if metric == "coco":
        for entry in good.get("annotations", ()):
            entry["bbox"], entry["score"] = [1.0, 2.0, 30.0, 40.0], 0.5
    results = 0
    for _ in range(120):
        truth, predicted = (json.loads(json.dumps(good)) for _ in range(2))
        mutate(rng.choice([truth, predicted]), rng)
        gt, pred = save(tmp_path / "gt", truth, NAME), save(tmp_path / "pred", predicted, NAME)
        try:
            report = plain(evaluate_files(gt, pred, metric))
        except FtpError as error:
            assert "\n" not in str(error) and NAME in str(error), error
            continue
        json.dumps(report, allow_nan=False)
        assert summary(report)
        results += 1
    if (metric, form) not in {("posetrack21", "17"), ("coco", "17")}:
        assert 2 < results < 120
