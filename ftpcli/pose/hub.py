"""Pose models on the Hugging Face hub, by name: downloaded once, into the hub's own cache, because the user named them.

A name stands for the revision that this machine has; the first use fetches the newest. ``NAME@COMMIT`` is that revision
on every machine.
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

from ftpcli.choices import HUB_MODELS
from ftpcli.errors import InputError, OutputError, one_line
from ftpcli.files.cache import downloads_forbidden

#: The weights' file in every one of the repositories.
FILE = "model.safetensors"


def is_hub_name(name: str) -> bool:
    """Whether ``name`` is ``NAME`` or ``NAME@REVISION`` of a model on the hub."""
    return name.partition("@")[0] in HUB_MODELS


def cached_file(name: str) -> Path | None:
    """The named model's weights in the hub's cache; None where they are not there. Uses no network."""
    from huggingface_hub import try_to_load_from_cache

    short, _, revision = name.partition("@")
    cached = try_to_load_from_cache(HUB_MODELS[short], FILE, revision=revision or "main")
    return Path(cached) if isinstance(cached, str) else None


def hub_file(name: str) -> Path:
    """The named model's weights in the hub's cache, downloaded where they are not there yet.

    Raises:
        InputError: it cannot be downloaded; the message names the file and what to do with it.
        OutputError: the cache cannot be written.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import logging

    cached = cached_file(name)
    if cached is not None:
        return cached
    short, _, revision = name.partition("@")
    repository, revision = HUB_MODELS[short], revision or "main"
    try:
        if downloads_forbidden():
            raise ConnectionError("HF_HUB_OFFLINE is set")
        print(f"ftp: fetching {FILE} of {repository} from the Hugging Face hub", file=sys.stderr)
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # a failure is told below, each of its attempts need not be
        try:
            # Written under another name and moved when whole; a lock makes a second download wait for the first.
            return Path(hf_hub_download(repository, FILE, revision=revision, token=False))
        finally:
            logging.set_verbosity(verbosity)
    except Exception as error:  # the hub's own errors, and those of its network library
        disk = _disk_error(error)
        if disk is not None:
            raise OutputError(
                f"{name}: cannot be kept in the hub's cache ({disk.strerror}); free some space"
            ) from error
        raise InputError(
            f"{name}: cannot be fetched ({one_line(error)}); on a machine with network download "
            f"https://huggingface.co/{repository}/resolve/{revision}/{FILE} and give it here: --weights {FILE}"
        ) from error


def hub_origin(path: Path) -> dict[str, Any]:
    """Name, repository and revision of a file in the hub's cache; empty for others."""
    folder, commit = path.absolute().parent.parent, path.absolute().parent.name
    parts = folder.parent.name.split("--")
    if folder.name != "snapshots" or parts[0] != "models" or len(parts) != 3:
        return {}
    return {"name": parts[2], "repository": "/".join(parts[1:]), "revision": commit}


def _disk_error(error: BaseException | None) -> OSError | None:
    """The failure to write a file that led to this error, if one did."""
    while error is not None:
        if isinstance(error, OSError) and (error.errno in (errno.ENOSPC, errno.EDQUOT) or error.filename):
            return error
        error = error.__cause__ or error.__context__
    return None
