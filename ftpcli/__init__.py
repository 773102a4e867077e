"""ftp: annotates people in video with the FTP-Pose model."""

from __future__ import annotations

import os

from ftpcli.version import __version__

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when timm or we import huggingface_hub

TYPE_CHECKING = False  # without importing typing, which takes longer than all else here

__all__ = ["Annotation", "Annotator", "Options", "__version__", "annotate", "open_poses"]

if TYPE_CHECKING:
    from typing import Any

    from ftpcli.annotation.annotator import Annotator, annotate
    from ftpcli.annotation.chain import Annotation
    from ftpcli.annotation.options import Options
    from ftpcli.formats import open_poses


def __getattr__(name: str) -> Any:
    """Public names load what they need when first used: ``import ftpcli`` itself is quick."""
    import importlib

    homes = {"open_poses": "ftpcli.formats"}
    if name in __all__:
        return getattr(importlib.import_module(homes.get(name, "ftpcli.annotation.annotator")), name)
    raise AttributeError(f"module 'ftpcli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
