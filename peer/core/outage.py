"""Whether it is our own way out that is broken: everybody is silent, or a path owes an acknowledgement.

A connection to the server that has died looks well for half a minute, and one that is stuck after an outage
waits longer and longer by itself (TCP doubles its patience).  So whenever something is odd the server is
asked for a sign of life, again and again, until anybody is heard.
"""

from collections.abc import Callable
from typing import Final

__all__ = ["CHECK_EVERY", "OUTAGE_LONGEST", "QUIET_AFTER", "Outage"]

QUIET_AFTER: Final = 4.0
"""Seconds without a word from anybody: two heartbeats of every peer are lost."""
CHECK_EVERY: Final = 2.5
"""Seconds between two questions: more than an answer takes, and little enough to be quick afterwards."""
OUTAGE_LONGEST: Final = 120.0
"""Seconds after which a server that may be down itself is left to its own, longer, waits."""


class Outage:
    """Asks for the server to be checked while nothing is heard from anybody."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._missed = False
        self._heard = 0.0
        self._next = float("-inf")

    def heard(self, now: float) -> None:
        """Somebody said something; after an outage, that is a good moment to see to the server too."""
        if self._is_quiet(now):
            self.doubt(now)
        self._heard = now

    def doubt(self, now: float) -> None:
        """Have the server checked now, unless it just was."""
        if now >= self._next:
            self._next = now + CHECK_EVERY
            self._check()

    def tick(self, now: float, *, anybody: bool) -> None:
        """Have the server checked if it is time; *anybody*: there is a peer whom we should hear.

        Those who went by being silent are waited for like those who are still here.
        """
        if anybody and not self._missed:
            self._heard = now
        self._missed = anybody or (self._missed and self._is_quiet(now))
        if self._is_quiet(now):
            self.doubt(now)

    def _is_quiet(self, now: float) -> bool:
        return self._missed and QUIET_AFTER <= now - self._heard < OUTAGE_LONGEST

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        moment = max(self._heard + QUIET_AFTER, self._next)
        return moment if self._missed and moment < self._heard + OUTAGE_LONGEST else None
