"""Who is where: the person detector, trackers, boxes from files, gaps.

The only package that imports ultralytics, and only when one of these names is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftpcli.people.loading import Detector as Detector
    from ftpcli.people.loading import load_detector as load_detector

_HOME = {"Detector": "loading", "load_detector": "loading"}

__all__ = ["Detector", "load_detector"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"ftpcli.people.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
