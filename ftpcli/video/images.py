"""A folder of numbered images, read as a video of constant rate."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Self

import av

from ftpcli.errors import InputError, UsageError, counted
from ftpcli.files.inputs import numbered_images, refuse_pointer
from ftpcli.records import Frame, VideoInfo
from ftpcli.video.opening import MAX_PIXELS
from ftpcli.video.pictures import Orientation, ToRgb
from ftpcli.video.selection import Selection, check_rotation

DEFAULT_FPS = Fraction(25)
_MAX_FILE = 1 << 29  # bytes of one compressed image


class ImageFolderReader:
    """The images of a folder in the natural order of their names, with the interface of VideoReader.

    ``pts`` is the position in the folder and the time base 1/fps: an unreadable image leaves its time empty and
    is counted in ``bad_packets``; ``Frame.index`` counts the images that were decoded. Missing numbers leave no
    gap (a warning names them). EXIF orientation is applied. Images of another size are scaled to the first one's.

    Args:
        folder: holds the images, other files are left alone.
        fps: frames per second, exact; 25 where None, with a warning.
        rotate, start, end, every: as in VideoReader.

    Raises:
        UsageError: an option that makes no sense.
        InputError: no images, or none that can be decoded.
    """

    info: VideoInfo
    expected: int | None
    live = None

    def __init__(
        self,
        folder: str | os.PathLike[str],
        fps: Fraction | None = None,
        *,
        rotate: int | None = None,
        start: float | None = None,
        end: float | None = None,
        every: int = 1,
        duration: float | None = None,
    ) -> None:
        if fps is not None and fps <= 0:
            raise UsageError(f"{float(fps):g} frames per second: must be more than 0")
        check_rotation(rotate)
        self._folder = Path(folder)
        self._fps = DEFAULT_FPS if fps is None else Fraction(fps)
        self._rotate = rotate
        self._selection = Selection(os.fspath(folder), start, end, every, duration)
        self.decoded = 0
        self.bad_packets = 0
        self.warnings: list[str] = []
        if fps is None:
            self.warnings.append(f"images carry no times; {DEFAULT_FPS} frames per second are assumed (--fps)")

    def __enter__(self) -> Self:
        self._files = numbered_images(self._folder)
        if not self._files:
            raise InputError(f"{self._folder}: no images in this folder")
        self.warnings += _missing_numbers(self._files)
        refuse_pointer(self._files[0])
        for first in self._files:
            decoded = _decode_image(first)
            if decoded is not None:
                break
        else:
            raise InputError(f"{self._folder}: none of its {len(self._files)} images can be decoded")
        picture, orientation = decoded[0], self._turned(decoded[1])
        self._size = _upright_size(picture, orientation)
        self._names: list[str] = []
        self.info = VideoInfo(
            path=os.fspath(self._folder),
            width=self._size[0],
            height=self._size[1],
            rotation=orientation.rotation,
            time_base=1 / self._fps,
            average_rate=self._fps,
            frames=len(self._files),
            duration=float(len(self._files) / self._fps),
            start=0.0,
            codec=first.suffix.lower().removeprefix("."),
            has_audio=False,
            mirrored=orientation.mirrored,
        )
        self.expected = self._selection.count(len(self._files), lambda n: float(n / self._fps))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing stays open between images."""

    def frame_name(self, index: int) -> str:
        """File name of the image that became frame ``index`` (``Frame.index``)."""
        return self._names[index]

    def _turned(self, orientation: Orientation) -> Orientation:
        return orientation if self._rotate is None else replace(orientation, rotation=self._rotate)

    def __iter__(self) -> Iterator[Frame]:
        resized = 0
        first_bad = ""
        for position, file in enumerate(self._files):
            seconds = float(position * self.info.time_base)
            if self._selection.is_over(seconds):
                break
            decoded = _decode_image(file)
            if decoded is None:
                self.bad_packets += 1
                first_bad = first_bad or file.name
                continue
            index = self.decoded
            self.decoded += 1
            self._names.append(file.name)
            picture, orientation = decoded[0], self._turned(decoded[1])
            resized += _upright_size(picture, orientation) != self._size
            if self._selection.takes(index, seconds):
                width, height = self._size
                if orientation.swaps_sides:
                    width, height = height, width
                yield Frame(index, position, seconds, ToRgb(orientation, width, height)(picture))
        self._selection.check_not_empty()
        if self.bad_packets:
            self.warnings.append(f"{counted(self.bad_packets, 'damaged image')} left out, first {first_bad}")
        if resized:
            self.warnings.append(f"{counted(resized, 'image')} of another size, scaled to the first one's")


def _upright_size(picture: av.VideoFrame, orientation: Orientation) -> tuple[int, int]:
    size = picture.width, picture.height
    return size[::-1] if orientation.swaps_sides else size


def _decode_image(file: Path) -> tuple[av.VideoFrame, Orientation] | None:
    """The picture and how it is to stand, or None where it cannot be decoded or claims an absurd size."""
    options = {"max_pixels": str(MAX_PIXELS), "protocol_whitelist": "data"}  # a playlist in disguise opens nothing
    try:
        if file.stat().st_size > _MAX_FILE:
            return None
        # Bytes instead of the path: FFmpeg would read "%03d" in a name as a pattern.
        content = file.read_bytes()
        with av.open(io.BytesIO(content), "r", options=options) as container:
            stream = container.streams.video[0]
            if stream.codec_context is None or stream.width * stream.height > MAX_PIXELS:
                return None
            stream.codec_context.options = options
            for picture in container.decode(stream):
                return picture, Orientation.of(picture, content[: 1 << 16])
    except (av.error.FFmpegError, OSError, ValueError, IndexError, MemoryError):
        pass
    return None


def _missing_numbers(files: list[Path]) -> list[str]:
    """A warning where the names of a sequence skip numbers."""
    found = [re.fullmatch(r"(.*?)(\d+)", file.stem) for file in files]
    matches = [match for match in found if match]
    if len(matches) != len(files) or len({match[1] for match in matches}) > 1:
        return []
    numbers = sorted({int(match[2]) for match in matches})
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    if missing == 0:
        return []
    steps = {b - a for a, b in pairwise(numbers)}
    if len(steps) == 1:  # every n-th frame, evenly
        return [f"image numbers go up by {steps.pop()}; times take no account of that, choose --fps accordingly"]
    return [f"{missing} image numbers between {numbers[0]} and {numbers[-1]} are missing; the times leave no gap there"]
