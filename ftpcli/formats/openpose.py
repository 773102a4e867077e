"""OpenPose JSON: a folder with a file a frame, BODY_25. ``openpose18`` has the 18 joints of OpenPose's COCO model."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ftpcli.formats.base import Sink, WriteOptions, dumps, rounded
from ftpcli.formats.names import source_name
from ftpcli.records import FramePoses, Header
from ftpcli.skeleton import COCO17

_RIGHT_ARM = ("right_shoulder", "right_elbow", "right_wrist")
_LEFT_ARM = ("left_shoulder", "left_elbow", "left_wrist")
_RIGHT_LEG = ("right_hip", "right_knee", "right_ankle")
_LEFT_LEG = ("left_hip", "left_knee", "left_ankle")
_FACE = ("right_eye", "left_eye", "right_ear", "left_ear")
#: Joints in OpenPose's order; "" is one that no model of ours knows.
BODY_25 = ("nose", "neck", *_RIGHT_ARM, *_LEFT_ARM, "mid_hip", *_RIGHT_LEG, *_LEFT_LEG, *_FACE, *[""] * 6)
COCO_18 = ("nose", "neck", *_RIGHT_ARM, *_LEFT_ARM, *_RIGHT_LEG, *_LEFT_LEG, *_FACE)
#: OpenPose's neck and middle of the hips are the middles of these, in its training data as well.
_MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")}


class OpenPoseSink(Sink):
    """Writes ``NAME_000000000000_keypoints.json`` and so on, by frame index, also for frames without people.

    ``person_id`` holds the track id. Neck and middle of the hips have the lower confidence of their two joints; the
    feet are absent (0, 0, 0).
    """

    suffix = ""
    folder = True
    skeleton = COCO17
    lacks = "boxes, people's scores and times"
    joints: ClassVar[tuple[str, ...]] = BODY_25

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self._name = source_name(header)
        at = {name: n for n, name in enumerate(COCO17.joints)}
        absent = len(at)
        self._pairs = [[at.get(name, absent) for name in _MIDDLES.get(joint, (joint, joint))] for joint in self.joints]

    def write(self, frame: FramePoses) -> None:
        people = []
        for pose in frame.poses:
            keypoints, confidence = self.order(pose)
            table = np.vstack([np.column_stack([rounded(keypoints), confidence]), np.zeros(3)])[self._pairs]
            table = np.column_stack([table[..., :2].mean(axis=1), table[..., 2].min(axis=1)])
            table[table[:, 2] <= 0] = 0.0
            empty = ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")
            world = ("pose_keypoints_3d", *(name.replace("_2d", "_3d") for name in empty))
            person: dict[str, Any] = {"person_id": [pose.track_id], "pose_keypoints_2d": table.ravel().tolist()}
            people.append(person | {name: [] for name in (*empty, *world)})
        text = dumps({"version": 1.3, "people": people})
        self.stream.write(f"{self._name}_{frame.index:012d}_keypoints.json", text.encode("ascii"))


class OpenPose18Sink(OpenPoseSink):
    """See ``OpenPoseSink``."""

    joints = COCO_18
