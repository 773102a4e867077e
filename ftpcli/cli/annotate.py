"""``ftp annotate``: finds and follows every person in videos and writes their joints for every frame."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftpcli.errors import EXIT_SOME_FAILED, FtpError, UsageError
from ftpcli.people.tracking import TrackerName
from ftpcli.pose.smoothing import Smoothing
from ftpcli.records import Precision

if TYPE_CHECKING:
    from ftpcli.annotation.outputs import Progress, Summary, Target
    from ftpcli.files.inputs import Source

_INPUT, _PEOPLE, _MODEL, _OUTPUT = "Input", "People", "Model", "Output"


def command(
    videos: Annotated[
        list[str],
        typer.Argument(help="Videos, folders, patterns such as '*.mp4', a folder of numbered images, - for a pipe."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Poses file (.jsonl, .json); a folder where there are several inputs."),
    ],
    format: Annotated[
        str | None, typer.Option(help="jsonl, coco, posetrack or posetrack17.", rich_help_panel=_OUTPUT)
    ] = None,
    joints: Annotated[
        str, typer.Option(help="COCO files: default (COCO's 17) or all.", rich_help_panel=_OUTPUT)
    ] = "default",
    overlay: Annotated[
        Path | None,
        typer.Option(help="Also draw skeletons into this video (a folder likewise).", rich_help_panel=_OUTPUT),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=_OUTPUT)
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=_OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the closing summary as JSON on stdout.", rich_help_panel=_OUTPUT)
    ] = False,
    start: Annotated[
        str | None, typer.Option(help="Begin at this time: seconds or hh:mm:ss.", rich_help_panel=_INPUT)
    ] = None,
    end: Annotated[str | None, typer.Option(help="End before this time.", rich_help_panel=_INPUT)] = None,
    every: Annotated[int, typer.Option(min=1, help="Look at one frame of this many.", rich_help_panel=_INPUT)] = 1,
    rotate: Annotated[
        int | None,
        typer.Option(help="Degrees counterclockwise in place of the video's own rotation.", rich_help_panel=_INPUT),
    ] = None,
    fps: Annotated[
        str | None, typer.Option(help="Rate of an image folder, as in 25 or 30000/1001.", rich_help_panel=_INPUT)
    ] = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Accept addresses as inputs.", rich_help_panel=_INPUT)
    ] = False,
    detector: Annotated[
        str,
        typer.Option(
            help="default (bundled), a model file, or an ultralytics model's name, which is then downloaded.",
            rich_help_panel=_PEOPLE,
        ),
    ] = "default",
    detector_size: Annotated[
        int | None, typer.Option(help="Longer side of the detector's input, pixels.", rich_help_panel=_PEOPLE)
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Open detector files that can run code (.pt).", rich_help_panel=_PEOPLE)
    ] = False,
    tracker: Annotated[
        TrackerName, typer.Option(help="Also undoing the camera's movement: botsort.", rich_help_panel=_PEOPLE)
    ] = TrackerName.BYTETRACK,
    min_score: Annotated[
        float | None, typer.Option(help="Detections from this score on may be people.", rich_help_panel=_PEOPLE)
    ] = None,
    cuts: Annotated[
        bool, typer.Option(help="A camera cut ends tracks; nothing is taken across it.", rich_help_panel=_PEOPLE)
    ] = True,
    fill_gaps: Annotated[
        float,
        typer.Option(
            help="Seconds: people missed for so long are filled in where they are found again; 0 for none.",
            rich_help_panel=_PEOPLE,
        ),
    ] = 0.2,
    second_look: Annotated[
        bool,
        typer.Option(help="Joints that leap are estimated again in the frame before's box.", rich_help_panel=_PEOPLE),
    ] = True,
    boxes: Annotated[
        Path | None,
        typer.Option(help="MOT text or a poses file in place of detector and tracker.", rich_help_panel=_PEOPLE),
    ] = None,
    weights: Annotated[
        str, typer.Option(help="default (bundled) or a file made by ftp train.", rich_help_panel=_MODEL)
    ] = "default",
    flip_test: Annotated[
        bool,
        typer.Option(
            "--flip-test", help="Also look at the mirror image: better, half as fast.", rich_help_panel=_MODEL
        ),
    ] = False,
    hold_views: Annotated[
        float,
        typer.Option(
            help="Share of a person's size by which the box may move before the model's crops follow; 0 for at once "
            "(slower).",
            rich_help_panel=_MODEL,
        ),
    ] = 0.05,
    smooth: Annotated[
        Smoothing, typer.Option(help="Take jitter from the joints.", rich_help_panel=_MODEL)
    ] = Smoothing.NONE,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_MODEL)] = "auto",
    precision: Annotated[
        Precision, typer.Option(help="auto: bf16 where the hardware has it.", rich_help_panel=_MODEL)
    ] = Precision.AUTO,
    batch: Annotated[int, typer.Option(min=1, help="People per pass of the model.", rich_help_panel=_MODEL)] = 16,
) -> None:
    """Find and follow every person, and write their joints for every frame.

    Exit code: 0 all done, 1 some inputs failed, 2 wrong usage, 130 or 143 interrupted.
    """
    from ftpcli.files.inputs import parse_rate, parse_time, resolve_inputs

    sources, errors = resolve_inputs(videos)
    many = len(sources) + len(errors) > 1 or out.is_dir() or (not out.suffix and format is None)
    if not sources:
        raise errors[0]

    from ftpcli.annotation.chain import Annotator, Options

    options = Options(
        weights=weights,
        detector=detector,
        detector_size=detector_size,
        tracker=tracker,
        min_score=min_score,
        cuts=cuts,
        fill_gaps=fill_gaps,
        second_look=second_look,
        hold_views=hold_views,
        boxes=None if boxes is None else str(boxes),
        rotate=rotate,
        start=None if start is None else parse_time(start),
        end=None if end is None else parse_time(end),
        every=every,
        fps=None if fps is None else parse_rate(fps),
        smooth=smooth,
        flip_test=flip_test,
    )
    if boxes is not None and len(sources) > 1:
        raise UsageError(f"--boxes {boxes}: belongs to one video; annotate the others by themselves")
    targets = _targets(sources, out, many, format, joints, overlay, overwrite, resume)
    if not many:
        targets[0].check()  # before the models are loaded
    annotator = Annotator(
        options, device=device, precision=precision, batch=batch, trust=trust, allow_network=allow_network
    )
    annotator.estimator.notice = lambda text: typer.echo(f"ftp: warning: {text}", err=True)
    if not quiet:
        e = annotator.estimator
        typer.echo(f"ftp: on {e.device} in {e.precision}, weights {e.provenance['name']}", err=True)
    with _stop_signals() as caught:
        done = _run_all(annotator, sources, targets, errors, quiet, caught)
    if as_json:
        typer.echo(json.dumps({"done": [s.to_dict() for s in done], "failed": [str(e) for e in errors]}))
    if caught:
        raise typer.Exit(128 + caught[0])
    if errors:
        raise typer.Exit(errors[0].exit_code if not many else EXIT_SOME_FAILED)


def _run_all(
    annotator: Any,
    sources: list[Source],
    targets: list[Target],
    errors: list[FtpError],
    quiet: bool,
    caught: list[int],
) -> list[Summary]:
    """Annotate one source after the other; a failure is told and kept in ``errors``, the others go on."""
    from ftpcli.annotation.outputs import Interrupted, annotate_file

    for error in errors:
        _tell_error(error)
    done = []
    for source, target in zip(sources, targets, strict=True):
        try:
            with _progress(source.path, quiet) as tell:
                summary = annotate_file(annotator, source.path, target, tell=tell, stop=lambda: bool(caught))
        except Interrupted as error:
            typer.echo(f"ftp: {error}", err=True)
            break
        except FtpError as error:
            _tell_error(error)
            errors.append(error)
        except Exception as error:  # whatever is wrong with one input must not take the others with it
            if os.environ.get("FTP_DEBUG"):
                raise
            errors.append(_unexpected(source.path, error))
            _tell_error(errors[-1])
        else:
            done.append(summary)
            if not quiet:
                _tell_summary(summary)
        if caught:
            break
    return done


def _unexpected(name: str, error: Exception) -> FtpError:
    if isinstance(error, MemoryError):
        return FtpError(f"{name}: out of memory; close other programs, or choose smaller --batch or --detector-size")
    first = str(error).partition("\n")[0]
    return FtpError(f"{name}: a fault of the program ({type(error).__name__}: {first}); 'ftp --debug' shows where")


def _tell_error(error: FtpError) -> None:
    typer.echo(f"ftp: {error}", err=True)


def _tell_summary(summary: Summary) -> None:
    if summary.already:
        typer.echo(f"{summary.out}: is whole already, {summary.frames} frames", err=True)
        return
    for warning in summary.warnings:
        typer.echo(f"ftp: warning: {summary.source}: {warning}", err=True)
    if summary.bad_packets:
        typer.echo(f"ftp: warning: {summary.source}: {summary.bad_packets} packets could not be decoded", err=True)
    speed = (summary.frames - summary.replayed) / max(summary.elapsed, 1e-9)
    resumed = f", {summary.replayed} of them from the interrupted run" if summary.replayed else ""
    typer.echo(
        f"{summary.out}: {summary.frames} frames{resumed}, {summary.tracks} tracks, {summary.people} poses, "
        f"{speed:.1f} frames/s",
        err=True,
    )


def _targets(
    sources: list[Source],
    out: Path,
    many: bool,
    format: str | None,
    joints: str,
    overlay: Path | None,
    overwrite: bool,
    resume: bool,
) -> list[Target]:
    from ftpcli.annotation.outputs import Target
    from ftpcli.errors import OutputError
    from ftpcli.files.inputs import unique_stems
    from ftpcli.formats import FORMATS, format_of

    if not many:
        return [Target(out, format, joints, overlay, overwrite, resume)]
    suffix = FORMATS[format_of("poses.json", format)]
    for folder in (out, overlay):
        if folder is None:
            continue
        if folder.suffix.lower() in (".json", ".jsonl", ".mp4", ".mov", ".mkv") and not folder.is_dir():
            raise UsageError(f"{folder}: with several inputs --out and --overlay name folders")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: the folder cannot be made ({error.strerror}); choose another") from error
    return [
        Target(out / f"{stem}{suffix}", format, joints, overlay and overlay / f"{stem}.mp4", overwrite, resume)
        for stem in unique_stems(sources)
    ]


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM; a second one ends the program at once."""
    caught: list[int] = []

    def note(number: int, frame: Any) -> None:
        if caught:
            sys.exit(128 + number)
        caught.append(number)
        typer.echo("ftp: stopping after this chunk", err=True)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


_LINE_EVERY = 10.0  # seconds between two lines where stderr is not a terminal


@contextmanager
def _progress(name: str, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a plain line now and then elsewhere, nothing when quiet."""
    if quiet:
        yield lambda progress: None
        return
    if not sys.stderr.isatty():
        yield _plain_lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[people]} poses  {task.fields[speed]:.1f} frames/s"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(Path(name).name, total=None, people=0, speed=0.0)

        def tell(progress: Progress) -> None:
            speed = progress.frames / max(time.monotonic() - started, 1e-9)
            bar.update(task, completed=progress.frames, total=progress.total, people=progress.people, speed=speed)

        yield tell


def _plain_lines(name: str) -> Callable[[Progress], None]:
    started = last = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _LINE_EVERY:
            return
        last = now
        speed = progress.frames / (now - started)
        total = f" of {progress.total}" if progress.total else ""
        eta = f", {(progress.total - progress.frames) / speed:.0f} s left" if progress.total else ""
        line = f"{name}: {progress.frames}{total} frames, {progress.people} poses, {speed:.1f} frames/s{eta}"
        typer.echo(line, err=True)

    return tell
