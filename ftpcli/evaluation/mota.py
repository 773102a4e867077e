"""CLEAR MOT figures for every joint kind (B4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ftpcli.evaluation.assignment import best_pairs
from ftpcli.evaluation.matching import HIT
from ftpcli.evaluation.prepare import EvalFrame


@dataclass(frozen=True, slots=True, eq=False)
class ClearMot:
    """Percent per joint, NaN where undefined. MOTP is the formula of the specification, matched pairs only."""

    mota: np.ndarray
    motp: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


class MotCounter:
    """Adds up misses, switches, false positives and matched distances over videos."""

    def __init__(self, joints: int) -> None:
        self.misses = np.zeros(joints)
        self.switches = np.zeros(joints)
        self.false = np.zeros(joints)
        self.objects = np.zeros(joints)
        self.detections = np.zeros(joints)
        self.distance = np.zeros(joints)

    def add_video(self, frames: Sequence[EvalFrame], distance: Sequence[np.ndarray]) -> None:
        """Add one video's evaluated frames, at least two, with their (Q, G, J) distances: the last is left out (must
        reproduce)."""
        if len(frames) < 2:
            raise ValueError("tracking figures need a video of at least two evaluated frames")
        last: list[dict[int, int]] = [{} for _ in self.misses]
        for i, frame in enumerate(frames[:-1]):
            if not len(frame.truth) or not len(frame.predicted):
                # Must reproduce: whatever the number of people, one miss, one false positive, one object.
                self.misses += 1
                self.false += 1
                self.objects += 1
                continue
            far = distance[i].transpose(1, 0, 2)
            for joint, memory in enumerate(last):
                self._add(joint, frame, far[:, :, joint], memory)

    def _add(self, joint: int, frame: EvalFrame, far: np.ndarray, memory: dict[int, int]) -> None:
        people, guesses = np.flatnonzero(frame.truth.has[:, joint]), np.flatnonzero(frame.predicted.has[:, joint])
        matched = 0
        if people.size and guesses.size:
            far = far[np.ix_(people, guesses)]
            objects = frame.truth.track[people].tolist()
            hypotheses = frame.predicted.track[guesses].tolist()
            pairs, switches = _match(far, objects, hypotheses, memory)
            matched = len(pairs)
            self.switches[joint] += switches
            self.distance[joint] += sum(far[pair] for pair in pairs)
        self.detections[joint] += matched
        self.misses[joint] += people.size - matched
        self.false[joint] += guesses.size - matched
        self.objects[joint] += people.size

    def result(self) -> ClearMot:
        """The figures over everything added."""
        with np.errstate(divide="ignore", invalid="ignore"):
            objects = np.where(self.objects > 0, self.objects, np.nan)
            found = self.false + self.detections
            motp = np.where(self.detections > 0, 100 * (1 - self.distance / self.detections), 0.0)
            return ClearMot(
                mota=100 * (1 - (self.misses + self.switches + self.false) / objects),
                motp=motp,
                precision=100 * self.detections / np.where(found > 0, found, np.nan),
                recall=100 * self.detections / objects,
            )


def _match(
    far: np.ndarray, objects: list[int], hypotheses: list[int], memory: dict[int, int]
) -> tuple[list[tuple[int, int]], int]:
    """Pairs (object, hypothesis) of one frame and the number of identity switches; updates the memory."""
    open_pairs = far <= HIT
    pairs: list[tuple[int, int]] = []
    for i, track in enumerate(objects):
        if track in memory and memory[track] in hypotheses:
            j = hypotheses.index(memory[track])
            if open_pairs[i, j]:
                pairs.append((i, j))
                open_pairs[i], open_pairs[:, j] = False, False
    switches = 0
    if open_pairs.any():
        worth = float(far[open_pairs].max())
        # Large enough that one pair more is always cheaper.
        forbidden = 2 * min(far.shape) * worth + 1
        for i, j in best_pairs(far, open_pairs, forbidden):
            pairs.append((i, j))
            switches += objects[i] in memory and memory[objects[i]] != hypotheses[j]
            memory[objects[i]] = hypotheses[j]
    return pairs, switches
