"""A model, or the person detector, on a data set."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from ftpcli.errors import UsageError
from ftpcli.evaluation.runs import PoseModel, RunOptions
from ftpcli.pose.views import check_tolerance


def evaluate_model(
    options: RunOptions,
    weights: str = "default",
    *,
    device: str = "auto",
    precision: str = "auto",
    batch: int = 16,
    quiet: bool = False,
    flip_test: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Load the weights and evaluate them; the report names the box source, the data, the model and its window.

    ``flip_test`` and ``changes`` (pruning ratios, selector) are those of ``Estimator.load``.

    Raises:
        FtpError: weights, device, data set or boxes do not fit.
    """
    if options.dataset == "detector":
        return _detector(options, weights, device)
    from ftpcli.pose.estimator import Estimator

    model = Estimator.load(weights, device=device, precision=precision, batch=batch, flip_test=flip_test, **changes)
    if not quiet:
        print(f"ftp: {model.device}, {model.precision}, boxes={options.boxes.label}", file=sys.stderr)
    result = evaluate_pose_model(model, options, quiet=quiet)
    return result | {"device": str(model.device), "precision": model.precision}


def evaluate_pose_model(model: PoseModel, options: RunOptions, *, quiet: bool = True) -> dict[str, Any]:
    """As `evaluate_model`, for a model at hand."""
    if options.every > 1 and options.dataset != "clips":
        raise UsageError(f"--every {options.every}: only --dataset clips can be thinned out")
    check_tolerance(options.hold_views)
    if options.hold_views and options.dataset != "clips":
        raise UsageError(f"--hold-views {options.hold_views:g}: only for --dataset clips")
    if options.dataset == "coco":
        from ftpcli.evaluation.on_coco import evaluate_coco_data as evaluate
    elif options.dataset == "clips":
        from ftpcli.evaluation.on_clips import evaluate_clips as evaluate
    else:
        from ftpcli.evaluation.on_posetrack import evaluate_posetrack as evaluate
    return evaluate(model, options, _silent if quiet else _Lines())


def _silent(done: int, total: int | None) -> None:
    pass


class _Lines:
    """A line of progress on stderr now and then."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds, self._last = seconds, time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last >= self._seconds:
            self._last = now
            print(f"ftp: {done} of {total} done", file=sys.stderr)


def _detector(options: RunOptions, weights: str, device: str) -> dict[str, Any]:
    from ftpcli.evaluation.oks import MISSING
    from ftpcli.evaluation.on_coco import coco_file
    from ftpcli.evaluation.on_scenes import evaluate_detector

    path: Path = coco_file(options.data, options.split)
    try:
        result = evaluate_detector(
            None if weights == "default" else weights, path, device=_plain_device(device), folder=options.images
        )
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("pycocotools"):
            raise UsageError(MISSING.replace("OKS AP", "box AP")) from None
        raise
    return {"metric": "detector", "dataset": "detector", "split": options.split, **result}


def _plain_device(device: str) -> str:
    """The detector is given a device by name; ``auto`` is chosen as for the pose model."""
    from ftpcli.device import choose_device

    return str(choose_device(device))
