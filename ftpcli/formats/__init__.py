"""Writes poses files of every form in ``choices.Format``, and the part file.

Files are matched by joint names. A joint that is not there has confidence 0 in every form.
"""

from ftpcli.datasets.coco import VISIBLE
from ftpcli.datasets.poses import open_poses
from ftpcli.formats.partfile import PartWriter, part_path
from ftpcli.formats.writer import (
    SINKS,
    StandardOutput,
    check_joints,
    check_output,
    format_of,
    joints_of,
    lacking,
    write_poses,
)

__all__ = [
    "SINKS",
    "VISIBLE",
    "PartWriter",
    "StandardOutput",
    "check_joints",
    "check_output",
    "format_of",
    "joints_of",
    "lacking",
    "open_poses",
    "part_path",
    "write_poses",
]
