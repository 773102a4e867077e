"""What CVAT exports besides plain COCO files: zips, and the XML of "CVAT for images" and "CVAT for video"."""

from __future__ import annotations

import shutil
import tempfile
import xml.etree.ElementTree as ET
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from ftpcli.datasets.boxes import POSETRACK2018, box_of_joints
from ftpcli.datasets.coco import Category, category_of_people
from ftpcli.datasets.left_out import EMPTY
from ftpcli.datasets.store import PoseStore
from ftpcli.errors import InputError
from ftpcli.files.checked_json import MAX_COORDINATE, MAX_SIDE
from ftpcli.records import Header, SourceInfo
from ftpcli.skeleton import PERSON19

_LARGEST = 1 << 33  # bytes of an annotation file in a zip


@contextmanager
def annotations_in(path: str) -> Iterator[tuple[Path, str]]:
    """The one annotation file of a zip, unpacked for as long as the block lasts, and its name in the zip.

    Raises:
        InputError: not a zip, or it does not hold exactly one.
    """
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            names = [n for n in archive.namelist() if n == "annotations.xml" or n.startswith("annotations/")]
            found = [n for n in names if n.lower().endswith((".json", ".xml"))]
            keypoints = [n for n in found if "keypoints" in PurePosixPath(n).name] or found
            if len(keypoints) != 1:
                what = ", ".join(keypoints) or "no annotations.xml and no annotations/*.json"
                raise InputError(
                    f"{path}: should hold one annotation file, but has {what}; unpack it and name the file"
                )
            if archive.getinfo(keypoints[0]).file_size > _LARGEST:
                raise InputError(f"{path}: {keypoints[0]} is too large; unpack the zip and name the file")
            unpacked = Path(folder, PurePosixPath(keypoints[0]).name)
            with archive.open(keypoints[0]) as member, open(unpacked, "wb") as file:
                shutil.copyfileobj(member, file)
            yield unpacked, keypoints[0]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise InputError(f"{path}: the zip cannot be read ({error})") from error


def read_xml(path: str, store: PoseStore) -> Header:
    """Put the skeletons and boxes of people in a file into a store, as people with the joints of ``PERSON19`` or none.

    A point that is ``outside`` is absent, one that is ``occluded`` has confidence 1 like every other: somebody placed
    it. A skeleton's box lies around its joints. Which label is people is told as in COCO files. In a file of a video,
    tracks are people; in one of pictures, an attribute ``track_id`` tells them apart where there is one.

    Raises:
        InputError: it is damaged, not such a file, of several tasks, or no label is people.
    """
    width = height = track = image = None
    last, video, label, tasks = -1, False, "", dict[str, str]()
    labels, name = _Labels(store), ""
    try:
        for event, element in ET.iterparse(path, events=("start", "end")):
            where = f"{path}, {element.tag}"
            if event == "start" and element.tag in ("track", "image") and (task := element.get("task_id")):
                tasks.setdefault(task, f"task {task}")
            if event == "start" and element.tag == "track":
                track, video, label = _whole(element.get("id"), where), True, element.get("label") or ""
            elif event == "start" and element.tag == "image":
                image = _whole(element.get("id"), where)
                if element.get("width") and element.get("height"):
                    width, height = (_whole(element.get(key), where, MAX_SIDE) for key in ("width", "height"))
                store.add_frame(image, element.get("name") or "")
            elif event == "start":
                continue
            elif element.tag == "task":
                number = element.findtext("id") or str(len(tasks))
                tasks[number] = element.findtext("source") or element.findtext("name") or f"task {number}"
            elif element.tag == "original_size":
                width, height = (_whole(element.findtext(key), where, MAX_SIDE) for key in ("width", "height"))
            elif element.tag == "size" and element.text:
                last = max(last, _whole(element.text, where) - 1)
            elif element.tag == "source" and element.text and not name:
                name = element.text
            elif element.tag in ("skeleton", "box") and track is not None:
                frame = _whole(element.get("frame"), where)
                last = max(last, frame)
                labels.add(label, frame, track, element, f"{path}, track {track}, frame {frame}")
                element.clear()
            elif element.tag in ("skeleton", "box") and image is not None:
                attribute = element.find("attribute[@name='track_id']")
                known = (attribute.text or "").strip() if attribute is not None else ""
                labels.add(element.get("label") or "", image, store.track(known), element, where)
                element.clear()
            elif element.tag in ("track", "image"):
                track = image = None
    except ET.ParseError as error:
        raise InputError(
            f"{path}: is no whole XML file of CVAT ({error}); export it again, or give a poses file"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(tasks) > 1:
        first, second = list(tasks.values())[:2]
        raise InputError(f"{path}: frames of several videos ({first}, {second}); export each task by itself")
    if not video and not len(store.ids):
        raise InputError(f"{path}: holds no skeletons; export it as CVAT for images, CVAT for video or COCO Keypoints")
    labels.choose()
    for frame in range(last + 1 if video else 0):
        store.add_frame(frame, "", frame)
    source = SourceInfo(path=PurePosixPath(name.replace("\\", "/")).name or None, width=width, height=height)
    return Header(PERSON19.joints, source)


class _Labels:
    """Puts shapes into a store by their labels, until it is known which of these is people."""

    def __init__(self, store: PoseStore) -> None:
        self._store = store
        self._left_out: dict[str, Counter[str]] = {}
        self._jointed: set[str] = set()

    def add(self, label: str, frame: int, track: int | None, shape: ET.Element, where: str) -> None:
        """A skeleton or box. Raises InputError."""
        left_out = self._left_out.setdefault(label, Counter())
        table = np.zeros((0, 3))
        if shape.tag == "skeleton":
            self._jointed.add(label)
            table = _joints(shape, left_out, where)
            box = box_of_joints(table[table[:, 2] > 0, :2], POSETRACK2018)
        else:
            box = np.array([_number(shape.get(key), where) for key in ("xtl", "ytl", "xbr", "ybr")])
            box = box if box[2] > box[0] and box[3] > box[1] else None
        if shape.get("outside") == "1":
            return
        if box is None:
            left_out[EMPTY] += 1
        else:
            self._store.add_person(frame, track, list(self._left_out).index(label), 1.0, box, table, where)

    def choose(self) -> None:
        """Make people category 0 of the store, and count the others. Raises InputError."""
        if not self._left_out:
            return
        store, joints = self._store, PERSON19.joints
        categories = [Category(n, one, joints if one in self._jointed else ()) for n, one in enumerate(self._left_out)]
        people = category_of_people(categories, store.path)
        for number, category in enumerate(categories):
            if category is people:
                for reason, count in self._left_out[category.name].items():
                    store.left_out.add(reason, count)
            else:
                shapes = store.categories.count(number) + self._left_out[category.name][EMPTY]
                store.left_out.add(f"of category {category.name}", shapes)
        store.categories = array("q", (0 if one == people.id else 1 for one in store.categories))


def _joints(skeleton: ET.Element, left_out: Counter[str], where: str) -> np.ndarray:
    """(K, 3) x, y, confidence."""
    table = np.zeros((len(PERSON19.joints), 3))
    for point in skeleton.iter("points"):
        if point.get("outside") == "1":
            continue
        joint = point.get("label")
        if joint not in PERSON19.joints:
            left_out[f"of a joint that is unknown ({joint})"] += 1
            continue
        place = (point.get("points") or "").split(",")
        if len(place) != 2:
            raise InputError(f"{where}: {point.get('points')!r} is not a point")
        table[PERSON19.joints.index(joint)] = _number(place[0], where), _number(place[1], where), 1.0
    return table


def _number(text: str | None, where: str) -> float:
    """Pixels."""
    try:
        value = float(text or "")
    except ValueError:
        raise InputError(f"{where}: {text!r} is not a point") from None
    if not abs(value) <= MAX_COORDINATE:
        raise InputError(f"{where}: {text!r} is far outside of the picture")
    return value


def _whole(text: str | None, where: str, high: int = 10**7) -> int:
    if text is None or not text.strip().isdecimal() or len(text) > 12 or int(text) > high:
        raise InputError(f"{where}: {str(text)[:40]!r} is not a whole number that could stand there")
    return int(text)
