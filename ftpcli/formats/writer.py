"""Writing finished poses files."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import PurePath

import numpy as np

from ftpcli.choices import Format, Joints
from ftpcli.errors import OutputError, UsageError
from ftpcli.files.inputs import VIDEO_SUFFIXES
from ftpcli.files.output import atomic_output, check_target, write_error
from ftpcli.files.output_folder import check_folder, output_folder
from ftpcli.formats.base import Sink, WriteOptions, box_xywh, dumps
from ftpcli.formats.coco import CocoSink
from ftpcli.formats.coco_results import CocoResultsSink
from ftpcli.formats.csv import CsvSink, CsvWideSink
from ftpcli.formats.cvat import CvatSink
from ftpcli.formats.deeplabcut import DeepLabCutSink
from ftpcli.formats.deeplabcut_h5 import DeepLabCutH5Sink
from ftpcli.formats.jsonl import NativeSink, encode_header, encode_record
from ftpcli.formats.labelstudio import LabelStudioSink
from ftpcli.formats.mot import MotSink
from ftpcli.formats.nwb import NwbSink
from ftpcli.formats.openpose import OpenPose18Sink, OpenPoseSink
from ftpcli.formats.parquet import ParquetSink, ParquetWideSink
from ftpcli.formats.posetrack import PoseTrackSink
from ftpcli.formats.posetrack17 import PoseTrack17Sink
from ftpcli.formats.sleap import SleapAnalysisSink, SleapSink
from ftpcli.formats.trc import TrcSink
from ftpcli.formats.yolo import YoloSink
from ftpcli.records import FramePoses, Header

#: What writes each format.
SINKS: dict[Format, type[Sink]] = {
    Format.JSONL: NativeSink,
    Format.COCO: CocoSink,
    Format.COCO_RESULTS: CocoResultsSink,
    Format.POSETRACK: PoseTrackSink,
    Format.POSETRACK17: PoseTrack17Sink,
    Format.CSV: CsvSink,
    Format.CSV_WIDE: CsvWideSink,
    Format.PARQUET: ParquetSink,
    Format.PARQUET_WIDE: ParquetWideSink,
    Format.MOT: MotSink,
    Format.OPENPOSE: OpenPoseSink,
    Format.OPENPOSE18: OpenPose18Sink,
    Format.TRC: TrcSink,
    Format.YOLO: YoloSink,
    Format.DEEPLABCUT: DeepLabCutSink,
    Format.SLEAP: SleapSink,
    Format.SLEAP_ANALYSIS: SleapAnalysisSink,
    Format.DEEPLABCUT_H5: DeepLabCutH5Sink,
    Format.NWB: NwbSink,
    Format.LABELSTUDIO: LabelStudioSink,
    Format.CVAT: CvatSink,
}


_TEXT = {".json", ".jsonl", ".csv", ".txt", ".trc"}


def format_of(path: str | os.PathLike[str], explicit: str | None = None) -> Format:
    """The format of an output: the one asked for, or by extension, of several forms the first (.json: COCO).

    Raises:
        UsageError: an unknown format or extension, or a library is missing.
    """
    if explicit is not None:
        if explicit not in list(Format):
            raise UsageError(f"--format {explicit}: unknown; choose one of {', '.join(Format)}")
        found = Format(explicit)
    else:
        by_name = _of_name(path)
        if not by_name:
            known = ", ".join(dict.fromkeys(sink.suffix for sink in SINKS.values() if sink.suffix))
            raise UsageError(f"{os.fspath(path)}: does not tell the format by its end ({known}); give --format")
        found = by_name[0]
    library = SINKS[found].library
    if library and find_spec(library) is None:
        raise UsageError(f"{found} files need {library}; install it with: pip install 'ftp-pose[formats]'")
    return found


def _of_name(path: str | os.PathLike[str]) -> list[Format]:
    """The formats whose files end like this one."""
    end = PurePath(path).name[1:].lower()  # a name that begins with a dot has no end
    return [name for name, sink in SINKS.items() if sink.suffix and end.endswith(sink.suffix)]


def check_output(
    path: str | os.PathLike[str],
    format: Format,
    *,
    overwrite: bool,
    inputs: Iterable[str | os.PathLike[str] | None] = (),
) -> None:
    """Refuse, before any work is done, an output that cannot be written (see ``check_target``, ``check_folder``).

    Raises:
        OutputError: see there.
        UsageError: the name is that of a video, or of another form, unless both are text.
    """
    kind, others = SINKS[format], _of_name(path)
    if kind.folder:
        check_folder(path)
        return
    check_target(path, overwrite=overwrite, inputs=inputs)
    end, own = PurePath(path).suffix.lower(), PurePath(f"x{kind.suffix}").suffix
    if end in VIDEO_SUFFIXES or (others and end != own and not {end, own} <= _TEXT):
        name = "a video" if end in VIDEO_SUFFIXES else f"a file of the form {others[0]}"
        raise UsageError(f"{os.fspath(path)}: is the name of {name}; what {format} files hold goes by {kind.suffix}")


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
    picture: str = "jpg",
    angles: bool = False,
    image: Callable[[], bytes] | None = None,
    notice: Callable[[str], None] = lambda line: None,
) -> int:
    """Write a whole file, streaming: temporary name, then moved into place.

    Args:
        frames: by rising index, one per frame.
        format: one of ``Format``; None goes by extension.
        joints: "default" or "all" (every joint of the header; changes COCO files only, which hold COCO's 17).
        frame_name, picture, angles, image: see ``WriteOptions``.
        notice: takes a line that counts what this file could not hold.

    Returns:
        Number of frames written.

    Raises:
        OutputError: the target exists (unless ``overwrite``) or cannot be written, or the frames do not fit the
            format. Nothing is left behind then.
        UsageError: an unknown format or choice of joints.
    """
    name = format_of(path, format)
    check_joints(name, joints)
    kind = SINKS[name]
    with ExitStack() as stack:
        stream = stack.enter_context(output_folder(path) if kind.folder else atomic_output(path, overwrite=overwrite))
        sink = kind(stream, header, WriteOptions(joints, frame_name, picture, angles, image))
        count, last, people = 0, -1, 0
        try:
            for frame in frames:
                if frame.index <= last:
                    raise OutputError(f"{os.fspath(path)}: frame {frame.index} comes after frame {last}")
                # No form can hold what is not a number.
                box_xywh(np.array([pose.box for pose in frame.poses]).reshape(-1, 4), frame.index)
                if not all(math.isfinite(pose.score) for pose in frame.poses):
                    raise OutputError("a person's score is not a number", frame.index)
                sink.write(frame)
                for pose in frame.poses:
                    sink.left_out["people's joints from before a filter"] += (
                        pose.raw is not None and "raw" not in kind.keeps
                    )
                    sink.left_out["marks of people as filled in"] += pose.filled and "filled" not in kind.keeps
                count, last, people = count + 1, frame.index, people + len(frame.poses)
            if kind.people_only and not people:
                raise OutputError(f"{os.fspath(path)}: nobody is in any frame, and {name} files hold people only")
            sink.close(count)
        finally:
            sink.release()
    if left_out := +sink.left_out:
        counts = ", ".join(f"{number:,} {what}" for what, number in left_out.items())
        notice(f"left out, because {name} files cannot hold them: {counts}")
    return count


def lacking(name: Format, joints: str, given: tuple[str, ...]) -> list[str]:
    """What no file of this format holds of poses with these joints, as one line or none."""
    parts = [SINKS[name].lacks] if SINKS[name].lacks else []
    lost = [joint for joint in given if joint not in joints_of(name, joints, given)]
    parts += [f"the joints {', '.join(lost)}"] if lost else []
    return [f"{name} files do not hold {', or '.join(parts)}"] if parts else []
