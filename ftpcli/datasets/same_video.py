"""Whether a poses file can be of a video, as far as its header tells."""

from __future__ import annotations

from pathlib import Path

from ftpcli.datasets.base import PosesReader
from ftpcli.errors import InputError
from ftpcli.files.inputs import describe
from ftpcli.records import FramePoses, VideoInfo


def of_another(reader: PosesReader, difference: str) -> InputError:
    """The error to raise where it is not."""
    return InputError(f"{reader.path}: is of another video: {difference}")


def check_same_video(reader: PosesReader, info: VideoInfo, turn: int = 0, *, clock: bool = True) -> None:
    """Compare size and time base.

    Args:
        turn: degrees by which the poses' frames are turned against those that ``info`` describes.
        clock: compare time bases, too; needless where each frame's seconds are compared.

    Raises:
        InputError: they differ.
    """
    source, name = reader.header.source, Path(describe(info.path)).name
    size, sides = (source.width, source.height), (info.width, info.height)
    if turn % 180:
        sides = sides[::-1]
    if None not in size and size != sides:
        raise of_another(reader, f"its frames are {size[0]}x{size[1]}, those of {name} {sides[0]}x{sides[1]}")
    if clock and reader.timed and source.time_base is not None and source.time_base != info.time_base:
        raise of_another(reader, f"its time base is {source.time_base}, that of {name} {info.time_base}")


def ends_early(reader: PosesReader) -> bool:
    """Whether the poses were made with an end before that of the video."""
    options = reader.header.run.options
    return options.get("end") is not None or options.get("duration") is not None


def picture_of(reader: PosesReader, frame: FramePoses) -> int:
    """The place of a frame's picture in the list of its folder's, which those that cannot be decoded keep, too.

    By names the index is that place, else the time: a folder's frames are one tick apart, missing ones included.
    """
    return frame.pts if reader.timed and not reader.by_name else frame.index


def step_of(reader: PosesReader) -> int:
    """The poses are of one frame of this many (``--every``)."""
    step = reader.header.run.options.get("every")
    return step if isinstance(step, int) and step > 1 else 1
