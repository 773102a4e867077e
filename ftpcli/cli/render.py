"""``ftp render``: draws the people of a poses file on its video."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ftpcli.choices import Codec, Speed
from ftpcli.cli.drawing_options import Angles, BlurFaces, Trails
from ftpcli.cli.progress import progress
from ftpcli.errors import UsageError, counted

_input = partial(typer.Option, rich_help_panel="Input")
_drawing = partial(typer.Option, rich_help_panel="Drawing")
_output = partial(typer.Option, rich_help_panel="Output")


def command(
    video: Annotated[str, typer.Argument(help="The video or image folder that was annotated; - for standard input.")],
    poses: Annotated[Path, typer.Argument(help="Its poses: JSON Lines, COCO or PoseTrack.")],
    out: Annotated[
        str | None, _output("--out", "-o", help="Required: the video to write, .mp4, .m4v, .mov or .mkv.")
    ] = None,
    black: Annotated[bool, _drawing("--black", help="Draw on black instead of the picture.")] = False,
    threshold: Annotated[float, _drawing(min=0.0, max=1.0, help="Leave out joints with a lower confidence.")] = 0.3,
    no_boxes: Annotated[bool, _drawing("--no-boxes", help="Draw no boxes.")] = False,
    no_ids: Annotated[bool, _drawing("--no-ids", help="Draw no ids.")] = False,
    ids: Annotated[str | None, _drawing("--ids", help="Draw only the people with these ids, as in 3,7.")] = None,
    blur_faces: BlurFaces = False,
    trails: Trails = 0.0,
    angles: Angles = False,
    codec: Annotated[Codec, _output(help="h264 plays everywhere, hevc is smaller.")] = Codec.H264,
    crf: Annotated[int, _output(min=0, max=51, help="Quality: 0 is best, higher is smaller.")] = 20,
    preset: Annotated[
        Speed | None,
        _output(help="Encoder speed: the slower, the smaller. Default: fast, above half a megapixel veryfast."),
    ] = None,
    no_audio: Annotated[bool, _output("--no-audio", help="Leave the sound out.")] = False,
    fps: Annotated[str | None, _input(help="Rate of an image folder, as in 25 or 30000/1001.")] = None,
    allow_network: Annotated[bool, _input("--allow-network", help="Accept an address as the video.")] = False,
    overwrite: Annotated[bool, _output("--overwrite", help="Replace an existing file.")] = False,
    quiet: Annotated[bool, _output("--quiet", "-q", help="Warnings and errors only.")] = False,
) -> None:
    """Draw skeletons, boxes and ids on the video that the poses were made from.

    Times and sound are those of the source. Where the poses cover a part of the video, only that part is written.

    Exit code: 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted.
    """
    from ftpcli.files.inputs import parse_ids, parse_rate, require_file, resolve_inputs

    _, errors = resolve_inputs([video], allow_network=allow_network)
    if errors:
        raise errors[0]
    require_file(poses)
    if out is None:
        raise UsageError("--out is missing: name the video to write (.mp4, .m4v, .mov, .mkv)")
    only = None if ids is None else parse_ids(ids)
    rate = None if fps is None else parse_rate(fps)

    from ftpcli.drawing.overlay import Style
    from ftpcli.drawing.rendering import render

    with progress("rendering", quiet=quiet) as show:
        done = render(
            video,
            poses,
            out,
            style=Style(
                black=black,
                threshold=threshold,
                boxes=not no_boxes,
                ids=not no_ids,
                angles=angles,
                trails=trails,
                blur_faces=blur_faces,
            ),
            only=only,
            audio=not no_audio,
            codec=codec.value,
            crf=crf,
            preset=preset,
            overwrite=overwrite,
            fps=rate,
            allow_network=allow_network,
            progress=lambda frames, total: show(frames, total, ""),
        )
    for line in done.warnings:
        typer.echo(f"ftp: warning: {line}", err=True)
    if not quiet:
        sound = ", with sound" if done.audio else ""
        people = counted(len(done.ids), "person", "people")
        typer.echo(f"{done.path}: {counted(done.frames, 'frame')}, {people}{sound}", err=True)
