"""What a user can choose by name, listed once: for the command line's help, for checks and for Python callers.

Trackers and smoothing filters are listed beside their code, in `people.tracking` and `pose.smoothing`.
"""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """Forms of a poses file."""

    jsonl = "jsonl"  # our JSON Lines: every joint, all digits that matter
    coco = "coco"
    posetrack = "posetrack"  # of 2018 and 2021
    posetrack17 = "posetrack17"


class Joints(StrEnum):
    """Joints of a COCO file: COCO's 17, or every joint of the model."""

    default = "default"
    all = "all"


class Precision(StrEnum):
    """Number formats of the models; auto is bf16 where the hardware has it."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Codec(StrEnum):
    """Codecs of written videos."""

    h264 = "h264"
    hevc = "hevc"


class Preset(StrEnum):
    """Encoder speeds: the slower, the smaller the file."""

    ultrafast = "ultrafast"
    superfast = "superfast"
    veryfast = "veryfast"
    faster = "faster"
    fast = "fast"
    medium = "medium"
    slow = "slow"
    slower = "slower"
    veryslow = "veryslow"
