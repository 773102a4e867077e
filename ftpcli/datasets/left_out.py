"""What a reader left out, counted by reason, so that nothing goes missing without a word."""

from __future__ import annotations

from collections import Counter

from ftpcli.errors import counted

CROWD = "marking crowds"
EMPTY = "without joints and without a box"
AREALESS = "without area"
UNLABELLED = "without a labelled joint"
UNLISTED = "of images that are not listed"
UNKNOWN_FRAME = "of images that are left out"
JOINTLESS = "without joints"


class LeftOut:
    """Annotations, or what else ``one`` says, left out, by reason."""

    def __init__(self, one: str = "annotation", many: str = "") -> None:
        self._one, self._many = one, many or f"{one}s"
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
        what = counted(self.counts.total(), f"{self._one} is", f"{self._many} are")
        return [f"{what} left out: {reasons}"]

    def why(self) -> str:
        """For the error where nothing is left: the same in brackets."""
        return "".join(f" ({line})" for line in self.lines())
