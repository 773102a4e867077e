"""Nothing ever goes out to a network: every command runs where any attempt is noted and refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.odd_videos import encode
from tests.support.tiny import mot_boxes
from tests.support.training_data import make_coco

TRAIN = ["--steps", "2", "--batch", "2", "--image-size", "64x48", "--depth", "2", "--recipe", "scratch", "--quiet"]
ROOT = Path(__file__).resolve().parent.parent.parent

#: Runs commands one after the other in one process. An audit hook sees every socket that Python or a library in
#: Python opens, also in other threads, and processes that are started (pip, curl).
GUARD = """
import json, sys
attempts, processes = [], []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"):
        attempts.append([event, repr(arguments)[:200]])
        raise OSError("no network in this test")
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        processes.append(repr(arguments)[:200])
sys.addaudithook(hook)
from ftpcli.cli import main
codes = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["ftp", *words]
    try:
        main()
        codes.append(0)
    except SystemExit as end:
        codes.append(end.code or 0)
told = {"codes": codes, "attempts": attempts, "processes": processes, "ultralytics": "ultralytics" in sys.modules}
print(json.dumps(told))
"""


def test_no_command_reaches_for_the_network(tiny_model: Path, tmp_path: Path) -> None:
    from ftpcli.people.loading import BUNDLED

    clip = encode(tmp_path / "clip.mp4", count=4)
    boxes = mot_boxes(tmp_path / "boxes.txt", 4)
    data = make_coco(tmp_path / "data", 4)
    out = tmp_path / "out.json"
    model = ["--weights", tiny_model]
    commands: list[list[object]] = [
        ["annotate", clip, "--out", out, "--format", "posetrack", "--boxes", boxes, *model, "--overlay", "o.mp4"],
        ["render", clip, out, "--out", tmp_path / "drawn.mp4"],
        ["eval", *model, "--data", data, "--dataset", "coco", "--out", tmp_path / "scored", "--quiet"],
        ["train", "--data", f"coco={data}", "--out", tmp_path / "run", *TRAIN],
    ]
    if BUNDLED.is_file():
        commands.insert(1, ["annotate", clip, "--out", tmp_path / "found.jsonl", "--detector-size", "64", *model])
        commands[1] += ["--engine", "torch"]
    words = json.dumps([[str(word) for word in command] for command in commands])
    run = subprocess.run(
        [sys.executable, "-c", GUARD, words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["attempts"] == []
    # Looking for the system's libraries is harmless (ctypes asks ldconfig); anything that fetches is not.
    for process in told["processes"]:
        assert not re.search(r"\b(pip3?|uv|conda|curl|wget|git)\b", process), process
    assert told["codes"] == [0] * len(commands), run.stderr
    assert told["ultralytics"] or not BUNDLED.is_file()
