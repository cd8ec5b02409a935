"""The way of events from a worker's thread to the loop's: in order, in bunches, never too many."""

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from peer.core.events import DisplacedChanged, FileEvent, FileReplaced, FileSeen, ReplaceRefused

__all__ = ["Outlet"]

_BUNCH_EVENTS: Final = 32
"""Handed over in one turn of the loop; the loop stays free for others between bunches."""

_BUNCH_BYTES: Final = 1024 * 1024

_BUNCHES_LIMIT: Final = 4
"""Bunches on their way; with the next one the worker waits until the loop has taken one."""


class Outlet:
    """Calls *emit* on *loop* for each event put in by one worker thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, emit: Callable[[FileEvent], None]) -> None:
        self._loop = loop
        self._emit = emit
        self._room = threading.BoundedSemaphore(_BUNCHES_LIMIT)
        self._bunch: list[FileEvent] = []
        self._bytes = 0

    def put(self, event: FileEvent) -> None:
        """Add an event; called by the worker only."""
        self._bunch.append(event)
        self._bytes += _size_of(event)
        if len(self._bunch) >= _BUNCH_EVENTS or self._bytes >= _BUNCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand over what was put in; called by the worker when it has nothing more for now."""
        if not self._bunch:
            return
        self._room.acquire()
        bunch, self._bunch, self._bytes = self._bunch, [], 0
        try:
            self._loop.call_soon_threadsafe(self._deliver, bunch)
        except RuntimeError:
            self._room.release()  # the loop has ended; nobody listens any more

    def _deliver(self, bunch: list[FileEvent]) -> None:
        try:
            for event in bunch:
                self._emit(event)
        finally:
            self._room.release()


def _size_of(event: FileEvent) -> int:
    match event:
        case FileSeen(content=content) | DisplacedChanged(content=content) | ReplaceRefused(content=content):
            return len(content or b"")
        case FileReplaced(displaced=displaced):
            return len(displaced or b"")
        case _:
            return 0
