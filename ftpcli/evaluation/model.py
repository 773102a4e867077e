"""A model, or the person detector, on a data set."""

from __future__ import annotations

from typing import Any

from ftpcli.errors import UsageError
from ftpcli.evaluation.runs import PoseModel, Progress, RunOptions
from ftpcli.pose.views import check_tolerance


def evaluate_model(
    options: RunOptions,
    weights: str = "default",
    *,
    engine: str = "torch",
    device: str = "auto",
    precision: str = "auto",
    batch: int = 16,
    progress: Progress | None = None,
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

    how: dict[str, Any] = {"engine": engine, "device": device, "precision": precision}
    model = Estimator.load(weights, batch=batch, flip_test=flip_test, **how, **changes)
    result = evaluate_pose_model(model, options, progress)
    return result | {"engine": model.engine.name, "device": str(model.device), "precision": model.precision}


def evaluate_pose_model(model: PoseModel, options: RunOptions, progress: Progress | None = None) -> dict[str, Any]:
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
    return evaluate(model, options, progress or (lambda done, total: None))


def _detector(options: RunOptions, weights: str, device: str) -> dict[str, Any]:
    from ftpcli.device import choose_device
    from ftpcli.evaluation.on_coco import coco_file
    from ftpcli.evaluation.on_scenes import evaluate_detector

    path, source = coco_file(options.data, options.split), None if weights == "default" else weights
    result = evaluate_detector(source, path, device=str(choose_device(device)), folder=options.images)
    return {"metric": "detector", "dataset": "detector", "split": options.split, **result}
