"""The STUN and TURN servers that a signaling server lent us: renewed in time, never used too late.

`look` takes back what may not be used any more; whoever is about to use the list calls it first.  `renew`
asks for a new list while we are in the room; the rules are in `peer.core.lending`.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from peer.core.lending import Lease, ask_again
from signaling.messages import IceServer

__all__ = ["LOOK_SECONDS", "LentServers", "Moment"]

LOOK_SECONDS: Final = 5.0
"""How often to see whether the machine slept: then the list is renewed at once."""

Moment = tuple[float, float]
"""Seconds on the clock that stands still in a sleep, and Unix time."""

_LONGEST_REFUSAL: Final = 300.0
"""Seconds that a server can make us wait for the next list."""


class LentServers:
    """The list, and how long it is good.

    *tell* is given the list whenever it changes; it must return at once.
    """

    def __init__(
        self,
        tell: Callable[[Sequence[IceServer]], None],
        rng: Random,
        *,
        clock: Callable[[], float] = time.monotonic,
        calendar: Callable[[], float] = time.time,
    ) -> None:
        self._tell = tell
        self._rng = rng
        self._clock = clock
        self._calendar = calendar
        self._servers: tuple[IceServer, ...] = ()
        self._lease = Lease(0.0, 0.0, 0.0)
        self._next = float("inf")
        self._asked = False
        self._changed = asyncio.Event()

    def moment(self) -> Moment:
        """Now, on both clocks."""
        return self._clock(), self._calendar()

    def take(self, servers: tuple[IceServer, ...], ttl: float, given: Moment | None = None) -> None:
        """Use *servers* from now on, for at most *ttl* seconds (0: without an end).

        *given* is the `moment` of their arrival, if they were put by until now.
        """
        self._servers = servers
        self._lease = Lease(*(given or self.moment()), max(ttl, 0.0))
        self._next = self._lease.renew_at(self._rng.random())
        self._asked = False
        self._changed.set()
        if self._lease.is_good(*self.moment()):
            self._tell(servers)
        else:
            self._withdraw()

    def put_off(self, seconds: float) -> None:
        """The server gives no new list before *seconds* have passed."""
        self._next = self._clock() + min(max(seconds, ask_again(0.0)), _LONGEST_REFUSAL)
        self._changed.set()

    def look(self) -> None:
        """Take back what may not be used any more: all that has a password; STUN servers stay."""
        if not self._lease.is_good(*self.moment()) and any(server.credential for server in self._servers):
            self._withdraw()

    def _withdraw(self) -> None:
        self._servers = tuple(server for server in self._servers if server.credential is None)
        self._tell(self._servers)

    async def renew(self, ask: Callable[[], None]) -> None:
        """Call *ask* whenever it is time for a new list, until cancelled."""
        while True:
            self._changed.clear()
            self.look()
            now = self._clock()
            if self._lease.is_suspect(now, self._calendar()) and not self._asked:
                self._next = now
            if now >= self._next:
                self._asked = True
                self._next = now + ask_again(self._lease.ttl)
                ask()
            wait = min(self._next - now, LOOK_SECONDS) if self._lease.ttl else None
            await _until(self._changed, wait)


async def _until(event: asyncio.Event, seconds: float | None) -> None:
    """Wait until *event* is set, for *seconds* at most."""
    task = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((task,), timeout=seconds)
    finally:
        task.cancel()
