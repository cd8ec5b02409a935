"""Edits that a carrier was given and has not acknowledged, ready to go another way as well.

A path that is dead looks like one that is slow, for seconds.  So what is not acknowledged in time is sent
over the next best path too, in the same order, and so is everything after it until the first path catches
up.  If that other path is silent and a third one is not, all of it goes there.  Whoever gets an edit twice
takes it once.
"""

from collections import deque
from typing import Final

__all__ = ["DETOUR_AFTER", "KEPT_LIMIT", "Detour"]

DETOUR_AFTER: Final = 1.0
"""Seconds without an acknowledgement: longer than a slow line and the other side's patience together take,
and about what a person waits before wondering."""
KEPT_LIMIT: Final = 4 * 1024 * 1024
"""Bytes kept; twice the window of a direct path.  Beyond, comparing states finds what is missing."""


class Detour:
    """The unacknowledged edits of one carrier.

    Attributes:
        way: where what is late goes as well.
    """

    def __init__(self) -> None:
        self.way: object = None
        self._kept: deque[bytes] = deque()
        self._since: deque[float] = deque()
        self._bytes = 0
        self._gone = 0
        self._before = 0

    def keep(self, frame: bytes) -> None:
        """This frame was queued on the carrier; all frames of the lane EDITS are numbered, from one."""
        self._kept.append(frame)
        self._bytes += len(frame)
        while self._bytes > KEPT_LIMIT:
            self._forget()

    def acknowledged(self, frames: int) -> None:
        """The first so many frames of the carrier have arrived."""
        while self._kept and self._before < frames:
            self._forget()

    def stamp(self, now: float) -> None:
        """What was kept since the last call was kept *now*."""
        while len(self._since) < len(self._kept):
            self._since.append(now)

    def has_any(self) -> bool:
        """Whether anything waits for its acknowledgement."""
        return bool(self._since)

    def late_at(self, patience: float = DETOUR_AFTER) -> float:
        """When the oldest frame has waited for so many seconds; there must be one (`has_any`)."""
        return self._since[0] + patience

    def over(self, way: object) -> None:
        """What is late goes over *way*: all of it again, if that is another than before."""
        if self.way is not way:
            self.way = way
            self._gone = 0

    def take(self) -> bytes | None:
        """The next frame that has not gone the other way yet."""
        if self._gone == len(self._kept):
            return None
        self._gone += 1
        return self._kept[self._gone - 1]

    def would_take(self, way: object) -> bool:
        """Whether there is something that has not gone over *way* yet."""
        return len(self._kept) > (self._gone if way is self.way else 0)

    def _forget(self) -> None:
        self._bytes -= len(self._kept.popleft())
        if self._since:
            self._since.popleft()
        self._gone = max(0, self._gone - 1)
        self._before += 1
