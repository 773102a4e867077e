"""PoseTrack 2017, 2018 and 2021: the files, and the data sets as distributed (needs numpy only)."""

from ftpcli.datasets.posetrack.detections import Detections
from ftpcli.datasets.posetrack.files import VideoFile, read_video
from ftpcli.datasets.posetrack.index import (
    AnnotatedPerson,
    PoseTrackIndex,
    VideoFrame,
    VideoSequence,
    body_box_2017,
    clipped_box,
)

__all__ = [
    "AnnotatedPerson",
    "Detections",
    "PoseTrackIndex",
    "VideoFile",
    "VideoFrame",
    "VideoSequence",
    "body_box_2017",
    "clipped_box",
    "read_video",
]
