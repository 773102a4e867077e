"""Share of joints within a fraction of the torso (PCK), and how much joints tremble (jitter). Needs numpy only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ftpcli.skeleton import BODY12, Skeleton

_DIAGONALS = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))


def torso_lengths(points: np.ndarray, visible: np.ndarray, joints: Sequence[str]) -> np.ndarray:
    """(N,) the longer labelled diagonal from a shoulder to the opposite hip, in pixels; NaN where none is labelled.

    Args:
        points: (N, K, 2) pixels.
        visible: (N, K) bool, labelled.
        joints: the K names.
    """
    at = {joint: i for i, joint in enumerate(joints)}
    lengths = np.full(len(points), np.nan)
    for shoulder, hip in _DIAGONALS:
        if shoulder in at and hip in at:
            a, b = at[shoulder], at[hip]
            length = np.linalg.norm(points[:, a] - points[:, b], axis=1)
            lengths = np.fmax(lengths, np.where(visible[:, a] & visible[:, b], length, np.nan))
    return lengths


def _body(joints: Sequence[str]) -> list[int]:
    """The places of the body's joints."""
    return [place for place, joint in enumerate(joints) if joint in BODY12]


def _of_body(
    pred: np.ndarray, gt: np.ndarray, visible: np.ndarray, joints: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Body joints (N, B, 2) of ``pred`` and ``gt``, (N, B) which count, and (N,) torso lengths; see ``pck``."""
    columns = _body(joints)
    pred, gt, seen = np.asarray(pred, np.float64), np.asarray(gt, np.float64), np.asarray(visible, bool)
    torso = torso_lengths(gt, seen, joints)
    return pred[:, columns], gt[:, columns], seen[:, columns] & (torso > 0)[:, None], torso


def pck(
    pred: np.ndarray,
    gt: np.ndarray,
    visible: np.ndarray,
    joints: Sequence[str],
    thresholds: Sequence[float] = (0.1, 0.2, 0.5),
    sources: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """PCK over the twelve body joints; persons without a labelled torso diagonal are not counted.

    Args:
        pred, gt: (N, K, 2) pixels.
        visible: (N, K) bool, the labelled joints (for clips: those inside the picture).
        joints: the K names.
        thresholds: fractions of the torso length; a joint exactly that far counts as right.
        sources: N names of where the persons come from.

    Returns:
        For each threshold as text: "mean" (all labelled joints pooled), "per_joint", "per_source" (fractions, NaN
        where nothing is labelled), and "persons", "joints", the numbers counted.
    """
    names = [joints[place] for place in _body(joints)]
    pred, gt, counted, torso = _of_body(pred, gt, visible, joints)
    far = np.linalg.norm(pred - gt, axis=2)
    groups = np.array(sources if sources is not None else [], dtype=object)
    result = {}
    for threshold in thresholds:
        right = counted & (far <= threshold * torso[:, None])
        result[f"{threshold:g}"] = {
            "mean": _share(right, counted),
            "per_joint": {name: _share(right[:, i], counted[:, i]) for i, name in enumerate(names)},
            "per_source": {
                str(name): _share(right[groups == name], counted[groups == name])
                for name in sorted(set(groups.tolist()))
            },
            "persons": int((torso > 0).sum()),
            "joints": int(counted.sum()),
        }
    return result


def reliability(
    pred: np.ndarray,
    confidence: np.ndarray,
    gt: np.ndarray,
    visible: np.ndarray,
    joints: Sequence[str],
    threshold: float = 0.2,
    bins: int = 20,
) -> list[dict[str, float]]:
    """What confidence means: of the body joints in bins of equal width from 0 to 1, how many are right.

    Args:
        confidence: (N, K), 0..1.

    Returns:
        For each bin that is not empty "joints", their number, "confidence", its mean, and "right", the share within
        ``threshold`` torso lengths. The other arguments are those of ``pck``.
    """
    pred, gt, counted, torso = _of_body(pred, gt, visible, joints)
    right = np.linalg.norm(pred - gt, axis=2) <= threshold * torso[:, None]
    sure, right = np.asarray(confidence, dtype=np.float64)[:, _body(joints)][counted], right[counted]
    place = np.clip((sure * bins).astype(int), 0, bins - 1)
    return [
        {"joints": int(mine.sum()), "confidence": float(sure[mine].mean()), "right": float(right[mine].mean())}
        for mine in (place == n for n in range(bins))
        if mine.any()
    ]


def exchanged(
    pred: np.ndarray, gt: np.ndarray, visible: np.ndarray, joints: Sequence[str], threshold: float = 0.2
) -> dict[str, Any]:
    """Body joints found at the place of the same joint of the other side.

    A joint counts where it lies within ``threshold`` torso lengths of its partner's label but not of its own, and its
    partner does not lie there itself (two joints at one place are another mistake). Arguments as for ``pck``.

    Returns:
        "count", "joints" (those with both labels, of persons with a torso), "share" (NaN where there is none).
    """
    partner = Skeleton("body", tuple(joints[place] for place in _body(joints))).flip
    pred, gt, counted, torso = _of_body(pred, gt, visible, joints)
    counted = counted & counted[:, partner]
    reach = threshold * torso[:, None]
    own = np.linalg.norm(pred - gt, axis=2) <= reach
    other = np.linalg.norm(pred - gt[:, partner], axis=2) <= reach
    wrong = counted & other & ~own & ~own[:, partner]
    return {"count": int(wrong.sum()), "joints": int(counted.sum()), "share": _share(wrong, counted)}


def _share(right: np.ndarray, counted: np.ndarray) -> float:
    return float(right.sum() / counted.sum()) if counted.any() else float("nan")


def jitter(clips: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], joints: Sequence[str]) -> float:
    """Mean norm of the second difference of body joints over time, in torso lengths per frame squared.

    Args:
        clips: for each track of consecutive frames (poses (T, K, 2) pixels, visible (T, K) bool, torso (T,) pixels,
            NaN where unknown). A joint counts where it is visible in three frames in a row; the unit of a track is
            the median of its torso lengths, and a track without one is left out.
        joints: the K names.

    Returns:
        The mean over all counted joints of all tracks, NaN where there is none.
    """
    columns = _body(joints)
    total, count = 0.0, 0
    for poses, visible, torso in clips:
        known = torso[~np.isnan(torso) & (torso > 0)]
        if len(poses) < 3 or not len(known):
            continue
        places = np.asarray(poses, dtype=np.float64)[:, columns]
        seen = np.asarray(visible, dtype=bool)[:, columns]
        bend = np.linalg.norm(places[2:] - 2 * places[1:-1] + places[:-2], axis=2) / np.median(known)
        steady = seen[2:] & seen[1:-1] & seen[:-2]
        total += float(bend[steady].sum())
        count += int(steady.sum())
    return total / count if count else float("nan")
