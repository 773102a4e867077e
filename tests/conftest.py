"""Shared fixtures."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import numpy as np

    from tests.support.odd_videos import Odd
    from tests.support.tiny import Ran

ROOT = Path(__file__).resolve().parent.parent

# Several test processes share the cores: each, and what it starts, takes one.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that runs the tests in the background makes them, and what they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """What ``ftp`` keeps on a machine goes to a folder of this session's, which its processes share."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ["FTP_HOME"] = tempfile.mkdtemp(prefix="ftp-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ["FTP_HOME"], ignore_errors=True)


#: Folders, modules and tests that run whole commands, train, load the default weights or another program: not part of
#: ``-m quick``, which does not import those modules either.
_LONG = (
    "annotation/",
    "cli/",
    "datasets/test_posetrack_index",
    "drawing/test_drawer.py::test_the_commands",
    "drawing/test_render",
    "evaluation/test_calibrate_confidence.py::test_the_mapping_goes",
    "evaluation/test_cli",
    "evaluation/test_compare_weights",
    "evaluation/test_hostile",
    "evaluation/test_model",
    "formats/test_formats_hostile",
    "formats/test_tools.py::test_ultralytics_trains",
    "inspection/test_review.py::test_every_frame_has_its_own_skeleton",
    "model/test_model",
    "model/test_quantised.py::test_onnx_runtime",
    "model/test_vitpose",
    "people/test_cuts",
    "people/test_gaps",
    "people/test_inference",
    "people/test_loading",
    "people/test_people.py::test_replayed_detections",
    "pose/test_device_steps",
    "pose/test_estimator",
    "pose/test_filters.py::test_annotate",
    "pose/test_foreign.py::test_an_encoder",
    "pose/test_hub",
    "pose/test_onnx_engine",
    "pose/test_transformers",
    "pose/test_views",
    "pose/test_weights",
    "test_corrections",
    "test_device",
    "test_docs",
    "test_samples",
    "test_speed",
    "training/detector/",
    "training/test_ablation",
    "training/test_initialise",
    "training/test_loop",
    "training/test_pose_trainer",
    "training/test_train_cli",
    "video/",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    name = collection_path.relative_to(ROOT / "tests").as_posix() if collection_path.suffix == ".py" else ""
    long = tuple(part for part in _LONG if "::" not in part)
    return True if config.option.markexpr == "quick" and name.startswith(long) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that is not long is quick, a new one too."""
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        if not name.startswith(_LONG) and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.quick)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips, data and golden cases that stands beside the checkout for developers and CI."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared test data (real clips, golden cases) is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def odd_video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Odd]:
    """Makes an odd video by its name in tests/support/odd_videos.py, once per session."""
    made: dict[str, Odd] = {}

    def get(name: str) -> Odd:
        from tests.support.odd_videos import make

        if name not in made:
            made[name] = make(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a very small pose model that has learnt nothing."""
    from tests.support.tiny import tiny_weights

    return tiny_weights(tmp_path_factory.mktemp("tiny") / "tiny.safetensors")


@pytest.fixture(scope="session", autouse=True)
def graphs_kept_ready() -> Iterator[None]:
    """A graph is loaded by ONNX Runtime once for all tests of a process, not anew in each of hundreds of runs."""
    from ftpcli.files import graphs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "Runner", lru_cache(8)(graphs.Runner))
        yield


@pytest.fixture(scope="session")
def command_line() -> Callable[..., object]:
    """typer's commands and options of ``ftp``, which take a tenth of a second to put together: once for all tests."""
    from typer.main import get_command

    return cache(get_command)


@pytest.fixture
def command(
    command_line: Callable[..., object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Runs ``ftp`` with these arguments in this process."""
    from ftpcli.cli import main
    from tests.support.tiny import Ran

    monkeypatch.setattr("typer.main.get_command", command_line)

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr("sys.argv", ["ftp", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def random_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector with random weights in our format."""
    from tests.support.detector_data import random_weights

    return random_weights(tmp_path_factory.mktemp("detector") / "random.safetensors")


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """One of ultralytics' own pictures: a bus and four people, 810x1080."""
    import cv2
    from ultralytics.utils import ASSETS

    return cv2.cvtColor(cv2.imread(str(ASSETS / "bus.jpg")), cv2.COLOR_BGR2RGB)
