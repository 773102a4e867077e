"""The 2017 form: ``annolist``, every scalar in a one-element list (specification A3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.datasets.posetrack.files import JOINTS, FrameEntry, PeopleRows, VideoFile
from ftpcli.errors import InputError
from ftpcli.files.jsonfile import need, need_list, numbers, whole_number


def read_2017(path: Path, data: dict[str, Any]) -> VideoFile:
    """Read the parsed content of a file with ``annolist``."""
    rows, frames = PeopleRows(), []
    for i, entry in enumerate(need_list(data, "annolist", path, "the file")):
        where = f"frame {i} of annolist"
        start = len(rows)
        for k, rect in enumerate(_people(entry, path, where)):
            _add_person(rows, rect, path, f"person {k} of {where}")
        labelled = _scalar(entry.get("is_labeled"))
        frames.append(
            FrameEntry(
                name=_name(entry, path, where),
                image_id=None,
                labelled=None if labelled is None else bool(labelled),
                labelled_person=None,
                regions=_regions(entry.get("ignore_regions"), path, where),
                rows=slice(start, len(rows)),
            )
        )
    return rows.video(path, "2017", frames)


def _scalar(value: Any) -> Any:
    """The value out of its one-element list; None where there is none."""
    if isinstance(value, list):
        return value[0] if value else None
    return value


def _number(value: Any, path: Path, where: str) -> float:
    return float(numbers([_scalar(value)], 1, path, where)[0])


def _people(entry: Any, path: Path, where: str) -> list[Any]:
    people = need(entry, "annorect", path, where)
    if people is None:
        return []
    if not isinstance(people, list):
        raise InputError(f"{path}: 'annorect' of {where} is not a list")
    return people


def _name(entry: dict[str, Any], path: Path, where: str) -> str:
    # DCPose-style predictions hold a plain object where the annotations hold a one-element list.
    name = need(_scalar(need(entry, "image", path, where)), "name", path, f"the image of {where}")
    if not isinstance(name, str):
        raise InputError(f"{path}: the image name of {where} is not text")
    return name


def _regions(regions: Any, path: Path, where: str) -> tuple[np.ndarray, ...] | None:
    if regions is None:
        return None
    if not isinstance(regions, list):
        raise InputError(f"{path}: 'ignore_regions' of {where} is not a list")
    polygons = []
    for region in regions:
        points = need_list(region, "point", path, f"an ignore region of {where}")
        corners = [
            [_number(need(p, axis, path, f"a region point of {where}"), path, where) for axis in "xy"] for p in points
        ]
        polygons.append(np.array(corners, dtype=np.float64).reshape(-1, 2))
    return tuple(polygons)


def _points(rect: dict[str, Any], path: Path, where: str) -> list[Any] | None:
    """The person's joints; None without a container (B1.3)."""
    container = rect.get("annopoints")
    if isinstance(container, list):
        container = container[0] if container else None
    if not container:
        return None
    if not isinstance(container, dict):
        raise InputError(f"{path}: 'annopoints' of {where} is not a list of objects")
    if "point" not in container:
        return None
    points = container["point"]
    if isinstance(points, dict):
        points = [points]
    if not isinstance(points, list):
        raise InputError(f"{path}: 'point' of {where} is not a list")
    return points


def _add_person(rows: PeopleRows, rect: Any, path: Path, where: str) -> None:
    if not isinstance(rect, dict):
        raise InputError(f"{path}: {where} is not a JSON object")
    count = len(JOINTS)
    keypoints, present, scores = np.zeros((count, 2)), np.zeros(count, dtype=bool), np.full(count, np.nan)
    points = _points(rect, path, where)
    for point in points or ():
        joint = whole_number(_scalar(need(point, "id", path, f"a point of {where}")))
        if joint is None:
            raise InputError(f"{path}: a point of {where} has an id that is not a whole number")
        if not 0 <= joint < count or present[joint]:
            continue  # the official program takes the first point of an id
        keypoints[joint] = [_number(need(point, axis, path, f"a point of {where}"), path, where) for axis in "xy"]
        present[joint] = True
        score = _scalar(point.get("score"))
        if score is not None:
            scores[joint] = _number(score, path, f"a score of {where}")
    head = None
    if all(corner in rect for corner in ("x1", "y1", "x2", "y2")):
        head = np.array([_number(rect[c], path, f"the head box of {where}") for c in ("x1", "y1", "x2", "y2")])
    track = _scalar(rect.get("track_id"))
    if track is not None and whole_number(track) is None:
        raise InputError(f"{path}: track_id {track!r} of {where} is not a whole number")
    rows.add(
        track=None if track is None else whole_number(track),
        keypoints=keypoints,
        present=present,
        scores=scores,
        head=head,
        container=points is not None,
    )
