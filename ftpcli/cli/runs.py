"""Runs of ``ftp annotate`` over its inputs: one after the other, or side by side on workers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from ftpcli.choices import Engine
from ftpcli.cli.progress import End, Report, bars, progress
from ftpcli.cli.signals import Stop, stop_signals
from ftpcli.cli.workers import Processes, Worker, Workers, device_line, do, note_failure, short_name
from ftpcli.device import MOST_THREADS, choose_engine, cores
from ftpcli.errors import BusyError, FtpError, counted

if TYPE_CHECKING:
    from ftpcli.annotation.batch import Job, Video
    from ftpcli.annotation.outputs import Summary
    from ftpcli.cli.workers import Settings
    from ftpcli.files.status import StatusFile

#: What the first signal says.
STOPPING = "stopping after this chunk"
_EVERY = 0.2  # seconds between two looks at whether to stop


@dataclass(frozen=True, slots=True)
class Hands:
    """Who does the work; fields as the options of the same names."""

    jobs: int | None = None
    cluster: str | None = None
    gpus_per_job: float | None = None
    split: float | None = None


def run(
    settings: Settings,
    work: Sequence[Video],
    errors: list[FtpError],
    quiet: bool,
    status: StatusFile | None,
    hands: Hands,
    ready: Callable[[], None],
) -> tuple[list[Summary], Stop]:
    """Annotate all sources as is asked for; failures are printed and kept in ``errors``, the others go on.

    Args:
        ready: called once the models are loaded, before the first output is begun.
    """
    from ftpcli.files.inputs import can_reread

    def workers(needed: int, status: StatusFile | None) -> Workers:
        if hands.cluster is not None:
            from ftpcli.cli.cluster import RayWorkers, parse_cluster

            return RayWorkers(parse_cluster(hands.cluster), hands.jobs, hands.gpus_per_job, needed, settings, status)
        return Processes(min(hands.jobs or _usual_jobs(settings), needed), settings, status)

    if hands.split is not None:
        from ftpcli.annotation.split import Split

        engine = workers(MOST_THREADS, None)

        def share(stretches: Sequence[Job], stop: Callable[[], bool]) -> None:
            failed: list[FtpError] = []
            side_by_side(engine, stretches, failed, quiet, stop, told=False)
            if failed:
                raise failed[0]

        splits = [Split(video, hands.split, share) for video in work]
        return one_by_one(settings, splits, errors, quiet, status, ready, engine)
    alone = not all(can_reread(video.source.path) and not video.target.show for video in work)
    engine = workers(1 if alone else len(work), status)
    if isinstance(engine, Processes) and engine.most == 1:
        return one_by_one(settings, work, errors, quiet, status, ready)
    with stop_signals(STOPPING) as stop, engine:
        return side_by_side(engine, work, errors, quiet, stop, status, ready=ready), stop


def _usual_jobs(settings: Settings) -> int:
    device = settings["device"]
    on_cpu = device == "cpu" or choose_engine(settings["engine"], device, settings["precision"]) == Engine.ONNX
    return max(1, cores() // 2) if on_cpu else 1


def one_by_one(
    settings: Settings,
    work: Sequence[Job],
    errors: list[FtpError],
    quiet: bool,
    status: StatusFile | None = None,
    ready: Callable[[], None] = lambda: None,
    helpers: AbstractContextManager[object] = nullcontext(),
) -> tuple[list[Summary], Stop]:
    """Annotate one source after the other; a failure is printed and kept in ``errors``, the others go on.

    With a status file, what another run is writing is looked at again after the others, until it is done. The work
    is done inside of ``helpers``.
    Signals end the program at once while the models load, and from then on after the chunk that is at work.
    """
    from ftpcli.annotation.annotator import Annotator
    from ftpcli.annotation.outputs import Interrupted, Summary

    annotator = Annotator(**settings)
    annotator.estimator.notice = tell_notice
    if not quiet:
        typer.echo(device_line(annotator), err=True)
    done, left, busy = list[Summary](), deque(work), _Busy(quiet)
    with stop_signals(STOPPING) as stop, helpers:
        ready()
        while left and not stop():
            job = left.popleft()
            with progress(short_name(job), quiet=quiet or job.shared) as show:
                outcome = do(job, annotator, status, show, stop)
            if status and isinstance(outcome, BusyError):
                busy.tell(job)
                left.append(job)
                continue
            _tell_outcome(outcome, quiet)
            if isinstance(outcome, Interrupted):
                break
            if isinstance(outcome, FtpError):
                errors.append(outcome)
            elif outcome is not None:
                done.append(outcome)
    return done, stop


def side_by_side(
    engine: Workers,
    work: Sequence[Job],
    errors: list[FtpError],
    quiet: bool,
    stop: Callable[[], bool],
    status: StatusFile | None = None,
    told: bool = True,
    ready: Callable[[], None] = lambda: None,
) -> list[Summary]:
    """The same with workers; one that dies fails the job that it was at, after the engine's retries, and no other.

    The first one loads the models before the others start, so that what is made once for all is made once. A worker
    has one job at a time, and gets the next one when that is done.
    """
    from ftpcli.annotation.outputs import Interrupted

    left, outcomes, busy = deque(enumerate(work)), dict[int, "Summary | FtpError | None"](), _Busy(quiet)
    hands: dict[Worker, _Hand] = {}
    losses: Counter[int | None] = Counter()
    asked = loaded = False
    most = min(engine.most, len(work))
    with bars(len(work), quiet=quiet) as begin:
        try:
            while hands or (left and not stop()):
                if left and not stop() and len(hands) < most and (not hands or _any_ready(hands)):
                    hands[engine.start()] = _Hand()
                if stop() and not asked:
                    asked = True
                    for worker in hands:
                        worker.stop()
                for worker in engine.wait(list(hands), _EVERY):
                    hand = hands[worker]
                    try:
                        kind, content = worker.recv()
                    except EOFError:
                        del hands[worker]
                        job, name = (hand.job, hand.job.source.path) if hand.job else (None, "a job")
                        content = FtpError(f"{name}: its {worker.death()}; {engine.advice}")
                        if asked:
                            content = Interrupted(f"{name}: stopped")
                        elif losses[hand.number] < engine.retries:
                            losses[hand.number] += 1
                            tell_notice(f"{name}: its {worker.death()}; another one goes on")
                            if job is not None and hand.number is not None:
                                hand.end()
                                left.appendleft((hand.number, job.again(hand.begun)))
                            continue
                        elif job is not None:
                            note_failure(status, job, content)
                        kind = "done" if job is not None else "gone" if hand.ready or asked else "failed"
                    if kind == "ready":
                        if not loaded:
                            ready()
                            if told and not quiet:
                                typer.echo(content, err=True)
                        hand.ready = loaded = True
                    elif kind == "notice":
                        tell_notice(content)
                    elif kind == "progress":
                        hand.begun = True
                        hand.show(*content)
                    elif kind == "failed":  # to load the models
                        raise content
                    elif kind == "done" and hand.job is not None and hand.number is not None:
                        hand.end()
                        number, job, hand.job, hand.number = hand.number, hand.job, None, None
                        if status and isinstance(content, BusyError):
                            busy.tell(job)
                            left.append((number, job))
                        else:
                            outcomes[number] = content
                            if told:
                                _tell_outcome(content, quiet)
                    if worker in hands and hand.ready and hand.job is None:
                        if left and not stop():
                            hand.number, hand.job = left.popleft()
                            hand.begun = False
                            hand.show, hand.end = begin(short_name(hand.job))
                            worker.send(hand.job)
                        else:
                            worker.send(None)
                            worker.close()
                            del hands[worker]
                if not left or stop():  # nobody waits for models that nobody needs any more
                    for worker in [worker for worker, hand in hands.items() if not hand.ready]:
                        worker.kill()
                        del hands[worker]
        finally:
            for worker in hands:
                worker.kill()
    ended = [outcomes[number] for number in sorted(outcomes)]
    errors += [one for one in ended if isinstance(one, FtpError) and not isinstance(one, Interrupted)]
    return [one for one in ended if one is not None and not isinstance(one, FtpError)]


@dataclass(slots=True)
class _Hand:
    """What is known of a worker.

    Attributes:
        job, number: that it is at, and its place in the work.
        begun: the job has stored something.
    """

    ready: bool = False
    number: int | None = None
    job: Job | None = None
    begun: bool = False
    show: Report = lambda done, total, note: None
    end: End = lambda: None


def _any_ready(hands: dict[Worker, _Hand]) -> bool:
    return any(hand.ready for hand in hands.values())


class _Busy:
    """Says once that another run is at work on the same outputs."""

    def __init__(self, quiet: bool) -> None:
        self._told = quiet

    def tell(self, job: Job) -> None:
        if not self._told:
            name = job.source.name
            typer.echo(f"ftp: {name}: another run is at work on it; looking again after the others", err=True)
        self._told = True


def tell_notice(text: str) -> None:
    typer.echo(f"ftp: warning: {text}", err=True)


def tell_error(error: FtpError) -> None:
    typer.echo(f"ftp: {error}", err=True)


def _tell_outcome(outcome: Summary | FtpError | None, quiet: bool) -> None:
    if isinstance(outcome, FtpError):
        tell_error(outcome)
    elif outcome is not None:
        _tell_summary(outcome, quiet)


def _tell_summary(summary: Summary, quiet: bool) -> None:
    for warning in () if summary.already else summary.warnings:
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
