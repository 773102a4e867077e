"""Trains and evaluates on PoseTrack 2017, 2018 and 2021, and prints the table that papers call Table I.

    python samples/table_one.py runs --posetrack17 DIR --posetrack18 DIR --posetrack21 DIR
    python samples/table_one.py runs --posetrack18 toy --steps 4 --preset tiny     # a dry run: see make_posetrack.py

Every other option goes to ``ftp train`` as it is; the model is ``--preset base`` and the recipe ``paper`` unless said.
Each data set is trained on by itself and evaluated on its validation part with the boxes of ``--boxes`` (those of the
annotations unless ``detected:FILE``; {set} in FILE is 17, 18 or 21), by the rules of the data set's own program.
What is done already is not done again: a run that was stopped goes on. Other options need another folder.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from ftpcli.evaluation.report import GROUPS

_SETS = ("17", "18", "21")


def ftp(*words: object) -> None:
    """Run a command; one that fails ends the program with its exit code."""
    code = subprocess.run([sys.executable, "-m", "ftpcli", *map(str, words)], check=False).returncode
    if code:
        sys.exit(code)


def trained(run: Path, data: str, options: list[str]) -> Path:
    """The weights of a training run, begun, gone on with, or finished before."""
    finished, words = run / "finished", shlex.join(["--data", data, *options])
    if not finished.is_file():
        resume = ["--resume"] if (run / "checkpoint.pt").is_file() else []
        ftp("train", "--data", data, "--out", run, *options, *resume)
        finished.write_text(words)
    elif finished.read_text() != words:
        sys.exit(f"table_one: {run} was trained with {finished.read_text()}; choose another folder")
    return run / "last.safetensors"


def average_precision(report: dict[str, Any]) -> list[float]:
    """Columns of the table: the joints' groups and the mean."""
    ap = report["AP"]
    values = ap["map"] if "map" in ap else ap["groups"]
    return list(values.values())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train and evaluate on PoseTrack, for Table I.")
    parser.add_argument("out", type=Path, help="folder for the runs and reports")
    for name in _SETS:
        parser.add_argument(f"--posetrack{name}", type=Path, help="the data set's folder")
    parser.add_argument("--boxes", default="gt", help="gt or detected:FILE")
    options, rest = parser.parse_known_args()
    for default in (["--preset", "base"], ["--recipe", "paper"]):
        rest = rest if default[0] in rest else [*rest, *default]
    table = []
    for name in _SETS:
        root = getattr(options, f"posetrack{name}")
        if root is None:
            continue
        kind, run = f"posetrack{name}", options.out / f"posetrack{name}"
        boxes = options.boxes.replace("{set}", name)
        report = options.out / f"{kind}_{'-'.join(re.findall('[A-Za-z0-9_]+', boxes))}.json"
        weights = trained(run, f"{kind}={root}", rest)
        if not report.is_file():
            ftp("eval", "--data", root, "--dataset", kind, "--weights", weights, "--boxes", boxes, "--report", report)
        table.append((kind, average_precision(json.loads(report.read_text()))))
    if not table:
        sys.exit("table_one: name at least one data set, as in --posetrack18 DIR")
    print("".join(f"{column:>10}" for column in ("", *GROUPS, "Mean")))
    for kind, values in table:
        print(f"{kind:>11}" + "".join("         -" if value is None else f"{value:10.1f}" for value in values)[1:])


if __name__ == "__main__":
    main()
