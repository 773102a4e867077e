"""samples/table_one.py: the paper's Table I, from data sets to table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from samples.make_posetrack import make
from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_a_dry_run_on_all_three_data_sets(preset: str, tmp_path: Path) -> None:
    words = [sys.executable, "samples/table_one.py", tmp_path / "runs", "--preset", preset, "--steps", "1"]
    words += ["--batch", "2", "--device", "cpu", "-q"]
    for layout in ("17", "18", "21"):
        make(tmp_path / layout, layout, 12)
        words += [f"--posetrack{layout}", tmp_path / layout]
    tables = []
    for _ in range(2):  # the second time everything is done
        run = subprocess.run(list(map(str, words)), cwd=ROOT, capture_output=True, text=True, check=True)
        tables.append([line for line in run.stdout.splitlines() if line.startswith("posetrack")][-3:])
    assert [line.split()[0] for line in tables[0]] == ["posetrack17", "posetrack18", "posetrack21"]
    assert all(len(line.split()) == 9 for line in tables[0])
    assert tables[0] == tables[1]
    for more, said in (
        (["--boxes", f"detected:{tmp_path / 'none.json'}"], "none.json"),
        (["--seed", "3"], "another folder"),
    ):
        run = subprocess.run([*map(str, words), *more], cwd=ROOT, capture_output=True, text=True)
        assert run.returncode and said in run.stderr.splitlines()[-1], run.stderr
