"""Pose HOTA of the PoseTrack21 program, per joint kind and in total (B5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ftpcli.evaluation.assignment import best_pairs
from ftpcli.evaluation.prepare import EvalFrame

THRESHOLDS = np.arange(0.05, 0.99, 0.05)
FIELDS = ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA", "FragA", "FA-HOTA", "RHOTA")
_WEIGHTED = ("AssA", "AssRe", "AssPr", "FragA")
_COUNTS = ("TP", "FN", "FP")
_FAR = 0.5001
_EPSILON = float(np.finfo(float).eps)

Fields = dict[str, np.ndarray]


class HotaCounter:
    """Combines videos; every field is (19 thresholds, J + 1), the last column being the total."""

    def __init__(self, joints: int) -> None:
        self._joints = joints
        shape = (len(THRESHOLDS), joints + 1)
        self._sums: Fields = {name: np.zeros(shape) for name in (*_COUNTS, *_WEIGHTED, "LocA")}

    def add_video(self, frames: Sequence[EvalFrame], distance: Sequence[np.ndarray]) -> None:
        """Add one video's labelled frames with their (Q, G, J) distances."""
        video = _with_total(_video(frames, distance, self._joints))
        for name in _COUNTS:
            self._sums[name] += video[name]
        for name in (*_WEIGHTED, "LocA"):
            self._sums[name] += video[name] * video["TP"]

    def result(self) -> Fields:
        """All fields as fractions, and TP, FN, FP as counts."""
        sums = self._sums
        found = sums["TP"]
        fields = {name: sums[name] for name in _COUNTS}
        fields |= {name: sums[name] / np.maximum(1, found) for name in _WEIGHTED}
        fields["LocA"] = np.maximum(1e-10, sums["LocA"]) / np.maximum(1e-10, found)
        fields["DetRe"] = found / np.maximum(1, found + fields["FN"])
        fields["DetPr"] = found / np.maximum(1, found + fields["FP"])
        fields["DetA"] = found / np.maximum(1, found + fields["FN"] + fields["FP"])
        fields["HOTA"] = np.sqrt(fields["DetA"] * fields["AssA"])
        fields["RHOTA"] = np.sqrt(fields["DetRe"] * fields["AssA"])
        fields["FA-HOTA"] = np.sqrt(fields["DetA"] * np.sqrt(fields["AssA"] * fields["FragA"]))
        return fields


def _with_total(fields: Fields) -> Fields:
    """Append the total: sums of the counts, plain means over joints of the rest."""
    return {
        name: np.append(value, getattr(value, "sum" if name in _COUNTS else "mean")(axis=1, keepdims=True), axis=1)
        for name, value in fields.items()
    }


def _video(frames: Sequence[EvalFrame], distance: Sequence[np.ndarray], joints: int) -> Fields:
    """(19, J) fields of one video, without the total."""
    shape = (len(THRESHOLDS), joints)
    truths = [frame.truth for frame in frames]
    guesses = [frame.predicted for frame in frames]
    annotated = sum((people.has.sum(axis=0) for people in truths), np.zeros(joints))
    predicted = sum((people.has.sum(axis=0) for people in guesses), np.zeros(joints))
    fields: Fields = {name: np.zeros(shape) for name in (*_COUNTS, *_WEIGHTED)}
    fields["LocA"] = np.ones(shape)
    if not any(map(len, guesses)):
        fields["FN"] += annotated
        return fields
    if not any(map(len, truths)):
        fields["FP"] += predicted
        return fields

    owners, owner_counts = _tracks([(p.track, p.has) for p in truths], joints)
    others, other_counts = _tracks([(p.track, p.has) for p in guesses], joints)
    rows: list[tuple[int, int, int, int, float]] = []  # frame, joint, owner, other, similarity
    for i, frame in enumerate(frames):
        # Must reproduce: a frame without people on one side costs the joints of the whole video.
        if not len(frame.truth):
            fields["FP"] += predicted
            continue
        if not len(frame.predicted):
            fields["FN"] += annotated
            continue
        fields["FN"] += frame.truth.has.sum(axis=0)
        fields["FP"] += frame.predicted.has.sum(axis=0)
        alike = np.maximum((-1 / _FAR) * distance[i] + 1, 0).transpose(1, 0, 2)
        for joint in range(joints):
            mine = alike[:, :, joint]
            for g, p in best_pairs(-mine, mine > 0, 0.0):
                owner, other = owners[int(frame.truth.track[g])], others[int(frame.predicted.track[p])]
                rows.append((i, joint, owner, other, float(mine[g, p])))
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    for a, threshold in enumerate(THRESHOLDS):
        _threshold(fields, a, table[table[:, 4] >= threshold - _EPSILON], owner_counts, other_counts, joints)
    return fields


def _tracks(people: list[tuple[np.ndarray, np.ndarray]], joints: int) -> tuple[dict[int, int], np.ndarray]:
    """Running numbers of the track ids, and (tracks, J) how many joints of a kind each track has."""
    ids = sorted({int(track) for tracks, _ in people for track in tracks})
    number = {track: i for i, track in enumerate(ids)}
    counts = np.zeros((len(ids), joints))
    for tracks, has in people:
        for track, mine in zip(tracks.tolist(), has, strict=True):
            counts[number[track]] += mine
    return number, counts


def _threshold(
    fields: Fields, a: int, table: np.ndarray, owner_counts: np.ndarray, other_counts: np.ndarray, joints: int
) -> None:
    """Fill row ``a`` from the matched pairs at that threshold."""
    index = table[:, :4].astype(np.int64)
    joint, owner, other = index[:, 1], index[:, 2], index[:, 3]
    found = np.bincount(joint, minlength=joints).astype(np.float64)
    fields["TP"][a] = found
    fields["FN"][a] -= found
    fields["FP"][a] -= found
    similar = np.bincount(joint, weights=table[:, 4], minlength=joints)
    fields["LocA"][a] = np.maximum(1e-10, similar) / np.maximum(1e-10, found)
    if not len(index):
        return

    key = (joint * len(owner_counts) + owner) * len(other_counts) + other
    _, first, inverse, together = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    of_joint = joint[first]
    owned, othered = owner_counts[owner[first], of_joint], other_counts[other[first], of_joint]
    union = np.maximum(1, owned + othered - together)
    share = {"AssA": union, "AssRe": np.maximum(1, owned), "AssPr": np.maximum(1, othered)}
    for name, divisor in share.items():
        total = np.bincount(of_joint, weights=together * (together / divisor), minlength=joints)
        fields[name][a] = total / np.maximum(1, found)

    # A run of a pair ends when the annotated track is matched to another prediction in between.
    order = np.lexsort((index[:, 0], owner, joint))
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (np.diff(joint[order]) != 0) | (np.diff(owner[order]) != 0) | (np.diff(other[order]) != 0)
    begin = np.flatnonzero(starts)
    length = np.diff(np.append(begin, len(order)))
    run_pair = inverse[order[begin]]
    total = np.bincount(of_joint[run_pair], weights=length * (length / union[run_pair]), minlength=joints)
    fields["FragA"][a] = total / np.maximum(1, found)
