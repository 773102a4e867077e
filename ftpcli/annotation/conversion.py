"""From a poses file to one of another form, with or without the video's pictures. No model is needed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ftpcli.annotation.suggestions import suggest
from ftpcli.datasets.base import PosesReader
from ftpcli.datasets.poses import open_poses
from ftpcli.errors import InputError, UsageError, naming
from ftpcli.files.inputs import numbered_images, refuse_standard
from ftpcli.files.output import make_folder
from ftpcli.files.output_folder import OutputFolder, output_folder
from ftpcli.formats import SINKS, check_joints, check_output, format_of, lacking, write_poses
from ftpcli.formats.base import WriteOptions
from ftpcli.formats.csv import CsvSink
from ftpcli.formats.names import PictureNames, picture_file, source_name
from ftpcli.records import FramePoses, Header
from ftpcli.version import __version__

#: A change to the frames on their way.
Change = Callable[[Iterator[FramePoses]], Iterator[FramePoses]]


@dataclass(slots=True)
class Converted:
    """What became of a conversion."""

    out: str
    format: str
    frames: int = 0
    people: int = 0
    ids: set[int] = field(default_factory=set)
    warnings: tuple[str, ...] = ()


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    format: str | None = None,
    *,
    joints: str = "default",
    ids: Collection[int] | None = None,
    every: int = 1,
    suggestions: int | None = None,
    fps: Fraction | None = None,
    video: str | os.PathLike[str] | None = None,
    pictures: str | os.PathLike[str] | None = None,
    picture: str = "jpg",
    angles: bool = False,
    overwrite: bool = False,
    change: Change | None = None,
    step: Mapping[str, Any] | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Converted:
    """Write the poses of a file in another form.

    Args:
        source: a poses file of any form that is read.
        ids: people to keep; all where None.
        every: keep one frame of this many, by index.
        suggestions: keep so many frames, those most worth correcting (see ``suggestions.suggest``).
        fps: frames per second of a file without times, and of a folder of pictures.
        video: what the poses are of: its size, times and frames without people come into the output, and formats that
            hold pictures get them.
        pictures: folder that the frames are written to, below the names that the output has; needs ``video``.
        picture: "jpg" or "png".
        angles: tables get the joint angles, too.
        change: applied to the frames, such as a filter.
        step: what ``run.steps`` says of the change.
        progress: called with the frames read and how many there are, None where unknown.

    Raises:
        UsageError: options that do not fit together.
        InputError: the file cannot be read, holds no frame, or is of another video.
        OutputError: the output exists or cannot be written.
    """
    name = format_of(out, format)
    check_joints(name, joints)
    check_output(out, name, overwrite=overwrite, inputs=(source, video))
    if angles and not issubclass(SINKS[name], CsvSink):
        raise UsageError("--angles: are columns of tables; write CSV or Parquet")
    if pictures is not None:
        refuse_standard("--frames", pictures)
    if pictures is not None and video is None:
        raise UsageError(f"--frames {os.fspath(pictures)}: give the video that they are taken from with --video")
    with ExitStack() as stack:
        folder = video is not None and os.path.isdir(video)
        listed = [path.name for path in numbered_images(Path(video))] if folder and video is not None else None
        reader = stack.enter_context(open_poses(source, video))
        if reader.records == 0:
            raise InputError(f"{reader.path}: holds no frames")
        given = _Alone(reader, fps) if video is None else _Paired(reader, video, fps, stack)
        done = {"command": "convert", "from": reader.format, "to": str(name)} if step is None else step
        run = reader.header.run
        header = Header(
            reader.header.joints, given.source, replace(run, steps=(*run.steps, {**done, "version": __version__}))
        )
        target: OutputFolder | None = None
        if pictures is not None:
            place = Path(pictures, source_name(header))
            make_folder(pictures)
            target = stack.enter_context(output_folder(place))
        elif reader.by_name and listed:
            given.frame_name = listed.__getitem__
        image = (lambda: given.image(picture)) if video is not None and SINKS[name].pictures else None
        result, notices = Converted(os.fspath(out), str(name)), lacking(name, joints, header.joints)
        wanted = None if suggestions is None else set(suggest(reader, reader.header.joints, suggestions))
        if wanted == set():
            notices.append("there is nobody in the file, so that no frame is suggested")
        read = _told(iter(given), lambda done: progress(done, given.total))
        frames = _counted(_chosen(read, ids, every, wanted), result)
        if change is not None:
            frames = change(frames)
        if target is not None:
            frames = _written(frames, target, given, picture)
        with naming(reader.path):
            write_poses(
                out,
                header,
                frames,
                name,
                joints=joints,
                overwrite=overwrite,
                frame_name=given.frame_name if target is None and image is None else None,
                picture=picture,
                angles=angles,
                image=image,
                notice=notices.append,
            )
        warnings = [f"{reader.path}: {line}" for line in reader.warnings] + [f"{result.out}: {n}" for n in notices]
        if fps is not None and (reader.timed if video is None else not os.path.isdir(video)):
            warnings.append(
                f"{reader.path}: --fps is not used, the times are those of the {'video' if video else 'file'}"
            )
    if absent := sorted(set(ids or ()) - result.ids):
        warnings.append(f"{reader.path}: has nobody with id {', '.join(map(str, absent))}")
    result.warnings = tuple(warnings)
    return result


class _Alone:
    """The frames of a file by themselves."""

    def __init__(self, reader: PosesReader, fps: Fraction | None) -> None:
        self._reader = reader
        self._fps = fps if not reader.timed else None
        self.source = reader.header.source
        if self._fps is not None:
            self.source = replace(self.source, time_base=1 / self._fps, average_rate=self._fps)
        self.total = reader.records  # frames that will come, None where unknown
        names = reader.picture_names
        self.frame_name: Callable[[int], str] | None = None
        if names:
            rule = PictureNames(reader.header, WriteOptions())
            self.frame_name = lambda index: names.get(index) or rule(index)

    def __iter__(self) -> Iterator[FramePoses]:
        for frame in self._reader:
            if self._fps is not None and math.isnan(frame.seconds):
                frame = replace(frame, seconds=float(frame.index / self._fps))
            yield frame

    def image(self, kind: str) -> bytes:
        raise NotImplementedError


class _Paired(_Alone):
    """The frames of a video, with their pictures and the people that the file has in them."""

    def __init__(
        self, reader: PosesReader, video: str | os.PathLike[str], fps: Fraction | None, stack: ExitStack
    ) -> None:
        from ftpcli.drawing.rendering import Pairing

        super().__init__(reader, None)
        self._pairs = Pairing.of(reader, video, stack, fps=fps)
        known, info = reader.header.source, self._pairs.frames.info
        self.source = replace(known, path=known.path or Path(info.path).name).of_video(info)
        self._image: Any = None
        self.total = self._pairs.total

    def __iter__(self) -> Iterator[FramePoses]:
        for frame, poses in self._pairs:
            self._image = frame.image
            yield FramePoses(frame.index, frame.pts, frame.seconds, tuple(poses))

    def image(self, kind: str) -> bytes:
        from ftpcli.files.pictures import encoded

        return encoded(self._image, kind)


def _chosen(
    frames: Iterator[FramePoses], ids: Collection[int] | None, every: int, wanted: set[int] | None
) -> Iterator[FramePoses]:
    for frame in frames:
        if frame.index % every == 0 and (wanted is None or frame.index in wanted):
            poses = tuple(pose for pose in frame.poses if ids is None or pose.track_id in ids)
            yield replace(frame, poses=poses)


def _told(frames: Iterator[FramePoses], tell: Callable[[int], None]) -> Iterator[FramePoses]:
    for count, frame in enumerate(frames, 1):
        yield frame
        tell(count)


def _counted(frames: Iterator[FramePoses], result: Converted) -> Iterator[FramePoses]:
    for frame in frames:
        result.frames += 1
        result.people += len(frame.poses)
        result.ids.update(pose.track_id for pose in frame.poses)
        yield frame


def _written(frames: Iterator[FramePoses], folder: OutputFolder, given: _Alone, kind: str) -> Iterator[FramePoses]:
    for frame in frames:
        folder.write(picture_file(frame.index, kind), given.image(kind))
        yield frame
