"""How long ``annotate`` takes, stage by stage, and against another program on the same clip in the same run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Summary, Target, annotate_file
from ftpcli.device import peak_memory
from ftpcli.files.stages import Stage, measured
from ftpcli.records import Frame


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over the clip: seconds on the clock, of CPU time in all threads and in the one that works out the
    frames, which others wait for; and CPU seconds of each stage."""

    wall: float
    cpu: float
    calling: float
    stages: dict[str, float]


def bench(
    video: str,
    options: Options,
    *,
    overlay: bool = False,
    against: str | None = None,
    rounds: int = 3,
    tell: Callable[[str], None] = lambda line: None,
    **computing: Any,
) -> dict[str, Any]:
    """Annotate a clip again and again, into a temporary folder, in turn with the other program; medians.

    The first round warms up and does not count.

    Args:
        against: a pose model of ultralytics, see :class:`ftpcli.people.yolo_pose.YoloPose`.
        rounds: that count.
        tell: takes a line for each round.
        computing: ``engine`` and so on of :class:`Annotator`.

    Raises:
        FtpError: see ``annotate_file``.
    """
    made: list[Annotator] = []
    start = _timed(lambda: made.append(Annotator(options, **computing)))
    annotator = made[0]
    ours: list[Round] = []
    theirs: list[Round] = []
    tell("warming up")
    _, summary = _annotate(annotator, video, overlay)
    memory = peak_memory()  # before the other program is loaded
    other = None
    if against is not None:
        from ftpcli.people.yolo_pose import YoloPose

        other = YoloPose(against)
        other.follow(frame.image for frame in _frames(video))
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        ours.append(_annotate(annotator, video, overlay)[0])
        if other is not None:
            theirs.append(_timed(partial(other.follow, (frame.image for frame in _frames(video)))))
    return _report(summary, start, ours, theirs, against) | {"peak_memory_mib": memory}


def _report(
    summary: Summary, start: Round, ours: list[Round], theirs: list[Round], against: str | None
) -> dict[str, Any]:
    cpu = statistics.median(one.cpu for one in ours)
    stages = {str(name): statistics.median(one.stages.get(name, 0.0) for one in ours) for name in Stage}
    stages["other threads"] = max(0.0, cpu - sum(stages.values()))  # FFmpeg's, and what no stage claims
    wall = statistics.median(one.wall for one in ours)
    report: dict[str, Any] = {
        "video": Path(summary.source).name,
        "frames": summary.frames,
        "poses": summary.people,
        "start": {"wall": start.wall, "cpu": start.cpu},
        "wall": wall,
        "cpu": cpu,
        "calling_thread": statistics.median(one.calling for one in ours),
        "frames_per_second": summary.frames / wall,
        "poses_per_second": summary.people / wall,
        "stages": {name: {"cpu": seconds, "share": seconds / cpu} for name, seconds in stages.items() if seconds},
    }
    if against is not None:
        pairs = list(zip(ours, theirs, strict=True))
        report["against"] = {
            "name": against,
            "wall": statistics.median(one.wall for one in theirs),
            "cpu": statistics.median(one.cpu for one in theirs),
            "speed_ratio": statistics.median(b.wall / a.wall for a, b in pairs),
            "speed_ratio_cpu": statistics.median(b.cpu / a.cpu for a, b in pairs),
        }
    return report


def _annotate(annotator: Annotator, video: str, overlay: bool) -> tuple[Round, Summary]:
    with tempfile.TemporaryDirectory(prefix="ftp-bench-") as folder, measured() as stages:
        out = Path(folder)
        target = Target(out / "poses.jsonl", overlay=out / "overlay.mp4" if overlay else None)
        found: list[Summary] = []
        one = _timed(lambda: found.append(annotate_file(annotator, video, target)))
        return replace(one, stages={str(name): seconds for name, seconds in stages.items()}), found[0]


def _timed(work: Callable[[], object]) -> Round:
    wall, cpu, calling = time.perf_counter(), time.process_time(), time.thread_time()
    work()
    return Round(time.perf_counter() - wall, time.process_time() - cpu, time.thread_time() - calling, {})


def _frames(video: str) -> Iterator[Frame]:
    from ftpcli.video import open_source

    with open_source(video) as source:
        yield from source
