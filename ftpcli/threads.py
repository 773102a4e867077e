"""Shares work out to CPU threads by its parts, where torch would share out every single operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def fix_threads() -> None:
    """Set torch's number of CPU threads to what it is: only then are they that many in MKL's products, too.

    Before that MKL may take fewer as it sees fit, and sums in another order are other sums: the last bits of equal
    runs could differ.
    """
    torch.set_num_threads(torch.get_num_threads())


class Threads:
    """Calls a function on the parts of a sequence side by side.

    torch's own threads share out one operation and wait for each other before the next. Networks as small as ours
    are a thousand operations of a tenth of a millisecond: the waiting eats most of what a second core brings, and
    nearly everything where another program wants that core. Whole pictures or windows side by side, each with its
    share of the threads (one, unless there are fewer items than cores), wait only for the last of them.

    The way in which items are shared out depends on their number and on ``count`` alone.

    Args:
        count: of threads; None: as many as torch uses, which follows OMP_NUM_THREADS and the cores that the process
            may run on.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = torch.get_num_threads() if count is None else count
        fix_threads()
        self._pool: ThreadPoolExecutor | None = None

    @classmethod
    def of(cls, device: torch.device) -> Threads:
        """All of the CPU; a single one for an accelerator, which is kept busy by one thread and full batches."""
        return cls(None if device.type == "cpu" else 1)

    def map(self, work: Callable[[Sequence[T]], Iterable[R]], items: Sequence[T]) -> list[R]:
        """The results of ``work`` on consecutive parts of ``items``, joined in order; [] for no items.

        ``work`` gives a result for every item of its part. torch's modes (inference, autocast) are a thread's own:
        ``work`` enters those that it needs.

        Raises:
            what ``work`` raises; of several errors that of the first part, after all parts have ended.
        """
        if not items:
            return []
        count = min(self.count, len(items))
        if self.count == 1:
            return list(work(items))
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="ftp")
        before, share = torch.get_num_threads(), max(1, self.count // count)

        def alone(part: Sequence[T]) -> list[R]:
            torch.set_num_threads(share)  # OpenMP keeps the number per thread
            return list(work(part))

        bounds = [len(items) * n // count for n in range(count + 1)]
        parts = [self._pool.submit(alone, items[a:b]) for a, b in pairwise(bounds)]
        try:
            errors = [part.exception() for part in parts]
        finally:
            torch.set_num_threads(before)
        for error in errors:
            if error is not None:
                raise error
        return [result for part in parts for result in part.result()]
