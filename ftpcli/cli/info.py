"""``ftp info``: says what is in a poses file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ftpcli.inspection.summary import PosesSummary
    from ftpcli.records import Header


def command(
    poses: Annotated[Path, typer.Argument(help="JSON Lines, COCO or PoseTrack JSON.")],
    suggest: Annotated[
        int | None, typer.Option(min=1, help="Also name so many frames, those most worth correcting.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object on standard output.")] = False,
) -> None:
    """Show what a poses file holds: source, people, gaps, confidence, leaps, and what made it.

    Exit code: 0 done, 1 the file cannot be read, 2 wrong usage.
    """
    from ftpcli.annotation import suggestions
    from ftpcli.datasets.header import encode_run, encode_source
    from ftpcli.datasets.poses import open_poses
    from ftpcli.formats.base import dumps
    from ftpcli.inspection.summary import summarise

    with open_poses(poses) as reader:
        found = summarise(reader)
        header = reader.header
        frames = suggestions.suggest(reader, header.joints, suggest) if suggest else []
    if as_json:
        about = {"source": _said(encode_source(header.source)), "run": _said(encode_run(header.run))}
        typer.echo(dumps(found.to_dict() | about | ({"suggested": frames} if suggest else {})))
    else:
        _show(found, header)
        if suggest:
            typer.echo(f"frames most worth correcting: {', '.join(map(str, frames)) or 'none, nobody is in them'}")


def _said(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the header without what the file does not say."""
    return {name: value for name, value in part.items() if value not in (None, [], {})}


def _show(found: PosesSummary, header: Header) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from ftpcli.datasets.coco import VISIBLE

    console = Console(markup=False, emoji=False)
    source, run = header.source, header.run
    facts = [
        ("file", f"{found.path} ({found.format})"),
        ("source", source.path),
        ("size", source.width and f"{source.width} x {source.height}"),
        ("frames", f"{found.frames}, {found.empty_frames} without anybody"),
        ("time", found.first_seconds is not None and f"{found.first_seconds:.3f} to {found.last_seconds:.3f} s"),
        ("people", f"{len(found.people)}, at most {found.most_people} in a frame, {found.poses} poses"),
        ("doubtful joints", found.doubtful is not None and f"{found.doubtful:.1%} below confidence {VISIBLE}"),
        ("made by", run.program and f"{run.program} {run.version or ''}"),
        ("model", run.model and ", ".join(str(run.model[key]) for key in ("name", "sha256") if key in run.model)),
        ("options", ", ".join(f"{name} {value}" for name, value in run.options.items())),
    ]
    summary = Table.grid(padding=(0, 2))
    for name, value in facts:
        if value:
            summary.add_row(name, str(value))
    console.print(summary)
    if found.people:
        timed = found.first_seconds is not None
        ends = ("from s", "to s") if timed else ("from", "to")
        table = Table(
            "id", "frames", *ends, "filled", "gaps", "longest", "confidence", "leaps", title="people", box=SIMPLE
        )
        for one in found.people:
            first = one.first_seconds if timed else one.first_frame
            last = one.last_seconds if timed else one.last_frame
            numbers = (one.track_id, one.frames, first, last, one.filled, one.gaps, one.longest_gap, one.confidence)
            table.add_row(*(f"{n:.2f}" if isinstance(n, float) else str(n) for n in (*numbers, one.leaps)))
        console.print(table)
        table = Table("joint", "confidence", title="joints", box=SIMPLE)
        for joint, mean in found.joints.items():
            table.add_row(joint, f"{mean:.2f}")
        console.print(table)
    for line in found.warnings:
        typer.echo(f"ftp: warning: {found.path}: {line}", err=True)
