"""Makes a short clip of four people from the photograph that the ultralytics package carries.

The camera pans and zooms slowly and shakes by a degree or two, so the people move in the picture as they would
in a hand-held video. The same arguments make the same frames.

    python samples/make_sample.py sample.mp4
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


def make_sample(
    out: Path,
    *,
    seconds: float = 4.0,
    rate: int = 25,
    width: int = 640,
    height: int = 480,
    photo: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Write the clip.

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
    with VideoWriter(out, width, height, Fraction(1, rate), rate=Fraction(rate), overwrite=overwrite) as writer:
        for index, view in enumerate(camera(photograph, frames, rate, width, height)):
            writer.write(view.astype(np.uint8, copy=False), index)
    return frames


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make a short clip of four people to try ftp on.")
    parser.add_argument("out", type=Path, help="the clip to write, .mp4")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=25, help="frames per second")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--photo", type=Path, help="another photograph")
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
