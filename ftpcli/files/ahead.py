"""Making things beside the work on those before: in a thread of its own, a few of them ahead."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_LEAVING = 3.0  # seconds that making an item may still take when nobody wants it any more


class Ahead(Generic[T]):
    """The items of an iterable, made in a thread, which waits while ``most`` of them have not been taken.

    The same items come out, once, and the same error after them. The thread ends when they are over, after ``close``,
    and when nobody iterates any more.

    Args:
        after: called once no more items are made: by the thread, or by ``close`` where it never began.
        leaving: seconds that ``close`` waits for an item that is being made; None: until it is made.
    """

    def __init__(
        self,
        items: Iterable[T],
        most: int,
        after: Callable[[], object] = lambda: None,
        leaving: float | None = _LEAVING,
    ) -> None:
        self._items, self._most, self._after, self._leaving = items, most, after, leaving
        self._waiting: deque[T] = deque()
        self._change = threading.Condition()
        self._over = self._unwanted = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._make, name="ftp-ahead", daemon=True)

    @property
    def waiting(self) -> int:
        """Items that can be taken at once."""
        return len(self._waiting)

    def close(self) -> None:
        """No more items are wanted. Harmless to repeat, if ``after`` is."""
        self._leave()
        if self._thread.ident is None:
            self._after()
        else:
            self._thread.join(self._leaving)  # one that hangs ends with the process

    def _leave(self) -> None:
        with self._change:
            self._unwanted = True
            self._change.notify_all()

    def _make(self) -> None:
        items, self._items = self._items, ()  # what they hold is let go with them
        try:
            for item in items:
                with self._change:
                    self._add(item)
                    if self._unwanted:
                        break
                    self._change.notify_all()
                del item  # a name for the newest item would keep it alive until the next one replaces it
            self._after()
        except BaseException as error:  # belongs to whoever takes the items
            self._error = error
            with contextlib.suppress(Exception):
                self._after()
        with self._change:
            self._over = True
            self._change.notify_all()

    def _add(self, item: T) -> None:
        """To those that wait; called with the lock held. A live source does not wait for room."""
        self._change.wait_for(lambda: self._unwanted or len(self._waiting) < self._most)
        self._waiting.append(item)

    def __iter__(self) -> Iterator[T]:
        self._thread.start()
        try:
            while True:
                with self._change:
                    self._change.wait_for(lambda: self._waiting or self._over or self._unwanted)
                    if self._unwanted:
                        raise RuntimeError("closed before its end")
                    if not self._waiting:
                        break
                    item = self._waiting.popleft()
                    self._change.notify_all()
                yield item
                del item
        finally:  # also where whoever iterated is gone
            self._leave()
        if self._error is not None:
            raise self._error
