"""PoseTrack18 JSON, the form that the official PoseTrack 2018 and 2021 evaluators read."""

from __future__ import annotations

import re
from typing import Any

from ftpcli.errors import OutputError
from ftpcli.formats.base import WriteOptions, box_xywh, filled_mark, rounded
from ftpcli.formats.image_sink import ImageListSink, picture_size, provenance
from ftpcli.formats.joints import JointMap, category
from ftpcli.formats.names import PictureNames, source_name
from ftpcli.records import FramePoses, Header, Pose
from ftpcli.skeleton import POSETRACK17

#: The official evaluators hold track ids below this.
MAX_TRACK = 10_000
#: Frame numbers of one sequence, by the arithmetic of the ids.
MAX_FRAMES = 10_000

_SOURCES = {"mpii": 1, "bonn": 2, "mpiinew": 3}
#: Names of official sequences, with or without their part.
SEQUENCE = re.compile(r"(\d{1,6})_(mpii|bonn|mpiinew)(?:_(train|val|test))?")


def track_ids(frame: FramePoses) -> list[int]:
    """The track ids of a frame as the evaluators need them.

    Raises:
        OutputError: an id is negative, 10,000 or more, or stands twice.
    """
    ids = [int(pose.track_id) for pose in frame.poses]
    for number, track in enumerate(ids):
        if not 0 <= track < MAX_TRACK:
            raise OutputError(
                f"track id {track} does not fit into PoseTrack files (0 to {MAX_TRACK - 1}); "
                "write .jsonl or COCO .json instead",
                frame.index,
            )
        if track in ids[:number]:
            raise OutputError(f"track id {track} stands twice, PoseTrack files need each once", frame.index)
    return ids


class FrameNames:
    """File names and ids of a sequence's frames.

    A source named like a PoseTrack sequence (``000342_mpii_test``) gets the official ids, source * 10^10 +
    sequence * 10^4 + frame, and the official path. Any other source gets id = frame index (source and
    sequence 0), and the names that all formats have.
    """

    def __init__(self, header: Header, options: WriteOptions) -> None:
        name = source_name(header)
        self._names = PictureNames(header, options)
        self._base = 0
        self._limit: int | None = None
        self._folder = ""
        self.video = name
        if match := SEQUENCE.fullmatch(name):
            number, source, split = match.groups()
            self._base = _SOURCES[source] * 10**10 + int(number) * 10**4
            self._limit = MAX_FRAMES
            self.video = number.zfill(6)
            # Files of the validation set carry the suffix "_test" as well.
            if not options.frame_name:
                self._folder = f"images/{'train' if split == 'train' else 'val'}/{name}"

    def file_name(self, index: int) -> str:
        return f"{self._folder}/{index:06d}.jpg" if self._folder else self._names(index)

    def id(self, index: int) -> int:
        """Raises OutputError where the ids of a PoseTrack sequence run out."""
        if self._limit is not None and index >= self._limit:
            raise OutputError(f"ids of a PoseTrack sequence end at frame {self._limit - 1}", index)
        return self._base + index


class PoseTrackSink(ImageListSink):
    """Writes PoseTrack18 JSON: 17 slots, every frame under ``images`` in time order.

    - The evaluators ignore a person's score, so ``scores`` holds joint confidence times person score. The plain
      confidences stand beside them as ``keypoint_scores``.
    - Ears are never annotated in PoseTrack: always (0, 0, 0). Other absent joints likewise.
    - All keypoint numbers are floats; integers would make the 2021 evaluator cut its scores to integers.
    """

    skeleton = POSETRACK17
    lacks = "ears"
    keeps = ("filled",)

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        ears = ("left_ear", "right_ear")
        self.order = JointMap(self.own.joints, POSETRACK17.joints, blank=ears, head_stand_ins=True)
        self._names = FrameNames(header, options)
        self._size = picture_size(header)
        self.start(info=provenance(header), categories=[category(POSETRACK17)])

    def write(self, frame: FramePoses) -> None:
        track_ids(frame)
        self._names.id(frame.index)
        super().write(frame)

    def annotation(self, frame: FramePoses, pose: Pose, number: int) -> dict[str, Any]:
        keypoints, confidence = self.order(pose)
        image = self._names.id(frame.index)
        flat: list[float] = []
        for (x, y), score in zip(rounded(keypoints).tolist(), confidence.tolist(), strict=True):
            flat += [x, y, 1.0 if score > 0 else 0.0]
        return {
            "image_id": image,
            "id": image * 100 + number if number < 100 else 10**15 + image * MAX_TRACK + number,
            "category_id": 1,
            "track_id": int(pose.track_id),
            "bbox": rounded(box_xywh(pose.box, frame.index)).tolist(),
            "keypoints": flat,
            "scores": (confidence * pose.score).tolist(),
            "keypoint_scores": confidence.tolist(),
            "score": float(pose.score),
            **filled_mark(pose),
        }

    def image(self, index: int, frames: int) -> dict[str, Any]:
        number = self._names.id(index)
        return {
            "file_name": self._names.file_name(index),
            "id": number,
            "frame_id": number,
            "vid_id": self._names.video,
            "nframes": frames,
            "is_labeled": True,
            "ignore_regions_x": [],
            "ignore_regions_y": [],
            **self._size,
        }
