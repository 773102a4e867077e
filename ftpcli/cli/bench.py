"""``ftp bench``: how long annotate takes on this machine, and where the time goes."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ftpcli.choices import Engine, Precision
from ftpcli.device import no_other_threads
from ftpcli.files.inputs import require


def command(
    video: Annotated[str, typer.Argument(help="A short clip; samples/make_sample.py makes some.")],
    against: Annotated[
        str | None,
        typer.Option(help="Also time this pose model of ultralytics (random weights), such as yolo26n-pose."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Passes over the clip, after one to warm up.")] = 3,
    overlay: Annotated[bool, typer.Option("--overlay", help="Draw an overlay as well.")] = False,
    weights: Annotated[str, typer.Option(help="default or a file made by 'ftp train'.")] = "default",
    detector: Annotated[str, typer.Option(help="As for annotate.")] = "default",
    engine: Annotated[Engine, typer.Option(help="auto, torch or onnx.")] = Engine.AUTO,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="As for annotate.")] = Precision.AUTO,
    batch: Annotated[int, typer.Option(min=1, help="People at a time.")] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Annotate a clip several times and show what each stage costs.

    Figures are medians. On a machine that does something else as well, compare CPU time and ratios alone.
    """
    require(video)
    no_other_threads()
    from ftpcli.annotation.bench import bench

    report = bench(
        video,
        weights=weights,
        detector=detector,
        engine=engine,
        device=device,
        precision=precision,
        batch=batch,
        overlay=overlay,
        against=against,
        rounds=rounds,
        tell=lambda line: typer.echo(f"ftp: {line}", err=True),
    )
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _show(report)


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    frames, console = report["frames"], Console(markup=False, emoji=False)
    table = Table("stage", title=f"{report['video']}: {frames} frames, {report['poses']} poses")
    for heading in ("CPU ms a frame", "share"):
        table.add_column(heading, justify="right")
    for name, spent in report["stages"].items():
        table.add_row(name, f"{1e3 * spent['cpu'] / frames:.1f}", f"{spent['share']:.1%}")
    table.add_row("all", f"{1e3 * report['cpu'] / frames:.1f}", "", style="bold")
    console.print(table)
    memory = report["peak_memory_mib"]
    console.print(
        f"{report['frames_per_second']:.2f} frames/s, {report['poses_per_second']:.2f} poses/s; "
        f"CPU {report['cpu']:.2f} s in {report['wall']:.2f} s; start {report['start']['wall']:.1f} s; "
        f"peak memory {'unknown' if memory is None else f'{memory:.0f} MiB'}"
    )
    if "against" in report:
        other = report["against"]
        console.print(
            f"{other['name']}: CPU {other['cpu']:.2f} s in {other['wall']:.2f} s; "
            f"ftp is {other['speed_ratio']:.2f} times as fast ({other['speed_ratio_cpu']:.2f} by CPU time)"
        )
