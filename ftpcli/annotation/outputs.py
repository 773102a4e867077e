"""Annotates one source into files, or to standard output. Knows nothing of the command line."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.chain import Annotated, Annotation, Stored
from ftpcli.annotation.fingerprint import fingerprint
from ftpcli.annotation.finished import finished
from ftpcli.annotation.pictures_out import drawn
from ftpcli.errors import BusyError, FtpError, InputError, OutputError, UsageError, naming
from ftpcli.files.inputs import STANDARD, can_reread, describe
from ftpcli.files.output import check_target, make_folder
from ftpcli.files.output_folder import OutputFolder, output_folder
from ftpcli.files.stages import Stage, stage
from ftpcli.formats import PartWriter, StandardOutput, check_joints, check_output, format_of, joints_of, part_path
from ftpcli.formats.joints import raw_pose
from ftpcli.formats.names import picture_file, source_name
from ftpcli.formats.writer import write_poses
from ftpcli.people.selection import Chosen
from ftpcli.pose.smoothing import Smoothing
from ftpcli.records import FramePoses, Header, SourceInfo

if TYPE_CHECKING:
    from ftpcli.drawing.overlay import Style
    from ftpcli.pose.filters import Filter


class Interrupted(FtpError):
    """The run was asked to stop; what was done is kept."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one source's results go.

    Attributes:
        out: the poses file; None is standard output, which takes JSON Lines.
        format: a ``choices.Format``; None goes by the extension.
        joints: ``default`` or ``all`` (COCO files with every joint of the model).
        overlay: a video with the skeletons drawn in, in the ``style``; None is the usual one.
        show: draw into a window, too; closing it ends a run over a camera or a stream.
        frames: a folder for the frames, below the names that the poses file has.
        picture: kind of their files, ``jpg`` or ``png``.
        overwrite: replace existing files.
        resume: go on with the part file of an interrupted run, if there is one; leave a complete output as it is.
    """

    out: Path | None
    format: str | None = None
    joints: str = "default"
    overlay: Path | None = None
    style: Style | None = None
    show: bool = False
    frames: Path | None = None
    picture: str = "jpg"
    overwrite: bool = False
    resume: bool = False

    def check(self, *inputs: str | None) -> None:
        """Refuse before any work what could not be written after it (OutputError, UsageError).

        Args:
            inputs: files that the run reads, and that no output may replace.
        """
        overwrite = self.overwrite or self.resume
        if self.out is None:
            if self.format not in (None, "jsonl"):
                raise UsageError(f"--format {self.format}: standard output takes JSON Lines; name a file with --out")
            if self.resume:
                raise UsageError("--resume: standard output cannot be resumed; name a file with --out")
        else:
            if self.overlay is not None and self.overlay.resolve() == self.out.resolve():
                raise UsageError(f"{self.overlay}: --overlay and --out name the same file")
            name = format_of(self.out, self.format)
            check_joints(name, self.joints)
            check_output(self.out, name, overwrite=overwrite, inputs=inputs)
        if self.frames is not None:
            make_folder(self.frames)
        if self.overlay is not None:
            from ftpcli.video import check_suffix

            check_suffix(self.overlay)
            check_target(self.overlay, overwrite=overwrite, inputs=inputs)


@dataclass(slots=True)
class Progress:
    """How far a source is. ``total`` is an estimate until the last call, and None where nothing is known."""

    frames: int = 0
    total: int | None = None
    people: int = 0
    replayed: int = 0
    seconds: float = 0.0
    delayed: int = 0
    delay: float = 0.0  # seconds, summed over the frames of a live source
    longest_delay: float = 0.0

    def note(self, delays: list[float]) -> None:
        """Add the time from each frame's arrival to its result."""
        self.delayed += len(delays)
        self.delay += sum(delays)
        self.longest_delay = max([self.longest_delay, *delays])


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a source.

    Attributes:
        out: the poses file, ``-`` for standard output.
        seconds: the time of its last frame, from its first.
        elapsed: seconds of work.
        replayed: frames that an interrupted run had done.
        cuts: camera cuts seen; None where nothing was looked at.
        latency: of a live source, mean and longest seconds from a frame's arrival to its result; else None.
        already: the output was complete before, and nothing was done.
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
    cuts: int | None = None
    latency: tuple[float, float] | None = None
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
    """Annotate a source into ``target``.

    Results go to the output's part file chunk by chunk, and into the output when the source is over; to standard
    output they go chunk by chunk. A source that cannot be read again (standard input, a stream) cannot be resumed
    either: a stop ends it as its end would, and its output holds the frames up to there.

    Args:
        tell: called after every chunk, and at the end.
        stop: asked after every chunk; True ends the run.

    Raises:
        Interrupted: the run was stopped before the end of the source. The part file, if any, keeps what was done.
        FtpError: the source cannot be read, the target not written. The part file keeps what was done.
    """
    options = annotator.options
    target.check(source, options.boxes, options.weights)
    if target.overlay is not None or target.out is None:
        options.check_streamed("--overlay and standard output")
    if target.resume and not can_reread(source):
        raise UsageError(f"{describe(source)}: a pipe or stream cannot be resumed; save it to a file first")
    started = time.monotonic()
    with ExitStack() as stack:
        annotation = stack.enter_context(annotator.open(source))
        if target.resume and (done := _finished(source, target, annotation)):
            return done
        output = stack.enter_context(_output(annotation, annotator, source, target))
        progress, tracks = Progress(total=annotation.expected), set[int]()
        stopped: tuple[str, ...] = ()
        with (
            drawn(annotation, target.overlay, target.style, show=target.show, overwrite=target.overwrite) as video,
            _pictures(annotation, target) as pictures,
        ):
            for chunk in annotation.chunks(output.stored()):
                with stage(Stage.WRITE):
                    output.keep(chunk)
                if video is not None:
                    video.draw(chunk)
                if pictures is not None:
                    from ftpcli.files.pictures import encoded

                    for one in chunk:
                        name = picture_file(one.frame.index, target.picture)
                        pictures.write(name, encoded(one.frame.image, target.picture))
                for one in chunk:
                    progress.people += len(one.poses.poses)
                    tracks.update(pose.track_id for pose in one.poses.poses)
                progress.frames, progress.replayed = annotation.frames, annotation.replayed
                progress.seconds = chunk[-1].frame.seconds
                if progress.total is not None:
                    progress.total = max(progress.total, progress.frames)
                progress.note(annotation.delays(chunk))
                tell(progress)
                closed = video is not None and video.closed and annotation.live
                if stop() or closed:
                    stopped = (f"stopped after {progress.frames} frames",)
                    if target.out is None or can_reread(source):
                        raise Interrupted(f"{describe(source)}: {stopped[0]}{output.kept}")
                    break
            if not progress.frames:
                raise InputError(f"{describe(source)}: not one frame could be decoded; copy or convert the video again")
        progress.total = progress.frames
        tell(progress)
        header = annotation.header
        with stage(Stage.WRITE):
            chosen = output.choose(header.source)
            said = (*header.source.warnings, *stopped, *(chosen.lines if chosen else ()))
            header = replace(header, source=replace(header.source, warnings=said))
            with naming(describe(source)):
                notices = output.finish(header)
    return Summary(
        source=source,
        out=STANDARD if target.out is None else str(target.out),
        overlay=str(target.overlay) if target.overlay else None,
        frames=progress.frames,
        people=chosen.poses if chosen else progress.people,
        tracks=chosen.tracks if chosen else len(tracks),
        bad_packets=header.source.bad_packets or 0,
        warnings=(*header.source.warnings, *notices),
        seconds=progress.seconds - annotation.info.start,
        elapsed=time.monotonic() - started,
        replayed=progress.replayed,
        cuts=annotation.cuts,
        latency=(progress.delay / progress.delayed, progress.longest_delay) if progress.delayed else None,
    )


def _finished(source: str, target: Target, head: Annotation) -> Summary | None:
    """The summary of a run that had finished before, perhaps without deleting its part file.

    Raises:
        OutputError: there is an output, but another run's.
    """
    if target.overwrite or target.out is None or not target.out.exists():
        return None
    name = format_of(target.out, target.format)
    done = finished(target.out, head.header, name)
    if done is not None and done.header.joints != joints_of(name, target.joints, head.header.joints):
        done = None
    if done is None or (target.overlay is not None and not target.overlay.exists()):
        raise OutputError(
            f"{target.out}: exists already and is not that of this run; give --overwrite to replace it, "
            "or name another output"
        )
    if part_path(target.out).exists():  # the run was stopped just before deleting it
        PartWriter(part_path(target.out), head.header, {}, overwrite=True).discard()
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


@contextmanager
def _output(annotation: Annotation, annotator: Annotator, source: str, target: Target) -> Iterator[_Part | _Stream]:
    """Where the results go while they are made."""
    if target.out is None:
        yield _Stream(annotation.header)
        return
    with PartWriter(
        part_path(target.out),
        annotation.header,
        fingerprint(annotator, source, annotation.content),
        resume=target.resume,
        overwrite=target.overwrite and not target.resume,
    ) as part:
        if target.out.exists() and not target.overwrite:
            raise BusyError(f"{target.out}: another run has just finished this output; give --resume to leave it")
        # A last chunk that was cut short is done again: batches must be those of an unbroken run.
        part.truncate_to(annotation.whole(part.records))
        yield _Part(part, annotation, target)


class _Part:
    """Results in a part file, which becomes the output."""

    def __init__(self, part: PartWriter, annotation: Annotation, target: Target) -> None:
        self._part, self._annotation, self._target = part, annotation, target
        self._chosen: Chosen | None = None
        self._filter: Filter | None = None
        self.kept = f"; they are kept in {part.path.name}, go on with --resume"

    def stored(self) -> Iterator[Stored]:
        """What an interrupted run had worked out."""
        for record in self._part.stored():
            frame, rows = record.frame, record.private.get("detections")
            poses = tuple(raw_pose(pose) or pose for pose in frame.poses)  # a resumed run filters them anew
            yield Stored(
                replace(frame, poses=poses), None if rows is None else np.array(rows, np.float32).reshape(-1, 5)
            )

    def keep(self, chunk: list[Annotated]) -> None:
        """Add a chunk's records; those of an interrupted run are there already."""
        if self._annotation.frames > self._part.records:
            # A resumed run needs the detections, too.
            private = [{} if one.detections is None else {"detections": one.detections} for one in chunk]
            self._part.extend((one.poses, more) for one, more in zip(chunk, private, strict=True))

    def choose(self, source: SourceInfo) -> Chosen | None:
        """Decide who goes into the output, where less than everybody may; before :meth:`finish`."""
        selection, frames = self._annotation.options.selection, (record.frame for record in self._part.stored())
        self._chosen = Chosen(selection, frames, source, self._annotation.cut_frames) if selection.asked else None
        return self._chosen

    def finish(self, header: Header) -> list[str]:
        """Write the output; one line, if any, about what it could not hold."""
        assert self._target.out is not None
        notices: list[str] = []
        write_poses(
            self._target.out,
            header,
            self._changed(record.frame for record in self._part.stored()),
            self._target.format,
            joints=self._target.joints,
            overwrite=self._target.overwrite,
            frame_name=None if self._target.frames else self._annotation.frame_name,
            picture=self._target.picture,
            notice=notices.append,
        )
        self._part.discard()
        return notices + [f"--smooth: {line}" for line in (self._filter.said() if self._filter else ())]

    def _changed(self, frames: Iterator[FramePoses]) -> Iterator[FramePoses]:
        """Those who were chosen, and what a filter that looks ahead makes of them, now that all are known."""
        if self._chosen is not None:
            frames = self._chosen(frames)
        kind = Smoothing(self._annotation.options.smooth)
        if not kind.whole_tracks:
            return frames
        from ftpcli.pose.filters import Filter

        self._filter = Filter(kind)
        return self._filter(frames, self._annotation.cut_frames)


class _Stream:
    """Results on standard output as they are made; what is known only at the end is null in its header."""

    kept = ""

    def __init__(self, header: Header) -> None:
        early = replace(header.source, frames=None, annotated_frames=None, bad_packets=None)
        self._lines = StandardOutput(replace(header, source=early))

    def stored(self) -> tuple[()]:
        return ()

    def keep(self, chunk: list[Annotated]) -> None:
        self._lines.write(one.poses for one in chunk)

    def choose(self, source: SourceInfo) -> None:
        """Everybody is written already."""

    def finish(self, header: Header) -> tuple[()]:
        """Everything is written already."""
        return ()


@contextmanager
def _pictures(annotation: Annotation, target: Target) -> Iterator[OutputFolder | None]:
    """The folder of the frames' pictures; it appears once the run is over, and not at all if it fails."""
    if target.frames is None:
        yield None
        return
    with output_folder(target.frames / source_name(annotation.header)) as folder:
        yield folder
