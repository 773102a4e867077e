"""What this build of FFmpeg can read and write."""

from __future__ import annotations

from typing import Literal

import av

_READ = ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "prores")
_WRITTEN = {"h264": "libx264", "hevc": "libx265", "aac": "aac"}


def codecs() -> dict[str, dict[str, bool]]:
    """``read`` and ``written``: common codecs by name, and whether they are there."""
    return {
        "read": {name: _has(name, "r") for name in _READ},
        "written": {name: _has(encoder, "w") for name, encoder in _WRITTEN.items()},
    }


def _has(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.codec.Codec(name, mode)
    except (av.error.FFmpegError, ValueError):
        return False
    return True
