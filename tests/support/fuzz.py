"""Runs ``ftp`` on damaged files by the hundred: ``python -m tests.support.fuzz --videos 1000 --poses 300``.

Seeds are mutated by bit flips, swapped chunks, truncation and edits of the header. A worker process runs the
command on each; a watchdog ends it after 30 s without an answer. What came of it is judged:

- right: exit code 0, and the output is whole and has exactly the frames that a second reading finds;
- refused: exit code 1 or 2, one line, no output left;
- wrong: anything else: a traceback, a fault of the program, an output that is not whole;
- hang, crash: no answer in time, or the process died.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.support.tiny import Command, Ran, mot_boxes, tiny_weights

WATCHDOG = 30.0  # seconds
MEMORY = 2048  # MiB beyond what a sound file takes
VIDEO_SEEDS = (
    *("aac_mp4", "hevc_ten_bit", "rotated_270", "alpha", "flac_mkv"),
    *("vp9_webm", "mpeg4_avi_with_b_frames", "mjpeg_avi", "transport_stream", "interlaced"),
)
OUTCOMES = ("right", "refused", "wrong", "hang", "crash")


def mutate(data: bytes, generator: random.Random) -> bytes:
    """One to three kinds of damage."""
    for kind in generator.sample(("bits", "swap", "cut", "header", "zeros"), generator.choice((1, 1, 1, 2, 3))):
        if len(data) < 64:
            break
        changed = bytearray(data)
        if kind == "bits":
            for _ in range(generator.choice((1, 3, 10, 100))):
                changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
        elif kind == "swap":
            size = generator.randrange(1, len(changed) // 4)
            one, two = (generator.randrange(len(changed) - size) for _ in range(2))
            changed[one : one + size], changed[two : two + size] = (
                changed[two : two + size],
                changed[one : one + size],
            )
        elif kind == "cut":
            del changed[generator.randrange(len(changed)) :]
        elif kind == "header":
            for _ in range(generator.choice((1, 2, 5))):
                place = generator.randrange(min(len(changed) - 4, 600))
                value = generator.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, generator.getrandbits(32)))
                changed[place : place + 4] = value.to_bytes(4, generator.choice(("big", "little")))
        else:
            start = generator.randrange(len(changed))
            end = min(len(changed), start + generator.randrange(1, 2000))
            changed[start:end] = bytes(end - start)
        data = bytes(changed)
    return data


# --- in the worker ------------------------------------------------------------------------------------------------


def _serve(pipe: Connection) -> None:
    """Runs commands as they come and says what they did."""
    import contextlib
    import io
    import resource
    import traceback

    from ftpcli.cli import main

    while True:
        words, video = pipe.recv()
        said = io.StringIO()
        code = 0
        sys.argv = ["ftp", *words]
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            except BaseException:
                code = -1
                traceback.print_exc(file=said)
        out = Path(words[words.index("--out") + 1])
        verdict = _judge(code, said.getvalue(), out, video)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 if sys.platform == "linux" else 1024) // 1024
        for path in out.parent.glob(f"*{out.name}*"):
            path.unlink()
        pipe.send((*verdict, peak))


def _judge(code: int, said: str, out: Path, video: str | None) -> tuple[str, str]:
    usual = ("ftp: starting", "ftp: on ", "ftp: warning: ")
    lines = [line for line in said.splitlines() if line and not line.startswith(usual)]
    last = lines[-1] if lines else ""
    if "Traceback" in said or "a fault of the program" in said or code not in (0, 1, 2):
        return "wrong", said[-2000:]
    if code:
        left = [path.name for path in out.parent.glob(f"*{out.name}*") if not path.name.endswith(".part.jsonl")]
        one_line = len(lines) == 1 and last.startswith("ftp: ")
        return ("refused", last) if one_line and not left else ("wrong", f"left {left}: {said[-2000:]}")
    try:
        fault = _not_whole(out, video)
    except Exception as error:
        fault = f"cannot be read: {error!r}"
    return ("wrong", fault) if fault else ("right", last)


def _not_whole(out: Path, video: str | None) -> str:
    """Why an output that is claimed whole is not; empty where it is."""
    from ftpcli.formats import open_poses
    from ftpcli.video import VideoReader

    if video is None:
        with VideoReader(out) as reader:
            return "" if sum(1 for _ in reader) and not reader.bad_packets else "the drawn video is damaged"
    with VideoReader(video) as reader:
        wanted = [(frame.index, frame.pts, frame.seconds) for frame in reader]
    with open_poses(out) as poses:
        got = [(record.index, record.pts, record.seconds) for record in poses]
    return "" if got == wanted else f"{len(got)} records, {len(wanted)} frames"


# --- in the parent ------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What came of one kind of input."""

    count: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    memory: int = 0  # MiB beyond a sound file's
    faults: list[str] = field(default_factory=list)


class Worker:
    """A process that runs commands; a new one takes its place when it hangs or dies."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.support.loaded"])
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.normal: int | None = None

    def run(self, words: list[str], video: str | None) -> tuple[str, str, int]:
        """Outcome, what was said, MiB beyond the first command's (which is on sound files)."""
        self.pipe.send((words, video))
        if not self.pipe.poll(WATCHDOG + 15):  # the program's own patience ends first
            self.process.kill()
            self.process.join()
            self._start()
            return "hang", " ".join(words), 0
        try:
            outcome, said, peak = self.pipe.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self._start()
            return "crash", f"exit code {code}: {' '.join(words)}", 0
        self.normal = peak if self.normal is None else self.normal
        return outcome, said, peak - self.normal

    def close(self) -> None:
        self.process.kill()
        self.process.join()


def fuzz(kind: str, count: int, folder: Path, seed: int = 0, keep: Path | None = None) -> Tally:
    """Run ``count`` mutated inputs of a kind: videos, poses or weights. ``keep``: where offending files go."""
    generator = random.Random(f"{kind} {seed}")
    worker, tally = Worker(), Tally()
    seeds = list(SEEDS[kind](folder, worker))
    try:
        for words, _, video in seeds:  # sound ones first: they set what is normal
            outcome, said, _ = worker.run(words, video)
            assert outcome == "right", (words, outcome, said)
        for number in range(count):
            words, damaged, video = seeds[number % len(seeds)]
            sound = damaged.read_bytes()
            started = time.monotonic()
            try:
                damaged.write_bytes(mutate(sound, generator))
                outcome, said, memory = worker.run(words, video)
                if outcome not in ("right", "refused") or memory > MEMORY:
                    tally.faults.append(f"{kind} {number} ({damaged.name}): {outcome}, {memory} MiB: {said}")
                    if keep is not None:
                        keep.mkdir(parents=True, exist_ok=True)
                        (keep / f"{kind}-{number}-{damaged.name}").write_bytes(damaged.read_bytes())
            finally:
                damaged.write_bytes(sound)
            tally.count[outcome] += 1
            tally.longest = max(tally.longest, time.monotonic() - started)
            tally.memory = max(tally.memory, memory)
    finally:
        worker.close()
    return tally


Seed = tuple[list[str], Path, str | None]


def _video_seeds(folder: Path, worker: Worker) -> Iterator[Seed]:
    from tests.support.odd_videos import NEEDS, ODD_VIDEOS, has_encoder

    model = tiny_weights(folder / "model.safetensors")
    for name in VIDEO_SEEDS:
        if not has_encoder(NEEDS[name]):
            continue
        (folder / name).mkdir()
        odd = ODD_VIDEOS[name](folder / name)
        boxes = mot_boxes(folder / f"{name}.txt", 3, odd.size, people=1)
        words = ["annotate", odd.path, "--boxes", boxes, "--weights", model, "--out", folder / "out.jsonl"]
        yield [str(word) for word in words], odd.path, str(odd.path)


def _poses_seeds(folder: Path, worker: Worker) -> Iterator[Seed]:
    clip, model, boxes = _clip(folder)
    for format, suffix in (("jsonl", "jsonl"), ("coco", "json"), ("posetrack", "json"), ("posetrack17", "json")):
        poses = folder / f"{format}.{suffix}"
        words = ["annotate", clip, "--boxes", boxes, "--weights", model, "--format", format, "--out", poses]
        assert Command(words, folder).wait() == 0
        yield [str(word) for word in ["render", clip, poses, "--out", folder / "drawn.mp4", "--quiet"]], poses, None


def _weights_seeds(folder: Path, worker: Worker) -> Iterator[Seed]:
    clip, model, boxes = _clip(folder)
    words = ["annotate", clip, "--boxes", boxes, "--weights", model, "--out", folder / "out.jsonl"]
    yield [str(word) for word in words], model, str(clip)


def _clip(folder: Path) -> tuple[Path, Path, Path]:
    from tests.support.odd_videos import encode

    boxes = mot_boxes(folder / "boxes.txt", 4)
    return encode(folder / "clip.mp4", count=4), tiny_weights(folder / "model.safetensors"), boxes


SEEDS: dict[str, Callable[[Path, Worker], Iterator[Seed]]] = {
    "videos": _video_seeds,
    "poses": _poses_seeds,
    "weights": _weights_seeds,
}


def kills(count: int, folder: Path) -> int:
    """Kill -9 a run at ``count`` random moments and resume it; how many results are identical."""
    from tests.annotation.test_interrupted import arguments, kill_and_resume
    from tests.support.walkers import use_bright_detector, walkers

    clip, model = walkers(folder / "clip.mp4"), tiny_weights(folder / "model.safetensors")
    (folder / "whole").mkdir()
    whole = folder / "whole" / "out.jsonl"
    assert Command(arguments(clip, model, whole), folder / "whole", use_bright_detector).wait() == 0

    def command(*words: object) -> Ran:
        run = Command(words, folder, use_bright_detector, log="resumed")
        return Ran(run.wait(), "", run.said)

    generator = random.Random(11)
    return kill_and_resume([generator.random() for _ in range(count)], clip, model, whole, command, folder)


def table(
    tallies: dict[str, Tally],
    killed: tuple[int, int] | None = None,
    soaked: list[tuple[int, float]] | None = None,
    command: str = "",
) -> str:
    """Markdown. ``soaked``: frames done and MiB of the process, at several places of a long run."""
    lines = [
        "# Robustness, measured",
        "",
        f"Written by `python -m tests.support.fuzz{command}`.",
        "*Refused* means one clear line, the documented exit code and no output; *wrong* means a traceback or an",
        "output that is not what it claims.",
        "",
        "| Mutated | tried | right | refused | wrong | hang | crash | memory beyond normal, MiB | longest, s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, tally in tallies.items():
        numbers = " | ".join(str(tally.count[outcome]) for outcome in OUTCOMES)
        lines.append(f"| {kind} | {tally.count.total()} | {numbers} | {tally.memory} | {tally.longest:.1f} |")
    if killed:
        lines += [
            "",
            f"Runs killed with SIGKILL at random moments: {killed[0]}; resumed to identical files: {killed[1]}.",
        ]
    if soaked:
        lines += ["", "Memory over the frames of one long run, every frame and its time as expected:", ""]
        lines += ["| frames | MiB |", "| --- | --- |", *(f"| {frames:,} | {memory:.0f} |" for frames, memory in soaked)]
    return "\n".join(lines) + "\n"


def main(arguments: Any = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.fuzz", description="Damaged files by the hundred.")
    for kind in SEEDS:
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="N")
    parser.add_argument("--kills", type=int, default=0, metavar="N")
    parser.add_argument("--soak", type=int, default=0, metavar="FRAMES", help="see tests/support/soak.py")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that were not handled right")
    parser.add_argument("--out", type=Path, help="write the table here")
    asked = parser.parse_args(arguments)
    tallies = {}
    for kind in SEEDS:
        if getattr(asked, kind):
            with tempfile.TemporaryDirectory() as name:
                tallies[kind] = fuzz(kind, getattr(asked, kind), Path(name), asked.seed, asked.keep)
            print(kind, dict(tallies[kind].count), *tallies[kind].faults, sep="\n  ", flush=True)
    killed = None
    if asked.kills:
        with tempfile.TemporaryDirectory() as name:
            killed = asked.kills, kills(asked.kills, Path(name))
    soaked = None
    if asked.soak:
        from tests.support.soak import soak

        with tempfile.TemporaryDirectory() as name:
            soaked = soak(asked.soak, Path(name), 10)
    chosen = "".join(
        f" --{name} {getattr(asked, name)}" for name in (*SEEDS, "kills", "soak", "seed") if getattr(asked, name)
    )
    text = table(tallies, killed, soaked, chosen)
    if asked.out:
        asked.out.write_text(text)
    print(text)
    return int(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
