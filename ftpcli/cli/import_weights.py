"""``ftp import``: writes another program's pose model as weights of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftpcli.choices import HUB_MODELS


def command(
    weights: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="ViTPose's weights from Hugging Face (.safetensors), ViTPose or mmpose 1.x (.pth), or a name: "
            f"{', '.join(HUB_MODELS)}.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Convert the weights of another program to a file that says by itself what model it is.

    Other commands take such weights as they are, too.
    """
    from ftpcli.errors import UsageError
    from ftpcli.files.inputs import refuse_address
    from ftpcli.files.output import check_target
    from ftpcli.pose.weights import describe_weights, load_weights, save_weights, weights_path
    from ftpcli.version import __version__

    refuse_address("FILE", weights)
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: weights are written as .safetensors; name such a file")
    check_target(out, overwrite=overwrite, inputs=[weights])
    path = weights_path(weights)
    config, state, provenance = load_weights(path)
    if "imported" not in provenance or "version" in provenance:
        raise UsageError(f"{path}: is a weights file of this program already; use it as it is")
    provenance["imported"] |= describe_weights(path)
    save_weights(out, state, config, {"version": __version__, **provenance}, exact=True)
    form, left_out = provenance["imported"]["form"], provenance["imported"]["left_out"]
    unused = f", {left_out} tensors of other data sets left out" if left_out else ""
    typer.echo(f"{out}: {form}, {config.backbone}, {len(config.joints)} joints{unused}", err=True)
