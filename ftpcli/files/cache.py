"""What is kept on this machine from run to run: in ``FTP_HOME``, else ``~/.cache/ftp``."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ftpcli.files.output import write_error


def cache_folder(kind: str) -> Path:
    """Where things of a kind are kept. The folder need not be there yet."""
    home = os.environ.get("FTP_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "ftp") / kind


def downloads_forbidden() -> bool:
    """Whether the user has switched the Hugging Face hub off; nothing else is downloaded then either."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in ("1", "ON", "YES", "TRUE")


def forget_unused(kind: Path, names: str, seconds: float) -> None:
    """Remove the folders in ``kind`` that are called like that, a regular expression, and whose time of change is
    longer ago; everything else there stays."""
    with suppress(OSError):
        for folder in kind.iterdir():
            with suppress(OSError):
                if re.fullmatch(names, folder.name) and time.time() - folder.lstat().st_mtime > seconds:
                    shutil.rmtree(folder, ignore_errors=True)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that appears whole or not at all; one that is there already is left as it is.

    Raises:
        OutputError: it cannot be written.
    """
    made = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=folder.parent))
        for name, content in files.items():
            (made / name).write_bytes(content)
        os.rename(made, folder)
    except OSError as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        if not folder.is_dir():  # else another run was faster
            raise write_error(folder, error) from error
