"""What CVAT exports besides plain COCO files: zips, and the XML of "CVAT for images" and "CVAT for video"."""

from __future__ import annotations

import shutil
import tempfile
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from ftpcli.datasets.boxes import POSETRACK2018, box_of_joints
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
    """Put the skeletons of a file into a store, as people with the joints of ``PERSON19``.

    A point that is ``outside`` is absent, one that is ``occluded`` has confidence 1 like every other: somebody placed
    it. The box lies around the joints. In a file of a video, tracks are people; in one of pictures, a skeleton's
    attribute ``track_id`` tells them apart where it has one.

    Raises:
        InputError: it is damaged, or not such a file.
    """
    width = height = track = image = None
    name, last, video = "", -1, False
    try:
        for event, element in ET.iterparse(path, events=("start", "end")):
            where = f"{path}, {element.tag}"
            if event == "start" and element.tag == "track":
                track, video = _whole(element.get("id"), where), True
            elif event == "start" and element.tag == "image":
                image = _whole(element.get("id"), where)
                width, height = (_whole(element.get(key), where, MAX_SIDE) for key in ("width", "height"))
                store.add_frame(image, element.get("name") or "")
            elif event == "start":
                continue
            elif element.tag == "original_size":
                width, height = (_whole(element.findtext(key), where, MAX_SIDE) for key in ("width", "height"))
            elif element.tag == "size" and element.text:
                last = max(last, _whole(element.text, where) - 1)
            elif element.tag == "source" and element.text and not name:
                name = element.text
            elif element.tag == "skeleton" and track is not None:
                frame = _whole(element.get("frame"), where)
                last = max(last, frame)
                _add(store, frame, track, element, f"{path}, track {track}, frame {frame}")
                element.clear()
            elif element.tag == "skeleton" and image is not None:
                attribute = element.find("attribute[@name='track_id']")
                known = (attribute.text or "").strip() if attribute is not None else ""
                _add(store, image, int(known) if known.isdecimal() and len(known) < 19 else None, element, where)
                element.clear()
            elif element.tag in ("track", "image"):
                track = image = None
    except ET.ParseError as error:
        raise InputError(f"{path}: is cut off or damaged ({error}); export it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not video and not len(store.ids):
        raise InputError(f"{path}: holds no skeletons; export it as CVAT for images, CVAT for video or COCO Keypoints")
    for frame in range(last + 1 if video else 0):
        store.add_frame(frame, "", frame)
    source = SourceInfo(path=PurePosixPath(name.replace("\\", "/")).name or None, width=width, height=height)
    return Header(PERSON19.joints, source)


def _add(store: PoseStore, frame: int, track: int | None, skeleton: ET.Element, where: str) -> None:
    table = np.zeros((len(PERSON19.joints), 3))
    for point in skeleton.iter("points"):
        if point.get("outside") == "1":
            continue
        joint = point.get("label")
        if joint not in PERSON19.joints:
            store.left_out.add(f"of a joint that is unknown ({joint})")
            continue
        try:
            x, y = (float(value) for value in (point.get("points") or "").split(","))
        except ValueError:
            raise InputError(f"{where}: {point.get('points')!r} is not a point") from None
        if not (abs(x) <= MAX_COORDINATE and abs(y) <= MAX_COORDINATE):
            raise InputError(f"{where}: {point.get('points')!r} is far outside of the picture")
        table[PERSON19.joints.index(joint)] = x, y, 1.0
    box = box_of_joints(table[table[:, 2] > 0, :2], POSETRACK2018)
    if box is None:
        if skeleton.get("outside") != "1":
            store.left_out.add(EMPTY)
        return
    store.add_person(frame, track, 0, 1.0, box, table, where)


def _whole(text: str | None, where: str, high: int = 10**7) -> int:
    if text is None or not text.strip().isdecimal() or len(text) > 12 or int(text) > high:
        raise InputError(f"{where}: {str(text)[:40]!r} is not a whole number that could stand there")
    return int(text)
