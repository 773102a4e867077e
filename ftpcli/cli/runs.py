"""Runs of ``ftp annotate`` over its inputs: one after the other, or side by side in processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ftpcli.cli.progress import Report, bars, progress
from ftpcli.cli.signals import Stop, stop_signals
from ftpcli.errors import BusyError, FtpError, OutputError, counted, unexpected

if TYPE_CHECKING:
    from ftpcli.annotation.chain import Annotator
    from ftpcli.annotation.outputs import Progress, Summary, Target
    from ftpcli.files.inputs import Source
    from ftpcli.files.status import StatusFile

    #: Keywords of Annotator.
    Settings = dict[str, Any]
    Work = list[tuple[Source, Target]]

#: What the first signal says.
STOPPING = "stopping after this chunk"
_EVERY = 0.2  # seconds between two looks at whether to stop
_PAUSE = 0.5  # seconds after a look at an output that another run is writing


def one_by_one(
    settings: Settings, work: Work, errors: list[FtpError], quiet: bool, status: StatusFile | None = None
) -> tuple[list[Summary], Stop]:
    """Annotate one source after the other; a failure is printed and kept in ``errors``, the others go on.

    With a status file, what another run is writing is looked at again after the others, until it is done.
    Signals end the program at once while the models load, and from then on after the chunk that is at work.
    """
    from ftpcli.annotation.chain import Annotator
    from ftpcli.annotation.outputs import Interrupted

    annotator = Annotator(**settings)
    annotator.estimator.notice = _tell_notice
    if not quiet:
        typer.echo(_device(annotator), err=True)
    done, left, busy = [], deque(work), _Busy(quiet)
    with stop_signals(STOPPING) as stop:
        while left and not stop():
            source, target = left.popleft()
            with progress(_name(source), quiet=quiet) as show:
                outcome = _annotate(annotator, source, target, status, show, stop)
            if status and isinstance(outcome, BusyError):
                busy.tell(source)
                left.append((source, target))
            elif isinstance(outcome, FtpError):
                tell_error(outcome)
                if isinstance(outcome, Interrupted):
                    break
                errors.append(outcome)
            else:
                done.append(outcome)
                _tell_summary(outcome, quiet)
    return done, stop


def side_by_side(
    jobs: int,
    settings: Settings,
    work: Work,
    errors: list[FtpError],
    quiet: bool,
    stop: Stop,
    status: StatusFile | None = None,
) -> list[Summary]:
    """The same with so many processes of one thread each; one that dies fails the source that it was at, no other.

    The first one loads the models before the others start, so that what is made once for all is made once.
    """
    from ftpcli.annotation.outputs import Interrupted

    left, outcomes, busy = deque(enumerate(work)), dict[int, "Summary | FtpError"](), _Busy(quiet)
    workers: dict[Connection, _Worker] = {}
    asked = False
    with _one_thread(), bars(len(work), quiet=quiet) as begin:
        try:
            while workers or (left and not stop()):
                if left and not stop() and len(workers) < jobs and all(one.ready for one in workers.values()):
                    worker = _Worker(settings, status)
                    workers[worker.pipe] = worker
                if stop() and not asked:
                    asked = True
                    for worker in workers.values():
                        worker.process.terminate()
                for pipe in wait(list(workers), _EVERY):
                    assert isinstance(pipe, Connection)
                    worker = workers[pipe]
                    try:
                        kind, content = pipe.recv()
                    except (EOFError, OSError):  # it died
                        content = worker.death(asked)
                        kind = "done" if worker.number is not None else "gone" if worker.ready or asked else "failed"
                        if worker.number is not None:
                            _note_failure(status, work[worker.number], content)
                        del workers[pipe]
                    if kind == "ready":
                        if not quiet and not outcomes and len(workers) == 1:
                            typer.echo(content, err=True)
                        worker.ready = True
                    elif kind == "notice":
                        _tell_notice(content)
                    elif kind == "progress":
                        worker.show(*content)
                    elif kind == "failed":  # to load the models
                        raise content
                    elif kind == "done" and worker.number is not None:
                        worker.end()
                        number, worker.number = worker.number, None
                        if status and isinstance(content, BusyError):
                            busy.tell(work[number][0])
                            left.append((number, work[number]))
                        else:
                            outcomes[number] = content
                            if isinstance(content, FtpError):
                                tell_error(content)
                            else:
                                _tell_summary(content, quiet)
                    if pipe in workers and worker.ready and worker.number is None:
                        if left and not stop():
                            worker.number, (source, target) = left.popleft()
                            worker.show, worker.end = begin(_name(source))
                            worker.name = source.path
                            with suppress(OSError):  # it died: the pipe says so next
                                pipe.send((source, target))
                        else:
                            with suppress(OSError):
                                pipe.send(None)
                            worker.process.join()
                            del workers[pipe]
        finally:
            for worker in workers.values():
                worker.process.kill()
    ended = [outcomes[number] for number in sorted(outcomes)]
    errors += [one for one in ended if isinstance(one, FtpError) and not isinstance(one, Interrupted)]
    return [one for one in ended if not isinstance(one, FtpError)]


class _Worker:
    """A process that annotates the sources that it is sent."""

    process: BaseProcess

    def __init__(self, settings: Settings, status: StatusFile | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, settings, status), daemon=True)
        self.process.start()
        other.close()
        self.ready = False
        self.number: int | None = None  # of the source that it is at
        self.name = ""
        self.show: Report = lambda done, total, note: None
        self.end = lambda: None

    def death(self, asked: bool) -> FtpError:
        """What to say of a process that has ended without a word."""
        from ftpcli.annotation.outputs import Interrupted

        self.process.join()
        if asked:
            return Interrupted(f"{self.name or 'a job'}: stopped")
        code = self.process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return FtpError(
            f"{self.name or 'a job'}: its process {how}; go on with --resume, with fewer --jobs if memory ran out"
        )


def _serve(pipe: Connection, settings: Settings, status: StatusFile | None) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes: the first one passes it on
    from ftpcli.device import no_other_threads

    no_other_threads()
    with stop_signals() as stop:
        from ftpcli.annotation.chain import Annotator

        try:
            annotator = Annotator(**settings)
        except FtpError as error:
            pipe.send(("failed", error))
            return
        annotator.estimator.notice = lambda text: pipe.send(("notice", text))
        pipe.send(("ready", _device(annotator)))
        while (item := pipe.recv()) is not None:
            source, target = item
            outcome = _annotate(annotator, source, target, status, lambda *state: pipe.send(("progress", state)), stop)
            pipe.send(("done", outcome))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that start in the block compute in one thread."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _annotate(
    annotator: Annotator, source: Source, target: Target, status: StatusFile | None, show: Report, stop: Stop
) -> Summary | FtpError:
    """One source; what is wrong with it must not take the others with it."""
    from ftpcli.annotation.batch import annotate_noted
    from ftpcli.annotation.outputs import annotate_file

    def tell(state: Progress) -> None:
        show(state.frames, state.total, f"{state.people} poses")

    try:
        if source.own:
            annotator = annotator.with_options(**source.own)
        if status is None:
            return annotate_file(annotator, source.path, target, tell=tell, stop=stop)
        return annotate_noted(annotator, source, target, status, tell=tell, stop=stop)
    except BusyError as error:
        time.sleep(_PAUSE)
        return error
    except FtpError as error:
        failure = error
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("FTP_DEBUG"):
            raise
        failure = FtpError(f"{source.path}: {unexpected(error)}")
    _note_failure(status, (source, target), failure)
    return failure


def _note_failure(status: StatusFile | None, work: tuple[Source, Target], error: FtpError) -> None:
    from ftpcli.annotation.outputs import Interrupted

    source, target = work
    if status and target.out and not isinstance(error, Interrupted):
        with suppress(OutputError):  # the error itself is printed
            status.append("failed", source=source.name, out=target.out.name, error=str(error))


class _Busy:
    """Says once that another run is at work on the same outputs."""

    def __init__(self, quiet: bool) -> None:
        self._told = quiet

    def tell(self, source: Source) -> None:
        if not self._told:
            typer.echo(f"ftp: {source.name}: another run is at work on it; looking again after the others", err=True)
        self._told = True


def _name(source: Source) -> str:
    from ftpcli.files.inputs import describe

    return Path(describe(source.path)).name


def _device(annotator: Annotator) -> str:
    e = annotator.estimator
    return f"ftp: on {e.device} in {e.precision} ({e.engine.name}), weights {e.provenance['name']}"


def _tell_notice(text: str) -> None:
    typer.echo(f"ftp: warning: {text}", err=True)


def tell_error(error: FtpError) -> None:
    typer.echo(f"ftp: {error}", err=True)


def _tell_summary(summary: Summary, quiet: bool) -> None:
    warnings = list(summary.warnings)
    if summary.bad_packets:
        warnings.append(f"{counted(summary.bad_packets, 'packet')} could not be decoded")
    for warning in [] if summary.already else warnings:
        typer.echo(f"ftp: warning: {summary.source}: {warning}", err=True)
    if quiet:
        return
    if summary.already:
        typer.echo(f"{summary.out}: is whole already, {summary.frames} frames", err=True)
        return
    speed = (summary.frames - summary.replayed) / max(summary.elapsed, 1e-9)
    resumed = f", {summary.replayed} of them from the interrupted run" if summary.replayed else ""
    latency = ", latency {:.2f} s, at most {:.2f} s".format(*summary.latency) if summary.latency else ""
    out = "standard output" if summary.out == "-" else summary.out
    typer.echo(
        f"{out}: {counted(summary.frames, 'frame')}{resumed}, {counted(summary.tracks, 'track')}, "
        f"{counted(summary.people, 'pose')}, "
        f"{speed:.1f} frames/s{latency}",
        err=True,
    )
