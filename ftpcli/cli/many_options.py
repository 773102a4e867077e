"""Options of ``ftp annotate`` for many videos, many processes and many machines."""

from __future__ import annotations

from typing import Annotated

import typer

from ftpcli.device import MOST_THREADS

_INPUT, _MODEL = "Input", "Model"

InputsFrom = Annotated[
    str | None,
    typer.Option(
        help="Inputs from a list, one path a line, or a .csv table with the columns path, start, end, boxes.",
        rich_help_panel=_INPUT,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N", help="Only the inputs whose names fall into share I of N, from 1 on.", rich_help_panel=_INPUT
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_THREADS,
        help="Inputs at a time, each in a process and thread of its own; half the cores unless given, on a GPU 1.",
        rich_help_panel=_MODEL,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ray[:ADDRESS]",
        help="Work on the machines of a Ray cluster: HOST:PORT of its head, auto for the one that this machine belongs "
        "to; without an address on this machine alone.",
        rich_help_panel=_MODEL,
    ),
]
GpusPerJob = Annotated[
    float | None,
    typer.Option(
        min=0.0, help="GPUs that a job on the cluster takes, as in 0.5; 1 where it has any.", rich_help_panel=_MODEL
    ),
]
Split = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="One long video side by side, too: in stretches of so many seconds. Its file is that of a single run.",
        rich_help_panel=_MODEL,
    ),
]
