"""Workers of ``ftp annotate``: what each of them does, and those that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from ftpcli.cli.progress import Report
from ftpcli.cli.signals import stop_signals
from ftpcli.device import signals_held, take_signals
from ftpcli.errors import BusyError, FtpError, OutputError, unexpected

if TYPE_CHECKING:
    from ftpcli.annotation.batch import Job
    from ftpcli.annotation.chain import Annotator
    from ftpcli.annotation.outputs import Progress, Summary
    from ftpcli.files.status import StatusFile

    #: Keywords of Annotator.
    Settings = dict[str, Any]

_PAUSE = 0.5  # seconds after a look at an output that another run is writing


class Worker(Protocol):
    """Somebody with the models loaded who does one job after the other; talks as ``serve`` does."""

    def recv(self) -> tuple[str, Any]:
        """What it says next; EOFError where it has died."""
        ...

    def send(self, job: Job | None) -> None:
        """The next job; None ends it."""
        ...

    def stop(self) -> None:
        """Ask it to stop after the chunk that it is at."""
        ...

    def close(self) -> None:
        """After None was sent: wait for its end."""
        ...

    def kill(self) -> None: ...

    def death(self) -> str:
        """How it died, to go behind "its"."""
        ...


class Workers(Protocol):
    """Makes workers; a context manager, outside of which there are none.

    Attributes:
        most: at a time.
        retries: how often a job whose worker died is given to another.
        advice: what to do where a job's worker died for the last time.
    """

    most: int
    retries: int
    advice: str

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def start(self) -> Worker: ...
    def wait(self, workers: Sequence[Worker], seconds: float) -> Sequence[Worker]:
        """Those that have something to say, after so many seconds at most."""
        ...


class Processes:
    """Workers that are processes of one thread each. A job is not given to a second one: memory may have run out."""

    retries = 0
    advice = "go on with --resume, with fewer --jobs if memory ran out"

    def __init__(self, most: int, settings: Settings, status: StatusFile | None) -> None:
        self.most, self._settings, self._status = most, settings, status
        self._threads: str | None = None

    def __enter__(self) -> Self:
        self._threads = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"
        return self

    def __exit__(self, *_: object) -> None:
        del os.environ["OMP_NUM_THREADS"]
        if self._threads is not None:
            os.environ["OMP_NUM_THREADS"] = self._threads

    def start(self) -> Worker:
        return _Process(self._settings, self._status)

    def wait(self, workers: Sequence[Worker], seconds: float) -> Sequence[Worker]:
        talking = wait([worker.pipe for worker in workers if isinstance(worker, _Process)], seconds)
        return [worker for worker in workers if isinstance(worker, _Process) and worker.pipe in talking]


class _Process:
    def __init__(self, settings: Settings, status: StatusFile | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self._process = context.Process(target=_live, args=(other, settings, status), daemon=True)
        with signals_held():
            self._process.start()
        other.close()

    def recv(self) -> tuple[str, Any]:
        try:
            said: tuple[str, Any] = self.pipe.recv()
            return said
        except OSError as error:
            raise EOFError from error

    def send(self, job: Job | None) -> None:
        with suppress(OSError):  # it died: the pipe says so next
            self.pipe.send(job)

    def stop(self) -> None:
        self._process.terminate()

    def close(self) -> None:
        self._process.join()

    def kill(self) -> None:
        self._process.kill()

    def death(self) -> str:
        self._process.join()
        code = self._process.exitcode or 0
        return f"process was killed by signal {-code}" if code < 0 else f"process ended with code {code}"


def _live(pipe: Connection, settings: Settings, status: StatusFile | None) -> None:
    """A process's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes: the first one passes it on
    with stop_signals() as stop, suppress(EOFError, ConnectionError):  # the first one was killed
        take_signals()
        serve(pipe, settings, status, stop)


class Line(Protocol):
    """A worker's end of the line to the one that gives it jobs."""

    def send(self, said: tuple[str, Any], /) -> None: ...
    def recv(self) -> Job | None: ...


def serve(line: Line, settings: Settings, status: StatusFile | None, stop: Callable[[], bool]) -> None:
    """What a worker does: load the models and say ``ready``, then do the jobs that come until None does.

    It says ``failed`` with an error where the models cannot be loaded, ``notice`` with a line, ``progress`` with the
    arguments of a ``Report``, and ``done`` with a job's outcome.
    """
    from ftpcli.device import no_other_threads

    no_other_threads()
    from ftpcli.annotation.chain import Annotator

    try:
        annotator = Annotator(**settings)
    except FtpError as error:
        line.send(("failed", error))
        return
    annotator.estimator.notice = lambda text: line.send(("notice", text))
    line.send(("ready", device_line(annotator)))
    while (job := line.recv()) is not None:
        outcome = do(job, annotator, status, lambda *state: line.send(("progress", state)), stop)
        line.send(("done", outcome))


def do(
    job: Job, annotator: Annotator, status: StatusFile | None, show: Report, stop: Callable[[], bool]
) -> Summary | FtpError | None:
    """One job; what is wrong with it must not take the others with it."""

    def tell(state: Progress) -> None:
        show(state.frames, state.total, f"{state.people} poses")

    try:
        return job.run(annotator, status, tell, stop)
    except BusyError as error:
        time.sleep(_PAUSE)
        return error
    except FtpError as error:
        failure = error
    except ConnectionError:  # nobody listens any more
        raise
    except Exception as error:
        if os.environ.get("FTP_DEBUG"):
            raise
        failure = FtpError(f"{job.source.path}: {unexpected(error)}")
    note_failure(status, job, failure)
    return failure


def note_failure(status: StatusFile | None, job: Job, error: FtpError) -> None:
    from ftpcli.annotation.outputs import Interrupted

    if status and job.out and not isinstance(error, Interrupted):
        with suppress(OutputError):  # the error itself is printed
            status.append("failed", source=job.source.name, out=job.out.name, error=str(error))


def device_line(annotator: Annotator) -> str:
    e = annotator.estimator
    return f"ftp: on {e.device} in {e.precision} ({e.engine.name}), weights {e.provenance['name']}"


def short_name(job: Job) -> str:
    from ftpcli.files.inputs import describe

    return Path(describe(job.source.path)).name
