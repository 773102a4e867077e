"""Options of ``ftp annotate --overlay`` and ``ftp render``: what is drawn besides skeletons."""

from __future__ import annotations

from typing import Annotated

import typer

_PANEL = "Drawing"

BlurFaces = Annotated[
    bool,
    typer.Option(
        "--blur-faces",
        help="Cover faces where head joints are; no guarantee: look through the video before you show it.",
        rich_help_panel=_PANEL,
    ),
]
Trails = Annotated[
    float,
    typer.Option(
        min=0.0, max=60.0, help="Seconds for which wrists, ankles and nose leave a line.", rich_help_panel=_PANEL
    ),
]
Angles = Annotated[
    bool,
    typer.Option(
        "--angles",
        help="Write the angles of knees, hips, elbows, shoulders and trunk, in degrees.",
        rich_help_panel=_PANEL,
    ),
]
Show = Annotated[
    bool,
    typer.Option("--show", help="Show the overlay in a window while it is made; Q closes it.", rich_help_panel=_PANEL),
]
