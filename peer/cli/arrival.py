"""The first seconds of a session on this side: is anybody here, are the files, and which were told together.

A folder that somebody has just joined is live once it was compared with a peer who has its files; until
then there is nothing to say but that we wait.  The files of that first look are told as one number, not one
by one.
"""

from collections.abc import Iterable
from typing import Final

from peer.core.notices import FileChanged

__all__ = ["ALONE_SECONDS", "EMPTY_SECONDS", "Arrival"]

ALONE_SECONDS: Final = 5.0
"""After so long without anybody a person begins to wonder."""

EMPTY_SECONDS: Final = 5.0
"""For somebody with files to come, before a session of which a peer shows none is believed to have none."""


class Arrival:
    """What is known of the beginning; times are monotonic seconds.

    Attributes:
        live: the folder was compared with a peer, or is the one that others compare theirs with.
        waits: this side has never had the session's files, and they are not here yet.
        alone_at: nobody was met yet, and a person is told so then.
        empty_at: a peer showed no files, and is believed then.
    """

    def __init__(self, command: str, *, resumed: bool, now: float) -> None:
        self._founder = command == "share" and not resumed
        self._began = now
        self._told: set[str] = set()
        self.live = command == "share"
        self.waits = not self.live and not resumed
        self.alone_at = None if self.live else now + ALONE_SECONDS
        self.empty_at: float | None = None

    def told(self, names: Iterable[str]) -> None:
        """People know of the files with these *names*."""
        self._told = set(names)

    def now_live(self, names: Iterable[str]) -> None:
        """The first comparison is done, and people are told how many files there are."""
        if self.waits:
            self.told(names)
        self.live, self.waits, self.empty_at = True, False, None

    def is_known(self, change: FileChanged) -> bool:
        """Whether *change* only brings a file that was, or will be, told with all the others."""
        if change.change == "created" and self.waits:
            return change.by != "disk"
        known = change.change == "created" and change.path in self._told
        self._told.discard(change.path)
        return known

    def met(self) -> bool:
        """Somebody is here; true if nobody was waited for so long that a person was told."""
        soon, self.alone_at = self.alone_at is not None, None
        return soon

    def came_later(self, now: float) -> bool:
        """Whether one who is met *now* came after us, as far as we can tell."""
        return self._founder or (self.live and now >= self._began + ALONE_SECONDS)

    def deadline(self) -> float | None:
        """When one of the two moments is due."""
        return min((at for at in (self.alone_at, self.empty_at) if at is not None), default=None)
