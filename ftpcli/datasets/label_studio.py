"""Label Studio's JSON: tasks with pictures, corrected annotations or predictions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ftpcli.datasets.coco import Image
from ftpcli.datasets.store import PoseStore
from ftpcli.files import checked_json as checks
from ftpcli.skeleton import PERSON19

_TRACK = re.compile(r"track (\d{1,18})")
_PERSONLESS = "keypoints that belong to no person's rectangle"


def is_task(value: Any) -> bool:
    """Whether an element of a plain list is a task."""
    return isinstance(value, dict) and isinstance(value.get("data"), dict)


class Tasks:
    """Puts tasks into a store, as people with the joints of ``PERSON19``.

    A task's last annotation that was not cancelled counts; without one its first prediction. A person is a rectangle
    and the keypoints whose parent it is. Joints of annotations have confidence 1, those of predictions their score.
    The track id is that of the rectangle's ``meta``, "track 3", which our own tasks have.
    """

    def __init__(self, store: PoseStore) -> None:
        self._store = store
        self.sizes: set[tuple[int, int]] = set()

    def add(self, value: dict[str, Any], where: str) -> None:
        """One task. Raises InputError."""
        number, data = len(self._store.ids), value["data"]
        times = Image(data, where)
        name = next((data[key] for key in ("image", "img", "picture") if isinstance(data.get(key), str)), "")
        self._store.add_frame(number, name, times.frame_index, None, times.pts, times.seconds)
        done, guesses = (
            [checks.as_object(one, "an entry", where) for one in checks.as_list(value.get(key) or [], repr(key), where)]
            for key in ("annotations", "predictions")
        )
        done = [one for one in done if not one.get("was_cancelled")]
        chosen = done[-1:] or guesses[:1]
        if not chosen:
            return
        regions = [
            checks.as_object(region, "a region", where)
            for region in checks.as_list(chosen[0].get("result") or [], "'result'", where)
        ]
        people = {str(r.get("id")): r for r in regions if r.get("type") == "rectanglelabels"}
        tables = {key: np.zeros((len(PERSON19.joints), 3)) for key in people}
        for region in regions:
            if region.get("type") != "keypointlabels":
                if region.get("type") != "rectanglelabels":
                    self._store.left_out.add("that are neither rectangles nor keypoints")
                continue
            table = tables.get(str(region.get("parentID")))
            if table is None:
                self._store.left_out.add(_PERSONLESS)
                continue
            place, size = _value(region, where)
            joint = next(iter(checks.as_list(place.get("keypointlabels") or [], "'keypointlabels'", where)), None)
            if joint not in PERSON19.joints:
                self._store.left_out.add(f"of a joint that is unknown ({checks.shown(joint)})")
                continue
            x, y = (checks.number(checks.field(place, key, where), f"{key!r}", where, 1e4) for key in "xy")
            sure = _score(region, bool(done), where)
            table[PERSON19.joints.index(joint)] = x * size[0] / 100, y * size[1] / 100, sure
        for key, region in people.items():
            self._person(number, region, tables[key], bool(done), where)

    def _person(self, number: int, region: dict[str, Any], table: np.ndarray, done: bool, where: str) -> None:
        place, size = _value(region, where)
        self.sizes.add(size)
        x, y, w, h = (checks.number(checks.field(place, k, where), f"{k!r}", where, 1e4) for k in _CORNER)
        box = np.array([x, y, x + w, y + h]) * np.tile(size, 2) / 100 if w > 0 and h > 0 else None
        meta = region.get("meta")
        texts = meta.get("text") if isinstance(meta, dict) else None
        found = _TRACK.search(" ".join(map(str, texts)) if isinstance(texts, list) else str(texts or ""))
        track = int(found[1]) if found else None
        self._store.add_person(number, track, 0, _score(region, done, where), box, table, where)


_CORNER = ("x", "y", "width", "height")


def _score(region: dict[str, Any], done: bool, where: str) -> float:
    """A region's score, 0..1; 1 where a person has set or accepted it (``done``), or it has none."""
    score = None if done else region.get("score")
    return 1.0 if score is None else min(max(checks.number(score, "'score'", where), 0.0), 1.0)


def _value(region: dict[str, Any], where: str) -> tuple[dict[str, Any], tuple[int, int]]:
    """A region's place in percent, and the size of its picture in pixels."""
    width, height = (
        checks.integer(checks.field(region, key, where), f"{key!r}", where, 1, checks.MAX_SIDE)
        for key in ("original_width", "original_height")
    )
    return checks.as_object(checks.field(region, "value", where), "'value'", where), (width, height)
