"""``ftp eval``: score prediction files, or a model on a data set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ftpcli.choices import Dataset, Engine, Metric, Precision
from ftpcli.cli.progress import progress
from ftpcli.device import MOST_BATCH, no_other_threads
from ftpcli.model.choices import Selector

_files = partial(typer.Option, rich_help_panel="Prediction files")
_model = partial(typer.Option, rich_help_panel="A model on a data set")
_out = partial(typer.Option, rich_help_panel="Output")


def command(
    annotations: Annotated[Path | None, _files(help="Annotation file or folder of files.")] = None,
    predictions: Annotated[Path | None, _files(help="Prediction file or folder with files of the same names.")] = None,
    metric: Annotated[Metric | None, _files(help="What to measure. Data sets have a metric of their own.")] = None,
    weights: Annotated[str, _model(help="Weights file, or 'default' for the bundled ones.")] = "default",
    data: Annotated[Path | None, _model(help="The data set's folder (COCO: also a file).")] = None,
    dataset: Annotated[Dataset | None, _model(help="What --data is.")] = None,
    images: Annotated[Path | None, _model(help="Folder of the pictures, where a COCO file lies elsewhere.")] = None,
    split: Annotated[str, _model(help="Which part of the data set.")] = "val",
    boxes: Annotated[str, _model(help="Person boxes: gt (from the annotations) or detected:FILE.")] = "gt",
    min_box_score: Annotated[float, _model(min=0.0, max=1.0, help="Leave out weaker detected boxes.")] = 0.2,
    single: Annotated[bool, _model("--single", help="Replace neighbouring frames by the key frame.")] = False,
    blur: Annotated[int, _model(min=0, max=1000, help="Blur every picture by up to N pixels.")] = 0,
    every: Annotated[int, _model(min=1, help="Clips: estimate every N-th frame only (no jitter then).")] = 1,
    hold_views: Annotated[float, _model(help="Clips: crops as of ftp annotate --hold-views.")] = 0.0,
    flip_test: Annotated[bool, _model("--flip-test", help="Average with the mirror image's heatmaps.")] = False,
    high_ratio: Annotated[int | None, _model(min=1, help="Pruning other than trained: high resolution.")] = None,
    low_ratio: Annotated[int | None, _model(min=1, help="Pruning other than trained: low resolution.")] = None,
    selector: Annotated[Selector | None, _model(help="How pruning picks tokens, other than trained.")] = None,
    engine: Annotated[Engine, _model(help="onnx, in int8 by default, is annotate's on a CPU.")] = Engine.TORCH,
    device: Annotated[str, _model(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[Precision, _model(help="As for annotate.")] = Precision.AUTO,
    batch: Annotated[int, _model(min=1, max=MOST_BATCH, help="Windows at a time.")] = 16,
    out: Annotated[Path | None, _out(help="Folder for the prediction files (default: beside the report).")] = None,
    results: Annotated[
        Path | None, _out(help="COCO: write predictions here, as pycocotools' loadRes takes them.")
    ] = None,
    report: Annotated[Path | None, _out(help="Write the report as JSON.")] = None,
    overwrite: Annotated[bool, _out("--overwrite", help="Replace existing files.")] = False,
    quiet: Annotated[bool, _out("--quiet", "-q", help="On stderr warnings and errors only.")] = False,
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
