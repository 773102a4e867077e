"""Poses of a document whose people stand in any order, spooled to disk and read back frame by frame."""

from __future__ import annotations

import math
import tempfile
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np

from ftpcli.errors import InputError
from ftpcli.formats import checks
from ftpcli.formats.base import PosesReader
from ftpcli.records import FramePoses, Header, Pose

_IN_MEMORY = 64 << 20
_NO_TRACK = -(2**63)


class PoseStore:
    """Holds what a document says of frames and people; memory is a few dozen bytes for each."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.ids, self.indices, self.pts = array("q"), array("q"), array("q")
        self.seconds = array("d")
        self.timed = True
        self._indexed = True
        # One entry per person: the frame's id, the track, the category, where its numbers stand, how many joints.
        self.images, self.tracks, self.categories = array("q"), array("q"), array("q")
        self.offsets, self.joints = array("q"), array("q")
        self._spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (closed by close())
        self._end = 0

    def add_frame(self, image: int, entry: dict[str, Any], where: str) -> None:
        """A frame, with our own fields of time where the entry has them. Raises InputError."""
        position = len(self.ids)
        index = entry.get("frame_index")
        self._indexed &= index is not None
        self.ids.append(image)
        self.indices.append(position if index is None else checks.integer(index, "'frame_index'", where))
        pts, seconds = entry.get("pts"), entry.get("seconds")
        self.timed &= pts is not None and seconds is not None
        self.pts.append(0 if pts is None else checks.integer(pts, "'pts'", where, low=-checks.MAX_INTEGER))
        self.seconds.append(math.nan if seconds is None else checks.number(seconds, "'seconds'", where))

    def add_person(
        self,
        image: int,
        track: int | None,
        category: int,
        score: float,
        box: np.ndarray,
        table: np.ndarray,
        where: str,
        filled: bool = False,
    ) -> None:
        """A person in a frame: box (4,) xyxy, table (K, 3) x, y, confidence, (0, 3) for a mere box."""
        data = np.concatenate([box, [score, filled], table.ravel()]).tobytes()
        try:
            self._spool.seek(self._end)
            self._spool.write(data)
        except OSError as error:
            raise InputError(
                f"{where}: no room to sort it in the temporary folder {tempfile.gettempdir()} ({error.strerror})"
            ) from error
        self.images.append(image)
        self.tracks.append(_NO_TRACK if track is None else track)
        self.categories.append(category)
        self.offsets.append(self._end)
        self.joints.append(len(table))
        self._end += len(data)

    def order(self, category: int, joints: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Checks the whole and sorts it.

        Returns:
            positions (F,) of the frames by rising index; people (P,) of this category, sorted by frame; bounds
            (F + 1,) into people.

        Raises:
            InputError: ids or indices twice, a person of no frame, another number of joints.
        """
        ids = np.array(self.ids, dtype=np.int64)
        by_id = np.argsort(ids, kind="stable")
        self._unique(ids[by_id], "image id")
        if not self._indexed:
            self.indices = array("q", range(len(ids)))
        indices = np.array(self.indices, dtype=np.int64)
        positions = np.argsort(indices, kind="stable")
        self._unique(indices[positions], "frame")
        rank = np.empty(len(ids), dtype=np.int64)
        rank[positions] = np.arange(len(ids))

        people = np.flatnonzero(np.array(self.categories, dtype=np.int64) == category)
        images = np.array(self.images, dtype=np.int64)[people]
        found = np.minimum(np.searchsorted(ids[by_id], images), max(len(ids) - 1, 0))
        orphans = np.flatnonzero(ids[by_id][found] != images) if len(ids) else np.arange(len(images))
        if len(orphans):
            raise InputError(
                f"{self.path}: a person belongs to image {images[orphans[0]]}, which the file does not list"
            )
        counts = np.array(self.joints, dtype=np.int64)[people]
        wrong = np.flatnonzero((counts != joints) & (counts != 0))
        if len(wrong):
            raise InputError(f"{self.path}: a person has {counts[wrong[0]]} keypoints, the file names {joints} joints")
        ranks = rank[by_id[found]] if len(ids) else images
        order = np.argsort(ranks, kind="stable")
        bounds = np.searchsorted(ranks[order], np.arange(len(ids) + 1))
        return positions, people[order], bounds

    def _unique(self, values: np.ndarray, what: str) -> None:
        twice = values[1:][values[1:] == values[:-1]]
        if len(twice):
            raise InputError(f"{self.path}: {what} {twice[0]} stands twice")

    def pose(self, person: int, track: int, joints: int) -> Pose:
        """The ``person``-th person that was added; one without joints gets ``joints`` absent ones."""
        self._spool.seek(self.offsets[person])
        count = self.joints[person]
        values = np.frombuffer(self._spool.read((6 + 3 * count) * 8))
        table = values[6:].reshape(count, 3) if count else np.zeros((joints, 3))
        score, filled = float(values[4]), bool(values[5])
        return Pose(track, values[:4].copy(), score, table[:, :2].copy(), table[:, 2].copy(), filled)

    def track_ids(self, people: np.ndarray) -> list[int]:
        """Track ids of the people of one frame; those without one get the lowest free numbers."""
        given = [self.tracks[person] for person in people]
        taken = set(given)
        free = (number for number in range(len(given) * 2) if number not in taken)
        return [next(free) if track == _NO_TRACK else track for track in given]

    def close(self) -> None:
        self._spool.close()


class StoredReader(PosesReader):
    """Frames of a document, once it has been read and checked."""

    def __init__(self, store: PoseStore, file_format: str, header: Header, category: int) -> None:
        self.path = store.path
        self.format = file_format
        self.header = header
        self.records = len(store.ids)
        self.timed = store.timed
        self._store = store
        self._positions, self._people, self._bounds = store.order(category, len(header.joints))

    def __iter__(self) -> Iterator[FramePoses]:
        store = self._store
        joints = len(self.header.joints)
        for rank, position in enumerate(self._positions.tolist()):
            people = self._people[self._bounds[rank] : self._bounds[rank + 1]]
            tracks = store.track_ids(people)
            index = store.indices[position]
            if len(set(tracks)) < len(tracks):
                raise InputError(f"{self.path}: frame {index} holds a track id twice")
            poses = tuple(
                store.pose(person, track, joints) for person, track in zip(people.tolist(), tracks, strict=True)
            )
            pts, seconds = (store.pts[position], store.seconds[position]) if self.timed else (index, math.nan)
            yield FramePoses(index, pts, seconds, poses)

    def close(self) -> None:
        self._store.close()
