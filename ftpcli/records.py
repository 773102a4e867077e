"""The data types that flow through the program, from decoded frame to written record.

Pixels are those of the upright frame (rotation applied), origin at the top left corner,
x to the right. Boxes in memory are xyxy, boxes in files are xywh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a command's help lists trackers and filters, which use these types, and needs no arrays
    import numpy as np


#: Seconds by which a span may be longer than a limit: six frames at 30 per second are 0.2 s, in spite of rounding.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a source says of itself before it is decoded."""

    path: str
    width: int  # upright, pixels
    height: int
    rotation: int  # degrees counterclockwise applied to make frames upright: 0, 90, 180, 270
    time_base: Fraction  # seconds per pts tick
    average_rate: Fraction | None  # frames per second, None where unknown
    frames: int | None  # as claimed by the container, None where unknown
    duration: float | None  # seconds
    start: float  # seconds of the first pts, 0 where unknown
    codec: str
    has_audio: bool
    mirrored: bool = False  # left and right exchanged after the rotation, to undo a mirrored display matrix
    sample_aspect_ratio: Fraction = Fraction(1)  # width over height of an upright pixel; images keep stored pixels


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded frame."""

    index: int  # 0-based position among all decoded frames of the source
    pts: int  # in VideoInfo.time_base ticks
    seconds: float  # pts * time_base, the source's own clock
    image: np.ndarray  # (H, W, 3) uint8 RGB, upright


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A tracked person in one frame."""

    track_id: int
    box: np.ndarray  # (4,) float64 xyxy
    score: float  # 0..1
    view: np.ndarray | None = None  # (4,) float64 xyxy, the box that crops are cut by; None where it is ``box``
    filled: bool = False  # not found in this frame: the box lies on the line between two that were


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """A frame with what is known of it so far: every stage of the chain adds to it."""

    frame: Frame
    people: tuple[Person, ...] = ()  # there may be none
    detections: np.ndarray | None = None  # (N, 5) float32 xyxy and score of all detections; None without a detector
    stored: FramePoses | None = None  # what an interrupted run had estimated
    shot: int = 0  # number of camera cuts before it
    thumbnail: np.ndarray | None = None  # what cuts are looked for in, see people.cuts; None: made from the image


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The frames around one person in one key frame, oldest first, all cropped by the key frame's view."""

    person: Person
    frames: tuple[Frame, ...]  # length 1, 3 or 5; the key frame is in the middle
    padded: tuple[bool, ...]  # True where a missing neighbour is the key frame itself

    @property
    def key(self) -> Frame:
        return self.frames[len(self.frames) // 2]

    @property
    def view(self) -> np.ndarray:
        """(4,) xyxy, the box that all its frames are cropped by."""
        return self.person.box if self.person.view is None else self.person.view


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """The joints of one person in one frame."""

    track_id: int
    box: np.ndarray  # (4,) float64 xyxy
    score: float  # the person's, 0..1
    keypoints: np.ndarray  # (K, 2) float64 pixels, in the order of the file's joint names
    confidence: np.ndarray  # (K,) float64, 0..1
    filled: bool = False  # see Person
    raw: np.ndarray | None = None  # (K, 3) float64 x, y, confidence before the joints were filtered


@dataclass(frozen=True, slots=True, eq=False)
class FramePoses:
    """All poses of one frame; exactly one per decoded frame."""

    index: int
    pts: int
    seconds: float
    poses: tuple[Pose, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What a file says of the video that its poses are of; a foreign file may say nothing (None)."""

    path: str | None = None  # file name only: folders are the machine's business
    content: str | None = None  # see files.content; None for pipes and streams
    width: int | None = None  # of upright frames, pixels
    height: int | None = None
    rotation: int | None = None  # degrees counterclockwise, see VideoInfo
    mirrored: bool | None = None
    time_base: Fraction | None = None  # seconds per pts tick
    average_rate: Fraction | None = None  # frames per second
    codec: str | None = None
    frames: int | None = None  # decoded in all; known once the source has been read to its end, like the rest below
    annotated_frames: int | None = None
    bad_packets: int | None = None
    warnings: tuple[str, ...] = ()

    def of_video(self, info: VideoInfo) -> SourceInfo:
        """The same with what a video says of itself, besides its name and its number of frames."""
        return replace(
            self,
            width=info.width,
            height=info.height,
            rotation=info.rotation,
            mirrored=info.mirrored,
            time_base=info.time_base,
            average_rate=info.average_rate,
            codec=info.codec,
        )


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What made a file. No clock times: the same input gives the same file. The mappings hold JSON values."""

    program: str | None = None
    version: str | None = None
    model: Mapping[str, Any] | None = None  # name, sha256, config, flip_test
    people: Mapping[str, Any] | None = None  # detector and tracker, or the boxes' file
    engine: str | None = None  # see choices.Engine
    device: str | None = None
    precision: str | None = None
    window: int | None = None  # frames
    options: Mapping[str, Any] = field(default_factory=dict)  # see annotation.options.Options
    steps: tuple[Mapping[str, Any], ...] = ()  # what was done to the file afterwards, such as ftp convert


@dataclass(frozen=True, slots=True)
class Header:
    """Everything that a file says about itself, besides its frames."""

    joints: tuple[str, ...]
    source: SourceInfo = SourceInfo()
    run: RunInfo = RunInfo()
