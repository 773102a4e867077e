"""What many workers cost and bring: overhead a clip, memory over many clips, and a model of 64 workers from both.

    python samples/scale_workers.py clip.mp4 --clips 1000 --cluster ray --boxes boxes.txt --weights small.safetensors

Copies of the clip go through one worker and through two. Overhead is what passes from one output to the next beyond
the time that the worker spent on it. Other programs make the clock useless: the gain of a second worker is therefore
also given by CPU time, as it would be if both had a core of their own.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ftpcli.annotation.batch import Video
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Target
from ftpcli.cli.runs import side_by_side
from ftpcli.cli.workers import Processes, Workers
from ftpcli.files.inputs import Source
from ftpcli.files.status import StatusFile

_TICKS = os.sysconf("SC_CLK_TCK")
_MARKS = 100, 300, 500, 1000  # clips
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Watch(threading.Thread):
    """Notes memory and CPU time of the workers' processes while a run goes on."""

    out: Path
    memory: list[tuple[int, float]] = field(default_factory=list)  # outputs so far, MiB of the largest worker
    disk: list[float] = field(default_factory=list)  # KiB of temporary files at those moments
    cpu: dict[int, float] = field(default_factory=dict)  # seconds, by process
    over: bool = False

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        while not self.over:
            sizes = []
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    name = (folder / "cmdline").read_bytes()
                    if not name.startswith(b"ray::Actor") and b"spawn_main" not in name:
                        continue
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                    if not _below(int(folder.name), os.getpid()):
                        continue
                    self.cpu[int(folder.name)] = (int(fields[11]) + int(fields[12])) / _TICKS
                    sizes.append(int(fields[21]) * _PAGE / 2**20)
                except (OSError, ValueError):
                    continue
            if sizes:
                self.memory.append((len(list(self.out.glob("*.jsonl"))), max(sizes)))
                files = os.walk(tempfile.gettempdir())
                self.disk.append(sum(_size(Path(top, name)) for top, _, names in files for name in names) / 1024)
            time.sleep(1.0)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # it is gone
        return 0


def _below(process: int, ancestor: int) -> bool:
    """Whether a process was started by another one, or by one that it started."""
    while process > 1 and process != ancestor:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return process == ancestor


def measure(jobs: int, arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    """One run over all clips with so many workers."""
    out = folder / f"out{jobs}"
    out.mkdir()
    settings = {
        "options": Options(weights=arguments.weights, boxes=arguments.boxes), "engine": "auto", "device": "cpu",
        "precision": "auto", "batch": 16, "trust": False, "allow_network": False,
    }  # fmt: skip
    clips = sorted(folder.glob("*.mp4"))
    work = [Video(Source(str(clip), "video"), Target(out / f"{clip.stem}.jsonl")) for clip in clips]
    engine: Workers = Processes(jobs, settings, StatusFile(out))
    if arguments.cluster:
        from ftpcli.cli.cluster import RayWorkers, parse_cluster

        engine = RayWorkers(parse_cluster(arguments.cluster), jobs, 0.0, len(work), settings, StatusFile(out))
    watch, began, spent = Watch(out), time.perf_counter(), time.process_time()
    watch.start()
    with engine:
        done = side_by_side(engine, work, [], True, lambda: False, StatusFile(out))
    watch.over = True
    watch.join()
    ends = sorted(path.stat().st_mtime_ns / 1e9 for path in out.glob("*.jsonl"))
    cold = len(ends) // 4 or 1  # clips by which all workers are at work
    cycles = [b - a for a, b in pairwise(ends)]
    own = {Path(one.out).name: one.elapsed for one in done}
    warm = len(watch.memory) // 5
    counts = [count for count, _ in watch.memory[warm:]]
    slope = statistics.linear_regression(counts, [size for _, size in watch.memory[warm:]]).slope if warm > 2 else 0.0
    return {
        "workers": jobs,
        "clips": len(done),
        "clips_a_second": round((len(ends) - cold) / (ends[-1] - ends[cold - 1]), 4),
        "cycle": round(statistics.median(cycles), 4),
        "work": round(statistics.median(own.values()), 4),
        "overhead": round(statistics.median(cycles) - statistics.median(own.values()), 4) if jobs == 1 else None,
        "worker_cpu": round(sum(watch.cpu.values()), 2),
        "master_cpu_a_clip": round((time.process_time() - spent) / len(done), 5),
        "start": round(ends[0] - (time.time() - (time.perf_counter() - began)), 2),
        "memory_mib": _at(_MARKS, counts, [size for _, size in watch.memory[warm:]]),
        "temporary_kib": _at(_MARKS, counts, watch.disk[warm:]),
        "memory_kib_a_clip": round(slope * 1024, 2),
        "files_left": len([path for path in out.iterdir() if path.suffix != ".jsonl"]),  # the status file
    }


def _at(marks: Sequence[int], counts: Sequence[int], values: Sequence[float]) -> dict[int, float]:
    """What was measured first once so many clips were done, and last of all."""
    found = {mark: next((v for n, v in zip(counts, values, strict=True) if n >= mark), None) for mark in marks}
    found[counts[-1]] = values[-1]
    return {mark: round(value, 1) for mark, value in found.items() if value is not None}


def simulate(workers: int, clips: int, work: float, overhead: float, master: float, start: float) -> float:
    """Seconds for so many clips: workers begin after ``start``, and the master serves one of them at a time.

    Args:
        work: seconds of a worker for a clip; some take half of that, some half more.
        overhead: seconds of a worker around each clip.
        master: seconds of the master for each clip.
    """
    free = [start] * workers
    heapq.heapify(free)
    served = last = 0.0
    for number in range(clips):
        served = max(heapq.heappop(free), served) + master
        ends = served + overhead + work * (0.5 + number * 7919 % 101 / 100)
        heapq.heappush(free, ends)
        last = max(last, ends)
    return last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--cluster", help="ray, or nothing for processes")
    parser.add_argument("--boxes")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ftp-") as name:
        folder = Path(name)
        (folder / "t").mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "t")  # also of the workers
        for number in range(arguments.clips):
            shutil.copy(arguments.clip, folder / f"{number:05}.mp4")
        runs = [measure(jobs, arguments, folder) for jobs in arguments.workers]
    for run in runs:
        print(json.dumps(run), flush=True)
    one = runs[0]
    if len(runs) > 1:
        cpu = float(one["worker_cpu"]) / float(runs[1]["worker_cpu"])  # type: ignore[arg-type]
        clock = float(runs[1]["clips_a_second"]) / float(one["clips_a_second"])  # type: ignore[arg-type]
        print(f"two workers: {clock:.2f} times as fast by the clock, {2 * cpu:.2f} by CPU time")
    overhead, master, start = (float(one[key] or 0) for key in ("overhead", "master_cpu_a_clip", "start"))  # type: ignore[arg-type]
    print("modelled speed-up over one worker, 20,000 clips: seconds of work a clip, by number of workers")
    for work in (1.0, 10.0, 60.0):
        alone = simulate(1, 20_000, work, overhead, master, start)
        row = {n: alone / simulate(n, 20_000, work, overhead, master, start) for n in (2, 8, 16, 64)}
        print(f"{work:g} s: " + ", ".join(f"{n} workers {gain:.1f}" for n, gain in row.items()), flush=True)


if __name__ == "__main__":
    main()
