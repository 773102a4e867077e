"""The device that torch computes on, its precision, its memory, and how work is shared out to CPU threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from ftpcli.choices import Precision
from ftpcli.errors import FtpError, UsageError
from ftpcli.files.stages import current, stage

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
R = TypeVar("R")
#: Fewest parts, where there are that many items.
_LEAST = 4
#: The process in which torch computes for us in several threads.
_owner: int | None = None


def check_fork() -> None:
    """To be called before torch computes; the first process to do so is remembered.

    ``fork`` copies memory, not threads: a child whose parent has run torch in several threads waits for ever in its
    first operation that is shared out to them. torch has no query for that, so a child is not refused where only
    other code ran torch in the parent, or where ftpcli was not imported before the fork: it hangs. It works where
    the child calls ``torch.set_num_threads(1)`` first, and always with the start methods ``spawn`` and ``forkserver``.

    Raises:
        FtpError: this process was forked from one that had called this with several torch threads.
    """
    import torch

    global _owner
    if torch.get_num_threads() == 1:
        return
    if _owner is None:
        _owner = os.getpid()
    _refuse_child_of(_owner)


def _refuse_child_of(process: int) -> None:
    if process != os.getpid():
        raise FtpError(
            f"this process was forked after process {process} had run torch, and does not have its threads; "
            "start processes with multiprocessing.get_context('spawn')"
        )


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU; naming a device that is not there is a UsageError.

    Raises:
        FtpError: torch would hang in this process (``check_fork``).
    """
    import torch

    check_fork()
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    kind, _, number = name.partition(":")
    if kind not in available or (number and not number.isdigit()):
        raise UsageError(f"--device {name}: unknown; choose auto, cpu, cuda, cuda:N or mps")
    if not available[kind] or (kind == "cuda" and number and int(number) >= torch.cuda.device_count()):
        raise UsageError(f"--device {name}: this machine has no such device for torch; choose auto or cpu")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """``auto`` takes bf16 where the hardware multiplies it natively, else fp32."""
    import torch

    if name not in tuple(Precision):
        raise UsageError(f"--precision {name}: choose one of {', '.join(Precision)}")
    if name != Precision.AUTO:
        return str(name)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    native = device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # no public query exists
    )
    return "bf16" if native else "fp32"


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA's class for it says so as well; the allocators of CPU and MPS raise a plain RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return "can't allocate memory" in text or "not enough memory" in text or "out of memory" in text


def fix_threads() -> None:
    """Set torch's number of CPU threads to what it is: only then are they that many in MKL's products, too.

    Before that MKL may take fewer as it sees fit, and sums in another order are other sums: the last bits of equal
    runs could differ.
    """
    import torch

    torch.set_num_threads(torch.get_num_threads())


def peak_memory() -> float | None:
    """Of this process since it began, in MiB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (1024 * 1024 if sys.platform == "darwin" else 1024)


def no_other_threads() -> None:
    """To be called before numpy and OpenCV are imported: neither then starts threads of its own.

    They would run, or spin for milliseconds after each larger product, beside threads that have work (``Threads``).
    Variables that are set already stay.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(name, "1")


class Threads:
    """Calls a function on the parts of a sequence side by side.

    torch's own threads share out one operation and wait for each other before the next. Networks as small as ours
    are a thousand operations of a tenth of a millisecond: the waiting eats most of what a second core brings, and
    nearly everything where another program wants that core. Whole pictures or windows side by side, in one thread
    each, wait only for the last of them.

    Neither what is in a part nor how it is computed depends on ``count``: other batches, and other algorithms that
    torch takes for several threads, give other last bits, and a file would depend on the number of cores.

    Args:
        most: items in a part (fewer where that would make less than four parts); None: all, for accelerators, which
            one thread and full batches keep busy.
        count: of threads; None: as many as torch uses, which follows OMP_NUM_THREADS and the cores that the process
            may run on.
    """

    def __init__(self, most: int | None, count: int | None = None) -> None:
        import torch

        check_fork()
        self.most = most
        self._process = os.getpid()
        self._pool = ThreadPoolExecutor(torch.get_num_threads() if count is None else count, thread_name_prefix="ftp")
        if most is not None:
            fix_threads()

    @classmethod
    def of(cls, device: torch.device, most: int) -> Threads:
        """Parts of so many items on the CPU, all items at once on an accelerator."""
        return cls(most if device.type == "cpu" else None)

    def map(self, work: Callable[[Sequence[T]], Iterable[R]], items: Sequence[T]) -> list[R]:
        """The results of ``work`` on consecutive, about equal parts of ``items``, joined in order; [] for no items.

        ``work`` gives a result for every item of its part. torch's modes (inference, autocast) are a thread's own:
        ``work`` enters those that it needs.

        Raises:
            FtpError: in a process that was forked from the one that made this object.
            what ``work`` raises; of several errors that of the first part, after all parts have ended.
        """
        import torch

        if not items:
            return []
        _refuse_child_of(self._process)
        if self.most is None:
            return list(work(items))
        count = max(-(-len(items) // self.most), min(len(items), _LEAST))
        bounds = (len(items) * n // count for n in range(count + 1))
        before = torch.get_num_threads()
        name = current()

        def alone(part: Sequence[T]) -> list[R]:
            torch.set_num_threads(1)  # OpenMP keeps the number per thread
            with stage(name):
                return list(work(part))

        parts = [self._pool.submit(alone, items[a:b]) for a, b in pairwise(bounds)]
        try:
            wait(parts)
        finally:
            torch.set_num_threads(before)
        return [result for part in parts for result in part.result()]
