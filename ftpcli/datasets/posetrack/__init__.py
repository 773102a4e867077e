"""PoseTrack 2017, 2018 and 2021: the files, and the data sets as distributed (needs numpy only)."""

from ftpcli.datasets.posetrack.detections import Detections
from ftpcli.datasets.posetrack.files import VideoFile
from ftpcli.datasets.posetrack.index import (
    AnnotatedPerson,
    PoseTrackIndex,
    VideoFrame,
    VideoSequence,
    clipped_box,
)
from ftpcli.datasets.posetrack.reading import read_video

__all__ = [
    "AnnotatedPerson",
    "Detections",
    "PoseTrackIndex",
    "VideoFile",
    "VideoFrame",
    "VideoSequence",
    "clipped_box",
    "read_video",
]
