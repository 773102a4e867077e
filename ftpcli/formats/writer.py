"""Writing finished poses files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import PurePath

from ftpcli.choices import Format, Joints
from ftpcli.errors import OutputError, UsageError
from ftpcli.files.output import atomic_output, write_error
from ftpcli.formats.base import Sink, WriteOptions, dumps
from ftpcli.formats.jsonl import encode_header, encode_record
from ftpcli.records import FramePoses, Header

#: What writes each format: ``SINK`` of the module that is called like it.
SINKS: dict[Format, type[Sink]] = {name: import_module(f"ftpcli.formats.{name}").SINK for name in Format}


def format_of(path: str | os.PathLike[str], explicit: str | None = None) -> Format:
    """The format of an output: the one asked for, or by extension (.jsonl: JSON Lines, .json: COCO).

    Raises:
        UsageError: an unknown format or extension.
    """
    if explicit is not None:
        if explicit not in list(Format):
            raise UsageError(f"--format {explicit}: unknown; choose one of {', '.join(Format)}")
        return Format(explicit)
    suffix = PurePath(path).suffix.lower()
    for name, sink in SINKS.items():
        if suffix == sink.suffix:
            return name
    raise UsageError(
        f"{os.fspath(path)}: the name does not tell the format; end it in .jsonl or .json, or give --format"
    )


def check_joints(format: Format, joints: str) -> None:
    """Refuse a choice of joints that a format does not offer, before any work is done.

    Raises:
        UsageError: an unknown choice, or "all" for a format with joints of its own.
    """
    if joints not in list(Joints):
        raise UsageError(f"--joints {joints}: unknown; choose one of {', '.join(Joints)}")
    if joints == Joints.ALL and not SINKS[format].takes_all:
        raise UsageError(f"--joints all: {format} files have their own joints; leave it out, or write .jsonl or COCO")


def joints_of(format: Format, joints: str, model: tuple[str, ...]) -> tuple[str, ...]:
    """The joints in a file of this format, of a model with these."""
    own = SINKS[format].skeleton
    return model if own is None or joints == Joints.ALL else own.joints


class StandardOutput:
    """Writes JSON Lines to standard output, each frame as soon as it is known.

    Raises:
        BrokenPipeError: the reader has gone, as ``head`` does.
        OutputError: it cannot be written, as on a full disk.
    """

    def __init__(self, header: Header) -> None:
        """``header`` should hold what is known before the frames; its ``records`` is null."""
        self._joints = len(header.joints)
        self._write(dumps(encode_header(header, records=None)))

    def write(self, frames: Iterable[FramePoses]) -> None:
        """Add frames, by rising index."""
        for frame in frames:
            self._write(dumps(encode_record(frame, self._joints)))

    def _write(self, line: str) -> None:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise write_error("standard output", error) from error


def write_poses(
    path: str | os.PathLike[str],
    header: Header,
    frames: Iterable[FramePoses],
    format: str | None = None,
    *,
    joints: str = "default",
    overwrite: bool = False,
    frame_name: Callable[[int], str] | None = None,
) -> int:
    """Write a whole file, streaming: temporary name, then moved into place.

    Args:
        frames: by rising index, one per frame.
        format: one of ``Format``; None goes by extension.
        joints: "default" or "all" (every joint of the header; changes COCO files only, which hold COCO's 17).
        frame_name: file name of the picture of a frame index, where the source is a folder of pictures.

    Returns:
        Number of frames written.

    Raises:
        OutputError: the target exists (unless ``overwrite``) or cannot be written, or the frames do not fit the
            format. Nothing is left behind then.
        UsageError: an unknown format or choice of joints.
    """
    name = format_of(path, format)
    check_joints(name, joints)
    with atomic_output(path, overwrite=overwrite) as stream:
        sink = SINKS[name](stream, header, WriteOptions(joints, frame_name))
        count, last = 0, -1
        try:
            for frame in frames:
                if frame.index <= last:
                    raise OutputError(f"{os.fspath(path)}: frame {frame.index} comes after frame {last}")
                sink.write(frame)
                count, last = count + 1, frame.index
            sink.close(count)
        finally:
            sink.release()
    return count
