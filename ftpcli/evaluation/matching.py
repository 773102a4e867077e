"""Distances in head sizes, and which prediction belongs to which annotated person (B2)."""

from __future__ import annotations

import numpy as np

from ftpcli.evaluation.prepare import EvalFrame

#: A joint within this many head sizes is a hit; equality counts.
HIT = 0.5


def distances(frame: EvalFrame) -> np.ndarray:
    """(Q, G, J) distance of Q predictions to G people in head sizes; infinite unless both have the joint."""
    truth, predicted = frame.truth, frame.predicted
    step = truth.xy[None] - predicted.xy[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.sqrt(step[..., 0] * step[..., 0] + step[..., 1] * step[..., 1]) / truth.head[None, :, None]
    both = truth.has[None] & predicted.has[:, None]
    # A head box of zero size gives 0/0 for a perfect joint: no hit, as in the official program.
    return np.where(both & ~np.isnan(far), far, np.inf)


def assign_people(hits: np.ndarray, has: np.ndarray) -> np.ndarray:
    """The prediction that each annotated person is given (B2).

    Scores play no part. A prediction keeps its best person only, each person then takes the best of the
    predictions that kept it; the first in file order on equal values.

    Args:
        hits: (Q, G, J) bool, Q > 0 and G > 0.
        has: (G, J) bool, the annotated joints.

    Returns:
        (G,) int: index of the prediction, -1 for none.
    """
    pckh = hits.sum(axis=2) / np.maximum(has.sum(axis=1), 1)
    rows = np.arange(len(pckh))
    best = pckh.argmax(axis=1)
    kept = np.zeros_like(pckh)
    kept[rows, best] = pckh[rows, best]
    return np.where(kept.max(axis=0) > 0, kept.argmax(axis=0), -1)
