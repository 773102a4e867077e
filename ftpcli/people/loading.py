"""Where a detector comes from: the bundled weights, a model file of ultralytics, or a model's name."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ftpcli.choices import Engine
from ftpcli.device import MOST_BATCH, Threads, is_accelerator
from ftpcli.errors import FtpError, InputError, UsageError, is_out_of_memory, one_line
from ftpcli.files.cache import cache_folder, downloads_forbidden
from ftpcli.files.graphs import Graphs, opened
from ftpcli.files.inputs import refuse_pointer, require_file
from ftpcli.files.tensors import sha256
from ftpcli.people.inference import FLOOR, DetectorConfig, Fit, find_boxes, letterbox, look_again, tidy

if TYPE_CHECKING:
    import torch

BUNDLED = Path(__file__).resolve().parent.parent / "assets" / "detector.safetensors"
#: A stronger model of ultralytics, for those who look for one.
STRONGER = "yolo26m.pt"
#: What ultralytics can run, by the end of the name. ONNX holds a graph and numbers only; the others can carry code.
_PLAIN = (".onnx",)
_CODE = (".pt", ".torchscript", ".engine", ".pb", ".tflite", ".mlpackage", ".aimodel", ".mnn", "_model")
_PRECISIONS = {"fp32": "float32", "bf16": "bfloat16"}  # as torch names them


class Detector(Protocol):
    """Finds people in pictures."""

    #: from this score on a detection may start a track
    score: float

    def detect_batch(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(H, W, 3) uint8 RGB pictures, whose sizes may differ -> for each (N, 5) float32 xyxy and score, pixels of the
        picture, best score first; weak detections (score 0.05 and up) too, which trackers use."""
        ...

    def describe(self) -> dict[str, Any]:
        """What a file's header records of this detector."""
        ...


def load_detector(
    source: str | Path | None = None,
    *,
    engine: str = Engine.TORCH,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
    image_size: int | None = None,
    trust: bool = False,
    floor: float = FLOOR,
) -> Detector:
    """Open a detector.

    Args:
        source: None for the bundled detector; a ``.safetensors`` file written by ``ftp train``; a model file or
            folder that ultralytics can run; or the name of an ultralytics model, such as ``yolo26n.pt``. A file of
            that name goes before the name. Only a name may use the network: the model is fetched once into the
            cache folder (``FTP_HOME``, else ``~/.cache/ftp``), which is announced on stderr.
        engine: "torch", or "onnx" on the CPU in fp32; models of ultralytics are run by ultralytics all the same.
        device: "cpu", "cuda", "cuda:1", "mps".
        precision: "fp32" or "bf16" (autocast).
        image_size: longer side of the network's input in pixels; None: what the model was made for.
        floor: weakest detection that is returned; average precision is measured with a lower one.
        trust: allow formats that can run code when they are opened, above all ``.pt``, which is a pickle.

    Raises:
        UsageError: a bad size or precision, or an untrusted file of a format that can run code.
        InputError: no such file or model, a damaged file, or a model that does not find people.
    """
    if precision not in _PRECISIONS:
        raise UsageError(f"unknown precision '{precision}' for the detector: fp32 or bf16")
    if image_size is not None and not 32 <= image_size <= 4096:
        raise UsageError(f"detector size {image_size} is out of range: 32 to 4096 pixels")
    if source is None:
        if not BUNDLED.is_file():
            raise InputError(f"{BUNDLED.name}: the bundled detector is missing; reinstall ftpcli or name --detector")
        return NetworkDetector(BUNDLED, device, precision, image_size, floor=floor, engine=engine)
    path = Path(source)
    if path.suffix == ".safetensors":
        require_file(path)
        return NetworkDetector(path, device, precision, image_size, floor=floor, engine=engine)
    if path.exists():
        refuse_pointer(path)
        if not path.name.endswith(_PLAIN + _CODE):
            raise InputError(f"{path}: not a detector; give .safetensors of ours, or .pt or .onnx of ultralytics")
        if not trust and not path.name.endswith(_PLAIN):
            kind = "a pickle, which can run any code" if path.suffix == ".pt" else "of a kind that can run code"
            raise UsageError(f"{path}: is {kind} when opened; add --trust if you know where it comes from")
        return UltralyticsDetector(path, device, precision, image_size, floor=floor)
    return UltralyticsDetector(_fetch(str(source)), device, precision, image_size, floor=floor, safe=True)


class NetworkDetector:
    """A detector of our own format: an ultralytics architecture and plain tensors."""

    def __init__(
        self,
        path: Path,
        device: str | torch.device,
        precision: str,
        image_size: int | None,
        *,
        floor: float = FLOOR,
        engine: str = Engine.TORCH,
    ) -> None:
        self.path, self.floor = path, floor
        self._letterbox: Callable[[np.ndarray, Fit], Any] = letterbox
        if engine == Engine.ONNX:
            about, graphs = opened("detector", {"sha256": sha256(path)}, partial(_export, path))
            self.config = DetectorConfig(**about["config"])
            self.network: Callable[[Sequence[Any]], np.ndarray] = lambda pictures: graphs["detector"](
                np.stack(pictures)
            )
            self._threads = Threads(1, torch=False)
        else:
            import torch

            from ftpcli.people.network import TorchNetwork, letterbox_on, load_network

            network, self.config = load_network(path)
            on = torch.device(device)
            network = network.fuse(verbose=False).to(on).to(memory_format=torch.channels_last)
            self.network = TorchNetwork(network, on, getattr(torch, _PRECISIONS[precision]))
            self._threads = Threads.of(on, 1)
            if is_accelerator(str(on)):
                self._letterbox = partial(letterbox_on, on)
        self._fitting = MOST_BATCH  # fewer once that many pictures did not fit in memory
        self.image_size = image_size or self.config.image_size
        self.score = self.config.score
        names = [name.lower() for name in self.config.classes]
        self.person = names.index("person") if "person" in names else 0

    def detect_batch(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        overlap, score = self.config.overlap, self.score
        return look_again(self._find, images, size=self.image_size, floor=self.floor, overlap=overlap, score=score)

    def _find(self, images: Sequence[np.ndarray], **options: Any) -> list[np.ndarray]:
        options |= {"person": self.person, "overlap": self.config.overlap, "letterbox": self._letterbox}
        find: Callable[..., list[np.ndarray]] = partial(find_boxes, self.network, **options)
        mixed = len({image.shape for image in images}) > 1  # the network remembers the cells of a single shape
        found: list[np.ndarray] = []
        while len(found) < len(images):
            part = images[len(found) : len(found) + self._fitting]
            try:
                found += find(part) if mixed else self._threads.map(find, part)
            except (RuntimeError, MemoryError) as error:
                if len(part) == 1 or not is_out_of_memory(error):
                    raise
                self._fitting = (len(part) + 1) // 2
        return found

    def describe(self) -> dict[str, Any]:
        return {
            "name": "bundled" if self.path == BUNDLED else self.path.name,
            "sha256": sha256(self.path),
            "architecture": self.config.architecture,
            "image_size": self.image_size,
        }


def _export(path: Path, read: Callable[[], None]) -> Graphs:
    from ftpcli.people.network import export_network

    return export_network(path, read)


class UltralyticsDetector:
    """A detector of another format, run by ultralytics itself."""

    score = 0.25  # ultralytics' own default

    def __init__(
        self,
        path: Path,
        device: str | torch.device,
        precision: str,
        image_size: int | None,
        *,
        floor: float = FLOOR,
        safe: bool = False,
    ) -> None:
        import torch

        from ftpcli.people._ultralytics import YOLO, safe_unpickling

        self.path, self.device, self.precision, self.image_size = path, torch.device(device), precision, image_size
        self.floor = floor
        try:
            with safe_unpickling(safe):
                # files without a task of their own (ONNX) are taken for detectors, .pt files say what they are
                self.model = YOLO(path, task=None if path.suffix == ".pt" else "detect", verbose=False)
                task = self.model.task
                names = dict(self.model.names)
        except FtpError:
            raise
        except Exception as error:
            raise InputError(f"{path}: ultralytics cannot open it ({one_line(error)})") from error
        if task not in ("detect", "segment", "pose"):
            raise InputError(f"{path}: is a model for '{task}'; a detector of people is needed")
        people = [index for index, name in names.items() if str(name).lower() in ("person", "people", "pedestrian")]
        if not people and len(names) != 1:
            raise InputError(f"{path}: has no class named 'person'")
        self.person = people[0] if people else next(iter(names))

    def detect_batch(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        import torch

        found = []
        dtype = getattr(torch, _PRECISIONS[self.precision])
        for image in images:  # one at a time: exported models may have a fixed batch of one
            options: dict[str, Any] = {"imgsz": self.image_size} if self.image_size else {}
            try:
                with torch.autocast(self.device.type, dtype, enabled=self.precision != "fp32"):
                    results: Any = self.model.predict(
                        np.ascontiguousarray(image[..., ::-1]),  # ultralytics takes BGR arrays
                        conf=self.floor,
                        classes=[self.person],
                        device=str(self.device),
                        verbose=False,
                        save=False,
                        **options,
                    )
            except Exception as error:
                raise InputError(f"{self.path}: ultralytics cannot run it ({one_line(error)})") from error
            result = results[0]
            rows = torch.cat([result.boxes.xyxy, result.boxes.conf[:, None]], 1).float().cpu().numpy()
            found.append(tidy(rows, image.shape[1], image.shape[0]))
        return found

    def describe(self) -> dict[str, Any]:
        described: dict[str, Any] = {"name": self.path.name}
        if self.path.is_file():
            described["sha256"] = sha256(self.path)
        if self.image_size:
            described["image_size"] = self.image_size
        return described


def stronger_detector() -> str | None:
    """A line that names a stronger detector than the bundled one, the first time on this machine; else None."""
    mark = cache_folder("stronger-detector-named")
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch(exist_ok=False)
    except OSError:  # said before, or nothing can be kept here
        return None
    return f"--detector {STRONGER} finds more people, more slowly (ultralytics' model, downloaded when you name it)"


def _fetch(name: str) -> Path:
    """The file of a named ultralytics model, downloaded on first use."""
    from ftpcli.people._ultralytics import GITHUB_ASSETS_NAMES, attempt_download_asset

    known = name if name.endswith(".pt") else f"{name}.pt"
    if known not in GITHUB_ASSETS_NAMES:
        raise InputError(f"{name}: no such detector file, and no model of ultralytics has this name")
    target = cache_folder("detectors") / known
    if target.is_file():
        return target
    if downloads_forbidden():
        raise InputError(f"{name}: is not on this machine, and HF_HUB_OFFLINE is set; name a model file in its place")
    print(f"ftp: fetching {known} from ultralytics' releases on GitHub into {target.parent}", file=sys.stderr)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            attempt_download_asset(Path(folder) / known, retry=1, progress=False)
            os.replace(Path(folder) / known, target)
    except Exception as error:
        raise InputError(
            f"{name}: cannot be fetched ({one_line(error)}); name a model file that is on this machine instead"
        ) from error
    return target
