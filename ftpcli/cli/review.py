"""``ftp review``: a page on which a browser plays a video with the poses of a file drawn over it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftpcli.cli.progress import progress
from ftpcli.errors import UsageError, counted

#: Frames of the file for each that is suggested for correction, and most suggestions.
_SUGGEST_ONE_OF, _SUGGESTIONS = 100, 20


def command(
    poses: Annotated[Path, typer.Argument(help="The poses: a file of any form that ftp reads.")],
    video: Annotated[
        Path | None, typer.Argument(help="The video or folder of pictures that they are of; without it, black.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Required: the page to write, .html.")] = None,
    embed: Annotated[
        bool | None,
        typer.Option(
            help="Put the video into the page, or name it by its path from there. Without either, videos up to 8 MB "
            "are put in."
        ),
    ] = None,
    fps: Annotated[str | None, typer.Option(help="Frames per second, for poses without times.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")] = False,
) -> None:
    """Write a page for looking through poses in a browser: video, skeletons, tracks, doubtful moments, plots.

    The page needs no network. Keys are named on it.

    Exit code: 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted.
    """
    from ftpcli.files.inputs import parse_rate, require, require_file
    from ftpcli.files.output import check_target

    require_file(poses)
    require(video)
    if out is None:
        raise UsageError("--out is missing: name the page to write (.html)")
    if embed and (video is None or video.is_dir()):
        raise UsageError("--embed: is for a video file; name one")
    rate = None if fps is None else parse_rate(fps)
    check_target(out, overwrite=overwrite, inputs=(poses, video))

    from ftpcli.annotation.suggestions import suggest
    from ftpcli.datasets.poses import open_poses
    from ftpcli.inspection.review import review

    with open_poses(poses) as reader:
        frames = reader.records or sum(1 for _ in reader)
        suggested = suggest(reader, reader.header.joints, min(_SUGGESTIONS, frames // _SUGGEST_ONE_OF + 1))
    with progress(f"reviewing {poses.name}", quiet=quiet) as show:
        done = review(
            poses,
            out,
            video,
            embed=embed,
            fps=rate,
            suggested=suggested,
            overwrite=overwrite,
            progress=lambda count, total: show(count, total, ""),
        )
    for line in done.warnings:
        typer.echo(f"ftp: warning: {poses}: {line}", err=True)
    if quiet:
        return
    where = "with the video in it" if done.embedded else f"plays {done.video}" if done.video else "without a video"
    if video is not None and video.is_dir():
        where = f"shows the pictures of {video}"
    found = f"{counted(done.frames, 'frame')}, {counted(done.people, 'person', 'people')}"
    typer.echo(f"{done.path}: {found}, {counted(done.moments, 'doubtful moment')}; {where}", err=True)
