"""The documents: short where people begin, and true where a program can tell."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

if TYPE_CHECKING:
    from tests.support.tiny import Ran

ROOT = Path(__file__).resolve().parent.parent
README, CARD = ROOT / "README.md", ROOT / "ftpcli" / "assets" / "MODEL_CARD.md"
DOCUMENTS = [README, CARD, *sorted((ROOT / "docs").glob("*.md"))]
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
_OURS = re.compile(r"\b(?:ftpcli|tests|samples|docs)/[\w./-]*")


def blocks(path: Path, language: str) -> list[str]:
    return [text for kind, text in _FENCE.findall(path.read_text()) if kind == language]


def commands(path: Path) -> Iterator[list[str]]:
    """The words of every ``ftp`` command in the shell blocks, from the command's name on."""
    for block in blocks(path, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                for at, word in enumerate(words):
                    if word == "ftp" or word.endswith("/ftp") or words[at - 1 : at + 1] == ["-m", "ftpcli"]:
                        yield words[at + 1 :]


def anchors(path: Path) -> set[str]:
    """The names that a document's headings can be linked to by, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize(("path", "most"), [(README, 120), (CARD, 100)], ids=["README", "card"])
def test_what_is_read_first_is_short(path: Path, most: int) -> None:
    assert len(path.read_text().splitlines()) <= most


@each_document
def test_links_lead_somewhere(path: Path) -> None:
    for inline, reference in _LINK.findall(path.read_text()):
        link = inline or reference
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


@each_document
def test_named_files_exist(path: Path) -> None:
    for name in _OURS.findall(path.read_text()):
        assert (ROOT / name.rstrip(".")).exists(), name


@each_document
def test_commands_can_be_given(path: Path) -> None:
    """Each has the command, options, choices and number of arguments that the command line takes."""
    from ftpcli.cli.app import WrongUsage, app

    group = typer.main.get_command(app)
    for words in commands(path):
        redirected = next((at for at, word in enumerate(words) if word in ("<", ">", "|")), len(words))
        name, *given = words[:redirected]
        assert name in group.commands, f"ftp {name}"
        try:
            group.commands[name].make_context(name, [word for word in given if word != "..."])
        except WrongUsage as error:
            pytest.fail(f"ftp {shlex.join(words)}: {error.format_message()}")


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "training-log.md"], ids=lambda p: p.name)
def test_options_in_the_text_exist(path: Path) -> None:
    from ftpcli.cli.app import app

    group = typer.main.get_command(app)
    parameters = [*group.params, *(parameter for command in group.commands.values() for parameter in command.params)]
    known = {"--help"} | {option for one in parameters for option in (*one.opts, *one.secondary_opts)}
    for span in re.findall(r"`((?:ftp |--)[^`]+)`", _FENCE.sub("", path.read_text())):
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", span):
            assert option in known, span


def test_commands_are_found() -> None:
    """The test above looks at something."""
    names = {words[0] for path in DOCUMENTS for words in commands(path)}
    assert {"annotate", "render", "train", "eval"} <= names


def test_every_cited_section_of_the_specification_is_there() -> None:
    heads = re.findall(r"^### ([ABC]\d)\. ", (ROOT / "docs" / "posetrack.md").read_text(), re.MULTILINE)
    assert len(set(heads)) == len(heads)
    cited: set[str] = set()
    for folder in ("ftpcli", "tests", "samples"):
        for path in (ROOT / folder).rglob("*.py"):
            if path != Path(__file__):
                cited |= set(re.findall(r"(?<![\w.-])([ABC][1-9])(?![\w-])", path.read_text()))
    assert {"A2", "B3", "C1"} <= cited <= set(heads)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the Python examples name: two clips of three frames, and poses."""
    from ftpcli import Annotator
    from ftpcli.annotation.outputs import Target, annotate_file
    from samples.make_sample import make_sample

    folder = tmp_path_factory.mktemp("examples")
    make_sample(folder / "clip.mp4", seconds=0.12)
    shutil.copy(folder / "clip.mp4", folder / "other.mp4")
    annotate_file(Annotator(device="cpu"), str(folder / "clip.mp4"), Target(folder / "poses.jsonl"))
    return folder


@pytest.mark.parametrize("text", blocks(README, "python") + blocks(ROOT / "docs" / "python.md", "python"))
def test_python_runs(
    text: str, examples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(examples)
    exec(compile(text, "an example of the documents", "exec"), {})
    assert capsys.readouterr().out


def test_the_notebook_runs(examples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(examples)
    names: dict[str, object] = {}
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "a cell of the notebook", "exec"), names)
    assert "left knee, degrees" in capsys.readouterr().out


#: What takes long, or needs what only the reader has.
_NOT_RUN = {"annotate", "status", "train", "eval"}


def test_commands_of_the_recipes_run(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Ran]
) -> None:
    shutil.copytree(examples, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run = [words for name in ("index.md", "recipes.md") for words in commands(ROOT / "docs" / name)]
    run = [words for words in run if words[0] not in _NOT_RUN and "export.zip" not in words]
    assert {words[0] for words in run} >= {"info", "review", "convert", "smooth", "render", "doctor"}
    for words in run:
        can_replace = words[0] in ("convert", "smooth", "render", "review")
        ran = command(*words, *(["--overwrite"] if can_replace else []))
        assert ran.code == 0, (words, ran.err)


def test_every_option_of_python_is_in_its_table() -> None:
    from ftpcli import Options

    rows = re.findall(r"^\| ([^|]+) \|[^|]*\| [^|]+ \|$", (ROOT / "docs" / "python.md").read_text(), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed == {field.name for field in fields(Options)}


def test_all_pages_are_in_the_site() -> None:
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_the_site_is_built_without_a_warning_and_asks_for_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", ROOT / "mkdocs.yml", "-d", tmp_path]
    built = subprocess.run(words, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "index.html").read_text()
    assert "<title>" in page and not re.search(
        r"<(?:script|img|iframe)[^>]* src=.https?:|<link[^>]*stylesheet[^>]*https?:", page
    )


def keys(value: object) -> Iterator[str]:
    """Names of all fields of a JSON value; what ``run`` and ``source`` nest is left to their own tables."""
    for item in value if isinstance(value, list) else []:
        yield from keys(item)
    for name, item in value.items() if isinstance(value, dict) else []:
        yield name
        if name not in ("model", "people", "options") or isinstance(item, list):
            yield from keys(item)


@pytest.mark.parametrize("format", ["jsonl", "coco", "posetrack", "posetrack17"])
def test_every_field_is_documented(format: str, examples: Path, tmp_path: Path) -> None:
    from ftpcli.formats import open_poses, write_poses

    with open_poses(examples / "poses.jsonl") as poses:
        filled = (replace(f, poses=tuple(replace(p, filled=True) for p in f.poses)) for f in poses)
        write_poses(tmp_path / "out", poses.header, filled, format)
    text = (tmp_path / "out").read_text()
    content = list(map(json.loads, text.splitlines())) if format == "jsonl" else json.loads(text)
    text = "".join(_FENCE.sub("", (ROOT / "docs" / name).read_text()) for name in ("formats.md", "posetrack.md"))
    documented = {word for span in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", span)}
    assert set(keys(content)) <= documented
