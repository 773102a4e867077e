"""Options of ``ftp annotate --overlay`` and ``ftp render``: what is drawn besides skeletons."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

_drawing = partial(typer.Option, rich_help_panel="Drawing")

BlurFaces = Annotated[
    bool,
    _drawing(
        "--blur-faces",
        help="Cover faces where head joints are; no guarantee: look through the video before you show it.",
    ),
]
Trails = Annotated[float, _drawing(min=0.0, max=60.0, help="Seconds for which wrists, ankles and nose leave a line.")]
Angles = Annotated[
    bool, _drawing("--angles", help="Write the angles of knees, hips, elbows, shoulders and trunk, in degrees.")
]
Show = Annotated[bool, _drawing("--show", help="Show the overlay in a window while it is made; Q closes it.")]
