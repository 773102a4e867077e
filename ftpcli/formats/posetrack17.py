"""PoseTrack17 JSON, the ``annolist`` form: its writer for predictions, and the reading of one entry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftpcli.errors import InputError, OutputError
from ftpcli.files.output import OutputStream
from ftpcli.formats import checks
from ftpcli.formats.base import Sink, WriteOptions, box_xywh, dumps, rounded
from ftpcli.formats.image_sink import frame_times, provenance, source_name
from ftpcli.formats.joints import JointMap, skeleton_of
from ftpcli.formats.posetrack import track_ids
from ftpcli.formats.store import PoseStore
from ftpcli.records import FramePoses, Header
from ftpcli.skeleton import POSETRACK15


class PoseTrack17Sink(Sink):
    """Writes the 2017 form: every scalar in a list of one, joint ids 0 to 14, absent joints left out.

    Point scores are joint confidence times person score, since the evaluators ignore the person's. A person
    without a single joint is left out: there is nothing to evaluate. Beyond the form: ``bbox`` of people, times of
    frames, and source and run under ``info``.
    """

    def __init__(self, stream: OutputStream, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self._map = JointMap(skeleton_of(header.joints).joints, POSETRACK15.joints, head_stand_ins=True)
        self._name = source_name(header)
        self._first = True
        stream.write((dumps({"info": provenance(header)})[:-1] + ',"annolist":[').encode("ascii"))

    def write(self, frame: FramePoses) -> None:
        people = []
        for track, pose in zip(track_ids(frame), frame.poses, strict=True):
            if not math.isfinite(pose.score):
                raise OutputError(f"frame {frame.index}: a person's score is not a number")
            keypoints, confidence = self._map(pose)
            points = [
                {"id": [joint], "x": [x], "y": [y], "score": [c * float(pose.score)]}
                for joint, ((x, y), c) in enumerate(zip(rounded(keypoints).tolist(), confidence.tolist(), strict=True))
                if c > 0
            ]
            if points:
                people.append(
                    {
                        "track_id": [track],
                        "score": [float(pose.score)],
                        "bbox": rounded(box_xywh(pose.box, f"frame {frame.index}")).tolist(),
                        "annopoints": [{"point": points}],
                    }
                )
        # The pictures of 2017 count from 1, with eight digits.
        name = self.options.frame_name
        entry = {
            "image": [{"name": name(frame.index) if name else f"images/{self._name}/{frame.index + 1:08d}.jpg"}],
            "imgnum": [frame.index + 1],
            "is_labeled": [1],
            "annorect": people,
            **frame_times(frame.index, frame.pts, frame.seconds),
        }
        self.stream.write((("\n" if self._first else ",\n") + dumps(entry)).encode("ascii"))
        self._first = False

    def close(self, frames: int) -> None:
        self.stream.write(b"\n]}\n")


class AnnoList:
    """Collects the entries of a 2017 file into a store."""

    def __init__(self, store: PoseStore) -> None:
        self._store = store
        self._count = 0

    def add(self, value: Any, where: str) -> None:
        """One entry of ``annolist``. Raises InputError."""
        entry = checks.as_object(value, "a frame", where)
        image = _single(checks.field(entry, "image", where))
        checks.relative_name(checks.field(checks.as_object(image, "'image'", where), "name", where), "'name'", where)
        self._store.add_frame(self._count, entry, where)
        people = entry.get("annorect") or []
        # Exports from Matlab write a list of one as the bare object.
        people = [people] if isinstance(people, dict) else people
        for person in checks.as_list(people, "'annorect'", where, checks.MAX_PEOPLE):
            self._add_person(checks.as_object(person, "a person", where), where)
        self._count += 1

    def _add_person(self, person: dict[str, Any], where: str) -> None:
        holder = _single(person.get("annopoints") or {"point": []})
        points = checks.as_object(holder, "'annopoints'", where).get("point") or []
        points = [points] if isinstance(points, dict) else points
        table = np.zeros((len(POSETRACK15.joints), 3))
        for value in checks.as_list(points, "'point'", where, len(POSETRACK15.joints)):
            point = checks.as_object(value, "a point", where)
            joint, x, y = (_single(checks.field(point, key, where)) for key in ("id", "x", "y"))
            row = checks.integer(joint, "a joint's 'id'", where, 0, len(POSETRACK15.joints) - 1)
            if table[row].any():
                raise InputError(f"{where}: joint id {row} stands twice in one person")
            score = _single(point["score"]) if "score" in point else 1.0
            table[row] = [
                checks.number(x, "'x'", where, checks.MAX_COORDINATE),
                checks.number(y, "'y'", where, checks.MAX_COORDINATE),
                min(max(checks.number(score, "'score'", where), 0.0), 1.0),
            ]
        track, score = (_single(person[key]) if key in person else None for key in ("track_id", "score"))
        box = checks.box(person["bbox"], where) if "bbox" in person else box_of_joints(table)
        if box is None:
            return
        self._store.add_person(
            self._count,
            None if track is None else checks.integer(track, "'track_id'", where, low=-checks.MAX_INTEGER),
            1,
            1.0 if score is None else min(max(checks.number(score, "'score'", where), 0.0), 1.0),
            box,
            table,
            where,
        )


def box_of_joints(table: np.ndarray) -> np.ndarray | None:
    """The customary body box of 2017 people, which the files lack: the joints' extent with one pixel added at the
    right and bottom, scaled by 1.2 about its centre. None without joints.

    Args:
        table: (15, 3) x, y, confidence.
    """
    points = table[table[:, 2] > 0, :2]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0) + 1
    grown = (high - low) * 0.1
    return np.concatenate([low - grown, high + grown])


def _single(value: Any) -> Any:
    """The value of a list of one; other values are themselves."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
