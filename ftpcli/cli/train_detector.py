"""``ftp train-detector``: trains the person detector on your data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from ftpcli.cli.training_options import RecipeOptions, RunningOptions, given, grouped
from ftpcli.errors import UsageError


@dataclass(frozen=True)
class SourceOptions:
    """What the detector learns from, starts from and is measured on."""

    PANEL: ClassVar = "Data and starting weights"
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="NAME=boxes.json[:WEIGHT] (COCO detection), repeatable. A picture is "
            "shown WEIGHT times an epoch; weight 0 only lends people for pasting.",
        ),
    ]
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures, where they lie elsewhere.")] = None
    val: Annotated[Path | None, typer.Option(help="COCO detection file: average precision is measured on it.")] = None
    weights: Annotated[str | None, typer.Option(help="Detector to start from; 'default' is the bundled one.")] = None
    features: Annotated[
        Path | None,
        typer.Option(help="Convolutions to start from: YOLO11n as OpenVINO's .xml, with its .bin."),
    ] = None


@dataclass(frozen=True)
class SizeOptions:
    """Numbers of the detector's recipe; None is what the recipe says."""

    PANEL: ClassVar = RecipeOptions.PANEL
    image_size: Annotated[int | None, typer.Option(min=64, max=4096, help="Longer side of pictures in use.")] = None
    min_size: Annotated[int | None, typer.Option(min=64, max=4096, help="Smallest side of training pictures.")] = None
    max_size: Annotated[int | None, typer.Option(min=64, max=4096, help="Largest; each batch has a size between.")] = (
        None
    )


@grouped
def command(
    context: typer.Context,
    *,
    source: SourceOptions,
    sizes: SizeOptions,
    numbers: RecipeOptions,
    running: RunningOptions,
) -> None:
    """Train the person detector, with a checkpoint every few minutes and on interruption.

    Several GPUs: torchrun --nproc-per-node N -m ftpcli train-detector ... Exit code: 0 done, 1 failed, 2 wrong usage,
    130 or 143 interrupted (go on with --resume).
    """
    from ftpcli.evaluation.oks import pycocotools
    from ftpcli.files.inputs import require, require_file
    from ftpcli.people.loading import BUNDLED
    from ftpcli.training.folder import claimed

    files = [_source(text) for text in source.data]
    if len({name for name, _, _ in files}) < len(files):
        raise UsageError("--data: two files of the same name; give each its own")
    if source.weights and source.features:
        raise UsageError("--weights and --features: give one of them")
    weights = BUNDLED if source.weights == "default" else source.weights and Path(source.weights)
    require_file(*(path for _, path, _ in files), source.val, weights or None, source.features)
    require(source.images)
    if source.val is not None:
        pycocotools()
    context.with_resource(claimed(running.out, resume=running.resume))

    from ftpcli.training.detector.recipe import DetectorRecipe
    from ftpcli.training.detector.samples import Scenes
    from ftpcli.training.detector.trainer import DetectorRun, train_detector

    fields = running.prepare()
    recipe = DetectorRecipe(**numbers.changes(), **given(**asdict(sizes)))
    sources = [(Scenes(name, path, source.images), weight) for name, path, weight in files]
    start = (weights or None, source.features)
    run = DetectorRun(recipe, running.out, sources, source.val, *start, source.images, **fields)
    running.carry_out(partial(train_detector, run), run.device)


def _source(text: str) -> tuple[str, Path, float]:
    name, equals, rest = text.partition("=")
    if not equals or not rest:
        raise UsageError(f"--data {text}: give NAME=boxes.json or NAME=boxes.json:WEIGHT")
    path, colon, weight = rest.rpartition(":")
    if colon and not Path(rest).exists() and weight.replace(".", "", 1).isdigit():
        return name, Path(path), float(weight)
    return name, Path(rest), 1.0
