"""SLEAP's analysis file (.analysis.h5): arrays of places and scores by frame, track and joint."""

from __future__ import annotations

from typing import Any

from ftpcli.formats.sleap import SleapSink


class SleapAnalysisSink(SleapSink):
    """Written through sleap-io, in the order of axes that SLEAP itself has."""

    suffix = ".analysis.h5"
    empty_frames = False
    people_only = True

    def save(self, labels: Any, path: str) -> None:
        import sleap_io as sio

        sio.save_analysis_h5(labels, path)


SINK = SleapAnalysisSink
