"""Makes a short clip of four people from the photograph that the ultralytics package carries.

The camera pans and zooms slowly and shakes by a degree or two, so the people move in the picture as they would
in a hand-held video. The same arguments make the same frames.

    python samples/make_sample.py sample.mp4

With ``--people`` cut-outs of three of them walk to and fro before a blurred background instead, as many as are wanted:

    python samples/make_sample.py ten.mp4 --people 10 --width 1280 --height 720
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ftpcli.errors import FtpError, InputError
from ftpcli.video import VideoWriter

#: Boxes (xyxy) of three people in the photograph.
PEOPLE = ((50, 398, 245, 903), (222, 405, 345, 860), (669, 392, 810, 880))


def find_photograph() -> Path:
    """``bus.jpg`` of the installed ultralytics package, found without importing the package.

    Raises:
        InputError: ultralytics is not installed, or has no such picture.
    """
    spec = importlib.util.find_spec("ultralytics")
    if spec is None or spec.origin is None:
        raise InputError("ultralytics is not installed; install this project with its dependencies first")
    path = Path(spec.origin).parent / "assets" / "bus.jpg"
    if not path.is_file():
        raise InputError(f"{path}: not in this version of ultralytics; name a photograph with --photo")
    return path


def camera(photograph: np.ndarray, frames: int, rate: int, width: int, height: int) -> Iterator[np.ndarray]:
    """Views of a photograph, one per frame: (height, width, 3), the type and channels of the photograph.

    The outermost people stand at the photograph's edges: to keep them in sight the view begins and ends a little
    wider than the photograph (its last pixels are mirrored there) and is hardly narrower half-way.
    """
    full_height, full_width = photograph.shape[:2]
    for frame in range(frames):
        seconds = frame / rate
        part = frame / max(1, frames - 1)
        scale = width / full_width * (0.985 + 0.035 * math.sin(math.pi * part) ** 2)
        angle = 1.2 * math.sin(2 * math.pi * 0.9 * seconds) + 0.6 * math.sin(2 * math.pi * 2.3 * seconds + 1)
        across = full_width * (0.5 - 0.01 * math.sin(2 * math.pi * part))
        down = full_height * (0.585 + 0.03 * part)
        across += full_width * 0.004 * math.sin(2 * math.pi * 1.7 * seconds)
        down += full_height * 0.004 * math.sin(2 * math.pi * 2.1 * seconds + 2)
        matrix = cv2.getRotationMatrix2D((across, down), angle, scale)
        matrix[:, 2] += (width / 2 - across, height / 2 - down)
        yield cv2.warpAffine(
            photograph, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )


def crowd(photograph: np.ndarray, people: int, frames: int, width: int, height: int) -> Iterator[np.ndarray]:
    """Pictures (height, width, 3) with ``people`` people each, side by side, every one with a pace of their own."""
    background = cv2.GaussianBlur(cv2.resize(photograph, (width, height)), (0, 0), width / 40)
    space = width / people
    for frame in range(frames):
        picture = background.copy()
        for person in range(people):
            x1, y1, x2, y2 = PEOPLE[person % len(PEOPLE)]
            scale = min(0.8 * height / (y2 - y1), 0.9 * space / (x2 - x1))
            cutout = cv2.resize(photograph[y1:y2, x1:x2], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            high, wide = cutout.shape[:2]
            swing = math.sin(2 * math.pi * frame / (50 + 5 * person) + person) * min(0.1 * space, 0.04 * width)
            left = min(max(0, round((person + 0.5) * space - wide / 2 + swing)), width - wide)
            top = (height - high) // 2 + round(0.02 * height * math.cos(person))
            picture[top : top + high, left : left + wide] = cutout
        yield picture


def make_sample(
    out: Path,
    *,
    seconds: float = 4.0,
    rate: int = 25,
    width: int = 640,
    height: int = 480,
    photo: Path | None = None,
    people: int | None = None,
    overwrite: bool = False,
) -> int:
    """Write the clip.

    Args:
        people: so many cut-outs, see :func:`crowd`; None: the photograph seen by a moving camera.

    Returns:
        The number of frames.

    Raises:
        InputError: no photograph.
        OutputError: the clip cannot be written.
    """
    path = photo or find_photograph()
    photograph = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photograph is None:
        raise InputError(f"{path}: not a readable picture")
    photograph = cv2.cvtColor(photograph, cv2.COLOR_BGR2RGB)
    frames = max(1, round(seconds * rate))
    if people is None:
        views = camera(photograph, frames, rate, width, height)
    else:
        views = crowd(photograph, people, frames, width, height)
    with VideoWriter(out, width, height, Fraction(1, rate), rate=Fraction(rate), overwrite=overwrite) as writer:
        for index, view in enumerate(views):
            writer.write(view.astype(np.uint8, copy=False), index)
    return frames


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make a short clip of people to try ftp on.")
    parser.add_argument("out", type=Path, help="the clip to write, .mp4")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=25, help="frames per second")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--photo", type=Path, help="another photograph")
    parser.add_argument("--people", type=int, help="so many cut-outs of people instead")
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args(arguments)
    try:
        frames = make_sample(**vars(options))
    except FtpError as error:
        print(f"make_sample: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.out}: {frames} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
