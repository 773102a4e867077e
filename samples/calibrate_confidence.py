"""Makes a weights file's confidence mean what it says: of joints with 0.5 about half lie within 0.2 torso lengths.

    python samples/calibrate_confidence.py default calibrated.safetensors --data coco=val.json --data clips=CLIPS

The data must not have been trained on. Boxes come from the labels. The tensors stay as they are; the mapping, a rising
line with a few knots (isotonic regression of twenty bins, each set counting the same), goes into the file's provenance,
and ``Estimator`` applies it. Prints confidence and share of right joints before and after, by bins. The last data set
given with ``--check`` is not used for the mapping, and says what it is worth on other data.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ftpcli.errors import FtpError, UsageError
from ftpcli.evaluation.model import evaluate_pose_model
from ftpcli.evaluation.runs import RunOptions
from ftpcli.files.output import check_target
from ftpcli.pose.estimator import Estimator
from ftpcli.pose.weights import load_weights, save_weights, weights_path

FEWEST = 20  # joints of a bin that counts


def bins_of(model: Estimator, data: str, every: int) -> np.ndarray:
    """(N, 3) joints, mean confidence and share of right joints of each bin of a data set."""
    kind, _, path = data.partition("=")
    if kind not in ("coco", "clips") or not path:
        raise UsageError(f"--data {data}: give coco=FILE or clips=FOLDER")
    with TemporaryDirectory(prefix="calibrate-") as folder:
        options = RunOptions(Path(path), kind, Path(folder), every=every if kind == "clips" else 1)
        rows = evaluate_pose_model(model, options)["reliability"]
    return np.array([[row["joints"], row["confidence"], row["right"]] for row in rows]).reshape(-1, 3)


def rising(bins: Sequence[np.ndarray]) -> list[list[float]]:
    """Knots of the line: confidences, and shares of right joints. Neighbouring bins that do not rise are one knot."""
    blocks: list[np.ndarray] = []  # weight, confidence and share, summed
    rows = np.concatenate([part[part[:, 0] >= FEWEST] * [1 / part[:, 0].sum(), 1, 1] for part in bins])
    for row in rows[np.argsort(rows[:, 1])]:
        blocks.append(row * [1, row[0], row[0]])
        while len(blocks) > 1 and blocks[-2][2] / blocks[-2][0] >= blocks[-1][2] / blocks[-1][0] - 1e-6:
            last = blocks.pop()
            blocks[-1] = blocks[-1] + last
    knots = [(b[1] / b[0], b[2] / b[0]) for b in blocks]
    inner = [(x, y) for x, y in knots if 0 < x < 1 and 0 < y < 1]
    return [[0.0, *(round(x, 4) for x, _ in inner), 1.0], [0.0, *(round(y, 4) for _, y in inner), 1.0]]


def error(bins: np.ndarray) -> float:
    """Expected calibration error: the mean difference of confidence and share of right joints."""
    return float((np.abs(bins[:, 1] - bins[:, 2]) * bins[:, 0]).sum() / bins[:, 0].sum())


def table(bins: np.ndarray) -> str:
    lines = [f"{row[1]:9.3f}{row[2]:9.3f}{int(row[0]):9d}" for row in bins]
    return "\n".join(["confidence   right   joints", *lines, f"mean difference {error(bins):.3f}"])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", action="append", required=True, help="coco=FILE or clips=FOLDER")
    parser.add_argument("--check", action="append", default=[], help="the same; only measured")
    parser.add_argument("--every", type=int, default=8, help="of clips, one frame of so many")
    args = parser.parse_args()
    try:
        path = weights_path(args.weights)
        check_target(args.out, overwrite=False, inputs=(path,))
        model = Estimator.load(path)
        model.calibration = None
        bins = []
        for data in args.data:
            bins.append(bins_of(model, data, args.every))
            print(f"{data}, as it is\n{table(bins[-1])}", flush=True)
        for data in args.check:
            print(f"{data}, as it is\n{table(bins_of(model, data, args.every))}", flush=True)
        model.calibration = rising(bins)
        for data in [*args.data, *args.check]:
            print(f"{data}, mapped\n{table(bins_of(model, data, args.every))}", flush=True)
        config, tensors, provenance = load_weights(path)
        save_weights(args.out, tensors, config, {**provenance, "calibration": model.calibration})
    except FtpError as failed:
        print(failed, file=sys.stderr)
        return failed.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
