"""PoseTrack 2017, 2018 and 2021 as distributed: videos, frames, people, boxes, windows of neighbouring frames."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ftpcli.datasets.boxes import POSETRACK2017, POSETRACK2018, box_of_joints
from ftpcli.datasets.posetrack.files import JOINTS, FrameEntry, VideoFile
from ftpcli.datasets.posetrack.reading import read_video
from ftpcli.errors import InputError, UsageError

VERSIONS = ("17", "18", "21")
SPLITS = ("train", "val", "test")
#: Where annotation files lie under the root, for each version.
_FOLDERS = {
    "17": ("annotations/{}", "posetrack_data/annotations/{}"),
    "18": ("annotations/{}", "posetrack_data/annotations/{}"),
    "21": ("posetrack_data/{}", "annotations/{}"),
}
#: Where the names of frames may start, relative to the root.
_BASES = ("", "posetrack_data")


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedPerson:
    """One person in one frame; joints in the order of ``POSETRACK15``."""

    track_id: int | None  # unique within the video only
    keypoints: np.ndarray  # (15, 2) float64 pixels; may lie outside the picture, also negative
    visible: np.ndarray  # (15,) bool: annotated
    box: np.ndarray | None  # (4,) float64 xyxy of the body, by the protocol; None without a joint
    head: np.ndarray | None  # (4,) float64 xyxy of the head, annotated by hand


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One frame that the annotation file lists, labelled or not."""

    index: int  # place in the annotation file, which prediction files must keep
    position: int  # place among the pictures of the video
    name: str  # as the file gives it
    image: Path
    image_id: int | str | None  # 2018 and 2021
    labelled: bool  # has poses to learn from and to be evaluated on
    regions: tuple[np.ndarray, ...]  # ignore polygons, each (n, 2) pixels
    people: tuple[AnnotatedPerson, ...]


@dataclass(frozen=True, slots=True, eq=False)
class VideoSequence:
    """One video."""

    name: str  # of its folder of pictures
    file: Path  # the annotation file
    frames: tuple[VideoFrame, ...]
    images: tuple[Path, ...]  # all pictures of the video in time order, listed by the annotations or not

    def window(self, index: int, size: int = 3) -> tuple[tuple[Path, ...], tuple[bool, ...]]:
        """The pictures around a frame, oldest first, and which of them stand in for a missing neighbour.

        Neighbours are the consecutive pictures of the video, labelled or not. At the ends of the video the missing
        neighbour is the key frame itself (C4).

        Args:
            index: of the key frame in ``frames``.
            size: number of pictures, odd.
        """
        if size < 1 or size % 2 == 0:
            raise UsageError(f"a window of {size} frames has no middle; use 1, 3 or 5 frames")
        at = self.frames[index].position
        places = [at + step for step in range(-(size // 2), size // 2 + 1)]
        padded = tuple(not 0 <= place < len(self.images) for place in places)
        chosen = (at if missing else place for place, missing in zip(places, padded, strict=True))
        return tuple(self.images[place] for place in chosen), padded


class PoseTrackIndex:
    """The annotations of one split.

    Args:
        root: folder with ``images`` and ``annotations`` (2017, 2018), or ``images`` and ``posetrack_data`` (2021).
        version: "17", "18" or "21".
        split: "train", "val" or "test".

    Attributes:
        sequences: sorted by file name.
        joints: names of the joints of all people, those of ``POSETRACK15``.

    Raises:
        InputError: a folder or file is missing or damaged, or a frame's path climbs out of the root.
    """

    joints: tuple[str, ...] = JOINTS

    def __init__(self, root: Path | str, version: str, split: str = "val") -> None:
        if version not in VERSIONS or split not in SPLITS:
            raise UsageError(f"PoseTrack {version} {split}: versions are 17, 18 and 21, splits train, val and test")
        self.root, self.version, self.split = Path(root), version, split
        self.folder = self._annotations()
        self.sequences: tuple[VideoSequence, ...] = tuple(self._sequence(path) for path in self._files())

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[VideoSequence]:
        return iter(self.sequences)

    def people(self) -> Iterator[tuple[VideoSequence, VideoFrame, AnnotatedPerson]]:
        """Every annotated person with a joint in a labelled frame: the samples of training (C1)."""
        for sequence in self.sequences:
            for frame in sequence.frames:
                if frame.labelled:
                    yield from ((sequence, frame, person) for person in frame.people if person.visible.any())

    def _annotations(self) -> Path:
        if not self.root.is_dir():
            raise InputError(f"{self.root}: no such folder; give the folder that holds PoseTrack's images")
        places = [self.root / place.format(self.split) for place in _FOLDERS[self.version]]
        found = next((place for place in places if place.is_dir()), None)
        if found is None:
            raise InputError(f"{places[0]}: no such folder; PoseTrack{self.version} annotations are expected there")
        return found

    def _files(self) -> list[Path]:
        files = sorted(self.folder.glob("*.json"))
        if not files:
            if any(self.folder.glob("*.mat")):
                raise InputError(
                    f"{self.folder}: has .mat files only; put the JSON files of the same annotations there"
                )
            raise InputError(f"{self.folder}: no .json annotation files in this folder")
        return files

    def _sequence(self, path: Path) -> VideoSequence:
        video = read_video(path)
        if (video.form == "2017") != (self.version == "17"):
            other = "posetrack17" if video.form == "2017" else "posetrack18 or posetrack21"
            raise InputError(f"{path}: is in the {video.form} form, not PoseTrack{self.version}'s; try {other}")
        if not video.frames:
            raise InputError(f"{path}: lists no frames")
        for frame in video.frames:
            check_name(frame.name, path)
        if self.version == "17":
            images, positions = self._pictures(video)
        else:
            images, positions = [self._locate(f.name) for f in video.frames], range(len(video.frames))
        frames = tuple(
            self._frame(video, entry, i, position, images[position])
            for i, (entry, position) in enumerate(zip(video.frames, positions, strict=True))
        )
        return VideoSequence(video.frames[0].folder, path, frames, tuple(images))

    def _frame(self, video: VideoFile, entry: FrameEntry, index: int, position: int, image: Path) -> VideoFrame:
        people = tuple(self._person(video, row) for row in range(entry.rows.start, entry.rows.stop))
        # 2021 marks labelled frames, and has people with boxes only in others (A5). Elsewhere a mark may be missing.
        labelled = bool(entry.labelled) if self.version == "21" else bool(entry.labelled) or bool(people)
        return VideoFrame(index, position, entry.name, image, entry.image_id, labelled, entry.regions or (), people)

    def _person(self, video: VideoFile, row: int) -> AnnotatedPerson:
        keypoints, visible = video.keypoints[row], video.present[row]
        box: np.ndarray | None = None
        if self.version == "17":
            box = box_of_joints(keypoints[visible], POSETRACK2017)
        elif not np.isnan(video.box[row]).any():
            box = video.box[row]
        else:
            box = box_of_joints(keypoints[visible], POSETRACK2018)
        head = None if np.isnan(video.head[row]).any() else video.head[row]
        track = int(video.track[row]) if video.has_track[row] else None
        return AnnotatedPerson(track, keypoints, visible, box, head)

    def _locate(self, name: str) -> Path:
        places = [self.root / base / name for base in _BASES]
        return next((place for place in places if place.is_file()), places[0])

    def _pictures(self, video: VideoFile) -> tuple[list[Path], Sequence[int]]:
        """The pictures of a 2017 video, and the place of each annotated frame among them.

        2017 names start at any number and need not be all that the video has, so the folder is what counts. Training
        tools work on copies numbered from 1 (A3): those are taken where the original names are not all there.
        """
        names = [PurePosixPath(frame.name).name for frame in video.frames]
        parent = PurePosixPath(video.frames[0].name).parent
        if any(PurePosixPath(frame.name).parent != parent for frame in video.frames):
            raise InputError(f"{video.path}: lists frames of several folders, one video a file is expected")
        copies = PurePosixPath("images_renamed", *parent.parts[1:])
        for folder in [self.root / base / parent for base in _BASES] + [self.root / copies]:
            listed = {path.name: path for path in folder.glob("*.jpg")} if folder.is_dir() else {}
            if not listed:
                continue
            images = sorted(listed.values(), key=_order)
            if set(names) <= set(listed):
                place = {path.name: i for i, path in enumerate(images)}
                return images, [place[name] for name in names]
            if [path.name for path in images] == [f"{i:08d}.jpg" for i in range(1, len(names) + 1)]:
                by_number = sorted(range(len(names)), key=lambda i: _order(Path(names[i])))
                rank = {frame: i for i, frame in enumerate(by_number)}
                return images, [rank[i] for i in range(len(names))]
        return [self.root / frame.name for frame in video.frames], range(len(names))


def _order(path: Path) -> tuple[int, str]:
    match = re.match(r"\d+", path.name)
    return (int(match.group()) if match else -1, path.name)


def check_name(name: str, file: Path) -> None:
    """Refuse a frame name that leads out of the data set's folder."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name or not parts.name or "\0" in name:
        raise InputError(f"{file}: the frame name {name!r} leads out of the data set's folder")


def clipped_box(box: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """A box as training and testing use it: clipped to the picture, right edge x + w - 1 (C1).

    Args:
        box: (4,) xyxy.

    Returns:
        (4,) xyxy, None where nothing of it is left.
    """
    x1, y1 = max(0.0, float(box[0])), max(0.0, float(box[1]))
    w, h = float(box[2] - box[0]), float(box[3] - box[1])
    x2, y2 = min(width - 1.0, x1 + max(0.0, w - 1)), min(height - 1.0, y1 + max(0.0, h - 1))
    return np.array([x1, y1, x2, y2]) if x2 > x1 and y2 > y1 else None
