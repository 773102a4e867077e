"""JSON Lines of ``ftp annotate`` as predictions: joints by name, one record per frame."""

from __future__ import annotations

from pathlib import Path

from ftpcli.datasets.poses import open_poses
from ftpcli.datasets.posetrack.files import JOINTS, FrameEntry, PeopleRows, VideoFile
from ftpcli.errors import InputError
from ftpcli.evaluation.notices import Notices
from ftpcli.formats.joints import HEAD_POINTS, JointMap


def read_native(path: Path, notices: Notices) -> VideoFile:
    """Read a poses file of ours as prediction file. Joint scores are confidence times person score (A6).

    Raises:
        InputError: not such a file, or a joint that PoseTrack scores is missing.
    """
    rows, frames = PeopleRows(), []
    with open_poses(path) as poses:
        joints = poses.header.joints
        missing = [joint for joint in JOINTS if joint not in joints]
        if missing and set(missing) != set(HEAD_POINTS):
            raise InputError(f"{path}: lacks the joint {missing[0]}, one of the 15 that PoseTrack scores")
        if missing:
            notices.add(
                "stand-ins",
                path,
                "lacks head_bottom and head_top; the customary stand-ins made of shoulders and nose are scored",
            )
        arrange = JointMap(joints, JOINTS, head_stand_ins=True)
        for frame in poses:
            start = len(rows)
            for pose in frame.poses:
                keypoints, confidence = arrange(pose)
                rows.add(pose.track_id, keypoints, confidence > 0, confidence * pose.score)
            frames.append(FrameEntry(f"{frame.index:06d}.jpg", None, None, None, None, slice(start, len(rows))))
    return rows.video(path, "native", frames)
