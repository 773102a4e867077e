"""Checkpoints: everything a run needs to go on bit for bit, written whole or not at all."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch

from ftpcli.errors import InputError, OutputError, UsageError
from ftpcli.files.output import atomic_output


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write under a temporary name and move into place; the previous checkpoint survives a failure (OutputError)."""
    try:
        with atomic_output(path, overwrite=True) as stream:
            torch.save(content, stream)  # type: ignore[arg-type]  # it calls write() and flush()
    except (OSError, OutputError, RuntimeError) as error:
        raise OutputError(f"{path}: checkpoint cannot be written ({error}); the previous one is kept") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint restricted to tensors and plain values; raises InputError for anything else."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no checkpoint here to resume from; start without --resume") from error
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a whole checkpoint of a training; start without --resume") from error
    if not isinstance(content, dict) or content.get("format") != "ftp-checkpoint":
        raise InputError(f"{path}: not a checkpoint of a training; start without --resume")
    return content


def check_signature(path: Path, saved: str, now: dict[str, Any]) -> None:
    """Raise UsageError where a checkpoint's signature (JSON) says that the run was begun otherwise than ``now``."""
    before, now = json.loads(saved), json.loads(json.dumps(now))
    for part, value in now.items():
        was = before.get(part)
        if was == value:
            continue
        names = (
            [n for n in value if was.get(n) != value[n]] if isinstance(value, dict) and isinstance(was, dict) else []
        )
        what = f" ({', '.join(f'{n} {was.get(n)}, not {value[n]}' for n in names)})" if names else ""
        raise UsageError(f"{path}: made with another {part}{what}; resume with the same options")
