"""Workers of ``ftp annotate`` on the machines of a Ray cluster, which share a file system."""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from ftpcli.cli.signals import Apart, stop_signals
from ftpcli.cli.workers import Worker
from ftpcli.device import cores
from ftpcli.errors import FtpError, UsageError, counted, one_line
from ftpcli.files.inputs import STANDARD, can_reread
from ftpcli.version import __version__

if TYPE_CHECKING:
    from ftpcli.annotation.batch import Job
    from ftpcli.cli.workers import Settings
    from ftpcli.files.status import StatusFile

_PATIENCE = 3.0, 6.0  # seconds to connect, and to answer
_OBJECTS = 80 << 20  # bytes of memory for Ray's store, which holds nothing of ours
#: A worker is one process of one thread, see ``device.no_other_threads``.
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")}


def check_cluster(text: str | None, gpus: float | None, out: str, *inputs: str, show: bool) -> None:
    """Refuse before models load what cannot be (UsageError)."""
    if text is None:
        if gpus is not None:
            raise UsageError(f"--gpus-per-job {gpus:g}: is for --cluster")
        return
    if gpus is not None and gpus > 1 and not gpus.is_integer():
        raise UsageError(f"--gpus-per-job {gpus:g}: Ray gives parts of one GPU, or several whole ones")
    parse_cluster(text)
    if out == STANDARD or show or not all(map(can_reread, inputs)):
        raise UsageError(f"--cluster {text}: reads and writes files, no pipes, cameras or windows")


def parse_cluster(text: str) -> str:
    """The address in ``ray`` or ``ray:ADDRESS``: HOST:PORT of a cluster's head, ``auto`` for the cluster that this
    machine belongs to, ``local`` (also where there is none) for workers that are started for this run alone.

    Raises:
        UsageError: another engine or form, or Ray is missing.
    """
    name, colon, address = text.partition(":")
    address = address if colon else "local"
    host, _, port = address.rpartition(":")
    fits = host and "/" not in host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 1 << 16
    if name != "ray" or not (address in ("auto", "local") or fits):
        raise UsageError(f"--cluster {text}: give ray, ray:auto, or ray:HOST:PORT, as in ray:10.0.0.5:6379")
    if find_spec("ray") is None:
        raise UsageError(f"--cluster {text}: Ray is missing; pip install 'ftp-pose[cluster]'")
    return address


class RayWorkers:
    """Workers that are Ray actors. One that is lost, with its machine or without, is replaced by another.

    Args:
        address: see ``parse_cluster``.
        jobs: most workers; None: as many as there are CPUs, or shares of GPUs.
        gpus: of each worker; None: 1 where the cluster has GPUs and the device is not the CPU.
        needed: more workers than this have nothing to do.

    Raises:
        FtpError: nobody answers, or there are no such GPUs.
    """

    retries = 2
    advice = "go on with --resume"

    def __init__(
        self,
        address: str,
        jobs: int | None,
        gpus: float | None,
        needed: int,
        settings: Settings,
        status: StatusFile | None,
    ) -> None:
        self._address, self._jobs, self._gpus, self._needed = address, jobs, gpus, needed
        self._on_cpu = settings["device"] == "cpu"
        self._content = pickle.dumps((settings, status, os.getcwd()))
        self.most = 1
        self._folder: TemporaryDirectory[str] | None = None  # of a Ray that is started for this run
        self._apart: Apart | None = None

    def __enter__(self) -> Self:
        joined = False
        with stop_signals("stopping once Ray has started") as stop:  # it does not take being interrupted
            try:
                self._join(stop)
                joined = not stop()
            except FtpError:
                if not stop():
                    raise
            finally:
                if not joined:
                    self.__exit__()
        if stop():
            sys.exit(stop.exit_code)
        return self

    def _join(self, stop: Callable[[], bool]) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if self._address == "local":  # other users and machines are not let in
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            os.environ.setdefault("RAY_worker_niceness", "0")  # as with --jobs
        import ray

        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        try:
            if self._address == "local":
                cpus = min(self._jobs or cores(), self._needed)
                self._folder = TemporaryDirectory(prefix="ftp-ray-", ignore_cleanup_errors=True)
                quiet |= {"num_cpus": cpus, "object_store_memory": _OBJECTS, "_node_ip_address": "127.0.0.1"}
                quiet |= {"_temp_dir": self._folder.name, "include_dashboard": False}
                try:
                    self._init(quiet)
                except Exception:  # a machine that is busy may take longer than the 30 s that Ray waits
                    if stop():
                        raise
                    self._end()
                    self._init(quiet)
            else:
                _check_answer(self._address)
                self._init(quiet)
        except FtpError:
            raise
        except Exception as error:  # Ray raises of all kinds
            where = f"--cluster ray:{self._address}"
            raise FtpError(f"{where}: cannot be joined ({one_line(error)}); try 'ray status'") from error
        there = ray.cluster_resources()
        if self._gpus is None:
            self._gpus = 1.0 if there.get("GPU") and not self._on_cpu else 0.0
        if self._gpus > (gpus := there.get("GPU", 0.0)):
            raise UsageError(f"--gpus-per-job {self._gpus:g}: the cluster has {counted(int(gpus), 'GPU')}")
        room = int(gpus / self._gpus if self._gpus else there.get("CPU", 1))
        self.most = max(1, min(self._jobs or room, self._needed))
        self._actor: Any = ray.remote(_actor()).options(
            num_cpus=1, num_gpus=self._gpus, max_concurrency=3, runtime_env={"env_vars": _ONE_THREAD}
        )

    def _init(self, options: dict[str, Any]) -> None:
        import ray

        self._apart = Apart()
        with self._apart:
            ray.init(self._address, **options)

    def _end(self) -> None:
        import ray

        ray.shutdown()
        if self._apart is not None:
            self._apart.kill()  # where its start failed, Ray leaves some

    def __exit__(self, *_: object) -> None:
        self._end()
        if self._folder is not None:
            self._folder.cleanup()

    def start(self) -> Worker:
        return _RayWorker(self._actor.remote(), self._content)

    def wait(self, workers: Sequence[Worker], seconds: float) -> Sequence[Worker]:
        import ray

        of = {worker.next: worker for worker in workers if isinstance(worker, _RayWorker)}
        if not of:
            return []
        ready, _ = ray.wait(list(of), num_returns=len(of), timeout=0)
        if not ready:
            ready, _ = ray.wait(list(of), timeout=seconds)
        return [of[one] for one in ready]


def _check_answer(address: str) -> None:
    """Raises FtpError where no Ray answers. Its own attempt would take minutes, and may end the process."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    where = f"--cluster ray:{address}"
    port_of = "is it the head's address, with the port that 'ray start --head' names?"
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        socket.create_connection((host, int(port)), _PATIENCE[0]).close()
        asked = subprocess.run(command, capture_output=True, timeout=_PATIENCE[1], text=True)
    except (OSError, UnicodeError) as error:
        raise FtpError(f"{where}: nobody answers there ({one_line(error)}); {port_of}") from error
    except subprocess.TimeoutExpired as error:
        raise FtpError(f"{where}: no Ray answers there in {_PATIENCE[1]:g} s, but somebody is; {port_of}") from error
    if asked.returncode:
        why = one_line(Exception(asked.stderr.strip().rpartition("\n")[2]))
        if "token" in asked.stderr:
            why = "it asks for its token; set RAY_AUTH_TOKEN"
        raise FtpError(f"{where}: Ray cannot be used there ({why})")


def _actor() -> type:
    """The class of the actors, which Ray copies into the workers' processes with its code: those of another version of
    ftp can still say so."""
    version = __version__

    class Actor:
        def __init__(self) -> None:
            from queue import SimpleQueue

            self._jobs: SimpleQueue[Job | None] = SimpleQueue()
            self._said: SimpleQueue[tuple[str, Any] | None] = SimpleQueue()
            self._told, self._stop = 0.0, False

        def serve(self, content: bytes) -> None:
            """Does what ``cli.workers.serve`` does, in a thread of its own."""
            import os
            import pickle
            import socket

            try:
                where = f"worker on {socket.gethostname()}"
                try:
                    from ftpcli.version import __version__ as here
                except ImportError:
                    here = "none"
                if here != version:
                    self._said.put(("unfit", f"{where}: has ftp {here}, this is {version}; install the same there"))
                    return
                settings, status, folder = pickle.loads(content)
                try:
                    os.chdir(folder)
                except OSError:
                    self._said.put(("unfit", f"{where}: does not see {folder}; share the file system that it is on"))
                    return
                from ftpcli.cli.workers import serve

                serve(self, settings, status, lambda: self._stop)
            finally:
                self._said.put(None)

        def send(self, said: tuple[str, Any]) -> None:
            """What ``serve`` says; of progress a part, so that little waits for the master."""
            import time

            if said[0] != "progress":
                self._told = 0.0
            elif time.monotonic() < self._told + 0.5:
                return
            else:
                self._told = time.monotonic()
            self._said.put(said)

        def recv(self) -> Job | None:
            return self._jobs.get()

        def next(self) -> tuple[str, Any] | None:
            return self._said.get()

        def give(self, job: Job | None) -> None:
            self._jobs.put(job)

        def stop(self) -> None:
            self._stop = True

    return Actor


class _RayWorker:
    """The master's end: ``next`` is Ray's promise of what the worker says next."""

    def __init__(self, actor: Any, content: bytes) -> None:
        self._actor = actor
        self._actor.serve.remote(content)
        self.next = self._actor.next.remote()
        self._short = False

    def recv(self) -> tuple[str, Any]:
        import ray

        try:
            said = ray.get(self.next)
        except ray.exceptions.RayError as error:
            self._short = isinstance(error, ray.exceptions.OutOfMemoryError)
            raise EOFError from error
        if said is None:
            raise EOFError
        self.next = self._actor.next.remote()
        kind, content = said
        return ("failed", FtpError(content)) if kind == "unfit" else (kind, content)

    def send(self, job: Job | None) -> None:
        self._actor.give.remote(job)

    def stop(self) -> None:
        self._actor.stop.remote()

    def close(self) -> None:
        self.kill()

    def kill(self) -> None:
        import ray

        ray.kill(self._actor)

    def death(self) -> str:
        return "worker ran out of memory" if self._short else "worker was lost"
