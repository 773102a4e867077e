"""Makes README's moving picture, an animated WebP, of the overlay that README's first command leaves.

python samples/make_picture.py overlay.mp4 samples/sample.webp
"""

from __future__ import annotations

import argparse
import io
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ftpcli.errors import FtpError
from ftpcli.files.output import atomic_output
from ftpcli.video import VideoReader


def make_picture(
    video: Path, out: Path, *, every: int = 4, width: int = 360, quality: int = 30, overwrite: bool = False
) -> int:
    """Write a small picture that repeats for ever.

    Args:
        video: its frames are shown at their own times.
        every: shows one frame of this many.
        width: of the picture, pixels.
        quality: WebP's, 0 to 100.

    Returns:
        The number of frames shown.

    Raises:
        InputError: the video cannot be read.
        OutputError: the picture exists or cannot be written.
    """
    with VideoReader(video) as reader:
        shown = [(frame.seconds, _small(frame.image, width)) for frame in reader if frame.index % every == 0]
    seconds = [at for at, _ in shown]
    steps = [round(1000 * (b - a)) for a, b in pairwise(seconds)]
    first, *others = (picture for _, picture in shown)
    content = io.BytesIO()
    duration = [*steps, steps[-1]] if steps else 1000  # milliseconds of each; the last stays as long as the one before
    first.save(content, "WEBP", save_all=True, append_images=others, duration=duration, loop=0, quality=quality)
    with atomic_output(out, overwrite=overwrite) as stream:
        stream.write(content.getvalue())
    return len(shown)


def _small(image: np.ndarray, width: int) -> Image.Image:
    height, full = image.shape[:2]
    return Image.fromarray(cv2.resize(image, (width, round(width * height / full)), interpolation=cv2.INTER_AREA))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make a small moving picture of a video.")
    parser.add_argument("video", type=Path)
    parser.add_argument("out", type=Path, help="the picture to write, .webp")
    parser.add_argument("--every", type=int, default=4, help="show one frame of this many")
    parser.add_argument("--width", type=int, default=360)
    parser.add_argument("--quality", type=int, default=30, help="0 to 100")
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args(arguments)
    try:
        frames = make_picture(**vars(options))
    except FtpError as error:
        print(f"make_picture: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.out}: {frames} frames, {options.out.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
