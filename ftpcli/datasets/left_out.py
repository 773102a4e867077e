"""What a reader left out, counted by reason, so that nothing goes missing without a word."""

from __future__ import annotations

from collections import Counter

CROWD = "that mark crowds"
EMPTY = "without joints and without a box"
UNLABELLED = "without a labelled joint"
UNLISTED = "of images that are not listed"


class LeftOut:
    """Annotations left out, by reason."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, reason: str, count: int = 1) -> None:
        """Note ``count`` annotations under a reason that completes "5 annotations ..."."""
        if count:
            self.counts[reason] += count

    def lines(self) -> list[str]:
        """One line, or none where nothing was left out."""
        if not self.counts:
            return []
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.counts.items())
        return [f"{self.counts.total():,} annotations are left out: {reasons}"]

    def why(self) -> str:
        """For the error where nothing is left: the same in brackets."""
        return "".join(f" ({line})" for line in self.lines())
