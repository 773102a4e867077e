"""The processes that prepare training batches."""

from __future__ import annotations

import signal

import cv2


def start_worker(number: int) -> None:
    """First thing in every such process.

    One thread each, since there is a process for every core already. A terminal or a cluster sends its signals to the
    whole group: the training process ends after its step, with a checkpoint, and needs its batches until then.
    """
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
