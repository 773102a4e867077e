"""Draws the people of a poses file on its video."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

from ftpcli.datasets.base import PosesReader
from ftpcli.datasets.poses import open_poses
from ftpcli.datasets.same_video import check_same_video, ends_early, of_another, step_of
from ftpcli.drawing.drawer import Drawer
from ftpcli.drawing.overlay import Style
from ftpcli.errors import InputError
from ftpcli.files.inputs import describe
from ftpcli.files.output import check_target
from ftpcli.records import Frame, FramePoses, Pose
from ftpcli.video import ImageFolderReader, VideoReader, VideoWriter, check_suffix, open_source

#: Called after each frame with the frames written and how many there will be, None where that is unknown.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What became of a rendering."""

    path: str
    frames: int  # written
    people: int  # drawn, over all frames
    ids: tuple[int, ...]  # of the people drawn
    audio: bool  # whether sound was copied
    warnings: tuple[str, ...]  # one line each, naming the file


def render(
    video: str | os.PathLike[str],
    poses: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    style: Style = Style(),
    only: Collection[int] | None = None,
    audio: bool = True,
    codec: str = "h264",
    crf: int = 20,
    preset: str | None = None,
    overwrite: bool = False,
    fps: Fraction | None = None,
    allow_network: bool = False,
    progress: Progress | None = None,
) -> Rendered:
    """Draw the people of a poses file, of any format, on the frames it was made from.

    Records and frames belong together by frame index, in another tool's file of a folder of pictures by their names;
    times must agree. The rotation that the poses were
    made with is applied. Every frame of the video is written, with its own time: those without a record (poses
    made with ``--every``) show nobody. Where the poses were made with ``--start`` or ``--end``, frames and sound
    outside of that range are left out, and with ``--start`` the result begins at 0.

    Args:
        video: a video, ``-`` for standard input, or a folder of images.
        poses: JSON Lines, COCO or PoseTrack.
        out: .mp4, .m4v, .mov or .mkv.
        only: track ids to draw; all where None. ``Style.blur_faces`` covers everybody's face.
        audio: copy the sound.
        codec, crf, preset: as in VideoWriter.
        overwrite: replace an existing ``out``.
        fps: rate of an image folder; by default that of the poses.
        allow_network: accept addresses as ``video``.

    Raises:
        UsageError: options that do not fit, or ``out`` is one of the inputs.
        InputError: an input cannot be read, or the poses are of another video.
        OutputError: ``out`` exists or cannot be written.
    """
    check_suffix(out)
    check_target(out, overwrite=overwrite, inputs=(video, poses))
    with ExitStack() as stack:
        reader = stack.enter_context(open_poses(poses, video))
        pairing = Pairing.of(reader, video, stack, fps=fps, allow_network=allow_network)
        frames = pairing.frames
        draw = Drawer(reader.header.joints, style)
        writer: VideoWriter | None = None
        drawn: set[int] = set()
        people = 0
        for frame, record in pairing:
            if writer is None:
                writer = stack.enter_context(
                    VideoWriter.like(
                        out,
                        frames.info,
                        audio=audio,
                        audio_start=frame.pts * frames.info.time_base if pairing.has_start else None,
                        codec=codec,
                        crf=crf,
                        preset=preset,
                        overwrite=overwrite,
                        allow_network=allow_network,
                    )
                )
            chosen = [pose for pose in record if only is None or pose.track_id in only]
            others = [pose for pose in record if only is not None and pose.track_id not in only]
            drawn.update(pose.track_id for pose in chosen)
            people += len(chosen)
            writer.write(draw(frame.image, chosen, frame.seconds, others), frame.pts)
            if progress is not None:
                progress(writer.frames, pairing.total)
        if writer is None:
            raise InputError(f"{reader.path}: {pairing.nothing()}")
        if pairing.has_end and pairing.end_time is not None:
            writer.end_audio_at(pairing.end_time)
        had_audio = writer.has_audio
    warnings = [f"{poses}: {line}" for line in reader.warnings]
    warnings += [f"{video}: {line}" for line in (*frames.warnings, *writer.warnings)]
    if (step := step_of(reader)) > 1:
        warnings.append(f"{poses}: holds one frame of {step}; the others show nobody")
    if not people and only is None:
        warnings.append(f"{poses}: there is nobody in it")
    absent = sorted(set(only or ()) - drawn)
    if absent:
        warnings.append(f"{poses}: has nobody with id {', '.join(map(str, absent))}")
    return Rendered(os.fspath(out), writer.frames, people, tuple(sorted(drawn)), had_audio, tuple(warnings))


class Pairing:
    """Puts frames and records together, and finds out where they do not belong together.

    Attributes:
        frames: the video.
        has_start, has_end: the poses were made of a part of the video.
        total: frames that will be given, None where unknown.
        end_time: seconds of the first frame after the range, once reached.
    """

    def __init__(self, reader: PosesReader, frames: VideoReader | ImageFolderReader) -> None:
        self._reader = reader
        self.frames = frames
        self._name = Path(describe(frames.info.path)).name
        source, options = reader.header.source, reader.header.run.options
        self.has_start = options.get("start") is not None
        self.has_end = ends_early(reader)
        self.end_time: Fraction | None = None
        #: Frames the run saw: all of the video, or those up to its end.
        self._decoded = source.frames
        self.total = self._decoded if self._decoded is not None and not self.has_start else None
        if self.total is None and not self.has_start:
            self.total = frames.expected
        check_same_video(reader, frames.info)
        self._timed = reader.timed and source.time_base is not None  # else pts are nobody's ticks

    @classmethod
    def of(
        cls,
        reader: PosesReader,
        video: str | os.PathLike[str],
        stack: ExitStack,
        *,
        fps: Fraction | None = None,
        allow_network: bool = False,
    ) -> Self:
        """The poses with their video, opened, turned as they are; the rate of a folder is theirs unless given."""
        source = reader.header.source
        fps = fps or (1 / source.time_base if source.time_base else None)
        frames = open_source(video, rotate=source.rotation, fps=fps, allow_network=allow_network)
        stack.enter_context(frames)
        return cls(reader, frames)

    def nothing(self) -> str:
        """Why not one frame was given."""
        return f"is of another video: none of its frames is in {self._name}"

    def __iter__(self) -> Iterator[tuple[Frame, tuple[Pose, ...]]]:
        records = iter(self._reader)
        record = next(records, None)
        if record is None:
            raise InputError(f"{self._reader.path}: holds no frames")
        first = record.index
        beyond = False
        for frame in self.frames:
            number = frame.pts if self._reader.by_name else frame.index
            if self.has_start and number < first:
                continue
            while self._reader.by_name and record is not None and record.index < number:
                record = next(records, None)  # its picture cannot be decoded
            if self._is_over(frame, record):
                self.end_time = frame.pts * self.frames.info.time_base
                beyond = True
                break
            if record is not None and record.index == number:
                self._check_time(frame, record)
                poses, record = record.poses, next(records, None)
            else:
                poses = ()
            yield frame, poses
        count = self.frames.decoded
        if record is not None and not self._reader.by_name:
            raise of_another(self._reader, f"it has a frame {record.index}, {self._name} has {count} frames")
        if self._decoded is not None and (count < self._decoded or (beyond and not self.has_end)):
            more = "more than " if beyond else ""
            raise of_another(self._reader, f"it is of {self._decoded} frames, {self._name} has {more}{count - beyond}")

    def _is_over(self, frame: Frame, record: FramePoses | None) -> bool:
        if self._decoded is not None:
            return frame.index >= self._decoded
        return self.has_end and record is None

    def _check_time(self, frame: Frame, record: FramePoses) -> None:
        if self._timed and record.pts != frame.pts:
            raise of_another(
                self._reader,
                f"its frame {frame.index} is at {record.seconds:.6g} s, that of {self._name} at {frame.seconds:.6g} s",
            )
