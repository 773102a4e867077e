"""Evaluation: prediction files against annotations, models on data sets, and the figures themselves.

``evaluate_files`` scores files (PoseTrack AP, MOTA, HOTA, OKS AP), ``evaluate_model`` a weights file on a data set,
``evaluate_pose_model`` a model at hand. PCK and jitter are in ``ftpcli.evaluation.pck`` and need numpy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftpcli.evaluation.files import evaluate_files as evaluate_files
    from ftpcli.evaluation.model import evaluate_model as evaluate_model
    from ftpcli.evaluation.model import evaluate_pose_model as evaluate_pose_model
    from ftpcli.evaluation.runs import BoxSource as BoxSource
    from ftpcli.evaluation.runs import RunOptions as RunOptions

_HOME = {
    "evaluate_files": "files",
    "evaluate_model": "model",
    "evaluate_pose_model": "model",
    "BoxSource": "runs",
    "RunOptions": "runs",
}

__all__ = [
    "BoxSource",
    "RunOptions",
    "evaluate_files",
    "evaluate_model",
    "evaluate_pose_model",
]


def __getattr__(name: str) -> Any:
    """Names load their module when first used, so that one does not wait for the others."""
    from importlib import import_module

    if name in _HOME:
        return getattr(import_module(f"ftpcli.evaluation.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
