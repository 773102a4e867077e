"""Linear assignment of small matrices.

Equal costs are common here (a detection written twice), and which of them is paired decides track figures.
The official programs use a shortest-augmenting-path solver (Crouse, "On implementing 2D rectangular assignment
algorithms", 2016); this is that algorithm with the same visiting order, so ties fall alike. ``lap`` would give
another pairing of the same total. Most frames need no solver at all: see :func:`best_pairs`.
"""

from __future__ import annotations

import math

import numpy as np


def assign(cost: np.ndarray) -> list[tuple[int, int]]:
    """Pair rows with columns at the least total cost; min(N, M) pairs, ordered by row.

    Args:
        cost: (N, M) float64, finite.
    """
    if cost.shape[0] > cost.shape[1]:
        return sorted((row, column) for column, row in assign(cost.T))
    rows, columns = cost.shape
    costs: list[list[float]] = cost.tolist()
    row_dual, column_dual = [0.0] * rows, [0.0] * columns
    row_of, column_of = [-1] * columns, [-1] * rows
    for start in range(rows):
        # Dijkstra over reduced costs from the row to the nearest free column.
        distance, parent = [math.inf] * columns, [-1] * columns
        open_columns = list(range(columns - 1, -1, -1))
        seen_rows: list[int] = []
        closed: list[int] = []
        reached, row = 0.0, start
        while True:
            seen_rows.append(row)
            at, nearest = -1, math.inf
            for position, column in enumerate(open_columns):
                through = reached + costs[row][column] - row_dual[row] - column_dual[column]
                if through < distance[column]:
                    distance[column], parent[column] = through, row
                free = row_of[column] == -1
                if distance[column] < nearest or (free and distance[column] == nearest):
                    at, nearest = position, distance[column]
            reached, column = nearest, open_columns[at]
            closed.append(column)
            open_columns[at] = open_columns[-1]
            open_columns.pop()
            if row_of[column] == -1:
                break
            row = row_of[column]
        row_dual[start] += reached
        for seen in seen_rows[1:]:
            row_dual[seen] += reached - distance[column_of[seen]]
        for done in closed:
            column_dual[done] -= reached - distance[done]
        while True:
            row = parent[column]
            row_of[column] = row
            column, column_of[row] = column_of[row], column
            if row == start:
                break
    return list(enumerate(column_of))


def best_pairs(cost: np.ndarray, admissible: np.ndarray, forbidden: float) -> list[tuple[int, int]]:
    """The admissible pairs of the cheapest assignment in which inadmissible pairs cost ``forbidden``.

    Args:
        cost: (N, M) float64.
        admissible: (N, M) bool.
        forbidden: finite cost, above every admissible one.
    """
    rows, columns = np.nonzero(admissible)
    pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    if len(pairs) < 2 or (len(set(rows.tolist())) == len(pairs) and len(set(columns.tolist())) == len(pairs)):
        return pairs  # nobody competes, so every admissible pair is taken
    chosen = assign(np.where(admissible, cost, forbidden))
    return [(row, column) for row, column in chosen if admissible[row, column]]
