"""Annotates one source into files: part file, resuming, overlay, final move. Knows nothing of the command line."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftpcli.annotation.chain import Annotated, Annotation, Annotator, Options, Stored
from ftpcli.annotation.fingerprint import fingerprint
from ftpcli.annotation.finished import finished
from ftpcli.errors import FtpError, InputError, OutputError, UsageError
from ftpcli.formats import PartWriter, check_joints, check_target, format_of, part_path
from ftpcli.skeleton import COCO17, POSETRACK15, POSETRACK17

if TYPE_CHECKING:
    from ftpcli.video import VideoWriter


class Interrupted(FtpError):
    """The run was asked to stop; what was done is kept."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one source's results go.

    Attributes:
        out: the poses file.
        format: ``jsonl``, ``coco``, ``posetrack``, ``posetrack17``; None goes by the extension.
        joints: ``default`` or ``all`` (COCO files with every joint of the model).
        overlay: a video with the skeletons drawn in.
        overwrite: replace files that are there.
        resume: go on with an interrupted run's part file, if there is one; pass over an output that is whole.
    """

    out: Path
    format: str | None = None
    joints: str = "default"
    overlay: Path | None = None
    overwrite: bool = False
    resume: bool = False

    def check(self) -> None:
        """Refuse before any work what could not be written after it (OutputError, UsageError)."""
        check_joints(format_of(self.out, self.format), self.joints)
        check_target(self.out, overwrite=self.overwrite or self.resume)
        if self.overlay is not None:
            if self.overlay.suffix.lower() not in (".mp4", ".mov", ".mkv"):
                raise UsageError(f"{self.overlay}: an overlay's name ends in .mp4, .mov or .mkv")
            if self.overlay.resolve() == self.out.resolve():
                raise UsageError(f"{self.overlay}: --overlay and --out name the same file")
            check_target(self.overlay, overwrite=self.overwrite or self.resume)


@dataclass(slots=True)
class Progress:
    """How far a source is; ``total`` frames where the source claims a number."""

    frames: int = 0
    total: int | None = None
    people: int = 0
    replayed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a source.

    Attributes:
        seconds: the time of its last frame, from its first.
        elapsed: seconds of work.
        replayed: frames that an interrupted run had done.
        already: the output was whole, and nothing was done.
    """

    source: str
    out: str
    overlay: str | None
    frames: int
    people: int
    tracks: int
    bad_packets: int
    warnings: tuple[str, ...]
    seconds: float
    elapsed: float
    replayed: int
    already: bool = False

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def annotate_file(
    annotator: Annotator,
    source: str,
    target: Target,
    *,
    tell: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Annotate a source into ``target``. Results go to ``<out>.part.jsonl`` chunk by chunk as they are made.

    Args:
        tell: called after every chunk.
        stop: asked after every chunk; True ends the run, keeping the part file.

    Raises:
        Interrupted: ``stop`` said so.
        FtpError: the source cannot be read, the target not written. The part file keeps what was done.
    """
    target.check()
    started = time.monotonic()
    if target.resume and not (os.path.isfile(source) or os.path.isdir(source)):
        raise UsageError(f"{source}: a pipe or stream cannot be resumed; save it to a file first")
    with ExitStack() as stack:
        annotation = stack.enter_context(annotator.open(source))
        if target.resume and (done := _finished(source, target, annotation)):
            return done
        part = stack.enter_context(
            PartWriter(
                part_path(target.out),
                annotation.header,
                fingerprint(annotator, source),
                resume=target.resume,
                overwrite=target.overwrite and not target.resume,
            )
        )
        # A last chunk that was cut short is done again: batches must be those of an unbroken run.
        part.truncate_to(part.records // annotation.chunk_frames * annotation.chunk_frames)
        with _overlay(annotation, target, annotator.options) as video:
            progress = Progress(total=_expected(annotation, annotator))
            tracks: set[int] = set()
            try:
                for chunk in annotation.chunks(_stored(part)):
                    _keep(part, chunk, annotation)
                    if video is not None:
                        video.draw(chunk)
                    for one in chunk:
                        progress.people += len(one.poses.poses)
                        tracks.update(pose.track_id for pose in one.poses.poses)
                    progress.frames, progress.replayed = annotation.frames, annotation.replayed
                    progress.seconds = chunk[-1].frame.seconds
                    tell(progress)
                    if stop():
                        raise Interrupted(
                            f"{source}: stopped after {progress.frames} frames; they are kept in {part.path.name}, "
                            "go on with --resume"
                        )
            except FtpError:
                if not part.records:
                    part.discard()
                raise
            if not progress.frames:
                part.discard()
                raise InputError(f"{source}: not one frame could be decoded; copy or convert the video again")
        part.finish(
            target.out,
            target.format,
            header=annotation.header,
            joints=target.joints,
            overwrite=target.overwrite,
            frame_name=annotation.frame_name,
        )
    final = annotation.header.source
    return Summary(
        source=source,
        out=str(target.out),
        overlay=str(target.overlay) if target.overlay else None,
        frames=progress.frames,
        people=progress.people,
        tracks=len(tracks),
        bad_packets=final.bad_packets or 0,
        warnings=final.warnings,
        seconds=progress.seconds - annotation.info.start,
        elapsed=time.monotonic() - started,
        replayed=progress.replayed,
    )


def _finished(source: str, target: Target, head: Annotation) -> Summary | None:
    """Of a run that was over before, perhaps stopped between its last two steps: what it made.

    Raises:
        OutputError: there is an output, but not that of this run.
    """
    if target.overwrite or not target.out.exists():
        return None
    done = finished(target.out, head.header, format_of(target.out, target.format))
    if done is not None and done.header.joints != _joints(target, head):
        done = None
    if done is None or (target.overlay is not None and not target.overlay.exists()):
        raise OutputError(
            f"{target.out}: exists already and is not that of this run; give --overwrite to replace it, "
            "or name another output"
        )
    if part_path(target.out).exists():  # the run was stopped just before deleting it
        with PartWriter(part_path(target.out), head.header, {}, overwrite=True) as part:
            part.discard()
    return Summary(
        source=source,
        out=str(target.out),
        overlay=str(target.overlay) if target.overlay else None,
        frames=done.frames,
        people=done.people,
        tracks=done.tracks,
        bad_packets=done.header.source.bad_packets or 0,
        warnings=done.header.source.warnings,
        seconds=done.seconds - head.info.start,
        elapsed=0.0,
        replayed=done.frames,
        already=True,
    )


def _joints(target: Target, head: Annotation) -> tuple[str, ...]:
    """The joints that the output's format holds."""
    name = format_of(target.out, target.format)
    if name == "jsonl" or target.joints == "all":
        return head.header.joints
    return {"coco": COCO17, "posetrack": POSETRACK17, "posetrack17": POSETRACK15}[name].joints


def _stored(part: PartWriter) -> Iterator[Stored]:
    for record in part.stored():
        frame, rows, raw = record.frame, record.private.get("detections"), record.private.get("raw")
        if raw is not None:
            poses = [replace(pose, keypoints=np.array(points)) for pose, points in zip(frame.poses, raw, strict=True)]
            frame = replace(frame, poses=tuple(poses))
        yield Stored(frame, None if rows is None else np.array(rows, np.float32).reshape(-1, 5))


def _keep(part: PartWriter, chunk: list[Annotated], annotation: Annotation) -> None:
    """Append a chunk's new records; those that were replayed are there already."""
    if annotation.frames <= part.records:
        return
    part.extend((one.poses, _private(one)) for one in chunk)


def _private(one: Annotated) -> dict[str, Any]:
    """What a resumed run needs besides the result."""
    private: dict[str, Any] = {} if one.detections is None else {"detections": one.detections}
    if one.raw is not one.poses:
        private["raw"] = [pose.keypoints for pose in one.raw.poses]
    return private


class _Overlay:
    """Draws chunks into a video as they come."""

    def __init__(self, writer: VideoWriter, joints: tuple[str, ...]) -> None:
        self._writer, self._joints = writer, joints

    def draw(self, chunk: list[Annotated]) -> None:
        from ftpcli.drawing.overlay import draw

        for one in chunk:
            self._writer.write(draw(one.frame.image, one.poses.poses, self._joints), one.frame.pts)


@contextmanager
def _overlay(annotation: Annotation, target: Target, options: Options) -> Iterator[_Overlay | None]:
    """The overlay's writer; the file appears once the run is over, and not at all if it fails."""
    if target.overlay is None:
        yield None
        return
    from ftpcli.video import VideoWriter

    info = annotation.info
    begin = None if options.start is None else Fraction(options.start)
    with VideoWriter.like(target.overlay, info, overwrite=target.overwrite, audio_start=begin) as writer:
        yield _Overlay(writer, annotation.header.joints)
        if options.end is not None:
            writer.end_audio_at(Fraction(options.end))


def _expected(annotation: Annotation, annotator: Annotator) -> int | None:
    """How many frames will come, as far as the container and the options tell."""
    info, o = annotation.info, annotator.options
    if info.frames is None:
        return None
    frames = float(info.frames)
    if (o.start is not None or o.end is not None) and info.duration:
        first = max(o.start if o.start is not None else info.start, info.start)
        last = min(o.end if o.end is not None else info.start + info.duration, info.start + info.duration)
        frames *= max(0.0, last - first) / info.duration
    return max(1, round(frames / o.every))
