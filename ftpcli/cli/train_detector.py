"""``ftp train-detector``: trains the person detector on your data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftpcli.cli.training_options import RECIPE, RecipeOptions, RunningOptions, given, grouped
from ftpcli.errors import UsageError

_DATA = "Data"


@grouped
def command(
    context: typer.Context,
    *,
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="NAME=boxes.json[:WEIGHT] (COCO detection), repeatable; pictures lie beside the file. A picture is "
            "shown WEIGHT times an epoch; weight 0 only lends people for pasting.",
            rich_help_panel=_DATA,
        ),
    ],
    val: Annotated[
        Path | None,
        typer.Option(help="COCO detection file: average precision is measured on it.", rich_help_panel=_DATA),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Detector file to start from; 'default' is the bundled one.", rich_help_panel="Model"),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=64, help="Side of the pictures it is for, pixels.", rich_help_panel=RECIPE)
    ] = None,
    first_size: Annotated[
        int | None, typer.Option(min=64, help="Side of the first training pictures.", rich_help_panel=RECIPE)
    ] = None,
    numbers: RecipeOptions,
    running: RunningOptions,
) -> None:
    """Train the person detector, with a checkpoint every few minutes and on interruption.

    Several GPUs: torchrun --nproc-per-node N -m ftpcli train-detector ... Exit code: 0 done, 1 failed, 2 wrong usage,
    130 interrupted (go on with --resume).
    """
    from ftpcli.training.folder import claimed

    files = [_source(text) for text in data]
    if len({name for name, _, _ in files}) < len(files):
        raise UsageError("--data: two files of the same name; give each its own")
    context.with_resource(claimed(running.out, resume=running.resume))

    from ftpcli.people.loading import BUNDLED
    from ftpcli.training.detector.recipe import DetectorRecipe
    from ftpcli.training.detector.samples import Scenes
    from ftpcli.training.detector.trainer import DetectorRun, train_detector

    options = running.prepare()
    run = DetectorRun(
        DetectorRecipe(**numbers.changes(), **given(image_size=image_size, first_size=first_size)),
        running.out,
        [(Scenes(name, path), weight) for name, path, weight in files],
        val,
        None if weights is None else BUNDLED if weights == "default" else Path(weights),
        **options,
    )
    running.carry_out(lambda tell: train_detector(run, tell), run.device)


def _source(text: str) -> tuple[str, Path, float]:
    name, equals, rest = text.partition("=")
    if not equals or not rest:
        raise UsageError(f"--data {text}: give NAME=boxes.json or NAME=boxes.json:WEIGHT")
    path, colon, weight = rest.rpartition(":")
    if colon and not Path(rest).exists() and weight.replace(".", "", 1).isdigit():
        return name, Path(path), float(weight)
    return name, Path(rest), 1.0
