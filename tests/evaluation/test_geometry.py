"""Linear assignment and points in polygons, against exhaustive and exact versions."""

from __future__ import annotations

import itertools
from fractions import Fraction

import lap
import numpy as np
import pytest

from ftpcli.evaluation.assignment import assign, best_pairs
from ftpcli.evaluation.regions import strictly_inside


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 3), (2, 5), (5, 2), (4, 6), (6, 4)])
def test_assignment_is_the_cheapest_of_all(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows * 10 + columns)
    for _ in range(30):
        cost = np.round(rng.random((rows, columns)), 1)  # rounding makes ties common
        pairs = assign(cost)
        assert len(pairs) == min(rows, columns) and pairs == sorted(pairs)
        assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
        short, wide = (cost, range(columns)) if rows <= columns else (cost.T, range(rows))
        best = min(
            sum(short[i, j] for i, j in enumerate(choice)) for choice in itertools.permutations(wide, len(short))
        )
        assert sum(cost[pair] for pair in pairs) == pytest.approx(best)


def test_assignment_of_crowds_costs_what_lap_finds() -> None:
    rng = np.random.default_rng(0)
    for size in ((20, 20), (30, 45)):
        cost = rng.random(size)
        total, _, _ = lap.lapjv(cost, extend_cost=True)
        assert sum(cost[pair] for pair in assign(cost)) == pytest.approx(total)


def test_equal_costs_fall_to_the_first() -> None:
    assert assign(np.zeros((3, 3))) == [(0, 0), (1, 1), (2, 2)]
    assert assign(np.full((1, 4), 0.5)) == [(0, 0)]
    assert assign(np.full((4, 1), 0.5)) == [(0, 0)]


def test_best_pairs_without_rivals_are_all_pairs() -> None:
    admissible = np.array([[False, True, False], [False, False, False], [True, False, False]])
    assert best_pairs(np.full((3, 3), 0.2), admissible, 9.0) == [(0, 1), (2, 0)]


def test_best_pairs_prefers_more_pairs() -> None:
    cost = np.array([[0.0, 0.5], [0.1, 9.0]])
    admissible = cost <= 0.5
    assert best_pairs(cost, admissible, 3.0) == [(0, 1), (1, 0)]


def _exactly_inside(point: tuple[float, float], polygon: list[tuple[float, float]]) -> bool:
    """Even-odd with rational arithmetic."""
    x, y = Fraction(point[0]), Fraction(point[1])
    corners = [(Fraction(a), Fraction(b)) for a, b in polygon]
    inside = False
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        cross = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        if cross == 0 and min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by):
            return False
        if (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
            inside = not inside
    return inside


SHAPES = {
    "square": [(0, 0), (4, 0), (4, 4), (0, 4)],
    "concave": [(0, 0), (6, 0), (6, 6), (3, 2), (0, 6)],
    "cutting itself": [(0, 0), (6, 6), (6, 0), (0, 6)],
    "star": [(3, 6), (1, 0), (6, 4), (0, 4), (5, 0)],
    "closed explicitly": [(0, 0), (5, 0), (5, 5), (0, 0)],
    "slanting thirds": [(0.1, 0.2), (5.3, 0.7), (4.9, 5.1), (0.3, 3.3)],
    "a line": [(0, 0), (3, 3), (6, 6)],
}


@pytest.mark.parametrize("name", SHAPES)
def test_points_in_polygons_are_told_exactly(name: str) -> None:
    polygon = SHAPES[name]
    points = [(x / 2, y / 2) for x in range(-2, 15) for y in range(-2, 15)]
    # Points that lie on the edges as closely as floating point can have it.
    for (ax, ay), (bx, by) in itertools.pairwise([*polygon, polygon[0]]):
        points += [(ax + t * (bx - ax), ay + t * (by - ay)) for t in (0.0, 0.1, 1 / 3, 0.5, 0.7, 1.0)]
    found = strictly_inside(np.array(points, dtype=float), np.array(polygon, dtype=float))
    expected = [_exactly_inside(point, polygon) for point in points]
    assert found.tolist() == expected
    assert any(expected) == (name != "a line")


def test_an_empty_region_holds_nothing() -> None:
    assert not strictly_inside(np.zeros((3, 2)), np.zeros((0, 2))).any()
    assert strictly_inside(np.zeros((0, 2)), np.array(SHAPES["square"], dtype=float)).shape == (0,)
