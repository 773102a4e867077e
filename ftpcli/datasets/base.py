"""What every reader of a poses file offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Self

from ftpcli.records import FramePoses, Header


class PosesReader(ABC):
    """The poses of one video, read frame by frame. A context manager; iterate as often as you like, one loop at a time.

    Attributes:
        path: the file, as given.
        format: as in ``choices.Format``.
        header: joint names in the order of the poses' rows, source and run; a foreign file's may be nearly empty.
        records: how many frames the file holds, None where only reading to the end would tell.
        by_name: a frame's ``index`` is its picture's place in the list of the source's pictures; False: its place among
            the decoded frames.
        warnings: what had to be assumed or left out, one line each without the file's name.
        timed: ``pts`` are the source's. False for a file without them: ``pts`` is then the index, and ``seconds`` NaN
            where the file does not say it.
        picture_names: of frames, by index, as far as the file names pictures by a rule other than ours.
    """

    path: str
    format: str
    header: Header
    records: int | None
    timed: bool
    by_name: bool = False
    warnings: Sequence[str] = ()
    picture_names: Mapping[int, str] = MappingProxyType({})

    @abstractmethod
    def __iter__(self) -> Iterator[FramePoses]:
        """Frames by rising index. A joint that is not there has confidence 0. Raises InputError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
