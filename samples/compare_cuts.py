"""Camera cuts found by this program and by PySceneDetect's ContentDetector, on sequences made from labelled clips.

    python -m venv scene && scene/bin/pip install scenedetect-headless opencv-python-headless numpy
    PYTHONPATH=. scene/bin/python samples/compare_cuts.py CLIPS          # all clips
    PYTHONPATH=. scene/bin/python samples/compare_cuts.py CLIPS 1        # every second film only: 0 for the others

Joins: two clips one after the other, two clips of one film, one clip and a closer view of its own end (a jump cut).
None: clips as they are, at a third of their rate, with flashes, with lamps that go out, under fast pans and zooms.
Needs neither torch nor PyAV.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ftpcli.people.cuts import Shots
from ftpcli.records import Frame, TrackedFrame

PART = 16  # frames of a shot
JOINS, LIKE, NONE = 120, 40, 30  # sequences of a kind

Pictures = list[np.ndarray]


def read(path: Path) -> Pictures:
    """All pictures of a clip, RGB."""
    video, pictures = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        pictures.append(read[1][..., ::-1])
    return pictures


def view(picture: np.ndarray, zoom: float, x: float = 0.5, y: float = 0.5) -> np.ndarray:
    """A part of a picture, as large as the whole; x and y say where it lies, 0 to 1."""
    height, width = picture.shape[:2]
    tall, wide = round(height / zoom), round(width / zoom)
    top, left = round(y * (height - tall)), round(x * (width - wide))
    return cv2.resize(picture[top : top + tall, left : left + wide], (width, height))


def sequences(folder: Path, half: int | None = None) -> Iterator[tuple[str, Pictures, int | None]]:
    """Kind, pictures, and where the second shot begins; of every second film only, from the one numbered ``half``."""
    rng = np.random.default_rng(0)
    clips = json.loads((folder / "clips.json").read_text())["clips"]
    if half is not None:
        chosen = sorted({clip["source_video"] for clip in clips})[half::2]
        clips = [clip for clip in clips if clip["source_video"] in chosen]
    films = defaultdict(list)
    for clip in clips:
        films[clip["source_video"]].append(clip["file"])

    def shot(name: str) -> Pictures:
        return read(folder / name)

    for _ in range(JOINS):
        one, other = rng.choice(len(clips), 2, replace=False)
        if clips[one]["source_video"] != clips[other]["source_video"]:
            first, second = shot(clips[one]["file"])[:PART], shot(clips[other]["file"])[:PART]
            size = first[0].shape[1::-1]
            yield "join", first + [cv2.resize(picture, size) for picture in second], len(first)
    pairs = [(names[n], names[n + 1]) for names in films.values() for n in range(len(names) - 1)]
    for n in rng.permutation(len(pairs))[:LIKE]:
        first, second = shot(pairs[n][0])[-PART:], shot(pairs[n][1])[:PART]
        size = first[0].shape[1::-1]
        yield "join in one film", first + [cv2.resize(picture, size) for picture in second], len(first)
    for n in rng.permutation(len(clips))[:LIKE]:
        whole = shot(clips[n]["file"])
        x, y = rng.random(2)
        closer = [view(p, 1.6, x, y) for p in whole[PART : 2 * PART]]
        yield "jump cut", whole[:PART] + closer, PART if closer else None
    for n in rng.permutation(len(clips))[:NONE]:
        whole = shot(clips[n]["file"])
        yield "uncut", whole, None
        yield "uncut, a third of the rate", whole[::3], None
        at, long = int(rng.integers(5, 15)), int(rng.integers(1, 3))
        lit = [cv2.convertScaleAbs(p, alpha=0.3, beta=170) if at <= i < at + long else p for i, p in enumerate(whole)]
        yield "flash", lit, None
        yield "lamp", [cv2.convertScaleAbs(p, alpha=0.45) if i >= at else p for i, p in enumerate(whole)], None
        steps = np.clip((np.arange(len(whole)) - at) / rng.uniform(5, 9), 0, 1)
        yield "fast pan", [view(p, 2.0, float(s), 0.5) for p, s in zip(whole, steps, strict=True)], None
        yield "fast zoom", [view(p, 1 + float(s), 0.5, 0.5) for p, s in zip(whole, steps, strict=True)], None


def ours(pictures: Pictures) -> list[int]:
    frames = (TrackedFrame(Frame(i, i, i / 25, picture)) for i, picture in enumerate(pictures))
    shots = [tracked.shot for tracked in Shots(8)(frames)]
    return [i for i in range(1, len(shots)) if shots[i] != shots[i - 1]]


def theirs(pictures: Pictures) -> list[int]:
    from scenedetect import ContentDetector, FrameTimecode

    detector, cuts = ContentDetector(), []
    for i, picture in enumerate(pictures):
        cuts += detector.process_frame(FrameTimecode(i, 25.0), np.ascontiguousarray(picture[..., ::-1]))
    return [int(cut.frame_num) for cut in cuts]


def main() -> int:
    rivals = {"ours": ours, "ContentDetector": theirs}
    count: dict[str, int] = defaultdict(int)
    hits: dict[tuple[str, str], int] = defaultdict(int)
    false: dict[tuple[str, str], int] = defaultdict(int)
    for kind, pictures, cut in sequences(Path(sys.argv[1]), *map(int, sys.argv[2:])):
        count[kind] += 1
        for name, find in rivals.items():
            found = find(pictures)
            hits[kind, name] += cut in found
            false[kind, name] += len([one for one in found if one != cut])
    print(f"| sequences | | {' | '.join(rivals)} |\n|---|---|{'---|' * len(rivals)}")
    for kind, number in count.items():
        cells = [f"{hits[kind, name]} found, {false[kind, name]} false" for name in rivals]
        print(f"| {kind} | {number} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
