"""The one place where ultralytics is imported, silenced: no installs, no look-ups, no analytics, no banner.

ultralytics reads these switches while it is imported, so they are set first. Its settings file goes to a
folder of the process's own, because the default one is shared with the user's other ultralytics programs.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

if "YOLO_CONFIG_DIR" not in os.environ:
    _folder = tempfile.mkdtemp(prefix="ftp-ultralytics-")
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    os.environ["YOLO_CONFIG_DIR"] = _folder
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_VERBOSE", "false")


@contextmanager
def _counting_threads() -> Iterator[None]:
    """Keep OMP_NUM_THREADS, which ultralytics sets to 1: ``ftpcli.device.cores`` follows it."""
    before = os.environ.get("OMP_NUM_THREADS")
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS", None)
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


with _counting_threads():
    from ultralytics import YOLO
    from ultralytics.cfg import get_cfg
    from ultralytics.engine.results import Boxes
    from ultralytics.nn import tasks
    from ultralytics.nn.tasks import DetectionModel, yaml_model_load
    from ultralytics.optim import MuSGD, muon
    from ultralytics.trackers.track import TRACKER_MAP
    from ultralytics.utils import ROOT, SETTINGS, YAML, IterableSimpleNamespace
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset
    from ultralytics.utils.nms import non_max_suppression


def tracker_settings(kind: str, **ours: Any) -> IterableSimpleNamespace:
    """What ultralytics ships as a tracker's settings, with ours in place of its own."""
    return IterableSimpleNamespace(**{**YAML.load(ROOT / "cfg" / "trackers" / f"{kind}.yaml"), **ours})


@contextmanager
def safe_unpickling(wanted: bool) -> Iterator[None]:
    """While it lasts, ultralytics opens ``.pt`` files with torch's restricted loader and its own list of classes.

    ultralytics has this switch only as an environment variable that it reads once (ULTRALYTICS_SAFE_LOAD).
    """
    before = tasks.SAFE_LOAD
    tasks.SAFE_LOAD = wanted or before
    try:
        yield
    finally:
        tasks.SAFE_LOAD = before


@contextmanager
def newton_schulz(own: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """While it lasts, MuSGD orthogonalises (N, R, C) updates with ``own``; ultralytics' always casts to bf16."""
    before = muon.zeropower_via_newtonschulz5
    muon.zeropower_via_newtonschulz5 = own  # type: ignore[assignment]
    try:
        yield
    finally:
        muon.zeropower_via_newtonschulz5 = before


if SETTINGS.get("sync", False):
    SETTINGS.update(sync=False)

__all__ = [
    "GITHUB_ASSETS_NAMES",
    "TRACKER_MAP",
    "YOLO",
    "Boxes",
    "DetectionModel",
    "MuSGD",
    "attempt_download_asset",
    "get_cfg",
    "newton_schulz",
    "non_max_suppression",
    "safe_unpickling",
    "tracker_settings",
    "yaml_model_load",
]
