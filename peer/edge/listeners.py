"""The way of notices to those who listen: each at its own pace, none in the way of the session."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from peer.core.notices import Notice, Warned

__all__ = ["NOTICES_KEPT", "NOTICES_WAITING", "Listeners"]

NOTICES_KEPT: Final = 1_000
"""Notices for those who begin to listen later."""
NOTICES_WAITING: Final = 10_000
"""Notices that wait for one listener who is busy."""


class _Queue:
    """A bounded queue that drops its oldest entries and knows how many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._notices: deque[Notice] = deque()
        self._lost = 0

    def put(self, notice: Notice) -> None:
        if len(self._notices) >= self._limit:
            self._notices.popleft()
            self._lost += 1
        self._notices.append(notice)

    def __len__(self) -> int:
        return len(self._notices)

    def take(self) -> Notice:
        if self._lost:
            lost, self._lost = self._lost, 0
            return Warned("W-EVENTS", f"events came faster than they were read: {lost} are missing here")
        return self._notices.popleft()

    def copy(self, limit: int) -> "_Queue":
        other = _Queue(limit)
        other._notices.extend(self._notices)
        other._lost = self._lost
        return other


class Listeners:
    """Everybody who listens to one session, and what was told so far."""

    def __init__(self) -> None:
        self._told = _Queue(NOTICES_KEPT)
        self._queues: list[tuple[_Queue, asyncio.Event]] = []
        self._is_over = False

    def tell(self, notice: Notice) -> None:
        """Hand a notice to everybody."""
        self._told.put(notice)
        for queue, news in self._queues:
            queue.put(notice)
            news.set()

    def end(self) -> None:
        """Nothing more will be told."""
        self._is_over = True
        for _, news in self._queues:
            news.set()

    async def listen(self) -> AsyncGenerator[Notice, None]:
        """Yield what was told already (the last `NOTICES_KEPT`), then what is told, until the end.

        Where notices were dropped, a `Warned` says how many.
        """
        queue, news = self._told.copy(NOTICES_WAITING), asyncio.Event()
        place = (queue, news)
        self._queues.append(place)
        try:
            while True:
                while len(queue):
                    yield queue.take()
                if self._is_over:
                    return
                news.clear()
                await news.wait()
        finally:
            self._queues.remove(place)
