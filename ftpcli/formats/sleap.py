"""SLEAP labels (.slp) through sleap-io: predicted instances with scores and tracks. Memory grows with the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from ftpcli.formats.base import rounded
from ftpcli.formats.spool import SpooledSink, copy_from


class SleapSink(SpooledSink):
    """Tracks are called by their ids. The video is named as in the source; SLEAP looks for it beside the file."""

    suffix = ".slp"
    takes_all = True
    library = "sleap_io"
    lacks = "boxes and times"
    empty_frames = True

    def close(self, frames: int) -> None:
        import sleap_io as sio

        own = self.own

        class Joint(sio.Node):
            """sleap-io keeps left and right in sets: their order must not depend on where an object lies."""

            def __hash__(self) -> int:
                return own.joints.index(self.name)

        pairs = {tuple(sorted((own.joints[a], own.joints[b]))) for a, b in enumerate(own.flip.tolist()) if a != b}
        edges = [(own.joints[a], own.joints[b]) for a, b in own.edges]
        skeleton = sio.Skeleton([Joint(name) for name in own.joints], edges, sorted(pairs), name="person")
        source = self.header.source
        shape = (source.frames or frames, source.height, source.width, 3)
        meta = {"shape": shape, "grayscale": False} if source.width and source.height else {}
        video = sio.Video(source.path or "video", backend_metadata=meta, open_backend=False)
        tracks = {track: sio.Track(name=str(track)) for track in sorted(self.tracks)}
        labelled = []
        for frame in self.spooled:
            people = []
            for pose in frame.poses:
                keypoints, confidence = self.order(pose)
                points = np.where(confidence[:, None] > 0, rounded(keypoints), np.nan)
                people.append(
                    sio.PredictedInstance.from_numpy(points, skeleton, confidence, pose.score, tracks[pose.track_id])
                )
            labelled.append(sio.LabeledFrame(video=video, frame_idx=frame.index, instances=people))
            self.left_out["frames without people"] += not (people or self.empty_frames)
        labels = sio.Labels(labelled, videos=[video], skeletons=[skeleton], tracks=list(tracks.values()), provenance={})
        copy_from(self.stream, self.suffix, lambda path: self.save(labels, path))

    def save(self, labels: Any, path: str) -> None:
        import sleap_io as sio

        sio.save_slp(labels, path, verbose=False)


class SleapAnalysisSink(SleapSink):
    """Written through sleap-io, in the order of axes that SLEAP itself has."""

    suffix = ".analysis.h5"
    empty_frames = False
    people_only = True

    def save(self, labels: Any, path: str) -> None:
        import sleap_io as sio

        sio.save_analysis_h5(labels, path)
