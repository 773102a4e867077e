"""A zip that CVAT imports as "COCO Keypoints 1.0", with the skeleton's definition and, if there are any, the pictures.

CVAT makes tracks of people that share the attribute ``track_id``.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from typing import Any

from ftpcli.files.output import OutputStream
from ftpcli.formats.base import Sink, WriteOptions
from ftpcli.formats.coco import CocoSink
from ftpcli.records import FramePoses, Header
from ftpcli.skeleton import COCO17, Skeleton

_ANNOTATIONS = "annotations/person_keypoints_default.json"
_IMAGES = "images/default/"
_DATE = (1980, 1, 1, 0, 0, 0)  # no clock times in outputs


class CvatSink(Sink):
    """``annotations/person_keypoints_default.json``, ``images/default/`` and ``labels.json``, which is pasted as "Raw"
    labels of a new task."""

    suffix = ".zip"
    pictures = True
    keeps = ("raw", "filled")
    skeleton = COCO17
    takes_all = True

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self._zip = zipfile.ZipFile(_Plain(stream), "w", zipfile.ZIP_DEFLATED)  # type: ignore[call-overload]
        self._zip.writestr(zipfile.ZipInfo(_IMAGES, _DATE), b"")  # CVAT's importer wants the folder, even an empty one
        # Entries of a zip are written one after the other, and pictures come first.
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 (closed by release())
        self._coco = CocoSink(OutputStream(self._spool, tempfile.gettempdir()), header, options)

    def write(self, frame: FramePoses) -> None:
        self._coco.write(frame)
        if self.options.image:
            name = _IMAGES + self._coco.names(frame.index)
            self._zip.writestr(zipfile.ZipInfo(name, _DATE), self.options.image())  # stored: pictures are small already

    def close(self, frames: int) -> None:
        self._coco.close(frames)
        self._spool.seek(0)
        entry = zipfile.ZipInfo(_ANNOTATIONS, _DATE)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._zip.open(entry, "w", force_zip64=True) as file:
            while data := self._spool.read(1 << 20):
                file.write(data)
        text = json.dumps([raw_label(self.held)], indent=1)
        self._zip.writestr(zipfile.ZipInfo("labels.json", _DATE), text, zipfile.ZIP_DEFLATED)
        self._zip.close()

    def release(self) -> None:
        self._coco.release()
        self._spool.close()
        self._zip.fp = None  # else it would write its end when it is collected


class _Plain:
    """The stream without seeking, by which zipfile writes from front to back."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:
        self._stream.write(data)
        return len(data)

    def flush(self) -> None:
        """The stream is flushed when it is whole."""


def raw_label(skeleton: Skeleton) -> dict[str, Any]:
    """CVAT's definition of a skeleton label: joints as sublabels, and a drawing in a square of 100 units."""
    places = {joint: _PLACES.get(joint, (50.0, 50.0)) for joint in skeleton.joints}
    lines = [
        f'<line x1="{places[skeleton.joints[a]][0]}" y1="{places[skeleton.joints[a]][1]}" '
        f'x2="{places[skeleton.joints[b]][0]}" y2="{places[skeleton.joints[b]][1]}" stroke="black" '
        f'data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}" stroke-width="0.5"></line>'
        for a, b in skeleton.edges
    ]
    circles = [
        f'<circle r="1.5" stroke="black" fill="#b3b3b3" cx="{x}" cy="{y}" stroke-width="0.1" data-type="element node" '
        f'data-element-id="{n}" data-node-id="{n}" data-label-name="{joint}"></circle>'
        for n, (joint, (x, y)) in enumerate(places.items(), 1)
    ]
    return {
        "name": "person",
        "color": "#ff6037",
        "type": "skeleton",
        "attributes": [],
        "sublabels": [{"name": joint, "type": "points", "attributes": []} for joint in skeleton.joints],
        "svg": "".join([*lines, *circles]),
    }


def _both(name: str, across: float, down: float) -> dict[str, tuple[float, float]]:
    """Left is the person's own: on the right of somebody who faces us."""
    return {f"left_{name}": (50 + across, down), f"right_{name}": (50 - across, down)}


_PLACES = {
    "nose": (50.0, 14.0),
    "head_bottom": (50.0, 22.0),
    "head_top": (50.0, 4.0),
    **_both("eye", 3, 11),
    **_both("ear", 7, 13),
    **_both("shoulder", 12, 26),
    **_both("elbow", 18, 40),
    **_both("wrist", 22, 53),
    **_both("hip", 8, 54),
    **_both("knee", 9, 74),
    **_both("ankle", 9, 94),
}
