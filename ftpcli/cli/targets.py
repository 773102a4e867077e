"""Where the results of ``ftp annotate`` go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ftpcli.choices import Format, Joints
from ftpcli.errors import UsageError

if TYPE_CHECKING:
    from ftpcli.annotation.outputs import Target
    from ftpcli.files.inputs import Source


def targets_of(
    sources: list[Source],
    out: str,
    several: bool,
    format: Format | None,
    joints: Joints,
    overlay: str | None,
) -> list[Target]:
    """Where each source's results go; makes the folders that are missing."""
    from ftpcli.annotation.outputs import Target
    from ftpcli.files.inputs import STANDARD, refuse_standard, unique_stems
    from ftpcli.files.output import make_folder, name_beside
    from ftpcli.formats import SINKS, format_of

    single = not several and not os.path.isdir(out) and (bool(Path(out).suffix) or format is not None)
    if single or (out == STANDARD and not several):
        return [Target(None if out == STANDARD else Path(out), format, joints, Path(overlay) if overlay else None)]
    files = {".mp4", ".m4v", ".mov", ".mkv", *(sink.suffix for sink in SINKS.values() if sink.suffix)}
    for name in (out, overlay):
        if name is None:
            continue
        refuse_standard("--out" if name is out else "--overlay", name)
        if Path(name).suffix.lower() in files and not os.path.exists(name):
            raise UsageError(f"{name}: with several inputs --out and --overlay name folders")
        make_folder(name)
    suffix = SINKS[format_of("poses.json", format)].suffix
    stems = unique_stems(sources)
    outs = [name_beside(Path(out, stem), "", suffix) for stem in stems]
    overlays = [name_beside(Path(overlay, stem), "", ".mp4") if overlay else None for stem in stems]
    return [Target(out, format, joints, drawn) for out, drawn in zip(outs, overlays, strict=True)]
