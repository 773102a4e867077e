"""Tells whether an output is already what a run would make, so that a resumed batch passes over what is done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ftpcli.datasets.header import encode_run, encode_source
from ftpcli.errors import InputError
from ftpcli.formats import open_poses
from ftpcli.records import Header

#: Known only once the source has been read to its end.
_LATE = ("frames", "annotated_frames", "bad_packets", "warnings")


@dataclass(frozen=True, slots=True)
class Finished:
    """What a whole output holds."""

    header: Header
    frames: int
    people: int
    tracks: int
    seconds: float


def finished(out: Path, header: Header, format: str) -> Finished | None:
    """The contents of ``out`` if it is a whole file of this very source, version, model and options; else None.

    Args:
        header: of the run, before its first frame.
    """
    try:
        with open_poses(out) as poses:
            if poses.format != format or _early(poses.header) != _early(header):
                return None
            frames = people = 0
            tracks: set[int] = set()
            seconds = 0.0
            for record in poses:
                frames += 1
                people += len(record.poses)
                tracks.update(pose.track_id for pose in record.poses)
                seconds = record.seconds
            return Finished(poses.header, frames, people, len(tracks), seconds)
    except InputError:
        return None


def _early(header: Header) -> str:
    source = {key: value for key, value in encode_source(header.source).items() if key not in _LATE}
    return json.dumps([source, encode_run(header.run)], sort_keys=True)
