"""Poses of a document whose people stand in any order, spooled to disk and read back frame by frame."""

from __future__ import annotations

import math
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np

from ftpcli.datasets.base import PosesReader
from ftpcli.datasets.boxes import POSETRACK2018, box_of_joints
from ftpcli.datasets.frames import frame_numbers
from ftpcli.datasets.left_out import EMPTY, UNKNOWN_FRAME, UNLISTED, LeftOut
from ftpcli.errors import InputError, counted
from ftpcli.files.checked_json import MAX_INTEGER, refuse_twice
from ftpcli.records import FramePoses, Header, Pose

_IN_MEMORY = 64 << 20
_NO_TRACK = -(2**63)


class PoseStore:
    """Holds what a document says of frames and people; memory is a few dozen bytes for each.

    Attributes:
        left_out: annotations that were not taken, by reason.
        notices: what the reader of the form had to assume, one line each.
        names_of_tracks: for track ids that are text the numbers that stand for them meanwhile, above all others.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.left_out = LeftOut()
        self.notices: list[str] = []
        self.names_of_tracks: dict[int | str, int] = {}
        self.ids, self.pts, self.seconds = array("q"), array("q"), array("d")
        self.timed = True
        self.indices: list[int | None] = []
        self.frame_ids: list[int | None] = []
        self.names: list[str] = []
        # One entry per person: the frame's id, the track, the category, where its numbers stand, how many joints.
        self.images, self.tracks, self.categories = array("q"), array("q"), array("q")
        self.offsets, self.joints = array("q"), array("q")
        self._spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (closed by close())
        self._end = 0

    def add_frame(
        self,
        image: int,
        name: str,
        index: int | None = None,
        frame_id: int | None = None,
        pts: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """A frame: ``image`` is the number that its people name; the rest as far as the file says it."""
        self.ids.append(image)
        self.indices.append(index)
        self.frame_ids.append(frame_id)
        self.names.append("" if index is not None and _by_our_rule(name, index) else name)
        self.timed &= pts is not None and seconds is not None
        self.pts.append(pts or 0)
        self.seconds.append(math.nan if seconds is None else seconds)

    def add_person(
        self,
        image: int,
        track: int | None,
        category: int,
        score: float,
        box: np.ndarray | None,
        table: np.ndarray,
        where: str,
        filled: bool = False,
        raw: np.ndarray | None = None,
    ) -> None:
        """A person in a frame, left out and counted where there are neither box nor joints.

        Args:
            score: cut to 0..1.
            box: (4,) xyxy; None: it lies around the joints.
            table: (K, 3) x, y, confidence, (0, 3) for a mere box.
            raw: see Pose.
        """
        box = box_of_joints(table[table[:, 2] > 0, :2], POSETRACK2018) if box is None else box
        if box is None:
            self.left_out.add(EMPTY)
            return
        head = np.array([*box, min(max(score, 0.0), 1.0), filled, raw is not None], dtype=np.float64)
        data = np.concatenate([head, table.ravel(), np.zeros(0) if raw is None else raw.ravel()]).tobytes()
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

    def track(self, name: str) -> int | None:
        """The track id for a name: itself where it is a number, one for every other name, None where it is empty."""
        if name.isdecimal() and name.isascii() and len(name) < 19:
            return int(name)
        return self.names_of_tracks.setdefault(name, len(self.names_of_tracks) + MAX_INTEGER + 1) if name else None

    def pose(self, person: int, track: int, joints: int) -> Pose:
        """The ``person``-th person that was added; one without joints gets ``joints`` absent ones."""
        self._spool.seek(self.offsets[person])
        count = self.joints[person]
        *box, score, filled, beside = np.frombuffer(self._spool.read(7 * 8)).tolist()
        table = self._table(count) if count else np.zeros((joints, 3))
        raw = self._table(count) if beside else None
        return Pose(track, np.array(box), score, table[:, :2], table[:, 2], bool(filled), raw)

    def _table(self, joints: int) -> np.ndarray:
        return np.frombuffer(self._spool.read(3 * joints * 8)).reshape(joints, 3).copy()

    def number_tracks(self, people: np.ndarray) -> list[str]:
        """Give a number to ids that are text, and to every one of the ``people`` (their places) without an id.

        These numbers lie beyond all of the file, in the order of the people. Nobody shares one, since nobody knows who
        is who.

        Returns:
            What is to be said of it.
        """
        tracks = np.frombuffer(self.tracks, dtype=np.int64)
        text, mine = self.names_of_tracks, tracks[people]
        free = max(-1, int(tracks.max(initial=-1, where=tracks <= MAX_INTEGER))) + 1
        tracks[tracks > MAX_INTEGER] += free - MAX_INTEGER - 1
        missing = people[mine == _NO_TRACK]
        tracks[missing] = free + len(text) + np.arange(len(missing))
        lines = []
        if text:
            named = ", ".join(f"{name} is {free + n}" for n, name in enumerate(list(text)[:3]))
            lines.append(f"track ids are text and get numbers: {named}{', ...' if len(text) > 3 else ''}")
        if len(missing):
            who = f"{len(missing)} of {counted(len(people), 'person has', 'people have')} no track id"
            who = "has no track ids" if len(missing) == len(people) else who
            lines.append(f"{who}: each gets a number of their own in every frame, which says nothing of who is who")
        return lines

    def close(self) -> None:
        self._spool.close()


class StoredReader(PosesReader):
    """Frames of a document, once it has been read and checked.

    Args:
        category: of the people.
        source: see ``open_poses``.

    Raises:
        InputError: ids or frames twice, another number of joints, or nothing is left of what the file holds.
    """

    def __init__(self, store: PoseStore, file_format: str, header: Header, category: int, source: str | None) -> None:
        self.path, self.format, self.header = store.path, file_format, header
        self.timed = store.timed
        self._store = store
        numbers = frame_numbers(store.indices, store.frame_ids, store.names, source, header.source.path)
        self._indices, self.by_name = numbers.indices, numbers.by_name
        places = zip(self._indices.tolist(), store.names, strict=True)
        self.picture_names = {index: name for index, name in places if name and index >= 0}
        order = np.argsort(self._indices, kind="stable")
        #: Places of the frames in the file, by rising index.
        self._positions = order[self._indices[order] >= 0]
        self.records = len(self._positions)
        _unique(store.path, self._indices[self._positions], "frame", [store.names[n] for n in self._positions])
        people = np.flatnonzero(np.array(store.categories, dtype=np.int64) == category)
        ranks = self._ranks(people)
        store.left_out.add(UNLISTED, int((ranks == -1).sum()))
        store.left_out.add(UNKNOWN_FRAME, int((ranks == -2).sum()))
        people, ranks = people[ranks >= 0], ranks[ranks >= 0]
        counts = np.array(store.joints, dtype=np.int64)[people]
        wrong = np.flatnonzero((counts != len(header.joints)) & (counts != 0))
        if len(wrong):
            raise InputError(
                f"{store.path}: a person has {counts[wrong[0]]} keypoints, the file names {len(header.joints)} joints"
            )
        by_rank = np.argsort(ranks, kind="stable")
        self._people = people[by_rank]
        self._bounds = np.searchsorted(ranks[by_rank], np.arange(len(self._positions) + 1))
        # The 2017 form has no empty frame: people without joints stand for nobody there.
        if store.left_out.counts and not len(people) and file_format != "posetrack17":
            raise InputError(f"{store.path}: no person is left{store.left_out.why()}")
        self.warnings = [
            *([numbers.warning] if numbers.warning else []),
            *store.notices,
            *store.left_out.lines(),
            *store.number_tracks(self._people),
        ]

    def _ranks(self, people: np.ndarray) -> np.ndarray:
        """(P,) place among the frames of each person, -1 where the image is not listed, -2 where it is not a frame."""
        ids = np.array(self._store.ids, dtype=np.int64)
        by_id = np.argsort(ids, kind="stable")
        _unique(self.path, ids[by_id], "image id")
        images = np.array(self._store.images, dtype=np.int64)[people]
        if not len(ids):
            return np.full(len(images), -1)
        rank = np.full(len(ids), -2)
        rank[self._positions] = np.arange(len(self._positions))
        found = by_id[np.minimum(np.searchsorted(ids[by_id], images), len(ids) - 1)]
        return np.where(ids[found] == images, rank[found], -1)

    def __iter__(self) -> Iterator[FramePoses]:
        store = self._store
        joints = len(self.header.joints)
        for rank, position in enumerate(self._positions.tolist()):
            people = self._people[self._bounds[rank] : self._bounds[rank + 1]]
            tracks = [store.tracks[person] for person in people]
            index = int(self._indices[position])
            refuse_twice(tracks, index, self.path)
            poses = tuple(
                store.pose(person, track, joints) for person, track in zip(people.tolist(), tracks, strict=True)
            )
            yield FramePoses(index, store.pts[position] if self.timed else index, store.seconds[position], poses)

    def close(self) -> None:
        self._store.close()


def _by_our_rule(name: str, index: int) -> bool:
    """Whether the name is that of our files, which need not be kept."""
    return PurePosixPath(name).stem == f"{index:08d}"


def _unique(path: str, values: np.ndarray, what: str, names: Sequence[str] = ()) -> None:
    twice = np.flatnonzero(values[1:] == values[:-1])
    if len(twice):
        called = " and ".join(dict.fromkeys(name for name in names[twice[0] : twice[0] + 2] if name))
        raise InputError(
            f"{path}: {what} {values[twice[0]]} stands twice; give it a single entry under 'images'"
            f"{called and f' ({called})'}"
        )
