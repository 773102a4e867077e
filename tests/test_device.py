"""Work shared out to threads: nothing lost, nothing out of order, torch left as it was."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from ftpcli.device import Threads, choose_device, in_steps, signals_held, take_signals
from ftpcli.errors import FtpError


@pytest.mark.parametrize("most", [None, 1, 2, 5])
@pytest.mark.parametrize("items", [0, 1, 2, 7, 24])
def test_every_item_has_its_result_in_order(most: int | None, items: int) -> None:
    """In the same parts, whatever the number of threads."""
    sizes = {}
    for count in (1, 2, 8):
        parts: list[Sequence[int]] = []

        def double(part: Sequence[int], parts: list[Sequence[int]] = parts) -> list[int]:
            parts.append(part)
            return [2 * item for item in part]

        assert Threads(most, count).map(double, range(items)) == [2 * item for item in range(items)]
        sizes[count] = sorted(len(part) for part in parts)
    assert sizes[1] == sizes[2] == sizes[8] and sum(sizes[1]) == items
    assert not items or (sizes[1][0] >= 1 and sizes[1][-1] - sizes[1][0] <= 1 and sizes[1][-1] <= (most or items))


@pytest.mark.parametrize("items", [1, 3, 9])
def test_each_part_has_one_torch_thread(items: int) -> None:
    before = torch.get_num_threads()
    assert Threads(1, 4).map(lambda part: [torch.get_num_threads() for _ in part], range(items)) == [1] * items
    assert torch.get_num_threads() == before


def test_the_first_error_is_told_and_the_next_call_works() -> None:
    threads, before = Threads(3, 3), torch.get_num_threads()

    def fail(part: Sequence[int]) -> list[int]:
        raise ValueError(f"part from {part[0]}")

    with pytest.raises(ValueError, match="part from 0"):
        threads.map(fail, range(9))
    assert torch.get_num_threads() == before
    assert threads.map(list, range(9)) == list(range(9))


def test_parts_run_at_the_same_time() -> None:
    """Each waits for the other."""
    from threading import Barrier

    barrier = Barrier(2, timeout=300)
    assert Threads(1, 2).map(lambda part: [barrier.wait() >= 0 for _ in part], [0, 1]) == [True, True]


def _run_torch() -> None:
    torch.set_num_threads(2)
    choose_device("cpu")
    torch.randn(1_000_000).exp_().sum()


def _make_threads() -> object:
    return Threads(1, 2)


def _use_threads() -> object:
    return _inherited.map(list, range(4))


def _choose() -> object:
    return choose_device("cpu")


def _alone() -> object:
    torch.set_num_threads(1)
    return Threads(1, 2).map(list, range(4))


_inherited: Threads


def _in_children(asks: list[Callable[[], object]], run: Callable[[], None], answers: Connection) -> None:
    """In a process of its own, which alone is left with what forking spoils."""
    global _inherited
    run()
    _inherited = Threads(1, 2)
    _inherited.map(list, range(4))
    for ask in asks:
        mine, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_answer, args=(ask, theirs))
        child.start()
        answers.send(mine.recv() if mine.poll(60) else "hangs")
        child.kill()
        child.join()


def _answer(ask: Callable[[], object], answer: Connection) -> None:
    try:
        answer.send(repr(ask()))
    except FtpError as error:
        answer.send(str(error))


def _one_thread() -> None:
    torch.set_num_threads(1)
    choose_device("cpu")


def _after_fork(run: Callable[[], None], *asks: Callable[[], object]) -> list[str]:
    mine, theirs = multiprocessing.Pipe()
    parent = multiprocessing.get_context("spawn").Process(target=_in_children, args=(list(asks), run, theirs))
    parent.start()
    try:
        return [mine.recv() if mine.poll(400) else "hangs" for _ in asks]
    finally:
        parent.kill()
        parent.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_is_refused_instead_of_hanging() -> None:
    answers = _after_fork(_run_torch, _use_threads, _make_threads, _choose, _alone)
    for answer in answers[:3]:
        assert "was forked after process" in answer and "spawn" in answer and "\n" not in answer
    assert answers[3] == "[0, 1, 2, 3]"  # torch has one thread: nothing to wait for


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_is_fine_where_torch_has_one_thread_in_the_parent() -> None:
    used, made = _after_fork(_one_thread, _use_threads, _alone)
    assert "was forked after process" in used
    assert made == "[0, 1, 2, 3]"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux lists them")
@pytest.mark.parametrize("command", [["annotate", "--out", "x.jsonl", "--weights", "none"], ["eval"]])
def test_no_library_has_threads_of_its_own(command: list[str], tmp_path: Path) -> None:
    """numpy's BLAS and OpenCV would start one for each core as they are imported."""
    (tmp_path / "clip.mp4").touch()
    script = (
        "import os, sys; before = len(os.listdir('/proc/self/task'))\n"
        "from ftpcli.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code\n"
        "import cv2, numpy\n"
        "print(len(os.listdir('/proc/self/task')) - before, cv2.getNumThreads())"
    )
    name, *options = command
    arguments = [sys.executable, "-c", script, name, *(["clip.mp4"] if name == "annotate" else []), *options]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    run = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.stdout.split() == ["0", "1"], run.stderr


def _tell_stop(pipe: Connection) -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: pipe.send("asked to stop"))
    take_signals()
    pipe.recv()


@pytest.mark.parametrize("asked", [None, "3"])
def test_what_counts_threads_stays_as_it_is(asked: str | None) -> None:
    """ultralytics sets OMP_NUM_THREADS to 1 where it is imported."""
    code = (
        "import os, sys\nfrom ftpcli.device import cores\n"
        "before = cores(), os.environ.get('OMP_NUM_THREADS')\n"
        "import ftpcli.people._ultralytics\nassert 'ultralytics' in sys.modules\n"
        "assert before == (cores(), os.environ.get('OMP_NUM_THREADS')), (before, cores())"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": asked} if asked else {}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_that_has_only_begun_gets_its_signals_when_it_is_ready(method: str) -> None:
    context = multiprocessing.get_context(method)
    pipe, other = context.Pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with signals_held():
        process = context.Process(target=_tell_stop, args=(other,))
        process.start()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    process.terminate()
    assert pipe.poll(60) and pipe.recv() == "asked to stop"
    pipe.send(None)
    process.join(60)
    assert process.exitcode == 0


def test_batches_have_few_sizes() -> None:
    given = {count: torch.arange(count * 2.0).view(count, 2) for count in range(1, 400)}
    padded = {count: in_steps(batch, torch.device("cpu:0")) for count, batch in given.items()}
    for count, batch in padded.items():
        assert torch.equal(batch[:count], given[count]) and bool((batch[count:] == batch[count - 1]).all())
        assert len(batch) <= 1.5 * count
    sizes = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
    assert sorted({len(batch) for batch in padded.values()}) == sizes
    assert all(in_steps(batch, torch.device("cpu")) is batch for batch in given.values())
