"""The processes that prepare training batches."""

from __future__ import annotations

import signal

import cv2


def workers_wanted(count: int) -> int:
    """``count``, after what must be done before so many processes are started.

    One thread of OpenCV each, since there is a process for every core already. Set here, because a forked process
    that inherits OpenCV's running threads hangs when it asks for fewer.
    """
    if count:
        cv2.setNumThreads(1)
    return count


def start_worker(number: int) -> None:
    """First thing in every such process.

    A terminal or a cluster sends its signals to the whole group: the training process ends after its step, with a
    checkpoint, and needs its batches until then.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
