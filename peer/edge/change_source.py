"""Where the watcher hears of changes: what a source is, and the two for systems without inotify."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final, Protocol

from watchfiles import watch

__all__ = [
    "POLL_SECONDS",
    "Change",
    "ChangeSource",
    "Kind",
    "PollingSource",
    "SourceFailed",
    "WatchfilesSource",
]

POLL_SECONDS: Final = 1.0
"""Between two sweeps where nothing tells us of changes."""

_STEP_MS: Final = 5
"""watchfiles hands over what it has when nothing more came for so long (its own default is 50)."""

_DEBOUNCE_MS: Final = 50
"""And at the latest after so long (its own default is 1,600)."""


class Kind(Enum):
    """What is known about a change."""

    WHOLE = auto()
    """A writer closed the file, or it was put in place by a rename: it can be read now."""
    GOING_ON = auto()
    """Something is happening to it: more is likely to come at once."""
    DISPLACED = auto()
    """A writer closed a file that we displaced; the path is its name in `.weft/tmp`."""
    UNKNOWN = auto()
    """Changes were missed: the whole folder must be looked at."""
    OWN_PLACE = auto()
    """The folder itself was moved, removed or unmounted."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened to the file or directory at *path*."""

    kind: Kind
    path: str = ""


class SourceFailed(Exception):
    """This source cannot go on; the text says why and what to do, for people."""


class ChangeSource(Protocol):
    """Hears of changes in one folder; used by one thread, except for `stop`."""

    def changes(self, patience: float) -> list[Change]:
        """Wait up to *patience* seconds for changes.

        Raises:
            SourceFailed: it cannot go on.
        """

    def stop(self) -> None:
        """Make `changes` return soon; may be called from any thread."""

    def close(self) -> None:
        """Let go of everything."""


class PollingSource:
    """Hears nothing, so the whole folder is looked at again and again."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._next = time.monotonic() + POLL_SECONDS

    def changes(self, patience: float) -> list[Change]:
        """See `ChangeSource.changes`."""
        self._stopped.wait(min(patience, max(0.0, self._next - time.monotonic())))
        if time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + POLL_SECONDS
        return [Change(Kind.UNKNOWN)]

    def stop(self) -> None:
        """See `ChangeSource.stop`."""
        self._stopped.set()

    def close(self) -> None:
        """See `ChangeSource.close`."""


class WatchfilesSource:
    """What watchfiles hears: for macOS and others.

    It watches ignored directories too, and follows links; nothing is read because of that.
    """

    def __init__(self, root: Path, is_of_interest: Callable[[str, bool], bool]) -> None:
        self._root = root.resolve()
        self._is_of_interest = is_of_interest
        self._stopped = threading.Event()
        self._batches = watch(
            self._root,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=self._stopped,
            rust_timeout=int(POLL_SECONDS * 1000),
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )

    def changes(self, patience: float) -> list[Change]:
        """See `ChangeSource.changes`; waits `POLL_SECONDS` at most, whatever *patience* says."""
        try:
            batch = next(self._batches, set())
        except OSError as error:
            raise SourceFailed(f"the system cannot watch this folder ({error}), so it is polled") from error
        return [change for _, path in batch for change in self._understand(path)]

    def stop(self) -> None:
        """See `ChangeSource.stop`."""
        self._stopped.set()

    def close(self) -> None:
        """See `ChangeSource.close`."""
        self._batches.close()

    def _understand(self, absolute: str) -> list[Change]:
        path = os.path.relpath(absolute, self._root).replace(os.sep, "/")
        if path == ".":
            return [Change(Kind.OWN_PLACE)]
        # What is gone is nothing; whether it was a directory cannot be told, and both are looked at.
        is_directory = os.path.isdir(absolute)
        return [Change(Kind.WHOLE, path)] if self._is_of_interest(path, is_directory) else []
