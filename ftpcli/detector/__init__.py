"""Person detection: our own bundled detector, ultralytics' models, trackers, training and evaluation.

The only package that imports ultralytics, and only when one of these names is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftpcli.detector.evaluation import evaluate_detector as evaluate_detector
    from ftpcli.detector.loading import Detector as Detector
    from ftpcli.detector.loading import load_detector as load_detector
    from ftpcli.detector.tracking import Tracker as Tracker
    from ftpcli.detector.training import DetectorRecipe as DetectorRecipe
    from ftpcli.detector.training import train_detector as train_detector

_HOME = {
    "Detector": "loading",
    "load_detector": "loading",
    "Tracker": "tracking",
    "DetectorRecipe": "training",
    "train_detector": "training",
    "evaluate_detector": "evaluation",
}

__all__ = ["Detector", "DetectorRecipe", "Tracker", "evaluate_detector", "load_detector", "train_detector"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"ftpcli.detector.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
