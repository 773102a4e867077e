"""``ftp convert``: writes the poses of a file in another form."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ftpcli.choices import Format, Joints, Picture
from ftpcli.cli.progress import progress
from ftpcli.errors import UsageError, counted

_output = partial(typer.Option, rich_help_panel="Output")
_part = partial(typer.Option, rich_help_panel="What is taken")
_video = partial(typer.Option, rich_help_panel="The video")

PosesFile = Annotated[Path, typer.Argument(help="The poses: JSON Lines, COCO, CocoVID or PoseTrack of any tool.")]
OutputPath = Annotated[Path, typer.Argument(help="The file or folder to write.")]
JointsOption = Annotated[Joints, _output(help="COCO, YOLO, CVAT: COCO's 17 joints, or all.")]
OverwriteOption = Annotated[bool, _output("--overwrite", "--force", help="Replace an existing file.")]
QuietOption = Annotated[bool, _output("--quiet", "-q", help="Warnings and errors only.")]


def command(
    poses: PosesFile,
    out: OutputPath,
    format: Annotated[
        Format | None,
        _output(
            "--to",
            "--format",
            metavar="<form>",
            help=f"{', '.join(Format)}. Without it the name of OUT decides; .json is coco.",
        ),
    ] = None,
    wide: Annotated[bool, _output("--wide", help="CSV: one row a person and frame.")] = False,
    angles: Annotated[bool, _output("--angles", help="CSV, Parquet: also the angles of joints, degrees.")] = False,
    joints: JointsOption = Joints.DEFAULT,
    ids: Annotated[str | None, _part("--ids", help="Only the people with these ids, as in 3,7.")] = None,
    every: Annotated[int, _part(min=1, help="Take one frame of this many.")] = 1,
    suggest: Annotated[int | None, _part(min=1, help="Take so many frames, those most worth correcting.")] = None,
    video: Annotated[Path | None, _video(help="What the poses are of: gives sizes, true times and pictures.")] = None,
    frames: Annotated[
        Path | None, _video(help="Also write the frames into this folder, as the output names them.")
    ] = None,
    picture: Annotated[Picture, _video(help="Kind of the frames' files.")] = Picture.JPG,
    fps: Annotated[str | None, _video(help="Frames per second, for poses without times and image folders.")] = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the poses of a file in another form. No model is loaded.

    What the form cannot hold is said in one line.

    Exit code: 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted.
    """
    from ftpcli.files.inputs import parse_ids, parse_rate

    if wide:
        if format not in (None, Format.CSV, Format.CSV_WIDE) or (format is None and out.suffix.lower() != ".csv"):
            raise UsageError("--wide: is for CSV; name a .csv file, or leave it out")
        format = Format.CSV_WIDE
    only, rate = None if ids is None else parse_ids(ids), None if fps is None else parse_rate(fps)

    from ftpcli.annotation.conversion import convert

    with progress(f"converting {poses.name}", quiet=quiet) as show:
        done = convert(
            poses,
            out,
            format,
            joints=joints,
            angles=angles,
            ids=only,
            every=every,
            suggestions=suggest,
            fps=rate,
            video=video,
            pictures=frames,
            picture=picture,
            overwrite=overwrite,
            progress=lambda count, total: show(count, total, ""),
        )
    for line in done.warnings:
        typer.echo(f"ftp: warning: {line}", err=True)
    if quiet:
        return
    typer.echo(
        f"{done.out}: {counted(done.frames, 'frame')}, {counted(done.people, 'pose')} as {done.format}", err=True
    )
