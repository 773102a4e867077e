"""The entry of ``ftp``: signals while it starts, completion, help."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from ftpcli.formats import write_poses
from tests.support.formats_samples import frames, header
from tests.support.lowest import lowest
from tests.support.odd_videos import encode
from tests.support.tiny import Ran

ROOT = Path(__file__).resolve().parent.parent.parent
#: What an installed console script does.
SCRIPT = "import sys; from ftpcli.cli import main; sys.argv[0] = 'ftp'; sys.exit(main())"
#: Before the script: the process sends itself a signal when it begins to import a module, in a ``place``.
AT_IMPORT = """
import os, sys
class Dying:
    def __del__(self):
        kill()
def kill():
    os.kill(os.getpid(), {number})
    for _ in range(100): pass
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            {place}
sys.meta_path.insert(0, Finder())
"""
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", count=60)


def _start(code: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    def accept() -> None:  # also where the tests themselves were started to ignore it
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=accept,
        env={**os.environ, **environment},
    )


def _said(process: subprocess.Popen[str]) -> list[str]:
    """Lines of stderr; the process is given five minutes."""
    try:
        _, err = process.communicate(timeout=300)
    finally:
        process.kill()
    return err.splitlines()


@pytest.mark.parametrize(
    "module",
    [
        "typer.main",
        "torch.nn",
        "cv2",
        "ultralytics.nn.tasks",
    ],
)
def test_a_signal_while_modules_load_is_one_line(module: str, clip: Path, tmp_path: Path) -> None:
    """And leaves no files behind, but for a folder that torch makes and keeps."""
    number, code = SIGNALS[len(module) % 2]
    hook = AT_IMPORT.format(module=module, number=int(number), place="kill()")
    (tmp_path / "temporary").mkdir()
    words = ("annotate", clip, "--engine", "torch", "--out", tmp_path / "out.jsonl")
    process = _start(hook + SCRIPT, *words, TMPDIR=str(tmp_path / "temporary"))
    lines = _said(process)
    assert [line for line in lines if not line.startswith(("ftp: on ", "ftp: starting"))] == ["ftp: interrupted"]
    assert process.returncode == code
    left = {path.name for path in (tmp_path / "temporary").iterdir() if not path.name.startswith("torchinductor")}
    assert not left and not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "place",
    [
        "Dying()",
        "try: kill()\n            except SystemExit: raise ImportError('caused by it')",
        "try: kill()\n            except BaseException: os.abort()",  # as compiled modules do that call Python
    ],
    ids=["dropped", "turned into another", "fatal"],
)
def test_where_an_import_cannot_pass_the_exception_on(place: str, clip: Path, tmp_path: Path) -> None:
    hook = AT_IMPORT.format(module="numpy", number=int(signal.SIGINT), place=place)
    process = _start(hook + SCRIPT, "annotate", clip, "--out", tmp_path / "out.jsonl")
    assert _said(process)[-1:] == ["ftp: interrupted"]
    assert process.returncode == 130


STREAMS = {
    "nobody reads": (["info", "a.jsonl"], "", 141, ""),
    "nobody reads the help": (["--help"], "", 141, ""),
    "full": (["info", "a.jsonl"], ">/dev/full", 1, "ftp: standard output: cannot be written (No space left on device)"),
    "closed": (["info", "a.jsonl"], ">&-", 1, "ftp: standard output: cannot be written (Bad file descriptor)"),
    "no room for messages": (["convert", "a.jsonl", "b.csv"], "2>/dev/full", 0, ""),
    "no room for an error": (["convert", "b.jsonl", "b.csv"], "2>/dev/full", 1, ""),
    "no errors": (["convert", "a.jsonl", "b.csv"], "2>&-", 0, ""),
    "all closed": (["convert", "a.jsonl", "b.csv"], "<&- >&- 2>&-", 0, ""),
    "ASCII": (["info", "a.jsonl"], ">out", 0, ""),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="shell and devices of Unix")
@pytest.mark.parametrize(("words", "streams", "code", "says"), STREAMS.values(), ids=STREAMS)
def test_standard_streams(words: list[str], streams: str, code: int, says: str, tmp_path: Path) -> None:
    """A closed one must not give its number to a file, into which others then print."""
    write_poses(tmp_path / "a.jsonl", header(), frames())
    line = f"{shlex.join([sys.executable, '-c', SCRIPT, *words])} {streams}"
    reads, unread = os.pipe()
    os.close(reads)  # before anything is written: a reader that merely ends soon can still take a short output
    try:
        run = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
            stdout=unread,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(unread)
    assert (run.returncode, run.stderr.strip()) == (code, says)
    if code == 0 and words[0] == "convert":
        assert (tmp_path / "b.csv").read_text().startswith("frame,")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells when a process catches signals")
@pytest.mark.parametrize(
    ("command", "delay", "kind"),
    [("annotate", 0.0, 0), ("annotate", 0.2, 1), ("annotate", 1.0, 0), ("annotate", 2.0, 1), ("render", 0.0, 0)],
)
def test_a_signal_at_any_moment(command: str, delay: float, kind: int, clip: Path, tmp_path: Path) -> None:
    """After the handlers stand. ``annotate`` has others from its first frame on, which say more."""
    (number, code), inputs = SIGNALS[kind], [clip]
    if command == "render":
        inputs.append(tmp_path / "poses.jsonl")
        write_poses(inputs[1], header(path="clip.mp4", width=64, height=96), frames(3))
    process = _start(SCRIPT, command, *inputs, "--out", tmp_path / "out.mp4" if command == "render" else "-")
    status, end = Path(f"/proc/{process.pid}/status"), time.monotonic() + 300
    while not _catches(status, signal.SIGTERM):
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.001)
    time.sleep(delay)
    process.send_signal(number)
    lines = [line for line in _said(process) if not line.startswith(("ftp: on ", "ftp: starting"))]
    assert lines == ["ftp: interrupted"] or lines[0] == "ftp: stopping after this chunk", lines
    assert process.returncode == code


def _catches(status: Path, number: int) -> bool:
    mask = re.search(r"SigCgt:\s*([0-9a-f]+)", status.read_text())
    return mask is not None and bool(int(mask[1], 16) >> (number - 1) & 1)


def test_an_ignored_signal_stays_ignored() -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SCRIPT}"
    process = _start(AT_IMPORT.format(module="typer", number=int(signal.SIGTERM), place="kill()") + code, "--version")
    assert _said(process) == []
    assert process.returncode == 0


def test_handlers_are_given_back(command) -> None:  # type: ignore[no-untyped-def]
    before = [signal.getsignal(number) for number, _ in SIGNALS], sys.unraisablehook
    assert command("--version").code == 0
    assert ([signal.getsignal(number) for number, _ in SIGNALS], sys.unraisablehook) == before


def test_the_entry_imports_little_before_its_handlers_stand() -> None:
    code = "import os, signal, sys; before = set(sys.modules); import ftpcli.cli; print(set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert eval(run.stdout) == {"ftpcli", "ftpcli.version", "ftpcli.cli", "__future__"}


# --- names, completion and help ---------------------------------------------------------------------------------


def test_every_bound_has_a_lowest_version() -> None:
    assert "torch==2.9" in lowest()


def test_names_of_distribution_and_commands() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "ftp-pose"
    assert project["scripts"] == {"ftp": "ftpcli.cli:main", "ftp-pose": "ftpcli.cli:main"}


@pytest.mark.parametrize("name", ["ftp", "ftp-pose"])
def test_completion_loads_nothing_heavy(name: str) -> None:
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    end = "\nimport sys; heavy = {'torch', 'numpy', 'cv2', 'av', 'timm', 'ultralytics'} & sys.modules.keys()"
    code = f"import atexit\ndef check():{end.replace(chr(10), ' ')}; print('heavy:', *heavy)\natexit.register(check)\n"
    asked = {variable: "complete_bash", "COMP_CWORD": "2", "COMP_WORDS": f"{name} render --cod"}
    process = _start(code + SCRIPT.replace("'ftp'", repr(name)), **asked)
    out, err = process.communicate(timeout=300)
    assert out.split("\n")[0] == "--codec" and "heavy:\n" in out, (out, err)


def test_completion_can_be_installed(tmp_path: Path) -> None:
    pytest.importorskip("shellingham")
    # Which shell runs the tests, if any, must not matter.
    process = _start(
        SCRIPT, "--show-completion", "bash", HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and "_FTP_COMPLETE=complete_bash" in out, (out, err)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["annotate", "a.mp4", "--format", "xyz"], "'xyz' is not one of 'jsonl', 'coco'"),
        (["annotate", "a.mp4", "--batch", "0"], "'--batch'"),
        (["annotate", "--no-such"], "No such option: --no-such"),
        (["no-such"], "No such command 'no-such'"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help(words: list[str], says: str, command: Callable[..., Ran]) -> None:
    done = command(*words)
    assert done.code == 2 and not done.out
    assert done.err.count("\n") == 1 and says in done.err and "--help" in done.err
    assert done.err.startswith("ftp: ")
