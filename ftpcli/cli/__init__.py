"""The ``ftp`` command. Parses, validates, calls the library and sets exit codes; heavy imports wait for a command."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ftpcli.cli import annotate, evaluate, render, train, train_detector
from ftpcli.errors import FtpError
from ftpcli.version import __version__

app = typer.Typer(
    name="ftp",
    help="Annotate people in video: every person's body joints, for every frame.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("annotate")(annotate.command)
app.command("render")(render.command)
app.command("train")(train.command)
app.command("train-detector")(train_detector.command)
app.command("eval")(evaluate.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ftp {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something goes wrong.")] = False,
) -> None:
    if debug:
        os.environ["FTP_DEBUG"] = "1"


def main() -> None:
    """Run the command line: an expected error is one line on stderr and its exit code."""
    given = "FTP_DEBUG" in os.environ
    try:
        app()
    except FtpError as error:
        if os.environ.get("FTP_DEBUG"):
            raise
        typer.echo(f"ftp: {error}", err=True)
        sys.exit(error.exit_code)
    finally:
        if not given:  # --debug is this call's alone
            os.environ.pop("FTP_DEBUG", None)
