"""When to ask a client whether it is still there, and when to give it up.

Any message counts as an answer, so a busy client is never given up for a pong that waits behind
its own frames. Pings go out whatever else is sent, because the client judges us by them.
"""

from enum import Enum
from random import Random
from typing import Final

__all__ = ["Beat", "Heartbeat"]

_JITTER: Final = 0.25
"""Share of the interval by which pings are spread, so that clients that came together drift apart."""


class Beat(Enum):
    """What to do now."""

    NOTHING = "nothing"
    PING = "ping"
    GIVE_UP = "give up"


class Heartbeat:
    """The pulse of one connection; `heard_at` is to be set whenever anything arrives."""

    __slots__ = ("_due_at", "_patience", "_period", "_pinged_at", "heard_at")

    def __init__(self, *, ping_seconds: float, pong_seconds: float, now: float, random: Random) -> None:
        self._period = ping_seconds
        self._patience = pong_seconds
        self._pinged_at: float | None = None
        self._due_at = now + self._next(random)
        self.heard_at = now

    def check(self, now: float, random: Random) -> Beat:
        """Decide what is due at *now*; a `PING` is taken as sent."""
        if self._pinged_at is not None:
            if self.heard_at >= self._pinged_at:
                self._pinged_at = None
            elif now - self._pinged_at > self._patience:
                return Beat.GIVE_UP
        if now < self._due_at:
            return Beat.NOTHING
        self._due_at = now + self._next(random)
        # An earlier ping without an answer keeps its deadline, however short the interval is.
        if self._pinged_at is None:
            self._pinged_at = now
        return Beat.PING

    def _next(self, random: Random) -> float:
        return self._period * random.uniform(1 - _JITTER, 1 + _JITTER)
