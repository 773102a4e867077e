"""``ftp bench``: how long annotate takes on this machine, and where the time goes."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from ftpcli.choices import Engine, Precision
from ftpcli.device import MOST_BATCH, no_other_threads
from ftpcli.errors import UsageError
from ftpcli.files.inputs import require
from ftpcli.model.choices import Preset


def command(
    video: Annotated[str | None, typer.Argument(help="A short clip; samples/make_sample.py makes some.")] = None,
    table2: Annotated[
        Preset | None, typer.Option(help="In place of a clip: the paper's Table II, for a preset with random weights.")
    ] = None,
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
    batch: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_BATCH, help="People at a time (16 on a CPU, 128 on other devices)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Annotate a clip several times and show what each stage costs.

    Figures are medians. On a machine that does something else as well, compare CPU time and ratios alone.
    """
    if (video is None) == (table2 is None):
        raise UsageError("give either a clip or --table2 PRESET")
    if table2 is not None:
        if engine == Engine.ONNX or precision == Precision.INT8:
            raise UsageError("--table2: is measured on torch, in fp32 or bf16")
        _table_two(table2, device=device, precision=precision, batch=batch, rounds=rounds, as_json=as_json)
        return
    assert video is not None
    require(video)
    no_other_threads()
    from ftpcli.annotation.bench import bench
    from ftpcli.annotation.options import Options

    report = bench(
        video,
        Options(weights=weights, detector=detector),
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


def _table_two(preset: Preset, *, as_json: bool, **how: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from ftpcli.pose.table_two import table_two

    rows = table_two(preset, **how)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(row) for row in rows]))
        return
    table = Table("model", title=f"{preset}: poses a second, and as a share of the first row's")
    for heading in ("parameters, M", "each window anew", "", "in a video", ""):
        table.add_column(heading, justify="right")
    for row in rows:
        times = ((row.paper, rows[0].paper), (row.video, rows[0].paper))
        speeds = [cell for own, first in times for cell in (f"{1 / own:.1f}", f"{first / own:.2f}")]
        table.add_row(row.name, f"{row.parameters:.1f}", *speeds)
    Console(markup=False, emoji=False).print(table)


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
        f"CPU {report['cpu']:.2f} s in {report['wall']:.2f} s ({report['calling_thread']:.2f} s in the main thread); "
        f"start {report['start']['wall']:.1f} s; "
        f"peak memory {'unknown' if memory is None else f'{memory:.0f} MiB'}"
    )
    if "against" in report:
        other = report["against"]
        console.print(
            f"{other['name']}, random weights: CPU {other['cpu']:.2f} s in {other['wall']:.2f} s; "
            f"ftp is {other['speed_ratio']:.2f} times as fast ({other['speed_ratio_cpu']:.2f} by CPU time)"
        )
