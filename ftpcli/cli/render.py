"""``ftp render``: draws the people of a poses file on its video."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ftpcli.drawing.rendering import Progress


_INPUT, _DRAWING, _OUTPUT = "Input", "Drawing", "Output"


class Codec(StrEnum):
    """What the encoder of ``ftpcli.video`` can write."""

    H264 = "h264"
    HEVC = "hevc"


class Speed(StrEnum):
    """The presets of x264 and x265."""

    ULTRAFAST = "ultrafast"
    SUPERFAST = "superfast"
    VERYFAST = "veryfast"
    FASTER = "faster"
    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"
    SLOWER = "slower"
    VERYSLOW = "veryslow"


def command(
    video: Annotated[str, typer.Argument(help="The video or image folder that was annotated; - for standard input.")],
    poses: Annotated[Path, typer.Argument(help="Its poses: JSON Lines, COCO or PoseTrack.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The video to write: .mp4, .m4v, .mov or .mkv.")],
    black: Annotated[
        bool, typer.Option("--black", help="Draw on black instead of the picture.", rich_help_panel=_DRAWING)
    ] = False,
    threshold: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Leave out joints with a lower confidence.", rich_help_panel=_DRAWING),
    ] = 0.3,
    no_boxes: Annotated[bool, typer.Option("--no-boxes", help="Draw no boxes.", rich_help_panel=_DRAWING)] = False,
    no_ids: Annotated[bool, typer.Option("--no-ids", help="Draw no ids.", rich_help_panel=_DRAWING)] = False,
    ids: Annotated[
        str | None,
        typer.Option("--ids", help="Draw only the people with these ids, as in 3,7.", rich_help_panel=_DRAWING),
    ] = None,
    codec: Annotated[
        Codec, typer.Option(help="h264 plays everywhere, hevc is smaller.", rich_help_panel=_OUTPUT)
    ] = Codec.H264,
    crf: Annotated[
        int, typer.Option(min=0, max=51, help="Quality: 0 is best, higher is smaller.", rich_help_panel=_OUTPUT)
    ] = 20,
    preset: Annotated[
        Speed, typer.Option(help="Encoder speed: the slower, the smaller.", rich_help_panel=_OUTPUT)
    ] = Speed.FAST,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave the sound out.", rich_help_panel=_OUTPUT)] = False,
    fps: Annotated[
        str | None, typer.Option(help="Rate of an image folder, as in 25 or 30000/1001.", rich_help_panel=_INPUT)
    ] = None,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Accept an address as the video.", rich_help_panel=_INPUT)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Draw skeletons, boxes and ids on the video that the poses were made from.

    Times and sound are those of the source. Where the poses cover a part of the video, only that part is written.
    """
    from ftpcli.files.inputs import parse_ids, parse_rate

    only = None if ids is None else parse_ids(ids)
    rate = None if fps is None else parse_rate(fps)

    from ftpcli.drawing.rendering import Style, render

    with _progress(quiet) as progress:
        done = render(
            video,
            poses,
            out,
            style=Style(black=black, threshold=threshold, boxes=not no_boxes, ids=not no_ids),
            only=only,
            audio=not no_audio,
            codec=codec.value,
            crf=crf,
            preset=preset.value,
            overwrite=overwrite,
            fps=rate,
            allow_network=allow_network,
            progress=progress,
        )
    if quiet:
        return
    for line in done.warnings:
        typer.echo(f"ftp: warning: {line}", err=True)
    sound = ", with sound" if done.audio else ""
    typer.echo(f"{done.path}: {done.frames} frames, {len(done.ids)} people{sound}", err=True)


_LINE_EVERY = 10.0  # seconds between two lines where stderr is not a terminal


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress | None]:
    """A bar on a terminal, a plain line now and then elsewhere, nothing when quiet."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _plain_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rendering", total=None)
        yield lambda frames, total: bar.update(task, completed=frames, total=total)


def _plain_lines() -> Progress:
    last = time.monotonic()

    def report(frames: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY:
            last = time.monotonic()
            typer.echo(f"rendering: {frames}{f' of {total}' if total else ''} frames", err=True)

    return report
