"""Puts weights beside each other: accuracy on several sets and the CPU time of a pose, in one table.

    python samples/compare_weights.py default new.safetensors --data coco=val.json --data clips=CLIPS

Boxes come from the labels. Accuracy is what ``ftp eval`` says; ``coco`` pictures with a ``source`` are split up by it.
Time is a person's next frame in a video, from picture to joints, on one thread, all weights in turn, so that whatever
else the machine does slows all of them alike; ``ratio`` is to the first weights.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ftpcli.errors import FtpError, UsageError
from ftpcli.evaluation.model import evaluate_pose_model
from ftpcli.evaluation.runs import RunOptions
from ftpcli.pose.estimator import Estimator
from ftpcli.pose.tokens import SharedTokens
from ftpcli.records import Frame, Person, Window

COLUMNS = ("PCK@0.1", "PCK@0.2", "OKS AP", "exchanged", "jitter")


def rows_of(report: Mapping[str, Any], name: str) -> dict[str, dict[str, float]]:
    """The table's rows of a report: one for the whole set, and one for each source where there are several."""
    fine, coarse = report["pck"]["0.1"], report["pck"]["0.2"]
    whole = {
        "PCK@0.1": fine["mean"],
        "PCK@0.2": coarse["mean"],
        "OKS AP": report.get("stats", {}).get("AP", math.nan),
        "exchanged": report["exchanged"]["share"],
        "jitter": math.nan if report.get("jitter") is None else report["jitter"],
    }
    rows = {name: whole}
    if len(coarse["per_source"]) > 1:
        for source, value in coarse["per_source"].items():
            rows[f"{name}, {source}"] = {"PCK@0.1": fine["per_source"][source], "PCK@0.2": value}
    return rows


def accuracy(
    model: Estimator, data: Sequence[str], every: int, single: bool, blur: int = 0
) -> dict[str, dict[str, float]]:
    """Rows of all sets."""
    rows: dict[str, dict[str, float]] = {}
    for text in data:
        kind, _, path = text.partition("=")
        if kind not in ("coco", "clips") or not path:
            raise UsageError(f"--data {text}: give coco=FILE or clips=FOLDER")
        with TemporaryDirectory(prefix="compare-") as folder:
            thin = every if kind == "clips" else 1
            options = RunOptions(Path(path), kind, Path(folder), single=single, every=thin, blur=blur)
            report = evaluate_pose_model(model, options)
        stem = Path(path).stem
        rows |= rows_of(report, f"{Path(path).resolve().parent.name}/{stem}" if kind == "coco" else stem)
    return rows


def milliseconds(models: Sequence[Estimator], rounds: int, people: int = 8) -> list[float]:
    """CPU time of a pose of each model: the median over ``rounds`` frames with so many people who stand still."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (480, 960, 3), dtype=np.uint8)
    boxes = [np.array([100.0 * n + 20, 40, 100.0 * n + 180, 440]) for n in range(people)]
    video = [Frame(t, t, float(t), image) for t in range(rounds + 8)]  # the models keep what they saw of a frame
    stores = [SharedTokens() for _ in models]
    times: list[list[float]] = [[] for _ in models]
    for key in range(3, rounds + 6):
        for model, store, spent in zip(models, stores, times, strict=True):
            frames = tuple(video[key - model.window // 2 : key + model.window // 2 + 1])
            windows = [Window(Person(n, box, 1.0), frames, (False,) * len(frames)) for n, box in enumerate(boxes)]
            start = time.process_time()
            model.estimate(windows, store)
            spent.append((time.process_time() - start) / people * 1e3)
    return [statistics.median(spent[3:]) for spent in times]  # the first frames encode their neighbours, too


def table(names: Sequence[str], found: Sequence[Mapping[str, Mapping[str, float]]], times: Sequence[float]) -> str:
    """Markdown: a line for each set and weights, then the means over sets, then the times."""
    lines = ["| set | weights | " + " | ".join(COLUMNS) + " |", "|" + "---|" * (len(COLUMNS) + 2)]

    def line(row: str, name: str, values: Mapping[str, float]) -> str:
        numbers = (values.get(column, math.nan) for column in COLUMNS)
        cells = ("" if value is None or math.isnan(value) else f"{value:.3f}" for value in numbers)
        return f"| {row} | {name} | " + " | ".join(cells) + " |"

    for row in found[0]:
        lines += [line(row, name, rows[row]) for name, rows in zip(names, found, strict=True)]
    for name, rows in zip(names, found, strict=True):
        means = {}
        for column in COLUMNS:
            values = [r[column] for r in rows.values() if "exchanged" in r and not math.isnan(r[column])]
            means[column] = statistics.mean(values) if values else math.nan
        lines.append(line("mean of the sets", name, means))
    lines += ["", "| weights | CPU ms a pose | ratio |", "|---|---|---|"]
    lines += [f"| {name} | {ms:.1f} | {ms / times[0]:.2f} |" for name, ms in zip(names, times, strict=True)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+", help="files of 'ftp train', or default")
    parser.add_argument("--data", action="append", default=[], help="coco=FILE or clips=FOLDER, repeatable")
    parser.add_argument("--every", type=int, default=1, help="clips: every N-th frame only (no jitter then)")
    parser.add_argument("--single", action="store_true", help="neighbours replaced by the key frame")
    parser.add_argument("--blur", type=int, default=0, help="blur every picture by up to so many pixels")
    parser.add_argument("--engine", default="torch", help="torch or onnx")
    parser.add_argument("--precision", default="auto", help="fp32, or int8 with onnx, its default")
    parser.add_argument("--flip-test", action="store_true", help="average with the mirror image's heatmaps")
    parser.add_argument("--rounds", type=int, default=30, help="frames that the time is measured on")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        options = {"engine": arguments.engine, "precision": arguments.precision, "flip_test": arguments.flip_test}
        models = [Estimator.load(name, device="cpu", **options) for name in arguments.weights]
        how = (arguments.data, arguments.every, arguments.single, arguments.blur)
        found = [accuracy(model, *how) for model in models]
    except FtpError as error:
        print(f"compare_weights: {error}", file=sys.stderr)
        return 1
    times = milliseconds(models, arguments.rounds)
    names = [
        name if name == "default" else Path(name).parent.name + "/" + Path(name).stem for name in arguments.weights
    ]
    print(table(names, found, times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
