"""``ftp status``: how far the runs of ``ftp annotate`` into a folder are."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ftpcli.errors import counted


def command(
    folder: Annotated[str, typer.Argument(help="Folder of outputs, the --out of ftp annotate.")],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Sum up a folder's outputs: what is done, what failed and why, what is at work; also while runs work.

    Reads the status file that every run into a folder writes, on whatever machine it runs.
    """
    from ftpcli.files.status import summed_up

    found = summed_up(folder)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for line in _lines(found):
            typer.echo(line)


def _lines(found: dict[str, Any]) -> list[str]:
    of = "" if found["left"] is None else f", {found['left']} left of the latest run's {found['inputs']:,}"
    lines = [f"{found['done']:,} done, {len(found['failed']):,} failed{of}"]
    if found["seconds"]:
        hosts = ", ".join(f"{name} {count:,}" for name, count in sorted(found["hosts"].items()))
        speed = found["frames"] / found["seconds"]
        lines.append(f"{counted(found['frames'], 'frame')} in {found['seconds']:,.1f} s of work, {speed:.1f} frames/s")
        lines.append(f"done by {hosts}")
    for part in found["unfinished"]:
        state = "at work" if part["at_work"] else "interrupted, it seems"
        begun = ", ".join(
            f"{what} of {counted(n, 'stretch', 'stretches')}" for what, n in part["stretches"].items() if n
        )
        lines.append(
            f"{state}: {part['file']}, last written {part['last_written']:.0f} s ago{begun and f'; {begun} begun'}"
        )
    if found["broken_lines"]:
        lines.append(f"{counted(found['broken_lines'], 'broken line')} of the status file passed over")
    return [*lines, *(f"failed: {one['error']}" for one in found["failed"])]
