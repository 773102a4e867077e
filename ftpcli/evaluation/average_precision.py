"""Average precision per joint over one pool of all videos (B3; B5 for PoseTrack21's differences)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ftpcli.evaluation.matching import HIT, assign_people
from ftpcli.evaluation.prepare import EvalFrame


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """Per joint, in percent; NaN where the official program has none."""

    ap: np.ndarray  # (J,)
    precision: np.ndarray  # (J,) at the end of the ranking
    recall: np.ndarray  # (J,)


class JointPool:
    """Collects every predicted joint as (score, hit or not)."""

    def __init__(self, joints: int) -> None:
        self._annotated = np.zeros(joints, dtype=np.int64)
        self._scores: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._joints: list[np.ndarray] = []

    def add(self, frame: EvalFrame, distance: np.ndarray) -> None:
        """Add a frame with its (Q, G, J) distances."""
        truth, predicted = frame.truth, frame.predicted
        self._annotated += truth.has.sum(axis=0)
        if not len(predicted):
            return
        labels = np.zeros(predicted.has.shape, dtype=bool)
        if len(truth):
            hits = distance <= HIT
            given = assign_people(hits, truth.has)
            people = np.flatnonzero(given >= 0)
            labels[given[people]] = hits[given[people], people]
        rows, joints = np.nonzero(predicted.has)
        self._scores.append(predicted.score[rows, joints])
        self._labels.append(labels[rows, joints])
        self._joints.append(joints)

    def lowest_score(self) -> float:
        """Of all predicted joints, NaN without any: what thresholds the predictions have seen."""
        return min((float(scores.min()) for scores in self._scores if len(scores)), default=float("nan"))

    def result(self, crowd_recall: bool = False) -> PrecisionRecall:
        """AP, precision and recall of each joint.

        Args:
            crowd_recall: PoseTrack21's rule: recall divides by max(N, 1), so a joint predicted and never
                annotated has AP 0; poseval leaves it not a number.
        """
        count = len(self._annotated)
        scores = np.concatenate([*self._scores, np.zeros(0)])
        labels = np.concatenate([*self._labels, np.zeros(0, dtype=bool)])
        joints = np.concatenate([*self._joints, np.zeros(0, dtype=np.int64)])
        values = np.zeros((3, count))
        for joint in range(count):
            mine = joints == joint
            if mine.any():
                total = max(self._annotated[joint], 1) if crowd_recall else self._annotated[joint]
                values[:, joint] = _ranking(scores[mine], labels[mine], int(total))
        return PrecisionRecall(*(100 * values))


def _ranking(scores: np.ndarray, labels: np.ndarray, total: int) -> tuple[float, float, float]:
    """(AP, precision, recall) of one joint's entries as fractions.

    Equal scores: the later entry first, which is a stable ascending sort read backwards. The official order of
    equal scores is not defined (B3).
    """
    order = np.argsort(scores, kind="stable")[::-1]
    found = np.cumsum(labels[order])
    precision = found / np.arange(1, len(found) + 1)
    if total == 0:
        return np.nan, float(precision[-1]), np.nan
    recall = found / total
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0.0)
    return float((steps * envelope).sum()), float(precision[-1]), float(recall[-1])
