"""``--cluster ray``: the files of a plain run, whatever becomes of workers, inputs and outputs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ftpcli.files.status import summed_up
from tests.support.many_videos import MAIN, is_alive, start, status_lines, wait_until
from tests.support.odd_videos import encode
from tests.support.tiny import Ran, mot_boxes

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray")
ROOT = Path(__file__).resolve().parents[2]


def make_list(folder: Path, count: int, frames: int = 8) -> Path:
    """A table of so many clips with boxes."""
    boxes = mot_boxes(folder / "boxes.txt", frames)
    first = encode(folder / "clip000.mp4", count=frames, size=(96, 64))
    for number in range(1, count):
        (folder / f"clip{number:03}.mp4").write_bytes(first.read_bytes())
    rows = [f"{folder}/clip{number:03}.mp4,{boxes}" for number in range(count)]
    (folder / "list.csv").write_text("\n".join(["path,boxes", *rows]))
    return folder / "list.csv"


def workers_of(process: int) -> list[int]:
    """Ray's processes, below this one, that do our work."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            _, _, fields = (folder / "stat").read_text().rpartition(") ")
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields.split()[1])

    def below(number: int) -> bool:
        return number == process or (number in parents and number > 1 and below(parents[number]))

    return [number for number, name in names.items() if name.startswith(b"ray::Actor") and below(number)]


@pytest.fixture
def models(tiny_model: Path) -> tuple[object, ...]:
    return "--weights", tiny_model, "--format", "jsonl", "--device", "cpu"


def test_the_files_are_those_of_a_plain_run(
    models: tuple[object, ...], command: Callable[..., Ran], tmp_path: Path
) -> None:
    """Also with relative paths; and a plain run with its paths finds all of it done."""
    listed = make_list(tmp_path, 3)
    plain = ("annotate", "--inputs-from", listed, "--jobs", 1, *models, "--out")
    assert command(*plain, tmp_path / "plain").code == 0
    out = tmp_path / "out"
    words = ("--inputs-from", os.path.relpath(listed, ROOT), "--out", os.path.relpath(out, ROOT), "--skip-done")
    run = start(*words, "--cluster", "ray", "--jobs", 2, *models)
    said = run.communicate(timeout=300)[1]
    assert run.returncode == 0 and "is whole already" not in said, said
    assert len(said.splitlines()) == 5, said  # nothing of Ray's own
    again = command(*plain, out, "--skip-done")
    assert again.code == 0 and again.err.count("is whole already") == 3, again.err
    for name in ("clip000.jsonl", "clip001.jsonl", "clip002.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    assert b'"keypoints"' in (out / "clip000.jsonl").read_bytes() and len(status_lines(out)) == 3


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where somebody takes calls and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_what_cannot_be(
    models: tuple[object, ...],
    command: Callable[..., Ran],
    silent: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ftpcli.cli.cluster._PATIENCE", (30.0, 1.0))
    listed = ("--inputs-from", make_list(tmp_path, 2), "--out", tmp_path / "out", *models)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    out = tmp_path / "out"
    for more, code, says in [
        (("--cluster", "dask"), 2, "--cluster dask: give ray, ray:auto, or ray:HOST:PORT"),
        (("--cluster", "ray:"), 2, "--cluster ray:: give ray"),
        (("--cluster", "ray:host"), 2, "--cluster ray:host: give ray"),
        (("--gpus-per-job", "1"), 2, "--gpus-per-job 1: is for --cluster"),
        (("--cluster", "ray", "--gpus-per-job", "1.5"), 2, "--gpus-per-job 1.5: Ray gives parts of one GPU"),
        (("--cluster", "ray:host:0"), 2, "--cluster ray:host:0: give ray"),
        (("--cluster", "ray:host:65536"), 2, "--cluster ray:host:65536: give ray"),
        (("--cluster", f"ray:{nobody}"), 1, f"--cluster ray:{nobody}: nobody answers there ("),
        (("--cluster", f"ray:{'a' * 70}:1"), 1, f"{'a' * 70}:1: nobody answers there ("),
        (("--cluster", f"ray:{silent}"), 1, f"--cluster ray:{silent}: no Ray answers there in 1 s, but somebody is"),
    ]:
        ran = command("annotate", *listed, *more)
        assert ran.code == code and len(ran.lines) == 1 and says in ran.lines[0], ran.err
        assert not out.exists()
    ran = command("annotate", tmp_path / "clip000.mp4", "--out", "-", "--cluster", "ray", "--device", "cpu")
    assert ran.code == 2 and "reads and writes files, no pipes" in ran.err

    run = start(*listed, "--cluster", "ray", "--gpus-per-job", "0.5", "-q")
    assert (
        run.communicate(timeout=300)[1] == "ftp: --gpus-per-job 0.5: the cluster has 0 GPUs\n" and run.returncode == 2
    )
    run = start(
        *listed, "--cluster", "ray", "-q", code=f"import ftpcli.cli.cluster as c; c.__version__ = '9.9'; {MAIN}"
    )
    said = run.communicate(timeout=300)[1]
    assert run.returncode == 1 and "has ftp " in said and ", this is 9.9; install" in said and said.count("\n") == 1
    assert not out.exists()


def test_a_worker_of_another_version_can_say_so(tmp_path: Path) -> None:
    """One that has none of our modules but the version's."""
    from ray import cloudpickle

    from ftpcli.cli.cluster import _actor

    (tmp_path / "ftpcli").mkdir()
    (tmp_path / "ftpcli" / "__init__.py").touch()
    (tmp_path / "ftpcli" / "version.py").write_text('__version__ = "0.0.1"')
    (tmp_path / "actor").write_bytes(cloudpickle.dumps(_actor()))
    code = "from ray import cloudpickle; a = cloudpickle.loads(open('actor', 'rb').read())(); a.serve(b''); "
    code += "import sys; print(a.next(), [name for name in sys.modules if name.startswith('ftpcli')])"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "('unfit', 'worker on " in ran.stdout and "has ftp 0.0.1, this is " in ran.stdout
    assert "['ftpcli', 'ftpcli.version']" in ran.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Ray ends its processes by their common group")
@pytest.mark.parametrize(("number", "fails"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_a_signal_while_ray_starts(number: signal.Signals, fails: bool, tmp_path: Path) -> None:
    """To all processes: Ray's start goes on to its end, and then nothing of it is left. A stand-in for Ray, which does
    what Ray does: it sets a handler, forks as Ray forks, and writes into its folder."""
    code = f"""
import os, pathlib, signal, subprocess, sys, types
from ftpcli.cli.signals import stop_signals
number, fails, ray = signal.{number.name}, {fails}, types.ModuleType("ray")

def init(address, *, _temp_dir, **more):
    signal.signal(signal.SIGTERM, lambda *_: print("Ray's handler"))
    child = subprocess.Popen(["sleep", "1000"], preexec_fn=lambda: None)
    os.killpg(0, number)
    assert child.poll() is None
    print("started", child.pid, pathlib.Path(_temp_dir, "log").write_text(""), _temp_dir)
    if fails:
        raise RuntimeError("busy")

ray.init, ray.shutdown, ray.cluster_resources, ray.remote = init, lambda: print("shut down"), dict, __import__("unittest.mock").mock.Mock()
sys.modules["ray"] = ray
from ftpcli.cli.cluster import RayWorkers
with stop_signals(), RayWorkers("local", 1, 0.0, 1, {{"device": "cpu"}}, None):
    print("used")
"""  # noqa: E501
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, start_new_session=True
    )
    assert ran.returncode == 128 + number and ran.stderr == "ftp: stopping once Ray has started\n", ran.stderr
    (started, child, *_), last = (line.split() for line in ran.stdout.splitlines())
    assert started == "started" and last == ["shut", "down"] and not list(tmp_path.iterdir())
    assert wait_until(lambda: not is_alive(int(child)))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_signal_stops_and_keeps(models: tuple[object, ...], command: Callable[..., Ran], tmp_path: Path) -> None:
    """Ctrl-C goes to the whole group of processes; a plain run goes on with what was kept."""
    listed, out = make_list(tmp_path, 2, 1500), tmp_path / "out"
    words = ["annotate", "--inputs-from", listed, "--out", out, *models]
    run = subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, words), "--cluster", "ray", "--jobs", "2"],
        stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    assert wait_until(lambda: len(list(out.glob("*.part.jsonl"))) == 2, run)
    os.killpg(run.pid, signal.SIGINT)
    said = run.communicate(timeout=300)[1]
    assert run.returncode == 130 and said.count("; they are kept in ") == 2, said
    ran = command(*words, "--jobs", 1, "--resume")
    assert ran.code == 0 and ran.err.count("of them from the interrupted run") == 2, ran.err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_two_hundred_clips(models: tuple[object, ...], command: Callable[..., Ran], tmp_path: Path) -> None:
    """A worker killed, an input damaged, an output that cannot be written; a second call; two masters at once."""
    listed, out = make_list(tmp_path, 200), tmp_path / "out"
    (tmp_path / "clip007.mp4").write_bytes(b"nothing" * 100)
    (out / "clip011.jsonl").mkdir(parents=True)  # where root may write, too, nothing can take its place
    words = ("--inputs-from", listed, "--out", out, "--skip-done", "--cluster", "ray", "--jobs", 4, *models)
    run = start(*words)
    assert wait_until(lambda: len(status_lines(out)) >= 30, run, 600)
    os.kill(workers_of(run.pid)[0], signal.SIGKILL)
    said = run.communicate(timeout=1500)[1]
    assert run.returncode == 1, said
    if "its worker was lost; another one goes on" not in said:
        assert "was lost" not in said  # it was between two inputs
    failed = {str(one["source"]): str(one["error"]) for one in summed_up(str(out))["failed"]}
    assert sorted(map(os.path.basename, failed)) == ["clip007.mp4", "clip011.mp4"]
    assert all(f"ftp: {error}\n" in said for error in failed.values())
    plain = tmp_path / "plain.jsonl"
    boxes = ("--boxes", tmp_path / "boxes.txt")
    assert command("annotate", tmp_path / "clip000.mp4", *boxes, "--out", plain, *models).code == 0
    whole = plain.read_text().replace("clip000.mp4", "CLIP")
    for path in (path for path in out.glob("*.jsonl") if path.is_file()):
        assert path.read_text().replace(f"{path.stem}.mp4", "CLIP") == whole, path
    # A worker that is killed between an output and its line leaves the line to the next one.
    assert len([path for path in out.glob("*.jsonl") if path.is_file()]) == 198 == summed_up(str(out))["done"]
    assert len(status_lines(out)) >= 197 and not list(out.glob("*.part*"))

    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.jsonl") if path.is_file()}
    for name in ("clip100.jsonl", "clip150.jsonl"):
        (out / name).unlink()
    (out / "clip011.jsonl").rmdir()
    (tmp_path / "clip007.mp4").write_bytes((tmp_path / "clip000.mp4").read_bytes())
    runs = [start(*words[:-9], "--skip-done", "--cluster", "ray", "--jobs", 2, *models) for _ in range(2)]
    texts = [run.communicate(timeout=1500)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], texts
    now = {path.name: path.stat().st_mtime_ns for path in out.glob("*.jsonl")}
    assert len(now) == 200 and {name for name in now if now[name] != before.get(name)} == {
        "clip007.jsonl", "clip011.jsonl", "clip100.jsonl", "clip150.jsonl"
    }  # fmt: skip
    done = Counter(line["out"] for line in status_lines(out))
    assert done.pop("clip100.jsonl") == done.pop("clip150.jsonl") == 2 and set(done.values()) == {1}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_split_whose_worker_and_whose_program_are_killed(
    models: tuple[object, ...], command: Callable[..., Ran], tmp_path: Path
) -> None:
    """72 seconds: the file of a plain run, after all."""
    clip = encode(tmp_path / "clip.mp4", count=1800, size=(96, 64))
    words = (clip, "--boxes", mot_boxes(tmp_path / "boxes.txt", 1800), *models)
    plain, out = tmp_path / "plain.jsonl", tmp_path / "out.jsonl"
    assert command("annotate", *words, "--out", plain).code == 0
    words += ("--out", out, "--split", 10, "--cluster", "ray", "--jobs", 2)

    def wait_for(what: str, run: subprocess.Popen[str]) -> None:
        assert wait_until(lambda: list(tmp_path.glob(f"out.jsonl.split/{what}")), run)

    run = start(*words)
    wait_for("detections-00002.jsonl", run)
    os.kill(workers_of(run.pid)[0], signal.SIGKILL)
    wait_for("poses-00001.jsonl", run)
    workers = workers_of(run.pid)
    run.kill()
    said = run.communicate(timeout=300)[1]
    assert run.returncode == -9 and "Traceback" not in said and not out.exists(), said
    assert len(workers) == 2 and wait_until(lambda: not any(map(is_alive, workers)))
    run = start(*words, "--resume")
    wait_for("poses-00003.jsonl", run)
    os.kill(workers_of(run.pid)[0], signal.SIGKILL)
    said = run.communicate(timeout=300)[1]
    assert run.returncode == 0 and "its worker was lost; another one goes on" in said, said
    assert out.read_bytes() == plain.read_bytes() and b'"keypoints"' in plain.read_bytes()
    assert not list(tmp_path.glob("out.jsonl.*"))
