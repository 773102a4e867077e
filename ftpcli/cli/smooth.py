"""``ftp smooth``: filters the joints of a poses file over time."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from ftpcli.choices import Format, Joints
from ftpcli.cli.convert import JointsOption, OutputPath, OverwriteOption, PosesFile, QuietOption
from ftpcli.cli.progress import progress
from ftpcli.errors import UsageError, counted
from ftpcli.pose.smoothing import Smoothing

_output = partial(typer.Option, rich_help_panel="Output")
_filter = partial(typer.Option, rich_help_panel="Filter")


def command(
    poses: PosesFile,
    out: OutputPath,
    filter: Annotated[Smoothing, _filter("--filter", help="none: only outliers and gaps.")] = Smoothing.BUTTERWORTH,
    cutoff: Annotated[float | None, _filter(help="Hz, of butterworth and gaussian; 6 without it.")] = None,
    window: Annotated[float | None, _filter(help="Seconds, of savgol, median and outliers; 0.2 without it.")] = None,
    fill_gaps: Annotated[float, _filter(help="Seconds: joints and people missing for so long are filled in.")] = 0.0,
    outliers: Annotated[bool, _filter("--outliers", help="Take out joints that leap away first (Hampel).")] = False,
    fps: Annotated[str | None, _filter(help="Frames per second, for poses without times.")] = None,
    format: Annotated[Format | None, _output("--to", "--format", help="As of ftp convert.")] = None,
    joints: JointsOption = Joints.DEFAULT,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Filter every person's joints over time, without lag. The poses that are read stay as they are.

    Exit code: 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted.
    """
    from ftpcli.annotation.conversion import convert
    from ftpcli.files.inputs import parse_rate
    from ftpcli.pose.filters import Filter

    given: dict[str, Any] = {
        name: value for name, value in (("cutoff", cutoff), ("window", window)) if value is not None
    }
    chosen = Filter(filter, fill_gaps=fill_gaps, outliers=outliers, **given)
    if unused := given.keys() - chosen.recorded():
        raise UsageError(f"--{min(unused)}: is not for --filter {filter}; leave it out, or choose another filter")
    if filter is Smoothing.NONE and not fill_gaps and not outliers:
        raise UsageError("--filter none: changes nothing without --outliers or --fill-gaps; use ftp convert")
    with progress(f"filtering {poses.name}", quiet=quiet) as show:
        done = convert(
            poses,
            out,
            format,
            joints=joints,
            fps=None if fps is None else parse_rate(fps),
            overwrite=overwrite,
            change=chosen,
            step={"command": "smooth", **chosen.recorded()},
            progress=lambda count, total: show(count, total, ""),
        )
    left = chosen.passed_over()
    for line in (*done.warnings, *(f"{done.out}: {line}" for line in left)):
        typer.echo(f"ftp: warning: {line}", err=True)
    if quiet:
        return
    line = f"{done.out}: {counted(done.frames, 'frame')}, {counted(done.people, 'pose')} as {done.format}"
    typer.echo(", ".join([line, *(said for said in chosen.said() if said not in left)]), err=True)
