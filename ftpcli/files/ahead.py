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

    The same items come out, and the same error after them.

    Args:
        after: called once no more items are made: by the thread, or by ``close`` where it never began.
    """

    def __init__(self, items: Iterable[T], most: int, after: Callable[[], object] = lambda: None) -> None:
        self._items, self._most, self._after = items, most, after
        self._waiting: deque[T] = deque()
        self._change = threading.Condition()
        self._over = self._unwanted = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._make, name="ftp-ahead", daemon=True)

    def close(self) -> None:
        """No more items are wanted. Harmless to repeat."""
        with self._change:
            self._unwanted = True
            self._change.notify_all()
        if self._thread.ident is None:
            self._after()
        else:
            self._thread.join(_LEAVING)  # one that hangs ends with the process

    def _make(self) -> None:
        try:
            for item in self._items:
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
        """To those that wait; called with the lock held."""
        self._change.wait_for(lambda: self._unwanted or len(self._waiting) < self._most)
        self._waiting.append(item)

    def __iter__(self) -> Iterator[T]:
        self._thread.start()
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._over)
                if not self._waiting:
                    break
                item = self._waiting.popleft()
                self._change.notify_all()
            yield item
            del item
        if self._error is not None:
            raise self._error
