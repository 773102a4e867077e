"""Joins broken tracks once all are known: somebody who was lost and found again gets the earlier id back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from math import hypot, inf, log

from ftpcli.people.tracks import Place, Track

#: Longest time between two parts of a track that can be joined, seconds.
LONGEST = 10.0
_COASTS = 0.5  # seconds that somebody out of sight is taken to go on as before
_REACH = (0.35, 0.35)  # how far from there they may be found: person sizes, and more for each second
_SIZE = 0.35  # the most that the logarithm of their height may change
#: Any other pair that one of the two could form must be so many times farther apart than they are, or than this.
_CLEAR = (2.0, 0.15)


def join(tracks: Iterable[Track], seconds: float) -> dict[int, int]:
    """The new id of each track that is the continuation of an earlier one.

    Tracks are joined where the second begins, in the same shot and within ``seconds``, about where the first was
    heading or had been, at about the same height, and where no other track could be meant. In doubt they stay apart.

    Args:
        tracks: changed on the way: the earlier ones take in the later ones.
    """
    later = sorted(tracks, key=lambda track: (track.start[0].seconds, track.id))
    begins = [track.start[0].seconds for track in later]
    pairs = []
    for first in later:
        ended = first.end[-1].seconds
        for second in later[bisect_right(begins, ended) : bisect_left(begins, ended + seconds + 1e-6)]:
            if first.shot == second.shot and (far := _distance(first, second)) is not None:
                pairs.append((far, first.id, second.id))
    pairs.sort()
    ends: dict[int, list[float]] = {}
    starts: dict[int, list[float]] = {}
    for far, one, other in pairs:
        ends.setdefault(one, []).append(far)
        starts.setdefault(other, []).append(far)
    by_id = {track.id: track for track in later}
    names: dict[int, int] = {}
    for far, one, other in pairs:
        if min(_rival(ends[one], far), _rival(starts[other], far)) > _CLEAR[0] * max(far, _CLEAR[1]):
            names[other] = one
    for other in sorted(names, key=lambda other: by_id[other].start[0].seconds):
        names[other] = names.get(names[other], names[other])  # the earlier one may be a continuation itself
        by_id[names[other]].append(by_id[other])
    return names


def _rival(distances: list[float], own: float) -> float:
    """The least of rising distances, besides the pair's own, which is one of them."""
    return [*distances, inf][distances[0] == own]


def _distance(first: Track, second: Track) -> float | None:
    """How far the second begins from where the first would be by then, in person sizes; None where it is too far."""
    end, begin = first.end[-1], second.start[0]
    gap = begin.seconds - end.seconds
    if abs(log(end.height / begin.height)) > _SIZE:
        return None
    size = (end.width * end.height * begin.width * begin.height) ** 0.25
    coasts = min(gap, _COASTS)
    forward, back = _speed(first.end), _speed(second.start)
    ways = [(forward[0] * coasts, forward[1] * coasts), (back[0] * coasts, back[1] * coasts), (0.0, 0.0)]
    far = min(hypot(end.x + dx - begin.x, end.y + dy - begin.y) for dx, dy in ways) / size
    return far if far <= _REACH[0] + _REACH[1] * gap else None


def _speed(places: list[Place]) -> tuple[float, float]:
    """Pixels per second along x and y."""
    first, last = places[0], places[-1]
    elapsed = last.seconds - first.seconds
    return ((last.x - first.x) / elapsed, (last.y - first.y) / elapsed) if elapsed > 0 else (0.0, 0.0)
