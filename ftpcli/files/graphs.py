"""ONNX graphs: made from torch modules, kept in the cache folder, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftpcli.errors import FtpError, OutputError, one_line
from ftpcli.files.cache import cache_folder, forget_unused, write_folder
from ftpcli.version import __version__

if TYPE_CHECKING:
    from torch import Tensor, nn

_OPSET = 17
#: How far a graph's numbers may be from torch's, as a share of the largest of them. Sums in another order differ by a
#: millionth; a near-tie between two tokens that pruning decides otherwise would be a thousand times that.
TOLERANCE = 1e-4
_ABOUT = "about.json"
_KEPT = 30 * 24 * 3600.0  # seconds since graphs were used last
_PACKAGE = Path(__file__).resolve().parent.parent
#: What makes graphs. A checkout's version stays while these change.
_MAKERS = ("model/*.py", "pose/crops.py", "pose/export.py", "pose/foreign.py", "people/network.py", "files/graphs.py")


class ExportError(FtpError):
    """A network that cannot be made a graph."""


@dataclass(frozen=True)
class Graphs:
    """Graphs by name, and what is to be known of them: JSON values, among them the ``difference`` of each by name."""

    about: dict[str, Any]
    content: dict[str, bytes] = field(repr=False)

    def files(self) -> dict[str, bytes]:
        """The same by file name."""
        about = json.dumps(self.about, indent=1, sort_keys=True).encode()
        return {f"{name}.onnx": graph for name, graph in self.content.items()} | {_ABOUT: about}


def missing_package() -> str | None:
    """The package that graphs need and this installation lacks."""
    return next((name for name in ("onnxruntime", "onnx") if find_spec(name) is None), None)


def opened(
    kind: str, key: Mapping[str, Any], make: Callable[[Callable[[], None]], Graphs]
) -> tuple[dict[str, Any], dict[str, Runner]]:
    """What is to be known of the graphs that ``make`` gives, and the graphs, ready to run.

    They are kept in the cache folder, where another run finds them; those that nobody has used for 30 days go when
    new ones of their kind come. One that cannot be read is made again; where nothing can be kept, one line on stderr
    says so.

    Args:
        key: what the graphs depend on besides the program: JSON values.
        make: calls what it is given once the weights are read, before what takes time.
    """
    digest = hashlib.sha256(json.dumps([__version__, key], sort_keys=True).encode())
    for path in sorted(path for pattern in _MAKERS for path in _PACKAGE.glob(pattern)):
        digest.update(path.read_bytes())
    name, kept = kind.replace(" ", "-"), cache_folder("onnx")
    folder = kept / f"{name}-{digest.hexdigest()[:32]}"
    try:
        about = json.loads((folder / _ABOUT).read_bytes())
        with suppress(OSError):
            os.utime(folder)
        return about, {name: Runner((folder / f"{name}.onnx").read_bytes()) for name in about["difference"]}
    except Exception:  # not there, not all of it, or damaged in whatever way
        made = make(
            lambda: print(f"ftp: preparing the {kind} for ONNX Runtime, once for these weights", file=sys.stderr)
        )
    try:
        shutil.rmtree(folder, ignore_errors=True)
        forget_unused(kept, f"{name}-[0-9a-f]{{32}}", _KEPT)
        write_folder(folder, made.files())
    except OutputError as error:
        print(f"ftp: warning: {error}; the {kind} will be prepared again in every run", file=sys.stderr)
    return made.about, {name: Runner(content) for name, content in made.content.items()}


def graph(
    module: nn.Module,
    examples: Sequence[Tensor],
    given: str,
    result: str,
    dynamic: tuple[int, ...] = (0,),
    tolerance: float = TOLERANCE,
) -> tuple[bytes, float]:
    """A module of one input and one output as a graph, and how far its numbers are from torch's.

    Args:
        module: is set to evaluation mode.
        examples: of its input; the numbers are compared on all of them.
        given, result: names of input and output.
        dynamic: dimensions of the input that may have other sizes than the first example's; 0 is the batch.
        tolerance: how far the numbers may be from torch's, as a share of the largest.

    Returns:
        the graph, and the largest difference as a share of the largest number.

    Raises:
        ExportError: that cannot be done, or the difference is beyond ``tolerance``.
    """
    import torch

    module.eval()
    stream = BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that are taken as constants: those that are not dynamic are
        try:
            torch.onnx.export(
                module,
                (examples[0],),
                stream,  # type: ignore[arg-type]
                dynamo=False,  # the other exporter needs another package, onnxscript
                opset_version=_OPSET,
                input_names=[given],
                output_names=[result],
                dynamic_axes={given: {axis: f"{given}{axis}" for axis in dynamic}, result: {0: "batch"}},
            )
        except Exception as error:  # the exporter raises whatever comes up
            reason = one_line(error)
            raise ExportError(f"{result}: cannot be made an ONNX graph ({reason}); use --engine torch") from error
        expected = [module(example).float().numpy() for example in examples]
    run = Runner(stream.getvalue())
    pairs = [(run(example.numpy()), right) for example, right in zip(examples, expected, strict=True)]
    difference = max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6)) for a, b in pairs)
    if not difference <= tolerance:  # NaN is none
        raise ExportError(
            f"{result}: ONNX Runtime differs from torch by {difference:.1e} of the largest value, beyond "
            f"{tolerance:g}; use --engine torch"
        )
    return stream.getvalue(), difference


class Runner:
    """A graph of one input and one output, ready to run in the calling thread, in several at a time."""

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # No threads of its own, see ftpcli.device.Threads.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, array: np.ndarray) -> np.ndarray:
        (result,) = self._session.run(None, {self._input: array})
        return np.asarray(result)
