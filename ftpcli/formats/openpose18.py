"""OpenPose JSON with the 18 joints of its COCO model."""

from __future__ import annotations

from ftpcli.formats.openpose import COCO_18, OpenPoseSink


class OpenPose18Sink(OpenPoseSink):
    """See ``OpenPoseSink``."""

    joints = COCO_18


SINK = OpenPose18Sink
