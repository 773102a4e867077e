"""Options that both training commands have, by groups, and what they say while they run."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_type_hints

import typer

from ftpcli.cli.signals import stop_signals
from ftpcli.device import MOST_THREADS
from ftpcli.errors import UsageError
from ftpcli.training.recipe import Precision, Schedule


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer takes it: where a parameter is a dataclass, an option for each of its fields instead.

    In the help they stand in a panel with the name that the dataclass has as its ``PANEL``.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        members = {name: (hints[name], parameter.default)}
        if name in groups:
            types = get_type_hints(groups[name], include_extras=True)
            members = {f.name: (types[f.name], f.default) for f in dataclasses.fields(groups[name])}
            for kind, _ in members.values():
                kind.__metadata__[0].rich_help_panel = groups[name].PANEL
        for option, (kind, default) in members.items():
            default = inspect.Parameter.empty if default is dataclasses.MISSING else default
            parameters[option] = inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
            )

    @functools.wraps(command)
    def flat(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{f.name: values.pop(f.name) for f in dataclasses.fields(kind)})
        command(**values)

    flat.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    flat.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    del flat.__wrapped__  # type: ignore[attr-defined]
    return flat


@dataclass(frozen=True)
class RecipeOptions:
    """Numbers of a recipe that both trainings have; None is what the recipe says."""

    PANEL: ClassVar = "Recipe (defaults are the recipe's)"
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None
    steps: Annotated[int | None, typer.Option(min=1, help="In place of epochs.")] = None
    batch: Annotated[int | None, typer.Option(help="Examples a step, over all processes.")] = None
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None
    warmup: Annotated[float | None, typer.Option(help="Steps in which the rate rises; below 1: share of the run.")] = (
        None
    )
    schedule: Annotated[Schedule | None, typer.Option(help="How the rate falls.")] = None
    final: Annotated[float | None, typer.Option(help="Cosine's end, relative to lr.")] = None
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights; 0 for none.")] = None
    seed: Annotated[int | None, typer.Option(help="Of all random numbers.")] = None
    precision: Annotated[Precision, typer.Option(help="Of matrix products.")] = Precision.AUTO

    def changes(self) -> dict[str, Any]:
        """Those that were given."""
        return given(**dataclasses.asdict(self))


@dataclass(frozen=True)
class RunningOptions:
    """Where and how a training runs."""

    PANEL: ClassVar = "Run"
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for log, checkpoint and weights.")]
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto"
    threads: Annotated[int | None, typer.Option(min=1, max=MOST_THREADS, help="CPU threads.")] = None
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MOST_THREADS,
            help="Processes that prepare batches; without it 0, with a GPU half the cores.",
        ),
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False
    validate_every: Annotated[int, typer.Option(min=1, help="Steps.")] = 1000
    save_minutes: Annotated[float, typer.Option(min=0.0, help="Between checkpoints.")] = 5.0
    log_every: Annotated[int, typer.Option(min=1, help="Steps between lines of the log.")] = 50
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also log there (extra: log).")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")] = False

    def prepare(self) -> dict[str, Any]:
        """Set the number of threads, and the fields of ``RunOptions`` that these options are."""
        import torch

        from ftpcli.device import choose_device
        from ftpcli.training.distributed import own_device

        if self.threads:
            torch.set_num_threads(self.threads)
        device = own_device(choose_device(self.device))
        names = ("resume", "validate_every", "save_minutes", "log_every", "tensorboard")
        values = {name: getattr(self, name) for name in names}
        return values | {"device": str(device), "workers": self.processes(device.type)}

    def processes(self, device: str) -> int:
        """How many prepare batches. On a CPU the model has all cores."""
        if self.workers is not None or device == "cpu":
            return self.workers or 0
        from ftpcli.device import available_cores

        return min(8, available_cores() // 2)

    def carry_out(self, training: Callable[..., dict[str, Any]], device: str) -> None:
        """Run a training, also as one of several processes; exit code 130 or 143 where interrupted."""
        from ftpcli.training import distributed

        distributed.start(device)
        try:
            with stop_signals("stopping after this step") as stop:
                outcome = training(_quiet if self.quiet else _tell, stop)
        finally:
            distributed.stop()
        if not outcome["finished"]:
            typer.echo(f"ftp: stopped at step {outcome['step']} of {outcome['steps']}; go on with --resume", err=True)
            raise typer.Exit(stop.exit_code)


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def size(text: str | None) -> tuple[int, int] | None:
    """Height and width out of HxW; raises UsageError for a crop that no model takes."""
    from ftpcli.model.config import check_size

    if text is None:
        return None
    height, x, width = text.lower().partition("x")
    if not (x and height.isdigit() and width.isdigit()):
        raise UsageError(f"size {text}: give height x width, as in 256x192")
    check_size(int(height), int(width))
    return int(height), int(width)


def _tell(row: dict[str, Any]) -> None:
    if row.get("event") == "data":
        _quiet(row)
        return
    if row.get("event") == "step":
        line = (
            f"step {row['step']}/{row['steps']}  loss {row['loss']:.4f}  {row['samples_per_second']:.0f} samples/s "
            f"(loader alone {row['loader_samples_per_second']:.0f})  {row['eta_seconds'] / 60:.0f} min left"
        )
    else:
        line = json.dumps(row)
    print(line, file=sys.stderr, flush=True)


def _quiet(row: dict[str, Any]) -> None:
    if row.get("event") == "data":
        print(f"ftp: warning: {row['warning']}", file=sys.stderr, flush=True)
