"""Slow, literal versions of the evaluations, written from the specification's sentences, to check the fast ones by.

They look at every joint of every pair on its own, and try all assignments one by one.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ftpcli.evaluation.prepare import EvalFrame


def _distance(frame: EvalFrame, g: int, p: int, j: int) -> float:
    if not frame.truth.has[g, j] or not frame.predicted.has[p, j]:
        return math.inf
    step = np.subtract(frame.truth.xy[g, j], frame.predicted.xy[p, j])
    return float(np.linalg.norm(step) / frame.truth.head[g])


def _people(frame: EvalFrame) -> dict[int, int]:
    """B2: prediction -> annotated person."""
    joints = range(frame.truth.has.shape[1])
    pckh = {}
    for p in range(len(frame.predicted)):
        for g in range(len(frame.truth)):
            annotated = sum(bool(frame.truth.has[g, j]) for j in joints)
            hits = sum(_distance(frame, g, p, j) <= 0.5 for j in joints)
            pckh[p, g] = hits / annotated if annotated else 0.0
    best = {}
    for p in range(len(frame.predicted)):
        best[p] = max(range(len(frame.truth)), key=lambda g: (pckh[p, g], -g))
    owner = {}
    for g in range(len(frame.truth)):
        kept = [p for p in best if best[p] == g and pckh[p, g] > 0]
        if kept:
            owner[max(kept, key=lambda p: (pckh[p, g], -p))] = g
    return owner


def average_precision(frames: list[EvalFrame], joint: int) -> tuple[float, float, float]:
    """B3: AP, precision and recall of one joint kind, in percent."""
    entries, total = [], 0
    for frame in frames:
        total += int(frame.truth.has[:, joint].sum())
        owner = _people(frame) if len(frame.truth) and len(frame.predicted) else {}
        for p in range(len(frame.predicted)):
            if frame.predicted.has[p, joint]:
                hit = p in owner and _distance(frame, owner[p], p, joint) <= 0.5
                entries.append((float(frame.predicted.score[p, joint]), len(entries), hit))
    if not entries:
        return 0.0, 0.0, 0.0
    entries.sort(reverse=True)
    found, curve = 0, []
    for k, (_, _, hit) in enumerate(entries, 1):
        found += hit
        curve.append((found / total if total else math.nan, found / k))
    if not total:
        return math.nan, 100 * curve[-1][1], math.nan
    area = 0.0
    for k, (recall, _) in enumerate(curve):
        before = curve[k - 1][0] if k else 0.0
        area += (recall - before) * max(precision for _, precision in curve[k:])
    return 100 * area, 100 * curve[-1][1], 100 * curve[-1][0]


def clear_mot(videos: list[list[EvalFrame]], joint: int) -> tuple[float, float, float, float]:
    """B4: MOTA, MOTP, precision, recall of one joint kind, in percent."""
    misses = switches = false = objects = found = 0
    distance = 0.0
    for frames in videos:
        last: dict[int, int] = {}
        for frame in frames[:-1]:
            if not len(frame.truth) or not len(frame.predicted):
                misses, false, objects = misses + 1, false + 1, objects + 1
                continue
            people = [g for g in range(len(frame.truth)) if frame.truth.has[g, joint]]
            guesses = [p for p in range(len(frame.predicted)) if frame.predicted.has[p, joint]]
            close = {(g, p): _distance(frame, g, p, joint) for g in people for p in guesses}
            taken: dict[int, int] = {}
            for g in people:
                for p in guesses:
                    same = last.get(int(frame.truth.track[g])) == int(frame.predicted.track[p])
                    if same and p not in taken.values() and close[g, p] <= 0.5:
                        taken[g] = p
            rest = [g for g in people if g not in taken]
            free = [p for p in guesses if p not in taken.values()]
            for g, p in _best(rest, free, close).items():
                track = int(frame.truth.track[g])
                switches += track in last and last[track] != int(frame.predicted.track[p])
                taken[g] = p
            for g, p in taken.items():
                last[int(frame.truth.track[g])] = int(frame.predicted.track[p])
                distance += close[g, p]
            found += len(taken)
            misses += len(people) - len(taken)
            false += len(guesses) - len(taken)
            objects += len(people)
    return (
        100 * (1 - (misses + switches + false) / objects),
        100 * (1 - distance / found) if found else 0.0,
        100 * found / (found + false),
        100 * found / objects,
    )


def _best(people: list[int], guesses: list[int], close: dict[tuple[int, int], float]) -> dict[int, int]:
    """As many admissible pairs as possible, then the least total distance, by trying everything."""
    best: tuple[int, float, dict[int, int]] = (0, 0.0, {})
    options: list[int | None] = [*guesses, *[None] * len(people)]
    for choice in set(itertools.permutations(options, len(people))):
        pairs = {g: p for g, p in zip(people, choice, strict=True) if p is not None and close[g, p] <= 0.5}
        cost = sum(close[pair] for pair in pairs.items())
        if (-len(pairs), cost) < (-best[0], best[1]):
            best = (len(pairs), cost, pairs)
    return best[2]


def hota(frames: list[EvalFrame], joint: int, threshold: float) -> dict[str, float]:
    """B5: one video, one joint kind, one threshold, as fractions and counts."""
    annotated = sum(int(frame.truth.has[:, joint].sum()) for frame in frames)
    counts: dict[str, Any] = {"TP": 0, "FN": 0, "FP": 0}
    matches: list[tuple[int, int, int, float]] = []
    for t, frame in enumerate(frames):
        if not len(frame.predicted):
            counts["FN"] += annotated
            continue
        people, guesses = range(len(frame.truth)), range(len(frame.predicted))
        alike = {(g, p): max(0.0, 1 - _distance(frame, g, p, joint) / 0.5001) for g in people for p in guesses}
        best: tuple[float, dict[int, int]] = (0.0, {})
        options: list[int | None] = [*guesses, *[None] * len(people)]
        for choice in set(itertools.permutations(options, len(people))):
            pairs = {g: p for g, p in zip(people, choice, strict=True) if p is not None and alike[g, p] > 0}
            total = sum(alike[pair] for pair in pairs.items())
            if total > best[0] + 1e-12:
                best = (total, pairs)
        right = [(g, p) for g, p in best[1].items() if alike[g, p] >= threshold - 1e-15]
        counts["TP"] += len(right)
        counts["FN"] += int(frame.truth.has[:, joint].sum()) - len(right)
        counts["FP"] += int(frame.predicted.has[:, joint].sum()) - len(right)
        for g, p in right:
            matches.append((t, int(frame.truth.track[g]), int(frame.predicted.track[p]), alike[g, p]))
    sizes = [
        {
            track: sum(int(side.has[k, joint]) for side in sides for k in range(len(side)) if side.track[k] == track)
            for track in {int(track) for side in sides for track in side.track}
        }
        for sides in ([frame.truth for frame in frames], [frame.predicted for frame in frames])
    ]
    together: dict[tuple[int, int], int] = {}
    runs: dict[tuple[int, int], list[int]] = {}
    last: dict[int, int] = {}
    for _, g, p, _ in sorted(matches):
        together[g, p] = together.get((g, p), 0) + 1
        if last.get(g) != p:
            runs.setdefault((g, p), []).append(0)
        last[g] = p
        runs[g, p][-1] += 1
    tp = max(1, counts["TP"])
    union = {(g, p): max(1, sizes[0][g] + sizes[1][p] - m) for (g, p), m in together.items()}
    result = dict(counts)
    result["AssA"] = sum(m * m / union[pair] for pair, m in together.items()) / tp
    result["AssRe"] = sum(m * m / max(1, sizes[0][g]) for (g, _), m in together.items()) / tp
    result["AssPr"] = sum(m * m / max(1, sizes[1][p]) for (_, p), m in together.items()) / tp
    result["FragA"] = sum(run * run / union[pair] for pair, lengths in runs.items() for run in lengths) / tp
    result["LocA"] = sum(s for *_, s in matches) / counts["TP"] if counts["TP"] else 1.0
    return result
