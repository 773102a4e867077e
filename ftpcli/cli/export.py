"""``ftp export``: the networks in a form that other programs run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ftpcli.choices import Precision
from ftpcli.device import no_other_threads


class Form(StrEnum):
    """Forms of a network."""

    ONNX = "onnx"


def command(
    out: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    format: Annotated[Form, typer.Option(help="encode.onnx, decode.onnx, detector.onnx, with about.json.")] = Form.ONNX,
    weights: Annotated[str, typer.Option(help="As for annotate.")] = "default",
    detector: Annotated[str, typer.Option(help="default or a file made by 'ftp train-detector'.")] = "default",
    precision: Annotated[
        Precision, typer.Option(help="Of the pose model: fp32, or int8 as annotate's.")
    ] = Precision.FP32,
) -> None:
    """Write the pose model and the detector as ONNX graphs, once their numbers are found to be torch's.

    encode: crops, uint8 RGB (batch, height, width, 3), to tokens. decode: the tokens of a window's frames (batch,
    frames, tokens, channels) to heatmaps of the middle frame. detector: pictures, uint8 RGB (batch, height, width, 3),
    sides multiples of 32, to rows (batch, 4 + classes, places). about.json holds the configurations, the largest
    difference from torch, which rounds as the graph does, as a share of the largest number, and the tolerance.
    """
    from ftpcli.errors import UsageError
    from ftpcli.files.output_folder import check_folder, output_folder

    check_folder(out)
    no_other_threads()
    from ftpcli.files.graphs import Graphs, missing_package
    from ftpcli.people.loading import BUNDLED
    from ftpcli.people.network import export_network
    from ftpcli.pose.export import export_pose
    from ftpcli.pose.weights import describe_weights, weights_path

    if missing := missing_package():
        raise UsageError(f"ftp export: {missing} is missing; pip install 'ftp-pose[onnx]'")
    paths = {"pose": weights_path(weights), "detector": BUNDLED if detector == "default" else Path(detector)}
    made = {"pose": export_pose(paths["pose"], precision=precision), "detector": export_network(paths["detector"])}
    about = {name: describe_weights(paths[name]) | graphs.about for name, graphs in made.items()}
    content = {name: graph for graphs in made.values() for name, graph in graphs.content.items()}
    with output_folder(out) as folder:
        for name, data in Graphs(about, content).files().items():
            folder.write(name, data)
    for graphs in made.values():
        for name, difference in graphs.about["difference"].items():
            typer.echo(f"{out / name}.onnx: differs from torch by {difference:.1e} of the largest number", err=True)
