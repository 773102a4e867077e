"""Puts trackers beside each other: HOTA of boxes and changes of id, at several frame rates.

    python samples/compare_trackers.py
    python samples/compare_trackers.py --clips CLIPS --video crossing.mp4
    python samples/compare_trackers.py --detect-every 1,2,3,4 --rates 10,25 --detected 6

Scenes are made here: people cut from the photograph of ``make_sample`` walk, turn round and hide each other, before a
camera that rests, pans or shakes; who is where is known. Each is tracked from these boxes, with some missing and all a
little off, and from the detector's. Somebody of whom less than a third is seen counts neither as found nor as missed.
A folder of labelled clips (``clips.json``) has one labelled person in each: only the changes of that person's id count.
A video has no labels: the reference is ByteTrack's result at the full rate, so give one whose ids are right.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ftpcli.annotation.options import Options
from ftpcli.device import choose_engine
from ftpcli.errors import FtpError
from ftpcli.evaluation.assignment import best_pairs
from ftpcli.evaluation.hota import HotaCounter
from ftpcli.evaluation.prepare import EvalFrame, People
from ftpcli.files.pictures import read_picture
from ftpcli.people.gaps import FillGaps
from ftpcli.people.loading import load_detector
from ftpcli.people.selection import Chosen, Selection
from ftpcli.people.sources import DetectAndTrack
from ftpcli.people.tracking import Tracker, TrackerName
from ftpcli.records import Frame, FramePoses, Pose, SourceInfo, TrackedFrame
from ftpcli.video import open_source
from samples.make_sample import PEOPLE, find_photograph

#: Of the scenes' pictures: small ones do where only the camera's movement is looked for.
SIZES = {"labels": (320, 180), "detector": (640, 360)}
SEEN = 0.33
#: The trackers that are compared: name, and whether by appearance as well.
RIVALS: list[tuple[str, bool]] = [
    *((name, False) for name in TrackerName),
    *((name, True) for name in TrackerName if name.sees),
]

JOIN = 0.0  # seconds

Rows = np.ndarray  # (N, 5) id and xyxy


def scene(seed: int, rate: float, seconds: float, size: tuple[int, int]) -> Iterator[tuple[np.ndarray, Rows, Rows]]:
    """Pictures with the boxes of those who are seen, and of those who are hidden. Time decides, not the frame rate."""
    rng = np.random.default_rng(seed)
    photograph = read_picture(find_photograph())
    width, height = size
    noise = np.random.default_rng(0).normal(0, 4, (height, width, 3)).astype(np.int8)
    background = cv2.GaussianBlur(cv2.resize(photograph, (3 * width, height)), (0, 0), 5)
    people = []
    for number in range(int(rng.integers(3, 7))):
        x1, y1, x2, y2 = PEOPLE[int(rng.integers(len(PEOPLE)))]
        tall = height * rng.uniform(0.4, 0.8)
        cutout = cv2.resize(photograph[y1:y2, x1:x2], (round(tall * (x2 - x1) / (y2 - y1)), round(tall)))
        cutout = cv2.convertScaleAbs(cutout * rng.uniform(0.6, 1.2, 3))  # clothes of other colours
        start, speed = rng.uniform(0.1, 0.9) * width, rng.choice([-1, 1]) * rng.uniform(0.15, 0.7) * tall
        people.append((tall, number, cutout, start, speed, rng.uniform(1.0, 3.0) if rng.random() < 0.4 else 99.0))
    people.sort(key=lambda one: one[0])  # who is larger is nearer
    pan, shake = rng.choice([0.0, 0.0, 0.12]) * width, rng.choice([0.0, 0.0, 0.005]) * width
    for frame in range(round(seconds * rate)):
        now = frame / rate
        shift = pan * now + shake * np.sin(11 * now)
        picture = background[:, width // 4 + int(shift) :][:, :width].copy()
        owner, boxes = np.full((height, width), -1), {}
        for tall, number, cutout, start, speed, turn in people:
            walked = speed * (now if now < turn else 2 * turn - now)
            left, top = round(start + walked - shift), round(height - tall - 4 + 3 * np.sin(9 * now + number))
            x0, x1 = max(left, 0), min(left + cutout.shape[1], width)
            y0, y1 = max(top, 0), min(top + cutout.shape[0], height)
            if x1 - x0 < 8:
                continue
            picture[y0:y1, x0:x1] = cutout[y0 - top : y1 - top, x0 - left : x1 - left]
            owner[y0:y1, x0:x1] = number
            boxes[number] = (x0, y0, x1, y1)
        rows: tuple[list[Any], list[Any]] = ([], [])
        for number, (x0, y0, x1, y1) in boxes.items():
            hidden = float((owner[y0:y1, x0:x1] == number).mean()) < SEEN
            rows[hidden].append([number, x0, y0, x1, y1])
        seen, unseen = (np.array(r, np.float64).reshape(-1, 5) for r in rows)
        grain = np.roll(noise, 37 * frame, axis=(0, 1))
        yield np.clip(picture + grain, 0, 255).astype(np.uint8), seen, unseen


def labels_as_found(rows: Rows, seed: int) -> np.ndarray:
    """(N, 5) xyxy and score, as a detector would find labelled people: one of twenty missing, all a little off."""
    rng = np.random.default_rng(seed)
    off = rng.normal(0, 0.02, (len(rows), 4)) * np.tile(rows[:, 3:5] - rows[:, 1:3], 2)
    scores = rng.choice([0.9, 0.6, 0.2], (len(rows), 1), p=[0.8, 0.15, 0.05])
    return np.concatenate([rows[:, 1:] + off, scores], 1)[rng.random(len(rows)) > 0.05].astype(np.float32)


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) IoU of xyxy boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9)


class Score:
    """HOTA and id switches of one tracker over several videos."""

    def __init__(self) -> None:
        self.hota, self.switches, self.people = HotaCounter(1), 0, 0

    def add(self, truth: list[tuple[Rows, Rows]], found: list[Rows]) -> None:
        frames, distances = [], []
        last: dict[int, int] = {}
        for number, ((seen, unseen), rows) in enumerate(zip(truth, found, strict=True)):
            if len(unseen) and len(rows):  # who is found where somebody is hidden is neither right nor wrong
                best = overlaps(rows[:, 1:], seen[:, 1:]).max(1, initial=0)
                rows = rows[~((overlaps(rows[:, 1:], unseen[:, 1:]).max(1) > 0.5) & (best < 0.5))]
            alike = overlaps(seen[:, 1:], rows[:, 1:])
            for one, other in best_pairs(-alike, alike >= 0.5, 0.0):
                who, now = int(seen[one, 0]), int(rows[other, 0])
                self.switches += last.get(who, now) != now
                last[who] = now
            self.people += len(seen)
            if len(seen):
                frames.append(EvalFrame(str(number), _people(seen), _people(rows)))
                distances.append(((1 - alike.T) * 0.5001 if len(rows) else np.ones((1, len(seen))))[..., None])
        self.hota.add_video(frames, distances)

    def figures(self) -> dict[str, float]:
        fields = self.hota.result()
        return {name: float(fields[name][:, 0].mean()) for name in ("HOTA", "AssA")} | {"switches": self.switches}


def _people(rows: Rows) -> People:
    """As the evaluation takes them, with one joint each; a frame where nobody is found gets somebody without joints,
    because the official program drops whole videos for such frames."""
    has = np.ones((max(len(rows), 1), 1), bool) if len(rows) else np.zeros((1, 1), bool)
    track = rows[:, 0].astype(np.int64) if len(rows) else np.array([-1])
    blank = np.zeros((len(has), 1))
    return People(track, np.zeros((len(has), 1, 2)), has, blank, np.full(len(has), np.nan))


def joined(found: list[Rows], rate: float, seconds: float) -> list[Rows]:
    """The same after ``--join``."""
    none = np.zeros((0, 2)), np.zeros(1)
    frames = [
        FramePoses(i, i, i / rate, tuple(Pose(int(row[0]), row[1:], 1.0, *none) for row in rows))
        for i, rows in enumerate(found)
    ]
    chosen = Chosen(Selection(join=seconds), frames, SourceInfo())
    return [np.array([[pose.track_id, *pose.box] for pose in frame.poses]).reshape(-1, 5) for frame in chosen(frames)]


class Race:
    """All trackers over the same frames."""

    def __init__(self, rate: float, score: float) -> None:
        self._rate = rate
        self._trackers = {rival: Tracker(TrackerName(rival[0]), rate, score, appearance=rival[1]) for rival in RIVALS}
        self.found: dict[Any, list[Rows]] = {rival: [] for rival in RIVALS}

    def step(self, image: np.ndarray, detections: np.ndarray) -> None:
        for rival, tracker in self._trackers.items():
            found, rows = tracker.update(detections, image), self.found[rival]
            if rows and len(found.late):
                rows[-1] = np.concatenate([rows[-1], found.late[:, :5]])
            rows.append(found.people[:, :5])

    def results(self) -> dict[Any, list[Rows]]:
        """What each found, and the joined tracks of the first where that is asked for."""
        more = {("joined", False): joined(self.found[RIVALS[0]], self._rate, JOIN)} if JOIN else {}
        return self.found | more


def from_scenes(
    detector: Any, boxes: str, count: int, seconds: float, rates: list[float]
) -> dict[tuple[str, float], Any]:
    results: dict[tuple[str, float], Any] = defaultdict(lambda: defaultdict(Score))
    for rate in rates:
        for seed in range(count):
            race, truth = Race(rate, detector.score), []
            for number, (image, seen, unseen) in enumerate(scene(seed, rate, seconds, SIZES[boxes])):
                truth.append((seen, unseen))
                found = (
                    labels_as_found(seen, 1000 * seed + number)
                    if boxes == "labels"
                    else detector.detect_batch([image])[0]
                )
                race.step(image, found)
            for rival, rows in race.results().items():
                results[f"scenes, {boxes}", rate][rival].add(truth, rows)
            print(f"{boxes}, rate {rate:g}, scene {seed + 1} of {count}", file=sys.stderr, flush=True)
    return results


def from_clips(detector: Any, folder: Path, most: int) -> dict[tuple[str, float], Any]:
    results: dict[tuple[str, float], Any] = defaultdict(lambda: defaultdict(Score))
    clips = [clip for clip in json.loads((folder / "clips.json").read_text())["clips"] if clip["split"] == "val"]
    for clip in clips[:most]:
        with open_source(folder / clip["file"]) as source:
            frames = [(frame.image, detector.detect_batch([frame.image])[0]) for frame in source]
        for every in (1, 5):
            race, truth = Race(clip["fps"] / every, detector.score), []
            for (image, detections), points in list(zip(frames, clip["keypoints"], strict=False))[::every]:
                joints = np.array(points, np.float64)
                box = np.concatenate([joints.min(0), joints.max(0)])
                wide = 0.1 * (box[2:] - box[:2])  # a person reaches beyond the joints
                box += np.concatenate([-wide, wide])
                truth.append((np.array([[0, *box]]), np.zeros((0, 5))))
                race.step(image, detections)
            for rival, rows in race.results().items():
                results["clips, detector", 30 / every][rival].add(truth, rows)
    return results


def from_video(detector: Any, path: Path) -> dict[tuple[str, float], Any]:
    results: dict[tuple[str, float], Any] = defaultdict(lambda: defaultdict(Score))
    with open_source(path) as source:
        rate = float(source.info.average_rate or 30)
        frames = [
            (
                cv2.resize(frame.image, None, fx=0.5, fy=0.5),
                detector.detect_batch([frame.image])[0] * np.array([0.5] * 4 + [1]),
            )
            for frame in source
        ]
    reference: list[Rows] = []
    for every in (1, round(rate / 25) or 1, round(rate / 10) or 1, round(rate / 5)):
        race = Race(rate / every, detector.score)
        for image, detections in frames[::every]:
            race.step(image, detections)
        reference = reference or race.found[RIVALS[0]]
        truth = [(rows, np.zeros((0, 5))) for rows in reference[::every]]
        for rival, rows in race.results().items():
            results[path.name, rate / every][rival].add(truth, rows)
    return results


def with_skips(detector: Any, looks: list[int], count: int, seconds: float, rates: list[float]) -> None:
    """A table of ``--detect-every`` with ByteTrack: HOTA, association, changes of id, people missed, and how many
    frames late somebody is found who comes into sight."""
    print("| frames/s | looks at one of | HOTA | AssA | switches | missed | late |\n|---|---|---|---|---|---|---|")
    for rate in rates:
        scenes = [list(scene(seed, rate, seconds, SIZES["detector"])) for seed in range(count)]
        found = [[detector.detect_batch([image])[0] for image, _, _ in frames] for frames in scenes]
        for every in looks:
            score, missed, late = Score(), 0, []
            for frames, boxes in zip(scenes, found, strict=True):
                given = (
                    TrackedFrame(Frame(n, n, n / rate, image), detections=None if n % every else boxes[n])
                    for n, (image, _, _) in enumerate(frames)
                )
                followed = DetectAndTrack(detector, frame_rate=rate / every).follow(given)
                people = [one.people for one in FillGaps(Options().fill_gaps * every, 8)(followed)]
                rows = [np.array([[p.track_id, *p.box] for p in one]).reshape(-1, 5) for one in people]
                score.add([(seen, unseen) for _, seen, unseen in frames], rows)
                first: dict[int, int] = {}
                for n, ((_, seen, _), mine) in enumerate(zip(frames, rows, strict=True)):
                    hit = overlaps(seen[:, 1:], mine[:, 1:]).max(1, initial=0) >= 0.5
                    missed += int((~hit).sum())
                    for who, is_found in zip(seen[:, 0].astype(int), hit, strict=True):
                        first.setdefault(who, n)
                        if is_found and first[who] >= 0:
                            late.append(n - first[who])
                            first[who] = -1
            f = score.figures()
            share = missed / max(score.people, 1)
            print(
                f"| {rate:g} | {every} | {f['HOTA']:.3f} | {f['AssA']:.3f} | {f['switches']:.0f} | {share:.1%} | "
                f"{np.mean(late):.1f} |"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=8, help="how many are made, tracked from their labels")
    parser.add_argument("--detected", type=int, default=3, help="how many of them from the detector's boxes, too")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each scene")
    parser.add_argument("--rates", default="5,10,25,60", help="frames per second of the scenes")
    parser.add_argument("--clips", type=Path, help="folder with clips.json")
    parser.add_argument("--most", type=int, default=56, help="clips that are looked at")
    parser.add_argument("--video", type=Path, action="append", default=[], help="whose ids are right at its full rate")
    parser.add_argument("--only", type=TrackerName, action="append", help="a tracker; by default all")
    parser.add_argument("--join", type=float, default=0.0, help="also the first tracker with its tracks joined")
    parser.add_argument("--detect-every", help="compare these instead, as in 1,2,4")
    args = parser.parse_args()
    global JOIN
    JOIN = args.join
    RIVALS[:] = [rival for rival in RIVALS if not args.only or (rival[0] in args.only and not rival[1])]
    try:
        detector = load_detector(engine=choose_engine("auto", "auto", "auto"))
        results: dict[tuple[str, float], Any] = {}
        rates = [float(rate) for rate in args.rates.split(",")]
        if args.detect_every:
            with_skips(detector, [int(n) for n in args.detect_every.split(",")], args.detected, args.seconds, rates)
            return 0
        for boxes, count in (("labels", args.scenes), ("detector", args.detected)):
            results |= from_scenes(detector, boxes, count, args.seconds, rates)
        if args.clips:
            results |= from_clips(detector, args.clips, args.most)
        for path in args.video:
            results |= from_video(detector, path)
    except FtpError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if args.join:
        RIVALS.append(("joined", False))
    total: Counter[Any] = Counter()
    print("| boxes | frames/s | " + " | ".join(f"{n}{' by looks' if looks else ''}" for n, looks in RIVALS) + " |")
    print("|---|---|" + "---|" * len(RIVALS))
    for (name, rate), scores in results.items():
        cells = []
        for rival in RIVALS:
            figures = scores[rival].figures()
            total[rival] += figures["switches"]
            cells.append(f"{figures['HOTA']:.3f} / {figures['AssA']:.3f} / {figures['switches']:.0f}")
        print(f"| {name} | {rate:g} | " + " | ".join(cells) + " |")
    print("| switches in all | | " + " | ".join(str(total[rival]) for rival in RIVALS) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
