"""The commands of ``ftp``. What they compute with is imported when one of them runs."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from ftpcli.cli import (
    annotate,
    bench,
    convert,
    doctor,
    evaluate,
    export,
    import_weights,
    info,
    render,
    review,
    smooth,
    status,
    train,
    train_detector,
    weights,
)
from ftpcli.version import __version__

#: What typer raises for options that it refuses (click's UsageError, wherever this version of typer has it).
WrongUsage: Any = typer.BadParameter.__base__

_USE, _MODELS = "Annotate", "Train and evaluate"

app = typer.Typer(
    name="ftp",
    help="Annotate people in video: every person's body joints, for every frame.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("annotate", rich_help_panel=_USE)(annotate.command)
app.command("status", rich_help_panel=_USE)(status.command)
app.command("render", rich_help_panel=_USE)(render.command)
app.command("info", rich_help_panel=_USE)(info.command)
app.command("review", rich_help_panel=_USE)(review.command)
app.command("convert", rich_help_panel=_USE)(convert.command)
app.command("smooth", rich_help_panel=_USE)(smooth.command)
app.command("doctor", rich_help_panel=_USE)(doctor.command)
app.command("bench", rich_help_panel=_USE)(bench.command)
app.command("train", rich_help_panel=_MODELS)(train.command)
app.command("train-detector", rich_help_panel=_MODELS)(train_detector.command)
app.command("import", rich_help_panel=_MODELS)(import_weights.command)
app.command("export", rich_help_panel=_MODELS)(export.command)
app.command("weights", rich_help_panel=_MODELS)(weights.command)
app.command("eval", rich_help_panel=_MODELS)(evaluate.command)


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


def say_wrong_usage(error: Any) -> int:
    """One line on stderr in place of typer's panel, or the help where nothing was given; the exit code."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        command = error.ctx.command_path if error.ctx else "ftp"
        message = error.format_message().removesuffix(".").replace("Value error, ", "")
        typer.echo(f"ftp: {message}; see {command} --help", err=True)
    return int(error.exit_code)
