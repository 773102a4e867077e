"""NWB with the ndx-pose extension, as sleap-io and movement read it. Memory grows with the file."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from ftpcli.formats.base import dumps, needed_seconds, rounded
from ftpcli.formats.image_sink import provenance
from ftpcli.formats.names import source_name
from ftpcli.formats.spool import SpooledSink, copy_from


class NwbSink(SpooledSink):
    """One ``PoseEstimation`` a person, ``track=ID``, in the processing module ``SLEAP_VIDEO_000_NAME``, by which
    sleap-io finds it. A series reaches from the person's first frame to the last, with the source's own times, and
    holds NaN where a joint was not located."""

    suffix = ".nwb"
    takes_all = True
    library = "ndx_pose"
    lacks = "boxes and people's scores"
    people_only = True

    def close(self, frames: int) -> None:
        import ndx_pose
        import pynwb

        own = self.own
        rows: dict[int, list[np.ndarray]] = {track: [] for track in self.tracks}
        times: dict[int, list[float]] = {track: [] for track in self.tracks}
        left = dict(self.tracks)  # frames of each person that are still to come
        nothing = np.column_stack([np.full((len(own.joints), 2), np.nan), np.zeros(len(own.joints))])
        for frame in self.spooled:
            seconds, tables = needed_seconds(frame, "NWB"), {}
            for pose in frame.poses:
                keypoints, confidence = self.order(pose)
                points = np.where(confidence[:, None] > 0, rounded(keypoints), np.nan)
                tables[pose.track_id] = np.column_stack([points, confidence])
                left[pose.track_id] -= 1
            for track, mine in rows.items():
                if track in tables or (mine and left[track]):
                    mine.append(tables.get(track, nothing))
                    times[track].append(seconds)
        about = dumps(provenance(self.header))
        numbers = count()

        def make(kind: Any, **given: Any) -> Any:
            """An object with an id that follows from the poses' source in place of a random one."""
            one = kind.__new__(kind, object_id=str(uuid5(NAMESPACE_URL, f"{about} {next(numbers)}")))
            one.__init__(**given)
            return one

        never = datetime.fromtimestamp(0, UTC)  # nobody knows when it was filmed
        file = make(
            pynwb.NWBFile,
            session_description=about,
            identifier=hashlib.sha256(about.encode()).hexdigest(),
            session_start_time=never,
            file_create_date=never,
        )
        name = source_name(self.header)
        edges = np.array(own.edges, dtype=np.uint8).reshape(-1, 2)
        skeleton = make(ndx_pose.Skeleton, name="person", nodes=list(own.joints), edges=edges)
        behavior = make(pynwb.ProcessingModule, name="behavior", description="skeletons")
        behavior.add(make(ndx_pose.Skeletons, skeletons=[skeleton]))
        text = f"poses of the people in {name}"
        module = make(pynwb.ProcessingModule, name=f"SLEAP_VIDEO_000_{name}", description=text)
        file.add_processing_module([behavior, module])
        camera = make(pynwb.device.Device, name="camera_0", description="camera of the video")
        file.add_device(camera)
        for track in sorted(rows):
            table, moments = np.stack(rows.pop(track)), np.array(times.pop(track))
            module.add(
                make(
                    ndx_pose.PoseEstimation,
                    name=f"track={track}",
                    description="estimated places of a person's joints",
                    pose_estimation_series=[
                        make(ndx_pose.PoseEstimationSeries, **_series(joint, table[:, n], moments))
                        for n, joint in enumerate(own.joints)
                    ],
                    skeleton=skeleton,
                    source_software="ftp",
                    original_videos=[self.header.source.path or "video"],
                    devices=[camera],
                )
            )

        def save(path: str) -> None:
            with pynwb.NWBHDF5IO(path, "w") as io:
                io.write(file)

        copy_from(self.stream, self.suffix, save)


def _series(joint: str, table: np.ndarray, seconds: np.ndarray) -> dict[str, Any]:
    return dict(
        name=joint,
        data=table[:, :2],
        confidence=table[:, 2],
        confidence_definition="0 (not located) to 1",
        unit="pixels",
        reference_frame="(0, 0) is the top left corner of the upright picture, x to the right, y down",
        timestamps=seconds,
    )
