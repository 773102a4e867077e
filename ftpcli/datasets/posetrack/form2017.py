"""The 2017 form: ``annolist``, every scalar in a one-element list (specification A3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ftpcli.datasets.boxes import POSETRACK2017, box_of_joints
from ftpcli.files import checked_json as checks
from ftpcli.skeleton import POSETRACK15

_JOINTS = len(POSETRACK15.joints)


@dataclass(frozen=True, slots=True, eq=False)
class Person2017:
    """One person in one frame; joints in the order of ``POSETRACK15``."""

    track: int | None
    keypoints: np.ndarray  # (15, 2) float64 pixels, zeros where not listed
    present: np.ndarray  # (15,) bool: listed
    scores: np.ndarray  # (15,) float64, NaN where the file gives none
    confidence: np.ndarray  # (15,) float64, what our own files have beside the scores, else the scores
    score: float  # the person's, 1 where the file gives none
    head: np.ndarray | None  # (4,) xyxy
    box: np.ndarray | None  # (4,) xyxy; only our own files have it
    container: bool  # there is a list of joints, perhaps an empty one

    def body_box(self, labelled: np.ndarray) -> np.ndarray | None:
        """(4,) xyxy: the file's, else by the rule for files without, around the ``labelled`` joints, (15,) bool."""
        return box_of_joints(self.keypoints[labelled], POSETRACK2017) if self.box is None else self.box


@dataclass(frozen=True, slots=True, eq=False)
class Frame2017:
    """One entry of ``annolist``."""

    entry: dict[str, Any]
    name: str
    labelled: bool | None
    regions: tuple[np.ndarray, ...] | None  # ignore polygons, each (n, 2) pixels; None without such a field
    people: tuple[Person2017, ...]


def read_frame(value: Any, where: str) -> Frame2017:
    """Check and read one entry.

    Raises:
        InputError: it is not what it should be.
    """
    entry = checks.as_object(value, "a frame", where)
    # Others' predictions hold a plain object where the annotations hold a one-element list.
    image = checks.as_object(_single(checks.field(entry, "image", where)), "'image'", where)
    labelled = _single(entry.get("is_labeled"))
    people = _list(checks.field(entry, "annorect", where), "'annorect'", where)
    return Frame2017(
        entry,
        checks.as_text(checks.field(image, "name", where), "'name'", where),
        None if labelled is None else bool(labelled),
        _regions(entry.get("ignore_regions"), where),
        tuple(_person(person, where) for person in people),
    )


def _single(value: Any) -> Any:
    """The value out of its one-element list; None where there is none."""
    if isinstance(value, list) and len(value) < 2:
        return value[0] if value else None
    return value


def _list(value: Any, what: str, where: str) -> list[Any]:
    """A list; exports from Matlab write a list of one as the bare object."""
    if value is None or isinstance(value, dict):
        return [value] if value else []
    return checks.as_list(value, what, where, checks.MAX_PEOPLE)


def _number(entry: dict[str, Any], key: str, where: str) -> float:
    return checks.number(_single(checks.field(entry, key, where)), f"{key!r}", where, checks.MAX_COORDINATE)


def _regions(regions: Any, where: str) -> tuple[np.ndarray, ...] | None:
    if regions is None:
        return None
    polygons = []
    for region in checks.as_list(regions, "'ignore_regions'", where):
        points = _list(checks.field(checks.as_object(region, "a region", where), "point", where), "'point'", where)
        corners = [[_number(checks.as_object(p, "a point", where), axis, where) for axis in "xy"] for p in points]
        polygons.append(np.array(corners, dtype=np.float64).reshape(-1, 2))
    return tuple(polygons)


def _points(person: dict[str, Any], where: str) -> list[Any] | None:
    """The person's joints; None without a container (B1.3)."""
    container = _single(person.get("annopoints"))
    if container is None or container == {}:
        return None
    points = checks.as_object(container, "'annopoints'", where)
    return _list(points["point"], "'point'", where) if "point" in points else None


def _person(value: Any, where: str) -> Person2017:
    person = checks.as_object(value, "a person", where)
    keypoints, present = np.zeros((_JOINTS, 2)), np.zeros(_JOINTS, dtype=bool)
    scores, confidence = np.full((2, _JOINTS), np.nan)
    points = _points(person, where)
    for item in points or ():
        point = checks.as_object(item, "a point", where)
        joint = checks.integer(_single(checks.field(point, "id", where)), "a joint's 'id'", where, -checks.MAX_INTEGER)
        if not 0 <= joint < _JOINTS or present[joint]:
            continue  # the official program takes the first point of an id
        keypoints[joint] = [_number(point, axis, where) for axis in "xy"]
        present[joint] = True
        if _single(point.get("score")) is not None:
            scores[joint] = _number(point, "score", where)
        confidence[joint] = _number(point, "confidence", where) if "confidence" in point else scores[joint]
    head = None
    if all(corner in person for corner in ("x1", "y1", "x2", "y2")):
        head = np.array([_number(person, corner, where) for corner in ("x1", "y1", "x2", "y2")])
    track, score = _single(person.get("track_id")), _single(person.get("score"))
    return Person2017(
        track=None if track is None else checks.integer(track, "'track_id'", where, -checks.MAX_INTEGER),
        keypoints=keypoints,
        present=present,
        scores=scores,
        confidence=confidence,
        score=1.0 if score is None else checks.number(score, "'score'", where),
        head=head,
        box=checks.box(person["bbox"], where) if person.get("bbox") else None,
        container=points is not None,
    )
