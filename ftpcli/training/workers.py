"""Batches of a run, prepared by processes of their own where asked for."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from ftpcli.training.distributed import rank_and_world


def batches(
    examples: Dataset, collate: Callable[[list[Any]], Any], *, batch: int, first: int, steps: int, workers: int = 0
) -> Iterator[Any]:
    """Batches ``first`` to ``steps`` of a run; of several processes each takes its share of every batch.

    Each process that prepares them gets one thread of OpenCV, since there is a process for every core already. That is
    set before they start, because a forked process that inherits OpenCV's running threads hangs when it asks for fewer.

    Args:
        examples: by their number in the run, counted from 0; step s has those from s * batch on.
        workers: processes that prepare batches; without any they are made where they are used.
    """
    rank, world = rank_and_world()
    share = batch // world
    lists = [list(range(s * batch + rank * share, s * batch + (rank + 1) * share)) for s in range(first, steps)]
    if workers:
        cv2.setNumThreads(1)
    yield from DataLoader(
        examples,
        batch_sampler=lists,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=_start,
        generator=torch.Generator(),  # a seed for workers is drawn, not from the numbers that the training draws from
    )


def _start(number: int) -> None:
    """First thing in every such process.

    A terminal or a cluster sends its signals to the whole group: the training process ends after its step, with a
    checkpoint, and needs its batches until then.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
