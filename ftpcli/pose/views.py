"""Which part of the picture a person's crops show: a box that is kept as long as the person's own stays near it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ftpcli.errors import UsageError
from ftpcli.records import Person, TrackedFrame

#: Largest tolerance: beyond it, hands and feet would leave the crop before it follows.
LOOSEST = 0.1


def check_tolerance(tolerance: float) -> None:
    """Raises UsageError where ``--hold-views`` is out of range."""
    if not 0 <= tolerance <= LOOSEST:
        raise UsageError(f"--hold-views {tolerance:g}: must lie between 0 and {LOOSEST:g}")


class HoldViews:
    """Gives every person a view, which stays where it is until the person's box has moved or grown too far from it.

    A frame that two windows show in the same view is encoded once for both (``Estimator.estimate``), and jitter of the
    detector's boxes does not move the crop. A view is only kept from one frame to the next; it depends on boxes alone.

    Args:
        tolerance: how far the box's centre may be from the view's, as a share of the view's longer side; width and
            height may differ by twice as much. 0 gives every box a view of its own.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self._views: dict[int, np.ndarray] = {}

    def __call__(self, frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
        """Yields every frame once, in order, its people with views."""
        self._views = {}
        for tracked in frames:
            yield self.hold(tracked)
            del tracked  # a name for the newest frame would keep it alive until the next one replaces it

    def hold(self, tracked: TrackedFrame) -> TrackedFrame:
        """The next frame, its people with views."""
        self._views = {person.track_id: self._view(person) for person in tracked.people}
        return replace(tracked, people=tuple(replace(p, view=self._views[p.track_id]) for p in tracked.people))

    def _view(self, person: Person) -> np.ndarray:
        view = self._views.get(person.track_id)
        if view is None or not self._fits(person.box, view):
            return person.box
        return view

    def _fits(self, box: np.ndarray, view: np.ndarray) -> bool:
        sides, now = view[2:] - view[:2], box[2:] - box[:2]
        # Crops have a fixed aspect, so a narrow box may move by a share of its height, too.
        size = max(sides.max(), 1.0)
        moved = np.abs(box[:2] + box[2:] - view[:2] - view[2:]) / 2
        return bool((moved <= self.tolerance * size).all() and (np.abs(now - sides) <= 2 * self.tolerance * size).all())
