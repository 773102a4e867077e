"""The comparison table of samples/compare_weights.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from samples.compare_weights import main
from tests.support.training_data import make_clips, make_coco


def test_a_table_of_two_models(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pycocotools")
    data = [f"--data=coco={make_coco(tmp_path / 'people', 3)}", f"--data=clips={make_clips(tmp_path / 'clips')}"]
    monkeypatch.setattr("sys.argv", ["compare_weights", str(tiny_model), str(tiny_model), *data, "--rounds", "1"])
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("|")]
    assert [row[0] for row in rows if row[0].startswith("| m")] == ["| mean of the sets"] * 2
    people = [row for row in rows if row[0] == "| people/people"]
    assert len(people) == 2 and people[0][2:] == people[1][2:] and all(float(v) >= 0 for v in people[0][2:5])
    assert lines[-2].endswith("| 1.00 |") and float(lines[-1].split("|")[-2]) > 0
    monkeypatch.setattr("sys.argv", ["compare_weights", str(tiny_model), "--data", "posetrack18=x"])
    assert main() == 1
    assert "give coco=FILE or clips=FOLDER" in capsys.readouterr().err
