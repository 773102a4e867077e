"""Checkpoints: everything a run needs to go on bit for bit, written whole or not at all."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from ftpcli.errors import InputError, OutputError


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write under a temporary name and move into place; the previous checkpoint survives a failure (OutputError)."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        torch.save(content, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: checkpoint cannot be written ({error}); the previous one is kept") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint restricted to tensors and plain values; raises InputError for anything else."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no checkpoint here to resume from; start without --resume") from error
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a whole checkpoint of 'ftp train'; start without --resume") from error
    if not isinstance(content, dict) or content.get("format") != "ftp-checkpoint":
        raise InputError(f"{path}: not a checkpoint of 'ftp train'; start without --resume")
    return content
