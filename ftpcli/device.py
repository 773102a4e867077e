"""What computes: engine, device and precision, memory, and how work is shared out to CPU threads and processes."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from multiprocessing import resource_tracker
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from ftpcli.choices import Engine, Precision
from ftpcli.errors import FtpError, UsageError
from ftpcli.files.stages import current, stage

if TYPE_CHECKING:
    import numpy as np
    import torch

#: Most windows at a time, and most threads or processes, that can be meant: more is a slip, or takes the machine down.
MOST_BATCH, MOST_THREADS = 4096, 1024
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


_SIGNALS = signal.SIGINT, signal.SIGTERM


@contextmanager
def signals_held() -> Iterator[None]:
    """Processes that are started in the block get no Ctrl-C and SIGTERM before they call ``take_signals``.

    A terminal sends its signals to all of a program's processes. One that has only begun would end at once, whatever it
    is going to do about them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its start lets signals in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take_signals() -> None:
    """In a process that was started by ``signals_held``: those that came come now."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def choose_engine(name: str, device: str, precision: str) -> Engine:
    """``auto`` takes ONNX Runtime on the CPU where it is installed, torch for everything else.

    torch is not imported.

    Raises:
        UsageError: an unknown name, or ONNX Runtime where it is missing, or with what it does not do.
    """
    from ftpcli.files.graphs import missing_package

    if name not in tuple(Engine):
        raise UsageError(f"--engine {name}: choose one of {', '.join(Engine)}")
    on_cpu = device == "cpu" or (device == "auto" and (name == Engine.ONNX or not _accelerator_possible()))
    fits, missing = on_cpu and precision != Precision.BF16, missing_package()
    if name == Engine.ONNX and not fits:
        raise UsageError(f"--engine onnx: computes on the CPU in fp32 or int8, not with --device {device}, {precision}")
    if name == Engine.ONNX and missing:
        raise UsageError(f"--engine onnx: {missing} is missing; pip install 'ftp-pose[onnx]'")
    if name == Engine.AUTO:
        return Engine.ONNX if fits and not missing else Engine.TORCH
    return Engine(name)


def _accelerator_possible() -> bool:
    """Whether torch may find one: asked of the system, since importing torch takes seconds."""
    try:
        build = version("torch").partition("+")[2]
    except PackageNotFoundError:
        return False
    if sys.platform == "darwin" or (build not in ("", "cpu") and not build.startswith("cu")):
        return True
    try:
        return build != "cpu" and bool(ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"))
    except OSError:
        return False


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
    kind, colon, number = name.partition(":")
    if kind not in available or (colon and not re.fullmatch("[0-9]{1,4}" if kind == "cuda" else "0", number)):
        raise UsageError(f"--device {name}: unknown; choose auto, cpu, cuda, cuda:N or mps")
    if not available[kind] or (kind == "cuda" and number and int(number) >= torch.cuda.device_count()):
        raise UsageError(f"--device {name}: this machine has no such device for torch; choose auto or cpu")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """``auto`` takes bf16 where the hardware multiplies it natively, else fp32."""
    import torch

    if name not in tuple(Precision):
        raise UsageError(f"--precision {name}: choose one of {', '.join(Precision)}")
    if name == Precision.INT8:
        raise UsageError("--precision int8: ONNX Runtime computes it, on the CPU; add --engine onnx --device cpu")
    if name != Precision.AUTO:
        return str(name)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    native = device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # no public query exists
    )
    return "bf16" if native else "fp32"


def is_accelerator(device: str) -> bool:
    """Whether what computes, as torch names it, is another device than the CPU.

    ``cpu:0`` counts as one: torch's CPU then stands in for it, so that the same path can be tried where there is none.
    """
    return device != "cpu"


def default_batch(device: str) -> int:
    """People who go through the pose model at a time. Memory that does not hold as many is found out: see
    :meth:`ftpcli.pose.estimator.Estimator.estimate`."""
    return 128 if is_accelerator(device) else 16


def in_steps(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The samples of a batch, on an accelerator the last of them repeated until they are 1, 2, 3, 4, 6, 8, 12, 16, 24
    and so on.

    There a network's convolutions are prepared anew for each number of samples that they meet, which can take longer
    than to compute them. The numbers of people in a video's frames are many.
    """
    if not is_accelerator(str(device)):
        return batch
    count = len(batch)
    more = next(size for power in range(32) for size in (1 << power, 3 << power >> 1) if size >= count) - count
    return batch if not more else import_module("torch").cat([batch, batch[-1:].expand(more, *batch.shape[1:])])


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


def available_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> int:
    """Threads for work that is not torch's: OMP_NUM_THREADS, else the cores that this process may run on."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else available_cores()


class OnDevice:
    """Pictures on an accelerator: each is copied there once, and its copy lives as long as the picture."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies: dict[int, torch.Tensor] = {}  # by the picture's address, which is its own while it lives

    def __call__(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 -> the same on the device. On CUDA the copy may still be under way: what is done with it
        there waits for it."""
        import numpy as np
        import torch

        copy = self._copies.get(id(image))
        if copy is None:
            pixels = torch.from_numpy(np.require(image, requirements=["C", "W"]))
            if self._device.type == "cpu":
                return pixels  # the picture itself
            pixels = pixels.pin_memory() if self._device.type == "cuda" else pixels
            copy = self._copies[id(image)] = pixels.to(self._device, non_blocking=True)
            weakref.finalize(image, self._copies.pop, id(image), None).atexit = False
        return copy


@lru_cache(maxsize=8)
def on_device(device: torch.device) -> OnDevice:
    """The pictures on a device, for all who look at them."""
    return OnDevice(device)


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
        torch: ``work`` uses it.
    """

    def __init__(self, most: int | None, count: int | None = None, *, torch: bool = True) -> None:
        self.most = most
        self._process = os.getpid()
        self._torch: ModuleType | None = None
        if torch:
            check_fork()
            self._torch = import_module("torch")
            if most is not None:
                fix_threads()
        count = count or (self._torch.get_num_threads() if self._torch else cores())
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="ftp")

    @classmethod
    def of(cls, device: torch.device, most: int) -> Threads:
        """Parts of so many items on the CPU, all items at once on an accelerator."""
        return cls(None if is_accelerator(str(device)) else most)

    def map(self, work: Callable[[Sequence[T]], Iterable[R]], items: Sequence[T]) -> list[R]:
        """The results of ``work`` on consecutive, about equal parts of ``items``, joined in order; [] for no items.

        ``work`` gives a result for every item of its part. torch's modes (inference, autocast) are a thread's own:
        ``work`` enters those that it needs.

        Raises:
            FtpError: in a process that was forked from the one that made this object.
            what ``work`` raises; of several errors that of the first part, after all parts have ended.
        """
        if not items:
            return []
        _refuse_child_of(self._process)
        if self.most is None:
            return list(work(items))
        count = max(-(-len(items) // self.most), min(len(items), _LEAST))
        bounds = (len(items) * n // count for n in range(count + 1))
        name = current()

        def alone(part: Sequence[T]) -> list[R]:
            if self._torch:
                self._torch.set_num_threads(1)  # OpenMP keeps the number per thread
            with stage(name):
                return list(work(part))

        before = self._torch.get_num_threads() if self._torch else 0
        parts = [self._pool.submit(alone, items[a:b]) for a, b in pairwise(bounds)]
        try:
            wait(parts)
        finally:
            if self._torch:
                self._torch.set_num_threads(before)
        return [result for part in parts for result in part.result()]
