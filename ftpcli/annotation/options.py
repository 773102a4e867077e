"""What a run is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ftpcli.errors import UsageError
from ftpcli.people.gaps import LONGEST
from ftpcli.people.selection import Select, Selection
from ftpcli.people.tracking import TrackerName
from ftpcli.pose.smoothing import Smoothing
from ftpcli.pose.views import check_tolerance

#: Largest ``--detect-every``: so many frames are held.
_MOST_SKIPPED = 8
#: What ``boxes`` leave without use.
_OF_DETECTOR = ("detector", "detector_size", "detect_every", "tracker", "appearance", "min_score")


@dataclass(frozen=True, slots=True)
class Options:
    """What decides the result, apart from the source. Recorded in every output's header.

    Attributes:
        weights: ``default`` or a file made by ``ftp train``.
        detector: ``default``, a model file, or the name of an ultralytics model; like ``detector_size``,
            ``detect_every``, ``tracker``, ``appearance`` and ``min_score`` not for ``boxes``.
        detect_every: the detector looks at one frame of this many; between, people move on straight lines
            (:meth:`ftpcli.people.sources.DetectAndTrack.follow`).
        tracker: a :class:`TrackerName` or its value.
        appearance: the tracker also compares the colours of people's clothes; for those that look at pictures.
        min_score: detections from this score on may become people; None is the detector's own advice.
        cuts: a camera cut ends tracks, gaps, windows and smoothing: each shot is annotated as a video of its own. The
            ids of ``boxes`` stay as they are.
        fill_gaps: seconds; somebody found again within them is in the frames between, too. Not for ``boxes``.
        hold_views: share of a person's size by which the box may move before the crops follow (``HoldViews``).
        boxes: MOT text or a poses file in place of detector and tracker.
        people, select, ids, min_track, join: who goes into the file, see :class:`Selection`; applied once the run is
            over. Not for ``boxes``, besides ``ids``.
        rotate: degrees counterclockwise in place of the source's own rotation.
        start, end: seconds on the source's clock.
        duration: seconds from the first frame on, in place of ``end``.
        every: look at one frame of this many.
        fps: frames per second of a folder of pictures.
        smooth: a :class:`Smoothing` or its value.
        flip_test: average the heatmaps of a window and its mirror image; twice the model's time.
    """

    weights: str = "default"
    detector: str = "default"
    detector_size: int | None = None
    detect_every: int = 1
    tracker: str = TrackerName.BYTETRACK
    appearance: bool = False
    min_score: float | None = None
    cuts: bool = True
    fill_gaps: float = 0.2
    hold_views: float = 0.05
    boxes: str | None = None
    people: int | None = None
    select: str | None = None
    ids: tuple[int, ...] | None = None
    min_track: float = 0.0
    join: float = 0.0
    rotate: int | None = None
    start: float | None = None
    end: float | None = None
    duration: float | None = None
    every: int = 1
    fps: Fraction | None = None
    smooth: str = Smoothing.NONE
    flip_test: bool = False

    def __post_init__(self) -> None:
        _check_choice(TrackerName, self.tracker, "--tracker")
        _check_choice(Smoothing, self.smooth, "--smooth")
        if self.appearance and not TrackerName(self.tracker).sees:
            seers = [name for name in TrackerName if name.sees]
            raise UsageError(f"--appearance: {self.tracker} does not look at pictures; choose {' or '.join(seers)}")
        if not 1 <= self.detect_every <= _MOST_SKIPPED:
            raise UsageError(f"--detect-every {self.detect_every}: must lie between 1 and {_MOST_SKIPPED}")
        if self.detector_size is not None and not 32 <= self.detector_size <= 4096:
            raise UsageError(f"--detector-size {self.detector_size}: must lie between 32 and 4096 pixels")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise UsageError(f"--min-score {self.min_score}: must lie between 0 and 1")
        for field in fields(self):
            value = getattr(self, field.name)
            if self.boxes is not None and field.name in _OF_DETECTOR and value != field.default:
                option = f"--{field.name.replace('_', '-')}" + ("" if value is True else f" {value}")
                raise UsageError(f"{option}: --boxes {self.boxes} takes the place of detector and tracker")
        if not 0 <= self.fill_gaps <= LONGEST:
            raise UsageError(f"--fill-gaps {self.fill_gaps:g}: must lie between 0 and {LONGEST:g} seconds")
        check_tolerance(self.hold_views)
        if self.select is not None:
            _check_choice(Select, self.select, "--select")
        given = [name for name in self.selection.asked if name != "--ids"]
        if given and self.boxes is not None:
            raise UsageError(f"{given[0]}: --boxes {self.boxes} says who is who; choose among them with --ids")

    def of_source(self, **own: Unpack[OptionFields]) -> Options:
        """With what one of several sources has of its own. Its boxes take the place of the others' detector."""
        changes: dict[str, Any] = dict(own)
        if own.get("boxes") is not None:
            changes = {field.name: field.default for field in fields(self) if field.name in _OF_DETECTOR} | changes
        return replace(self, **changes)

    @property
    def selection(self) -> Selection:
        """Who goes into the file."""
        select = None if self.select is None else Select(self.select)
        return Selection(self.people, select, self.ids, self.min_track, self.join)

    def check_streamed(self, where: str) -> None:
        """Refuse what is known only once the run is over, for an output that is made on the way (UsageError)."""
        if late := self.selection.asked:
            raise UsageError(f"{late[0]}: is applied once the run is over, too late for {where}")

    def recorded(self) -> dict[str, Any]:
        """As headers record it: what is set, as JSON values, files without their folders (the machine's business)."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        if self.fps is not None:
            values["fps"] = str(self.fps)
        return values | {key: Path(values[key]).name for key in ("weights", "detector", "boxes") if key in values}


def _check_choice(choices: type[StrEnum], value: str, option: str) -> None:
    if value not in tuple(choices):
        raise UsageError(f"{option} {value}: choose {' or '.join(choices)}")


class OptionFields(TypedDict, total=False):
    """The fields of :class:`Options` as keywords of a function, which editors and type checkers then know."""

    weights: str
    detector: str
    detector_size: int | None
    detect_every: int
    tracker: str
    appearance: bool
    min_score: float | None
    cuts: bool
    fill_gaps: float
    hold_views: float
    boxes: str | None
    people: int | None
    select: str | None
    ids: tuple[int, ...] | None
    min_track: float
    join: float
    rotate: int | None
    start: float | None
    end: float | None
    duration: float | None
    every: int
    fps: Fraction | None
    smooth: str
    flip_test: bool
