"""What ``ftp annotate`` says of each input at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ftpcli.errors import FtpError, counted

if TYPE_CHECKING:
    from ftpcli.annotation.outputs import Summary


def unexpected(name: str, error: Exception) -> FtpError:
    if isinstance(error, MemoryError):
        return FtpError(f"{name}: out of memory; close other programs, or choose smaller --batch or --detector-size")
    first = str(error).partition("\n")[0]
    return FtpError(f"{name}: a fault of the program ({type(error).__name__}: {first}); 'ftp --debug' shows where")


def tell_error(error: FtpError) -> None:
    typer.echo(f"ftp: {error}", err=True)


def tell_summary(summary: Summary, quiet: bool) -> None:
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
