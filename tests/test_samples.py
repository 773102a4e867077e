"""The sample clip that the README's first command annotates, and the picture at its head."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ftpcli.errors import InputError
from ftpcli.video import VideoReader
from samples.make_picture import main as draw_picture
from samples.make_picture import make_picture
from samples.make_sample import camera, crowd, find_photograph, main, make_sample

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def photograph() -> Path:
    try:
        return find_photograph()
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def clip(photograph, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.mp4"
    assert make_sample(path) == 100
    return path


def test_clip(clip):
    with VideoReader(clip) as reader:
        frames = list(reader)
    assert len(frames) == 100
    assert (reader.info.width, reader.info.height, reader.info.average_rate) == (640, 480, 25)
    assert frames[-1].seconds == pytest.approx(3.96)
    assert reader.warnings == []
    # The camera moves all the time, by a few pixels.
    steps = [np.abs(a.image.astype(int) - b.image).mean() for a, b in list(pairwise(frames))[::5]]
    assert min(steps) > 1 and max(steps) < 40


def test_everybody_stays_in_sight(photograph):
    """Boxes of the four people in the photograph; in every view nearly all of each of them can be seen."""
    image = cv2.imread(str(photograph))
    height, width = image.shape[:2]
    people = [(50, 398, 245, 903), (222, 405, 345, 860), (669, 392, 810, 880), (0, 550, 77, 875)]
    marked = np.zeros((height, width, 4), np.uint8)
    for number, (x1, y1, x2, y2) in enumerate(people):
        marked[y1:y2, x1:x2, number] = 255
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in people]
    for view in list(camera(marked, 100, 25, 640, 480))[::3]:
        seen = (view > 128).reshape(-1, 4).sum(axis=0) / (640 / width) ** 2
        assert (seen[:3] / areas[:3] > 0.9).all()
        assert seen[3] / areas[3] > 0.75


def test_same_frames_every_time(photograph):
    image = cv2.imread(str(photograph))
    for a, b in zip(camera(image, 3, 25, 64, 48), camera(image, 3, 25, 64, 48), strict=True):
        assert np.array_equal(a, b)


def test_ultralytics_is_not_imported(photograph):
    script = (
        "import sys; from samples import make_sample as m; m.find_photograph(); print('ultralytics' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.strip() == "False"


def test_command(photograph, tmp_path, capsys):
    out = tmp_path / "clip.mp4"
    run = subprocess.run(
        [sys.executable, ROOT / "samples" / "make_sample.py", out, "--seconds", "0.2"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (run.returncode, run.stdout) == (0, f"{out}: 5 frames\n"), run.stderr
    assert main([str(out)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([str(tmp_path / "x.mp4"), "--photo", str(tmp_path / "none.jpg")]) == 1


def test_moving_picture(photograph, tmp_path, capsys):
    clip, out = tmp_path / "clip.mp4", tmp_path / "clip.webp"
    make_sample(clip, seconds=0.4, rate=20, width=64, height=48)
    assert make_picture(clip, out, every=2, width=32) == 4
    with Image.open(out) as picture:
        assert (picture.format, picture.n_frames, picture.size, picture.info["loop"]) == ("WEBP", 4, (32, 24), 0)
        picture.seek(1)
        picture.load()
        assert picture.info["duration"] == 100
    assert draw_picture([str(clip), str(out)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_the_readme_s_picture_is_small_and_moves():
    path = ROOT / "samples" / "sample.webp"
    assert path.stat().st_size < 400_000
    with Image.open(path) as picture:
        assert picture.n_frames > 10


def test_a_crowd(photograph, tmp_path):
    assert make_sample(tmp_path / "crowd.mp4", people=10, seconds=0.2, width=320, height=180) == 5
    image = cv2.imread(str(photograph))
    one, ten = (next(crowd(image, people, 1, 1280, 720)).astype(int) for people in (1, 10))
    assert one.shape == (720, 1280, 3)
    changed = (np.abs(one - ten).max(axis=(0, 2)) > 40).reshape(10, 128).any(axis=1)
    assert changed.all()  # somebody in every tenth of the picture
