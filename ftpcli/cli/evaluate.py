"""``ftp eval``: score prediction files, or a model on a data set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ftpcli.choices import Dataset, Engine, Metric, Precision
from ftpcli.cli.progress import progress
from ftpcli.device import no_other_threads
from ftpcli.model.choices import Selector

_FILES, _MODEL, _OUT = "Prediction files", "A model on a data set", "Output"


def command(
    annotations: Annotated[
        Path | None, typer.Option(help="Annotation file or folder of files.", rich_help_panel=_FILES)
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Prediction file or folder with files of the same names.", rich_help_panel=_FILES),
    ] = None,
    metric: Annotated[
        Metric | None,
        typer.Option(help="What to measure. Data sets have a metric of their own.", rich_help_panel=_FILES),
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Weights file, or 'default' for the bundled ones.", rich_help_panel=_MODEL)
    ] = "default",
    data: Annotated[
        Path | None, typer.Option(help="The data set's folder (COCO: also a file).", rich_help_panel=_MODEL)
    ] = None,
    dataset: Annotated[Dataset | None, typer.Option(help="What --data is.", rich_help_panel=_MODEL)] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures, where a COCO file lies elsewhere.", rich_help_panel=_MODEL),
    ] = None,
    split: Annotated[str, typer.Option(help="Which part of the data set.", rich_help_panel=_MODEL)] = "val",
    boxes: Annotated[
        str, typer.Option(help="Person boxes: gt (from the annotations) or detected:FILE.", rich_help_panel=_MODEL)
    ] = "gt",
    min_box_score: Annotated[
        float, typer.Option(help="Leave out weaker detected boxes.", rich_help_panel=_MODEL)
    ] = 0.2,
    single: Annotated[
        bool, typer.Option("--single", help="Replace neighbouring frames by the key frame.", rich_help_panel=_MODEL)
    ] = False,
    blur: Annotated[int, typer.Option(min=0, help="Blur every picture by up to N pixels.", rich_help_panel=_MODEL)] = 0,
    every: Annotated[
        int, typer.Option(min=1, help="Clips: estimate every N-th frame only (no jitter then).", rich_help_panel=_MODEL)
    ] = 1,
    hold_views: Annotated[
        float,
        typer.Option(help="Clips: crops as of ftp annotate --hold-views.", rich_help_panel=_MODEL),
    ] = 0.0,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirror image's heatmaps.", rich_help_panel=_MODEL)
    ] = False,
    high_ratio: Annotated[
        int | None, typer.Option(min=1, help="Pruning other than trained: high resolution.", rich_help_panel=_MODEL)
    ] = None,
    low_ratio: Annotated[
        int | None, typer.Option(min=1, help="Pruning other than trained: low resolution.", rich_help_panel=_MODEL)
    ] = None,
    selector: Annotated[
        Selector | None, typer.Option(help="How pruning picks tokens, other than trained.", rich_help_panel=_MODEL)
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="onnx, in int8 by default, is annotate's on a CPU.", rich_help_panel=_MODEL)
    ] = Engine.TORCH,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_MODEL)] = "auto",
    precision: Annotated[Precision, typer.Option(help="As for annotate.", rich_help_panel=_MODEL)] = Precision.AUTO,
    batch: Annotated[int, typer.Option(min=1, help="Windows at a time.", rich_help_panel=_MODEL)] = 16,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the prediction files (default: beside the report).", rich_help_panel=_OUT),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="COCO: write predictions here, as pycocotools' loadRes takes them.", rich_help_panel=_OUT),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report as JSON.", rich_help_panel=_OUT)] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=_OUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="On stderr warnings and errors only.", rich_help_panel=_OUT)
    ] = False,
) -> None:
    """Score prediction files against annotations, or a model on a data set.

    Two uses: --annotations GT --predictions PRED --metric METRIC, or --data ROOT --dataset NAME [--weights FILE].

    Exit code: 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted.
    """
    no_other_threads()
    from ftpcli.errors import UsageError
    from ftpcli.evaluation.report import summary, write_json
    from ftpcli.evaluation.runs import BoxSource
    from ftpcli.files.inputs import require, require_file
    from ftpcli.files.output import check_target

    files, model = (annotations, predictions), (data, dataset)
    if any(files) and any(model):
        raise UsageError("give --annotations and --predictions, or --data and --dataset, not both")
    if not all(files) and not all(model):
        raise UsageError("give --annotations, --predictions and --metric, or --data and --dataset")
    if dataset is None and metric is None:
        raise UsageError(f"--metric is needed: one of {', '.join(Metric)}")
    if dataset and metric and (metric == Metric.COCO or not dataset.startswith("posetrack")):
        raise UsageError(f"--metric {metric} does not go with --dataset {dataset}; leave it out")
    if images is not None and dataset not in (Dataset.COCO, Dataset.DETECTOR):
        raise UsageError(f"--images {images}: only for --dataset coco and detector")
    if results is not None and dataset != Dataset.COCO:
        raise UsageError(f"--results {results}: only for --dataset coco; other predictions go to --out")
    box_source = BoxSource.parse(boxes)
    require(annotations, predictions, data, images)
    require_file(box_source.file)
    for target in (report, results):
        if target is not None:
            check_target(target, overwrite=overwrite, inputs=(annotations, predictions, data))

    if annotations is not None and predictions is not None:
        from ftpcli.evaluation.files import evaluate_files

        assert metric is not None
        result = evaluate_files(annotations, predictions, metric)
        result |= {"boxes": {"source": "not stated", "note": "those that the prediction files were made with"}}
    else:
        assert data is not None and dataset is not None
        from ftpcli.evaluation.model import evaluate_model
        from ftpcli.evaluation.runs import RunOptions

        with _folder(out, report) as folder:
            options = RunOptions(
                data=data,
                dataset=dataset,
                predictions=folder,
                split=split,
                boxes=box_source,
                images=images,
                metric=metric,
                single=single,
                blur=blur,
                every=every,
                hold_views=hold_views,
                min_score=min_box_score,
                results=results,
                overwrite=overwrite,
            )
            changes = {"high_ratio": high_ratio, "low_ratio": low_ratio, "selector": selector}
            with progress(f"evaluating, boxes={box_source.label}", "parts", quiet=quiet) as show:
                result = evaluate_model(
                    options,
                    weights,
                    engine=engine,
                    device=device,
                    precision=precision,
                    batch=batch,
                    progress=lambda done, total: show(done, total, ""),
                    flip_test=flip_test,
                    **{name: value for name, value in changes.items() if value is not None},
                )

    for line in result.get("warnings", ()):
        typer.echo(f"ftp: warning: {line}", err=True)
    typer.echo(summary(result))
    if report is not None:
        write_json(result, report, overwrite=overwrite, indent=1)


@contextmanager
def _folder(out: Path | None, report: Path | None) -> Iterator[Path]:
    """The folder for prediction files: the one asked for, one beside the report, or a temporary one."""
    if out is None and report is not None:
        from ftpcli.files.output import name_beside

        out = name_beside(report.with_suffix(""), "", "_predictions")
    if out is not None:
        yield out
    else:
        with TemporaryDirectory(prefix="ftp-eval-") as name:
            yield Path(name)
