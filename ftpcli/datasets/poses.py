"""Opening a poses file of any form. What a file is shows in its content, not in its name."""

from __future__ import annotations

import os
import re
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.datasets import cvat, sleap
from ftpcli.datasets.base import PosesReader
from ftpcli.datasets.coco import LISTS, Annotation, Category, Id, Image, category_of_people, joints_of
from ftpcli.datasets.document import Document
from ftpcli.datasets.header import decode_run, decode_source
from ftpcli.datasets.label_studio import Tasks, is_task
from ftpcli.datasets.left_out import CROWD
from ftpcli.datasets.native import NativeReader
from ftpcli.datasets.posetrack.form2017 import read_frame
from ftpcli.datasets.store import PoseStore, StoredReader
from ftpcli.datasets.tables import TIDY, read_table, table_form
from ftpcli.errors import InputError
from ftpcli.files import checked_json as checks
from ftpcli.files import parquet
from ftpcli.files.inputs import require_file
from ftpcli.records import Header, SourceInfo
from ftpcli.skeleton import PERSON19, POSETRACK15, POSETRACK17

_FORMAT = re.compile(rb'\s*\{\s*"format"\s*:\s*"([a-z-]{1,40})"')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NO_POSES = (
    "not a poses file; give JSON Lines of ftp, COCO JSON with images and annotations, PoseTrack JSON, a table with "
    f"columns {', '.join(TIDY)} and commas between them, or an export of CVAT, Label Studio, DeepLabCut (CSV) or SLEAP"
)


def _form_of(start: bytes) -> str:
    """What a file is by how it begins: zip, sleap, parquet, xml, json, the form of a table, or "" for none of these."""
    for signature, form in ((b"PK\x03\x04", "zip"), (sleap.SIGNATURE, "sleap"), (b"PAR1", "parquet")):
        if start.startswith(signature):
            return form
    text = start.strip()
    if text.startswith((b"<", b"{", b"[")):
        return "xml" if text.startswith(b"<") else "json"
    return table_form(text.decode("utf-8", "replace"))


def is_poses_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one for ``open_poses``, by its name or content. Raises InputError where it is unreadable."""
    return Path(path).suffix.lower() in (".json", ".jsonl") or bool(_form_of(_start_of(os.fspath(path))))


def _start_of(path: str) -> bytes:
    """How a file begins, after white space. Raises InputError where it is unreadable."""
    require_file(path)
    try:
        with open(path, "rb") as file:
            return file.read(1 << 16).removeprefix(_BYTE_ORDER_MARK).lstrip()
    except OSError as error:
        raise checks.unreadable(path, error) from error


def open_poses(path: str | os.PathLike[str], source: str | os.PathLike[str] | None = None) -> PosesReader:
    """Open a poses file: our JSON Lines, COCO JSON, PoseTrack 2017, 2018 or 2021 JSON, our tables (CSV, Parquet), and
    what CVAT (zip, XML), Label Studio (JSON), DeepLabCut (CSV) and SLEAP (slp, analysis h5) write.

    JSON Lines are streamed. JSON documents are read and checked here, and hold a few dozen bytes of memory per
    person; the rest waits in a temporary file. Ground truth reads as poses of score 1 whose labelled joints have
    confidence 1; a file of mere boxes as people without joints.

    Args:
        source: the video or folder of pictures that the poses are of: another tool's file names its frames by it (see
            ``PosesReader.by_name``).

    Returns:
        A reader to be closed, or used in a ``with`` statement. Its ``warnings`` say what was left out or assumed.

    Raises:
        InputError: the file is missing, unreadable, or not what it should be; while iterating also: a bad record,
            with its line.
    """
    name, video = os.fspath(path), None if source is None else os.fspath(source)
    start = _start_of(name)
    match = _FORMAT.match(start)
    if match and match[1] == b"ftp-poses-part":
        raise InputError(f"{name}: the unfinished part of a run; finish it with ftp annotate --resume")
    if match or Path(name).suffix.lower() == ".jsonl":
        return NativeReader(name)
    match _form_of(start):
        case "zip":
            return _open_zip(name, video)
        case "sleap":
            return _stored(name, "sleap", video, sleap.read_labels)
        case "parquet":
            return _open_parquet(name, video)
        case "xml":
            return _stored(name, "cvat", video, cvat.read_xml)
        case "" if start and (start.isascii() or Path(name).suffix.lower() != ".json"):
            raise InputError(f"{name}: {_NO_POSES}")
        case "" | "json":
            return _open_document(name, video)
        case form:
            return _stored(name, form, video, partial(read_table, form))


def _open_zip(path: str, source: str | None) -> StoredReader:
    """The annotation file of a zip, as annotation tools export them."""
    with cvat.annotations_in(path) as (unpacked, member), _called(unpacked, f"{path}, {member}"):
        if unpacked.suffix.lower() == ".xml":
            reader = _stored(str(unpacked), "cvat", source, cvat.read_xml)
        else:
            reader = _open_document(str(unpacked), source)
    reader.path = path
    return reader


@contextmanager
def _called(unpacked: Path, name: str) -> Iterator[None]:
    """Errors name the file that the user gave in place of the one that was unpacked from it."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(str(unpacked), name)) from error


def _open_parquet(path: str, source: str | None) -> StoredReader:
    """Our table in a Parquet file, by way of CSV."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table.csv")
        parquet.to_csv(path, table)
        with open(table, encoding="utf-8") as file:
            form = table_form(file.readline().strip())
        if not form:
            raise InputError(f"{path}: is not a table of ours; it should have columns {', '.join(TIDY)}")
        with _called(table, path):
            reader = _stored(str(table), form, source, partial(read_table, form))
    reader.path, reader.format = path, reader.format.replace("csv", "parquet")
    return reader


def _stored(path: str, form: str, source: str | None, read: Callable[[str, PoseStore], Header]) -> StoredReader:
    """A file of people of a single category, which ``read`` puts into a store."""
    store = PoseStore(path)
    try:
        return StoredReader(store, form, read(path, store), 0, source)
    except BaseException:
        store.close()
        raise


def _open_document(path: str, source: str | None) -> StoredReader:
    store = PoseStore(path)
    try:
        document, collected, info = Document(path), _Collector(store), dict[str, Any]()
        tasks = Tasks(store)
        for key, value, where in document.items(*LISTS, "annolist"):
            if document.plain and is_task(value):
                tasks.add(value, where)
                continue
            if document.plain and (value is None or len(store.ids)):
                store.left_out.add("where a task should stand")
                continue
            if document.plain:
                raise InputError(
                    f"{path}: a plain list (such as COCO results) names no joints and no frames; "
                    "give a whole COCO or PoseTrack file"
                )
            if key in LISTS or key == "annolist":
                collected.add(key, value, where)
            elif key == "info" and isinstance(value, dict):
                checks.shallow(value, where)
                info = value
        if len(store.ids) and document.plain:
            size = next(iter(tasks.sizes)) if len(tasks.sizes) == 1 else None
            return StoredReader(store, "labelstudio", _header(PERSON19.joints, {}, size, path), 0, source)
        if "annolist" in document.keys:
            if "images" in document.keys:
                raise InputError(f"{path}: holds both 'annolist' and 'images'; it should be one of the two forms")
            return StoredReader(store, "posetrack17", _header(POSETRACK15.joints, info, None, path), 0, source)
        if not {"images", "annotations"} <= set(document.keys):
            raise InputError(f"{path}: {_NO_POSES}")
        category, joints, form = collected.people()
        header = _header(joints, info, collected.size(), path)
        return StoredReader(store, form, header, category, source)
    except BaseException:
        store.close()
        raise


def _header(joints: tuple[str, ...], info: dict[str, Any], size: tuple[int, int] | None, path: str) -> Header:
    """The header that a document of ours keeps under ``info``; of a foreign one, what can be told."""
    source = SourceInfo()
    if isinstance(info.get("source"), dict):
        source = decode_source(info["source"], f"{path}, 'info'")
    if size is not None and source.width is None:
        source = replace(source, width=size[0], height=size[1])
    return Header(joints, source, decode_run(info.get("run")))


class _Collector:
    """Puts frames and people of a document into a store, in whatever order its lists stand."""

    def __init__(self, store: PoseStore) -> None:
        self._store = store
        self._categories: list[Category] = []
        self._numbers: dict[str, dict[Id, int]] = {"image": {}, "category": {}, "track": store.names_of_tracks}
        self._sizes: set[tuple[int, int] | None] = set()
        self._videos: set[str] = set()
        self._faults: dict[Id | None, list[InputError]] = {}  # by category: only those of people matter

    def add(self, key: str, value: Any, where: str) -> None:
        """One element of a root list. Raises InputError."""
        if key == "images":
            self._add_image(Image(checks.as_object(value, "an image", where), where))
        elif key == "categories":
            self._categories.append(Category.of(value, where))
        elif key == "annotations":
            annotation = Annotation(checks.as_object(value, "an annotation", where), where)
            category = annotation.category
            try:
                self._add_annotation(annotation, category)
            except InputError as error:
                self._faults.setdefault(category, []).append(error)
        else:
            self._add_2017(value, where)

    def people(self) -> tuple[int, tuple[str, ...], str]:
        """The category of people as the store has it, its joints, and the file's format. Raises InputError."""
        store = self._store
        people = category_of_people(self._categories, store.path)
        for category in (people.id, None):
            for fault in self._faults.pop(category, ()):
                raise fault
        number = self._number("category", people.id)
        given: dict[Id | None, Id] = {one.id: one.name or one.id for one in self._categories}
        names = {n: given.get(one, one) for one, n in self._numbers["category"].items()}
        for other, faults in self._faults.items():
            store.left_out.add(f"of category {given.get(other, other)}", len(faults))
        kept = array("q", (number if one == 0 else one for one in store.categories))  # 0: the file names none
        for one, count in Counter(kept).items():
            if one != number:
                store.left_out.add(f"of category {names[one]}", count)
        store.categories = kept
        joints = checks.joint_names(
            list(joints_of(people, any(store.joints), store.path)), f"{store.path}, 'categories'"
        )
        posetrack = set(joints) in (set(POSETRACK17.joints), set(POSETRACK15.joints))
        return number, joints, "posetrack" if posetrack else "coco"

    def size(self) -> tuple[int, int] | None:
        """Width and height, where all images state the same."""
        return next(iter(self._sizes)) if len(self._sizes) == 1 else None

    def _number(self, kind: str, given: Id) -> int:
        """An id of the file as a number: text counts from beyond all numbers; categories count from 1."""
        if kind != "category" and isinstance(given, int):
            return given
        known = self._numbers[kind]
        return known.setdefault(given, len(known) + (0 if kind == "category" else checks.MAX_INTEGER) + 1)

    def _add_image(self, image: Image) -> None:
        if image.video is not None:
            self._videos.add(image.video)
            if len(self._videos) > 1:
                first, second = sorted(self._videos)
                raise InputError(
                    f"{image.where}: frames of several videos ({first}, {second}); give a file of one video"
                )
        if len(self._sizes) < 3:  # three sizes say "they differ" as well as a hundred
            self._sizes.add(image.size)
        number = self._number("image", image.id)
        self._store.add_frame(number, image.name, image.frame_index, image.frame_id, image.pts, image.seconds)

    def _add_annotation(self, annotation: Annotation, category: Id | None) -> None:
        if annotation.crowd:
            self._store.left_out.add(CROWD)
            return
        table, box, score, track = annotation.table, annotation.box, annotation.score, annotation.track
        raw = annotation.numbers_a_joint("keypoints_raw", 3 * len(table))
        self._store.add_person(
            self._number("image", annotation.image),
            None if track is None or box is None else self._number("track", track),
            0 if category is None else self._number("category", category),
            1.0 if score is None else score,
            box,
            table,
            annotation.where,
            annotation.entry.get("filled") is True,
            None if raw is None else raw.reshape(-1, 3),
        )

    def _add_2017(self, value: Any, where: str) -> None:
        number, frame = len(self._store.ids), read_frame(value, where)
        times = Image(frame.entry, where)
        self._store.add_frame(number, frame.name, times.frame_index, None, times.pts, times.seconds)
        for person in frame.people:
            scores = np.where(np.isnan(person.confidence), 1.0, np.clip(person.confidence, 0.0, 1.0))
            table = np.column_stack([person.keypoints, np.where(person.present, scores, 0.0)])
            box = person.body_box(table[:, 2] > 0)
            self._store.add_person(number, person.track, 0, person.score, box, table, where)
