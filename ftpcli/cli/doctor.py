"""``ftp doctor``: what this installation can do on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ftpcli.errors import EXIT_SOME_FAILED

_LIBRARIES = (
    "torch torchvision timm ultralytics av opencv-python numpy safetensors huggingface_hub "
    "onnxruntime scipy pycocotools sleap-io pynwb"
)


def command(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object on standard output.")] = False,
) -> None:
    """Show versions, devices, engines, codecs, caches, and the models at hand. Nothing is downloaded or written.

    Exit code: 0 all that ftp needs is there, 1 something is missing.
    """
    import json

    found = examine()
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _show(found)
    for problem in found["problems"]:
        typer.echo(f"ftp: {problem}", err=True)
    if found["problems"]:
        raise typer.Exit(EXIT_SOME_FAILED)


def examine() -> dict[str, Any]:
    """Everything that the command shows, as JSON values; ``problems`` are lines that say what is missing."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from ftpcli.cli.weights import known_weights
    from ftpcli.files.cache import cache_folder, downloads_forbidden
    from ftpcli.files.inputs import cameras
    from ftpcli.people.loading import BUNDLED
    from ftpcli.version import __version__
    from ftpcli.video.codecs import codecs

    libraries: dict[str, str | None] = {}
    for name in _LIBRARIES.split():
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            libraries[name] = None
    detectors = cache_folder("detectors")
    found: dict[str, Any] = {
        "ftp": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "libraries": libraries,
        **_devices(),
        "engines": {"torch": libraries["torch"], "onnx": libraries["onnxruntime"]},
        "codecs": codecs(),
        "caches": [_cache(folder) for folder in (cache_folder("onnx"), detectors, _hub_cache())],
        "offline": downloads_forbidden(),
        "weights": known_weights(),
        "detectors": {
            "bundled": str(BUNDLED) if BUNDLED.is_file() else None,
            **{path.name: str(path) for path in sorted(detectors.glob("*.pt"))},
        },
        "cameras": cameras(),
    }
    written = found["codecs"]["written"]
    problems = [f"{name}: this build of PyAV cannot write it; reinstall av" for name in written if not written[name]]
    for kind, one in (("weights", found["weights"]["default"]["here"]), ("detector", found["detectors"]["bundled"])):
        if one is None:
            problems.append(f"the bundled {kind} is missing; reinstall ftp-pose")
    return found | {"problems": problems}


def _devices() -> dict[str, Any]:
    import torch

    from ftpcli.choices import Engine, Precision
    from ftpcli.device import available_cores, choose_device, choose_engine, choose_precision

    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    chosen, engine = choose_device("auto"), choose_engine("auto", "auto", "auto")
    precision = Precision.INT8 if engine == Engine.ONNX else choose_precision("auto", chosen)
    return {
        "devices": {
            "cpu": f"{available_cores()} cores",
            **{f"cuda:{n}": f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for n, gpu in enumerate(gpus)},
            **({"mps": "Apple GPU"} if torch.backends.mps.is_available() else {}),
        },
        "used": {"device": str(chosen), "precision": str(precision), "engine": str(engine)},  # with bundled weights
    }


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _cache(folder: Path) -> dict[str, Any]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {"folder": str(folder), "files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    def names(values: dict[str, Any], wanted: bool = True) -> str:
        return ", ".join(name for name, value in values.items() if bool(value) is wanted) or "none"

    libraries = found["libraries"]
    rows = [
        ("ftp", f"{found['ftp']}, Python {found['python']}, {found['system']}"),
        ("libraries", ", ".join(f"{name} {libraries[name]}" for name in libraries if libraries[name])),
        ("not installed", names(libraries, False)),
        ("devices", "; ".join(f"{name}: {what}" for name, what in found["devices"].items())),
        ("used", "{device} in {precision} ({engine})".format(**found["used"])),
        ("engines", names(found["engines"])),
        *((f"video {way}", names(found["codecs"][way])) for way in ("read", "written")),
        *(("cache", f"{c['folder']}: {c['files']} files, {c['bytes'] / 1e6:.0f} MB") for c in found["caches"]),
        ("offline", "yes, by HF_HUB_OFFLINE" if found["offline"] else "no; downloads only of what you name"),
        ("weights here", names({name: one["here"] for name, one in found["weights"].items()})),
        ("detectors here", names(found["detectors"])),
        ("cameras", ", ".join(found["cameras"]) or "none"),
    ]
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    Console(markup=False, emoji=False).print(table)
