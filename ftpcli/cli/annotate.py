"""``ftp annotate``: finds and follows every person in videos and writes their joints for every frame."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ftpcli.choices import HUB_MODELS, Engine, Format, Joints, Picture, Precision
from ftpcli.cli.drawing_options import Angles, BlurFaces, Show, Trails
from ftpcli.cli.many_options import Cluster, GpusPerJob, InputsFrom, Jobs, Split
from ftpcli.cli.many_options import Shard as ShardOption
from ftpcli.cli.runs import Hands, run, tell_error
from ftpcli.cli.targets import targets_of
from ftpcli.device import MOST_BATCH, no_other_threads
from ftpcli.errors import EXIT_SOME_FAILED, FtpError, UsageError
from ftpcli.people.selection import Select
from ftpcli.people.tracking import TrackerName
from ftpcli.pose.smoothing import Smoothing

_input = partial(typer.Option, rich_help_panel="Input")
_people = partial(typer.Option, rich_help_panel="People")
_choice = partial(typer.Option, rich_help_panel="Who goes into the file")
_model = partial(typer.Option, rich_help_panel="Model")
_output = partial(typer.Option, rich_help_panel="Output")


def command(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            help="Videos, folders, patterns such as '*.mp4', numbered images, 0 for a camera, - for standard input."
        ),
    ] = None,
    out: Annotated[
        str | None,
        _output(
            "--out",
            "-o",
            help="Required: a poses file, a folder for several inputs, or - for JSON Lines on standard output.",
        ),
    ] = None,
    format: Annotated[
        Format | None,
        _output(
            metavar="<form>",
            help=f"{', '.join(Format)}. Without it the name of --out decides: .jsonl is jsonl (all 19 joints), .csv "
            "csv and so on; .json and folders are coco.",
        ),
    ] = None,
    joints: Annotated[Joints, _output(help="COCO, YOLO, CVAT: COCO's 17 joints, or all.")] = Joints.DEFAULT,
    overlay: Annotated[
        str | None, _output(help="Also draw skeletons into this video (.mp4, .mov, .mkv); a folder where --out is one.")
    ] = None,
    blur_faces: BlurFaces = False,
    trails: Trails = 0.0,
    angles: Angles = False,
    show: Show = False,
    frames: Annotated[
        str | None, _output(help="Also write the frames into this folder, as the output names them.")
    ] = None,
    picture: Annotated[Picture, _output(help="Kind of the frames' files.")] = Picture.JPG,
    overwrite: Annotated[bool, _output("--overwrite", help="Replace existing files.")] = False,
    resume: Annotated[
        bool,
        _output(
            "--resume",
            "--skip-done",
            help="Go on: whole outputs of this very run are passed over, an interrupted one is continued.",
        ),
    ] = False,
    quiet: Annotated[bool, _output("--quiet", "-q", help="Warnings and errors only.")] = False,
    as_json: Annotated[bool, _output("--json", help="Print the closing summary as JSON on stdout.")] = False,
    inputs_from: InputsFrom = None,
    shard: ShardOption = None,
    start: Annotated[str | None, _input(help="Begin at this time: seconds or hh:mm:ss.")] = None,
    end: Annotated[str | None, _input(help="End before this time.")] = None,
    duration: Annotated[str | None, _input(help="End so long after the first frame.")] = None,
    every: Annotated[int, _input(min=1, help="Look at one frame of this many.")] = 1,
    rotate: Annotated[int | None, _input(help="Degrees counterclockwise in place of the video's own rotation.")] = None,
    fps: Annotated[str | None, _input(help="Rate of an image folder, as in 25 or 30000/1001.")] = None,
    allow_network: Annotated[bool, _input("--allow-network", help="Accept addresses as inputs.")] = False,
    detector: Annotated[
        str, _people(help="default (bundled), a model file, or an ultralytics model's name, which is then downloaded.")
    ] = "default",
    detector_size: Annotated[int | None, _people(help="Longer side of the detector's input, pixels.")] = None,
    detect_every: Annotated[
        int, _people(help="The detector looks at one frame of this many; people move on straight lines between.")
    ] = 1,
    trust: Annotated[bool, _people("--trust", help="Open detector files that can run code (.pt).")] = False,
    tracker: Annotated[TrackerName, _people(help="Who is who from frame to frame.")] = TrackerName.BYTETRACK,
    appearance: Annotated[
        bool,
        _people(
            "--appearance",
            help=f"Also by the colours of clothes: {', '.join(name for name in TrackerName if name.sees)}.",
        ),
    ] = False,
    min_score: Annotated[float | None, _people(help="Detections from this score on may be people.")] = None,
    cuts: Annotated[bool, _people(help="A camera cut ends tracks; nothing is taken across it.")] = True,
    fill_gaps: Annotated[
        float, _people(help="Seconds: people missed for so long are filled in where they are found again; 0 for none.")
    ] = 0.2,
    boxes: Annotated[str | None, _people(help="MOT text or a poses file in place of detector and tracker.")] = None,
    people: Annotated[int | None, _choice(help="At most so many at any time, whole tracks.")] = None,
    select: Annotated[Select | None, _choice(help="Whom --people prefers; largest without it.")] = None,
    ids: Annotated[str | None, _choice(help="Only the people with these ids, as in 3,7.")] = None,
    min_track: Annotated[float, _choice(help="Seconds: nobody who is there for less.")] = 0.0,
    join: Annotated[float, _choice(help="Seconds: parts of a track that lie so far apart get one id.")] = 0.0,
    weights: Annotated[
        str,
        _model(
            help=f"default (bundled), a file of ftp train or of ViTPose, or a model that is then downloaded: "
            f"{', '.join(HUB_MODELS)} (usyd-community/NAME on the Hugging Face hub; NAME@COMMIT for a revision)."
        ),
    ] = "default",
    flip_test: Annotated[
        bool, _model("--flip-test", help="Also look at the mirror image: better, half as fast.")
    ] = False,
    hold_views: Annotated[
        float,
        _model(
            help="Share of a person's size by which the box may move before the model's crops follow; 0 for at once "
            "(slower)."
        ),
    ] = 0.05,
    smooth: Annotated[Smoothing, _model(help="Filter each person's joints over time.")] = Smoothing.NONE,
    engine: Annotated[
        Engine,
        _model(
            help="What computes the networks; auto: ONNX Runtime (onnx) on a CPU where it is installed, else torch."
        ),
    ] = Engine.AUTO,
    device: Annotated[str, _model(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[
        Precision, _model(help="auto: int8 on the onnx engine; on torch bf16 where it is native.")
    ] = Precision.AUTO,
    jobs: Jobs = None,
    cluster: Cluster = None,
    gpus_per_job: GpusPerJob = None,
    split: Split = None,
    batch: Annotated[
        int | None,
        _model(min=1, max=MOST_BATCH, help="People per pass of the model (16 on a CPU, 128 on other devices)."),
    ] = None,
) -> None:
    """Find and follow every person, and write their joints for every frame.

    Exit code: 0 all done, 1 some inputs failed, 2 wrong usage, 130 or 143 interrupted, 141 standard output closed.
    """
    from ftpcli.cli.cluster import check_cluster
    from ftpcli.files.inputs import (
        STANDARD,
        describe,
        parse_ids,
        parse_rate,
        parse_time,
        refuse_address,
        refuse_standard,
        require_file,
    )
    from ftpcli.files.output import check_target, folders_if_used
    from ftpcli.files.status import StatusFile
    from ftpcli.files.worklist import Row, Shard, read_worklist, resolve_rows

    share = Shard(1, 1) if shard is None else Shard.parse(shard)
    rows = [*map(Row, videos or []), *(read_worklist(inputs_from) if inputs_from else [])]
    if not rows:
        raise UsageError("no inputs: name videos or a folder, or a list with --inputs-from")
    sources, failed = resolve_rows(rows, allow_network=allow_network)
    listed = len(sources) + len(failed)
    several = listed > 1 or inputs_from is not None or shard is not None
    failed = {name: error for name, error in failed.items() if share.has(name)}
    errors = list(failed.values())
    if errors and not (several and sources and out):
        for missing in errors[:-1]:
            tell_error(missing)
        raise errors[-1]
    if out is None:
        raise UsageError("--out is missing: a poses file (.jsonl, .json), a folder for several inputs, or - for stdout")
    check_cluster(cluster, gpus_per_job, out, *(source.path for source in sources), show=show)
    if as_json and out == STANDARD:
        raise UsageError("--json: --out - writes to standard output already; name a file with one of them")
    if boxes is not None and several:
        raise UsageError(f"--boxes {boxes}: belongs to one video; give each its own in a table with --inputs-from")
    drawn = {"--blur-faces": blur_faces, "--trails": trails, "--angles": angles}
    if overlay is None and not show and (unused := [option for option, value in drawn.items() if value]):
        raise UsageError(f"{unused[0]}: is for the overlay; name one with --overlay, or give --show")
    if blur_faces and frames is not None:
        raise UsageError("--blur-faces: --frames writes faces as they are; leave one of them out")
    if show:
        from ftpcli.annotation.pictures_out import check_display

        check_display()
    files = {"--boxes": boxes, "--weights": weights, "--detector": detector}
    for option, value in {**files, "--out": out, "--overlay": overlay, "--frames": frames}.items():
        refuse_address(option, value)
    if frames is not None:
        refuse_standard("--frames", frames)

    if not quiet:  # what follows imports libraries and reads the models
        typer.echo("ftp: starting", err=True)
    no_other_threads()
    from ftpcli.annotation.batch import Video
    from ftpcli.annotation.options import Options
    from ftpcli.annotation.split import check_split
    from ftpcli.drawing.overlay import Style
    from ftpcli.pose.hub import is_hub_name
    from ftpcli.pose.weights import weights_path
    from ftpcli.video.selection import Selection, check_rotation

    options = Options(
        weights=weights,
        detector=detector,
        detector_size=detector_size,
        detect_every=detect_every,
        tracker=tracker,
        appearance=appearance,
        min_score=min_score,
        cuts=cuts,
        fill_gaps=fill_gaps,
        hold_views=hold_views,
        boxes=boxes,
        people=people,
        select=select,
        ids=None if ids is None else tuple(sorted(parse_ids(ids))),
        min_track=min_track,
        join=join,
        rotate=rotate,
        start=None if start is None else parse_time(start),
        end=None if end is None else parse_time(end),
        duration=None if duration is None else parse_time(duration),
        every=every,
        fps=None if fps is None else parse_rate(fps),
        smooth=smooth,
        flip_test=flip_test,
    )
    if out == STANDARD:
        options.check_streamed("--out -; name a file")
    if overlay is not None:
        options.check_streamed("--overlay; draw the finished file with ftp render")
    if smooth.whole_tracks:
        from ftpcli.pose.filters import Filter

        Filter(smooth)  # says what is missing
        if out == STANDARD:
            raise UsageError(f"--smooth {smooth}: looks ahead, which --out - cannot; name a file")
        if overlay is not None or show:
            typer.echo(
                f"ftp: warning: --smooth {smooth}: looks ahead; what is drawn meanwhile is not filtered", err=True
            )
    check_rotation(rotate)
    Selection(describe(rows[0].path), options.start, options.end, every, options.duration)
    if not is_hub_name(weights):  # downloads wait until outputs are checked
        weights_path(weights)
    if boxes is not None:
        require_file(boxes)
    style = Style(angles=angles, trails=trails, blur_faces=blur_faces)
    folder = None if frames is None else Path(frames)
    work = []
    with folders_if_used(out, overlay, frames):
        # Names of outputs are chosen among all inputs, so that they are the same in every shard.
        for source, target in zip(sources, targets_of(sources, out, several, format, joints, overlay), strict=True):
            if not share.has(source.name):
                continue
            target = replace(
                target, overwrite=overwrite, resume=resume, picture=picture, frames=folder, show=show, style=style
            )
            try:
                own = options.of_source(**source.own)
                Selection(source.name, own.start, own.end, every, own.duration)
                target.check(source.path, own.boxes, weights)
                if split is not None:
                    check_split(split, own, source, target)
                work.append(Video(source, target))
            except FtpError as error:
                if not several:
                    raise
                failed[source.name] = error
        errors = list(failed.values())
        for failure in errors:
            tell_error(failure)
        status = StatusFile(out) if sources and out != STANDARD and os.path.isdir(out) else None
        if status:
            check_target(status.path, overwrite=True)

        def note_run() -> None:
            if status:
                status.append("run", inputs=listed, shard=shard)
                for name, failure in failed.items():
                    status.append("failed", source=name, error=str(failure))

        if not work:
            note_run()
            if not errors:
                typer.echo(f"ftp: none of {listed} inputs is in shard {shard}", err=True)
            raise typer.Exit(EXIT_SOME_FAILED if errors else 0)
        settings: dict[str, Any] = {
            "options": options,
            "engine": engine,
            "device": device,
            "precision": precision,
            "batch": batch,
            "trust": trust,
            "allow_network": allow_network,
        }
        hands = Hands(jobs, cluster, gpus_per_job, split)
        done, stop = run(settings, work, errors, quiet, status, hands, note_run)
    if done and not quiet and boxes is None and detector == "default" and _at_a_terminal():
        from ftpcli.people.loading import stronger_detector

        if hint := stronger_detector():
            typer.echo(f"ftp: {hint}", err=True)
    if as_json:
        typer.echo(json.dumps({"done": [s.to_dict() for s in done], "failed": [str(e) for e in errors]}))
    if stop():
        raise typer.Exit(stop.exit_code)
    if errors:
        raise typer.Exit(EXIT_SOME_FAILED if several else errors[0].exit_code)


def _at_a_terminal() -> bool:
    return sys.stderr.isatty()
