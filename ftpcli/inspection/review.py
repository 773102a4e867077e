"""One page, without any network, on which a browser plays a video with the poses of a file drawn over it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import mimetypes
import os
import zlib
from array import array
from bisect import bisect
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ftpcli.datasets.base import PosesReader
from ftpcli.datasets.coco import VISIBLE
from ftpcli.datasets.poses import open_poses
from ftpcli.datasets.same_video import check_same_video, ends_early, of_another, picture_of
from ftpcli.errors import InputError
from ftpcli.files.inputs import numbered_images
from ftpcli.files.output import OutputStream, atomic_output, check_target
from ftpcli.inspection.moments import Moment, Moments
from ftpcli.records import FramePoses
from ftpcli.skeleton import ANGLES, Skeleton, joint_angles
from ftpcli.video import open_source
from ftpcli.video.opening import packet_times

_PAGE = Path(__file__).resolve().parent.parent / "assets" / "review.html"
#: Videos up to this many bytes are put into the page unless asked otherwise: three quarters of it are then video.
EMBEDDED = 8_000_000
_RENDERED = "review the video that ftp render draws of it"
_ROUNDING = 0.001  # seconds: Matroska's clock
_MISSING = -32768  # an angle that is not known
_ROWS_SHOWN = 1000  # of the timeline: canvases end at 32,767 pixels


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What became of a page."""

    path: str
    frames: int
    people: int
    moments: int
    embedded: bool
    video: str | None  # its address in the page, None where it is embedded or there is none
    warnings: tuple[str, ...]


def review(
    poses: str | os.PathLike[str],
    out: str | os.PathLike[str],
    video: str | os.PathLike[str] | None = None,
    *,
    embed: bool | None = None,
    fps: Fraction | None = None,
    suggested: Collection[int] = (),
    overwrite: bool = False,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Reviewed:
    """Write the page. Memory does not grow with the video, but for two numbers a frame.

    Args:
        poses: a file of any form.
        video: what the poses are of, a file or a folder of pictures; without it the skeletons stand on black.
        embed: put the video into the page, else name it by its path from there; None decides by ``EMBEDDED``.
        fps: of a file without times; by default its own average, else 25.
        suggested: indices of frames that are worth correcting, which join the doubtful moments.

    Raises:
        InputError: an input cannot be read, or the poses are of another video.
        OutputError: ``out`` exists or cannot be written.
    """
    check_target(out, overwrite=overwrite, inputs=(poses, video))
    with ExitStack() as stack:
        folder = video is not None and os.path.isdir(video)
        pictures = [path.name for path in numbered_images(Path(video))] if folder and video is not None else None
        reader = stack.enter_context(open_poses(poses, video))
        about = _of_source(reader, video, pictures, fps, os.path.dirname(os.path.realpath(out)))
        times = about.pop("times")
        if video is None or folder:
            embed = False
        elif embed is None:
            embed = os.path.getsize(video) <= EMBEDDED
        if embed:
            about["type"] = mimetypes.guess_type(os.fspath(video or ""))[0] or "video/mp4"
        before, after = _page()
        page = stack.enter_context(atomic_output(out, overwrite=overwrite))
        page.write(before)
        rows = _Rows(page, reader, about, times, suggested)
        for frame in reader:
            rows.add(frame)
            progress(len(rows.seconds), reader.records)
        about |= rows.finish()
        if embed:
            with open(os.fspath(video or ""), "rb") as file, _Block(page, "embedded") as block:
                while data := file.read(1 << 20):
                    block.write(data)
        # A "<" could end the element that the text stands in.
        text = json.dumps(about, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        page.write(b'<script type="application/json" id="about">' + text.encode("ascii") + b"</script>\n" + after)
    return Reviewed(
        os.fspath(out),
        about["frames"],
        len(about["tracks"]),
        len(about["moments"]),
        bool(embed),
        None if embed or folder else about["video"],
        tuple(reader.warnings),
    )


def _page() -> tuple[bytes, bytes]:
    """The page before and after its data; only its own script is allowed to run."""
    before, after = _PAGE.read_bytes().split(b"<!--DATA-->\n")
    script = after.split(b"<script>")[1].split(b"</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script).digest())
    return before.replace(b"SCRIPT-HASH", b"sha256-" + digest), after


def _of_source(
    reader: PosesReader,
    video: str | os.PathLike[str] | None,
    pictures: list[str] | None,
    fps: Fraction | None,
    folder: str,
) -> dict[str, Any]:
    """What the page has to know of the source: address, size, turn, and where the browser's clock begins."""
    source = reader.header.source
    about: dict[str, Any] = {
        "name": Path(reader.path).name,
        "video": None,
        "pictures": None,
        "width": source.width,
        "height": source.height,
        "aspect": 1.0,
        "turn": 0,
        "start": 0.0,
        "times": None,
        "reach": 0.1,  # seconds beyond the first and the last frame with poses, where none are drawn
    }
    rate = fps or source.average_rate or Fraction(25)
    if video is not None:
        with open_source(video, fps=fps or (1 / source.time_base if source.time_base else None)) as frames:
            info = frames.info
        turn = 0 if source.rotation is None else (source.rotation - info.rotation) % 360
        check_same_video(reader, info, turn, clock=pictures is not None)
        sides = (info.width, info.height) if turn % 180 == 0 else (info.height, info.width)
        about |= {"width": sides[0], "height": sides[1], "turn": turn, "name": f"{about['name']}, {Path(video).name}"}
        about["aspect"] = float(info.sample_aspect_ratio if turn % 180 == 0 else 1 / info.sample_aspect_ratio)
        where = quote(os.path.relpath(os.path.realpath(video), folder).replace(os.sep, "/"))
        if pictures is not None:
            about["pictures"] = [f"{where}/{quote(name)}" for name in pictures]
        else:
            about["video"] = where
            about["start"], about["times"] = packet_times(os.fspath(video))
            count = len(about["times"])
            if not count:
                raise InputError(f"{os.fspath(video)}: holds no times, which a browser needs; {_RENDERED}")
            about["opens"] = about["times"][0]
            more = 0 if source.frames is None else source.frames - count
            if more > max(2, count // 100) or (-more > max(2, count // 100) and not ends_early(reader)):
                raise of_another(reader, f"it is of {source.frames} frames, {Path(video).name} has {count}")
            rate = info.average_rate or rate
    if None in (about["width"], about["height"]):
        about |= _extent(reader)
    longest = 2 * max(about["width"], about["height"])  # joints lie up to so far outside
    about["scale"] = min(16, 32000 // longest or 32000 / longest)
    if not reader.timed and about["times"] is None:
        about["times"] = rate
    return about


def _extent(reader: PosesReader) -> dict[str, int]:
    """A size that holds all people, where nothing tells that of the picture."""
    far = np.ones(2)
    for frame in reader:
        for pose in frame.poses:
            far = np.maximum(far, np.nan_to_num(pose.box[2:]))
    return {"width": math.ceil(far[0]) + 1, "height": math.ceil(far[1]) + 1}


class _Block:
    """A script element that holds bytes as base64."""

    def __init__(self, page: OutputStream, name: str) -> None:
        self._page, self._name, self._rest = page, name, b""

    def __enter__(self) -> _Block:
        self._page.write(f'<script type="application/octet-stream" id="{self._name}">'.encode())
        return self

    def write(self, data: bytes) -> None:
        data = self._rest + data
        whole = len(data) - len(data) % 3
        self._rest = data[whole:]
        self._page.write(base64.b64encode(data[:whole]))

    def __exit__(self, *_: object) -> None:
        self._page.write(base64.b64encode(self._rest) + b"</script>\n")


class _Rows:
    """Writes a row a person and frame, packed, as the page's script reads them."""

    def __init__(
        self,
        page: OutputStream,
        reader: PosesReader,
        about: dict[str, Any],
        times: list[float] | Fraction | None,
        suggested: Collection[int],
    ) -> None:
        self._page, self._about, self._times, self._suggested = page, about, times, frozenset(suggested)
        self._reader = reader
        self._joints = joints = reader.header.joints
        self._type = np.dtype(
            [
                ("track", "<u4"),
                ("flags", "<i2"),
                ("box", "<i2", 4),
                ("points", "<i2", (len(joints), 2)),
                ("angles", "<i2", len(ANGLES)),
                ("trust", "u1", len(joints)),
                ("", "u1", len(joints) % 2),
            ]
        )
        self._tracks: dict[int, int] = {}
        self._strange = 0  # frames at times that the video does not have
        self.seconds, self._people, self._index = array("d"), array("I"), array("q")
        self._shown: list[str] = []  # pictures of a folder
        self._moments = Moments(joints)
        self._suggestions: list[Moment] = []
        self._pack = zlib.compressobj(wbits=31)
        self._block = _Block(page, "rows").__enter__()

    def add(self, frame: FramePoses) -> None:
        place = len(self.seconds)
        self.seconds.append(self._seconds(frame))
        self._people.append(len(frame.poses))
        self._index.append(frame.index)
        if pictures := self._about["pictures"]:
            number = picture_of(self._reader, frame)
            if not 0 <= number < len(pictures):
                raise of_another(self._reader, f"it has a frame {number}, the folder {len(pictures)} pictures")
            self._shown.append(pictures[number])
        self._moments.add(frame)
        if frame.index in self._suggested:
            self._suggestions.append(Moment(place, None, "worth correcting", 0.0, place))
        if not frame.poses:
            return
        rows, scale = np.zeros(len(frame.poses), self._type), self._about["scale"]
        points = np.stack([pose.keypoints for pose in frame.poses])
        trust = np.stack([pose.confidence for pose in frame.poses])
        rows["track"] = [self._tracks.setdefault(pose.track_id, len(self._tracks)) for pose in frame.poses]
        rows["flags"] = [pose.filled for pose in frame.poses]
        rows["box"] = _whole(np.stack([pose.box for pose in frame.poses]) * scale)
        rows["points"] = _whole(points * scale)
        rows["angles"] = _whole(joint_angles(self._joints, points, trust, VISIBLE) * 10, _MISSING)
        rows["trust"] = np.clip(np.nan_to_num(trust) * 255, 0, 255)
        self._block.write(self._pack.compress(rows.tobytes()))

    def _seconds(self, frame: FramePoses) -> float:
        times = self._times
        if isinstance(times, list):
            if self._reader.timed:
                near = bisect(times, frame.seconds + _ROUNDING)
                self._strange += near == 0 or frame.seconds - times[near - 1] > _ROUNDING
                return frame.seconds
            self._strange += frame.index >= len(times)
            return times[min(frame.index, len(times) - 1)]
        return float(frame.index / times) if times else frame.seconds

    def finish(self) -> dict[str, Any]:
        """End the rows, write the frames' times, and tell the page what it holds."""
        self._block.write(self._pack.flush())
        self._block.__exit__()
        count = len(self.seconds)
        if not count:
            raise InputError(f"{self._reader.path}: holds no frames")
        if self._strange > max(2, count // 100):
            lacks = f"{self._strange} of its {count} frames are at times that the video lacks"
            raise of_another(self._reader, f"{lacks}; where the video's clock is broken, {_RENDERED}")
        with _Block(self._page, "times") as block:
            table = np.array(self.seconds, "<f8").tobytes() + np.array(self._people, "<u4").tobytes()
            block.write(zlib.compress(table, wbits=31))
        index = list(self._index)
        every = index[1] - index[0] if count > 1 else 1
        even = index == list(range(index[0], index[0] + every * count, every))
        moments = sorted([*self._moments.found(), *self._suggestions], key=lambda one: one.frame)
        return {
            "frames": count,
            "first": index[0],
            "every": every,
            "index": None if even else index,
            "pictures": self._shown or None,
            "tracks": list(self._tracks),
            "rowsShown": _ROWS_SHOWN,
            "joints": list(self._joints),
            "bones": Skeleton("file", self._joints).edges,
            "angles": list(ANGLES),
            "visible": int(VISIBLE * 255) / 255,
            "stride": self._type.itemsize,
            "trust": self._type.fields["trust"][1] if self._type.fields else 0,
            "moments": [{"frame": one.frame, "track": one.track, "what": one.what} for one in moments],
        }


def _whole(values: np.ndarray, missing: int = 0) -> np.ndarray:
    """As int16; what does not fit is cut off, what is no number is ``missing``."""
    return np.where(np.isnan(values), missing, np.clip(np.round(values), -32767, 32767))
