"""Notices what people and programs do in the folder, and has it looked at when it is whole.

A writer that closes a file, or renames one into place, has finished: that is looked at in the same
millisecond.  Whatever else happens to a file (made, cut short, written to, gone) is mostly the first
half of a save, so it is looked at only when it has been quiet for a moment.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from peer.core.events import FileTrouble
from peer.edge.change_source import Change, ChangeSource, Kind, PollingSource, SourceFailed, WatchfilesSource
from peer.edge.folder import Folder
from peer.edge.inotify import InotifySource

__all__ = ["QUIET_SECONDS", "Settling", "Watcher", "best_source"]

QUIET_SECONDS: Final = 0.03
"""Longer than editors take between cutting a file short, or moving it away, and finishing the save."""

_NOISE_SECONDS: Final = 0.25
"""A file that is written to without a pause is looked at so often all the same."""

_PLACE_SECONDS: Final = 2.0
"""Between checks that the folder is where it was."""

_SWEEP_SECONDS: Final = 60.0
"""Between looks at the whole folder, for what no system reports: memory maps, network disks."""


class Settling:
    """The paths at which something is going on; pure, *now* is in monotonic seconds."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._latest: dict[str, float] = {}

    def note(self, path: str, now: float) -> None:
        """Something happens at *path*."""
        latest = self._latest.setdefault(path, now + _NOISE_SECONDS)
        self._due[path] = min(now + QUIET_SECONDS, latest)

    def forget(self, path: str) -> None:
        """It is looked at already."""
        self._due.pop(path, None)
        self._latest.pop(path, None)

    def take(self, now: float) -> list[str]:
        """Those that have been quiet, or noisy, for long enough."""
        ready = [path for path, due in self._due.items() if due <= now]
        for path in ready:
            self.forget(path)
        return ready

    def next_due(self) -> float:
        """When `take` has something; infinite if nothing is going on."""
        return min(self._due.values(), default=float("inf"))


def best_source(folder: Folder) -> ChangeSource:
    """The quickest that this system has.

    Raises:
        SourceFailed: there is none.
    """
    if sys.platform == "linux":
        return InotifySource(folder.root, folder.is_of_interest)
    return WatchfilesSource(folder.root.path, folder.is_of_interest)


class Watcher:
    """Watches one open folder from `start` to `close`, in a thread of its own."""

    def __init__(self, folder: Folder, source: Callable[[Folder], ChangeSource] = best_source) -> None:
        self._folder = folder
        self._make_source = source
        self._source: ChangeSource = PollingSource()
        self._settling = Settling()
        self._is_stopping = False
        self._ready = threading.Event()
        self._next_check = 0.0
        self._next_sweep = 0.0
        self._thread = threading.Thread(target=self._watch, name="weft-watcher", daemon=True)

    async def start(self) -> None:
        """Begin; from the return on, no change is missed."""
        self._thread.start()
        await asyncio.to_thread(self._ready.wait)

    async def close(self) -> None:
        """Stop watching."""
        self._is_stopping = True
        self._source.stop()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _watch(self) -> None:
        self._next_check = time.monotonic() + _PLACE_SECONDS
        self._next_sweep = time.monotonic() + _SWEEP_SECONDS
        self._source = self._first_source()
        self._ready.set()
        try:
            while not self._is_stopping:
                self._hear()
        finally:
            self._source.close()

    def _first_source(self) -> ChangeSource:
        try:
            return self._make_source(self._folder)
        except SourceFailed as failure:
            return self._fall_back(failure)

    def _fall_back(self, failure: SourceFailed) -> ChangeSource:
        self._folder.report(FileTrouble(".", str(failure)))
        return PollingSource()

    def _hear(self) -> None:
        next_time = min(self._settling.next_due(), self._next_check, self._next_sweep)
        try:
            changes = self._source.changes(max(0.0, next_time - time.monotonic()))
        except SourceFailed as failure:
            self._source.close()
            self._source = self._fall_back(failure)
            changes = [Change(Kind.UNKNOWN)]
        now = time.monotonic()
        for change in changes:
            self._handle(change, now)
        for path in self._settling.take(now):
            self._folder.look(path)
        self._look_around(now)

    def _handle(self, change: Change, now: float) -> None:
        match change.kind:
            case Kind.WHOLE:
                self._settling.forget(change.path)
                self._folder.look(change.path)
            case Kind.GOING_ON:
                self._settling.note(change.path, now)
            case Kind.DISPLACED:
                self._folder.look_displaced(change.path)
            case Kind.UNKNOWN:
                self._folder.sweep()
            case Kind.OWN_PLACE:
                self._folder.check_place()

    def _look_around(self, now: float) -> None:
        if now >= self._next_check:
            self._next_check = now + _PLACE_SECONDS
            self._folder.check_place()
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP_SECONDS
            self._folder.sweep()
