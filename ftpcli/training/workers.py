"""The processes that prepare training batches."""

from __future__ import annotations

import signal
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset


def loader(examples: Dataset, workers: int, **how: Any) -> DataLoader:
    """torch's DataLoader for a training of either kind; without ``workers`` batches are made where they are used.

    Each process gets one thread of OpenCV, since there is a process for every core already. That is set before they
    start, because a forked process that inherits OpenCV's running threads hangs when it asks for fewer.
    """
    if workers:
        cv2.setNumThreads(1)
    # A seed for workers is drawn, which must not come from the numbers that the training draws from.
    return DataLoader(examples, num_workers=workers, worker_init_fn=_start, generator=torch.Generator(), **how)


def _start(number: int) -> None:
    """First thing in every such process.

    A terminal or a cluster sends its signals to the whole group: the training process ends after its step, with a
    checkpoint, and needs its batches until then.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
