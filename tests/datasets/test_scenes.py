"""COCO detection files as pictures with people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftpcli.datasets.scenes import load_pictures
from ftpcli.errors import InputError
from tests.support.detector_data import coco_file


def test_reading_coco(tmp_path: Path) -> None:
    pictures, cutouts, warnings = load_pictures(coco_file(tmp_path), 40)
    assert not cutouts and not warnings  # no outlines there
    assert [len(p.people) for p in pictures] == [1] * 6 and [len(p.ignore) for p in pictures] == [0, 1] * 3
    assert pictures[0].image.shape == (30, 40, 3)
    x0, y0, x1, y1 = pictures[0].people[0].astype(int)
    assert pictures[0].image[(y0 + y1) // 2, (x0 + x1) // 2, 1] > 200
    (tmp_path / "3.png").unlink()
    with pytest.raises(InputError, match=r"1 picture is missing, first 3\.png; name their folder with --images"):
        load_pictures(tmp_path / "coco.json", 40)
    with pytest.raises(InputError, match="a plain list, not a COCO file"):
        load_pictures(Path(write_json(tmp_path / "x.json", [1])), 40)
    with pytest.raises(InputError, match="no such file"):
        load_pictures(tmp_path / "none.json", 40)


def write_json(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content))
    return str(path)
