"""Which points lie strictly inside a polygon, decided exactly (specification B1.4)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

# Above this share of the products' size the floating-point sign of a 2x2 determinant is certain (Shewchuk 1997).
_CERTAIN = 3.3306690738754716e-16


def strictly_inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Even-odd rule; a point on the border is outside, also for polygons that cut themselves.

    Args:
        points: (N, 2) float64.
        polygon: (M, 2) float64 corners, closed implicitly; M >= 3, or 0 for an empty region.

    Returns:
        (N,) bool.
    """
    inside = np.zeros(len(points), dtype=bool)
    if len(polygon) == 0 or len(points) == 0:
        return inside
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    near = np.flatnonzero(((points > low) & (points < high)).all(axis=1))
    if near.size:
        inside[near] = _inside(points[near], polygon)
    return inside


def _inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    x, y = points[:, :1], points[:, 1:]
    ax, ay = polygon[:, 0], polygon[:, 1]
    bx, by = np.roll(ax, -1), np.roll(ay, -1)
    level = (ay == y) & (by == y)
    border = ((x == ax) & (y == ay)) | (level & (np.minimum(ax, bx) <= x) & (x <= np.maximum(ax, bx)))
    # Half-open in y, so that a ray through a corner counts it once.
    crosses = (ay > y) != (by > y)
    side = np.where(crosses, _turn(ax, ay, bx, by, x, y), 0.0)
    border |= crosses & (side == 0)
    to_the_right = crosses & ((side > 0) == (by > ay)) & (side != 0)
    return (to_the_right.sum(axis=1) % 2 == 1) & ~border.any(axis=1)


def _turn(ax: np.ndarray, ay: np.ndarray, bx: np.ndarray, by: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, M) sign of the determinant of (b - a, p - a), exact: positive where p lies to the left of a -> b."""
    first, second = (ax - x) * (by - y), (ay - y) * (bx - x)
    value = first - second
    doubtful = np.abs(value) <= _CERTAIN * (np.abs(first) + np.abs(second))
    for n, m in zip(*np.nonzero(doubtful), strict=True):
        px, py = Fraction(float(x[n, 0])), Fraction(float(y[n, 0]))
        exact = (Fraction(float(ax[m])) - px) * (Fraction(float(by[m])) - py) - (Fraction(float(ay[m])) - py) * (
            Fraction(float(bx[m])) - px
        )
        value[n, m] = (exact > 0) - (exact < 0)
    return value
