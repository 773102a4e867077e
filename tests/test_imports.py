"""Which module may know which: kept by reading the sources, not by good will."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ftpcli"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"torch", "cv2", "av", "ultralytics", "timm", "pycocotools", "numpy", "safetensors", "rich.progress"}


@cache
def imports(path: Path, *, top_only: bool = False) -> set[str]:
    """Full names of what a module imports, those for type checkers left out."""
    tree = ast.parse(path.read_text(), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = []
    names: set[str] = set()
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def users_of(library: str) -> set[str]:
    return {
        path.relative_to(PACKAGE).parts[0]
        for path in MODULES
        if any(name == library or name.startswith(library + ".") for name in imports(path))
    }


@pytest.mark.parametrize(("library", "home"), [("av", "video"), ("ultralytics", "people")])
def test_one_home_for_each_library(library: str, home: str) -> None:
    assert users_of(library) == {home}


#: Stages of the flow, lowest first. A package may import what stands in a line above its own, and itself.
FLOOR = (
    {"choices", "errors", "version", "skeleton"},
    {"records"},
    {"files"},
    {"device"},
    {"model", "video"},
    {"datasets"},
    {"formats"},
    {"pose", "drawing", "inspection"},
    {"people"},
    {"annotation", "evaluation"},
    {"training"},
    {"cli"},
)


def test_every_part_has_its_floor() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert parts - {"__init__", "__main__"} == set().union(*FLOOR)


@pytest.mark.parametrize(("height", "part"), [(n, part) for n, floor in enumerate(FLOOR) for part in sorted(floor)])
def test_data_flows_one_way(height: int, part: str) -> None:
    below = set().union(*FLOOR[:height]) | {part}
    own = PACKAGE / part
    for path in own.rglob("*.py") if own.is_dir() else [own.with_suffix(".py")]:
        used = {name.split(".")[1] for name in imports(path) if name.startswith("ftpcli.")}
        assert not used - below, f"{path.relative_to(ROOT)} imports {used - below}"


def test_the_model_knows_nothing_of_video() -> None:
    for path in (PACKAGE / "model").glob("*.py"):
        ours = {name for name in imports(path) if name.startswith("ftpcli")}
        assert all(name.startswith(("ftpcli.model", "ftpcli.errors", "ftpcli.skeleton")) for name in ours), (path, ours)
        assert not imports(path) & {"av", "cv2"}, path


def test_the_top_stays_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_commands_import_late() -> None:
    for path in [PACKAGE / "__init__.py", *(PACKAGE / "cli").glob("*.py")]:
        early = {name for name in imports(path, top_only=True) if name.split(".")[0] in HEAVY}
        assert not early, (path, early)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from ftpcli.cli import main\n"
        "for words in ('--help', '--version', 'annotate --help', 'train --help'):\n"
        "    sys.argv = ['ftp', *words.split()]\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert not end.code\n"
        f"    heavy = set({sorted(HEAVY)}) & sys.modules.keys()\n"
        "    assert not heavy, (words, heavy)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("Usage: ftp") == 3


def test_help_is_quick() -> None:
    """Under half a second of processor time, whatever else the machine does."""
    resource = pytest.importorskip("resource")
    spent: list[float] = []
    while len(spent) < 4 and not (spent and spent[-1] < 0.5 * _slowness()):  # the first one may have to compile
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "ftpcli", "--help"], capture_output=True, cwd=ROOT, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert len(spent) < 4, spent


def _slowness() -> float:
    """How much longer than on an idle desktop a fixed piece of work takes: shared machines are slow in spells."""
    started = time.process_time()
    sum(index * index for index in range(2_000_000))
    return max(1.0, (time.process_time() - started) / 0.06)


def test_public_names_load_late_and_exist() -> None:
    import ftpcli

    for name in ftpcli.__all__:
        assert getattr(ftpcli, name) is not None
    with pytest.raises(AttributeError):
        _ = ftpcli.nothing
    assert dir(ftpcli) == sorted(ftpcli.__all__)


def test_keywords_of_annotate_are_the_options() -> None:
    from typing import get_type_hints

    from ftpcli.annotation.options import OptionFields, Options

    assert get_type_hints(OptionFields) == get_type_hints(Options)


def test_no_path_of_a_machine() -> None:
    """Nothing that ships names somebody's folders."""
    for folder in ("ftpcli", "tests", "samples"):
        for path in (ROOT / folder).rglob("*.py"):
            if path == Path(__file__):
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                for start in ("/home/", "/root/", "/Users/", "C:\\\\Users"):
                    assert start not in line, f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_modules_stay_small() -> None:
    for path in MODULES:
        assert len(path.read_text().splitlines()) <= 400, path
