"""safetensors files: named tensors behind a header of text. Nothing in one can run code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ftpcli.errors import InputError
from ftpcli.files.output import atomic_output, writing

if TYPE_CHECKING:
    import torch


def sha256(path: Path) -> str:
    """Of the whole file, in hex. Raises InputError."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); copy it again") from error


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], header: dict[str, str], *, exact: bool = False
) -> None:
    """Replace ``path`` by these tensors, floating-point ones as fp16 or, with ``exact``, as they are, and this header.

    Args:
        header: with several entries their order, and so the file's bytes, change from run to run.

    Raises:
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save

    stored = {
        name: (tensor.half() if tensor.is_floating_point() and not exact else tensor).detach().cpu().contiguous()
        for name, tensor in tensors.items()
    }
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(path, overwrite=True) as stream:
        stream.write(save(stored, metadata=header))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors, floating-point ones as fp32, and header.

    Raises:
        InputError: the file is missing, damaged, or no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
        tensors = load(content)
    except OSError as error:
        raise InputError(f"{path}: weights cannot be read ({error.strerror})") from error
    except (SafetensorError, ValueError, AttributeError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise InputError(
            f"{path}: not a whole safetensors weights file; give a file made by 'ftp train' or 'ftp train-detector', "
            "or copy it again"
        ) from error
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, header
