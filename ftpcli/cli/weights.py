"""``ftp weights``: the names that ``--weights`` takes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ftpcli.choices import HUB_MODELS


def command(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object on standard output.")] = False,
) -> None:
    """List the names that --weights takes, where they come from, and which are on this machine. No network is used.

    Exit code: 0.
    """
    import json

    listed = known_weights()
    if as_json:
        typer.echo(json.dumps(listed))
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "from", "on this machine", box=SIMPLE)
    for name, one in listed.items():
        table.add_row(name, one["from"], "yes" if one["here"] else "no, downloaded when you name it")
    Console().print(table)


def known_weights() -> dict[str, dict[str, Any]]:
    """Every name with its source (``from``) and the file on this machine (``here``), None where there is none."""
    from ftpcli.pose.hub import cached_file
    from ftpcli.pose.weights import DEFAULT_WEIGHTS

    here = str(DEFAULT_WEIGHTS) if DEFAULT_WEIGHTS.is_file() else None
    listed: dict[str, dict[str, Any]] = {"default": {"from": "bundled", "here": here}}
    for name, repository in HUB_MODELS.items():
        file = cached_file(name)
        listed[name] = {"from": f"Hugging Face hub, {repository}", "here": None if file is None else str(file)}
    return listed
