"""Which server to try now: several in order, each with its own breaker, and the way back to a better one.

    READY --due--> TRYING --entered--> INSIDE --ended--> WAITING --time, retry_now--> READY
                   TRYING --ended----> WAITING             any --ended for good--> REFUSED

While we are nowhere, the first that is ready is tried, and after `STAGGER` the next one as well: who answers
first is used.  While we are somewhere, only those before it in the order are tried.  The waits of a breaker
grow by doubling, each cut at random, so that not all come at once (full jitter), and none is longer than the
server has been away: who was away for a second is found a second later.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

__all__ = [
    "CANDIDATES_LIMIT",
    "HINT_LIMIT",
    "HURRY_EVERY",
    "RETRY_FIRST",
    "RETRY_LONGEST",
    "STAGGER",
    "STEADY",
    "Rota",
    "State",
]

CANDIDATES_LIMIT: Final = 16
"""Servers that are considered; three are configured at most, the rest are found on the local network."""
STAGGER: Final = 0.5
"""Seconds that a server has for itself before the next one is tried beside it."""
RETRY_FIRST: Final = 0.5
RETRY_LONGEST: Final = 30.0
"""Seconds: the waits of one server grow from the first to the longest."""
RETRY_DOUBLINGS: Final = 6
"""After so many the longest wait is reached."""
HINT_LIMIT: Final = 300.0
"""The longest that a server may ask us to stay away, in seconds."""
STEADY: Final = 10.0
"""A visit that lasted so many seconds was a success; after a shorter one the waits go on growing."""
HURRY_EVERY: Final = 5.0
"""Seconds between two looks at better servers that others cause by leaving."""


class State(Enum):
    """How it stands with one server."""

    READY = auto()
    TRYING = auto()
    INSIDE = auto()
    WAITING = auto()
    REFUSED = auto()


@dataclass(slots=True)
class _Breaker:
    state: State = State.READY
    failures: int = 0
    since: float = 0.0
    """When it was begun, or entered."""
    until: float = 0.0
    failing: float = 0.0
    """Since when it could not be entered, or kept us for moments only."""


class Rota:
    """The servers of one session.

    *uniform* draws a number between two others.  `used` is the server whose room we are in, as its user
    decides; a better one may be INSIDE as well, until somebody else is there too.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self.used: str | None = None
        self._uniform = uniform
        self._breakers: dict[str, _Breaker] = {}
        self._hurried = float("-inf")

    def offer(self, servers: Sequence[str]) -> None:
        """These are the servers now, best first; what is known of them is kept."""
        known = self._breakers
        wanted = dict.fromkeys(servers[:CANDIDATES_LIMIT])
        self._breakers = {server: known.get(server) or _Breaker() for server in wanted}
        for server, breaker in known.items():
            if breaker.state in (State.TRYING, State.INSIDE):  # whoever is there must be told of its end
                self._breakers.setdefault(server, breaker)

    # --- asking ---------------------------------------------------------------------------------------

    def state(self, server: str) -> State | None:
        """How it stands with *server*; `None` if it is none of ours."""
        breaker = self._breakers.get(server)
        return None if breaker is None else breaker.state

    def is_better(self, one: str, other: str) -> bool:
        """Whether *one* comes before *other*."""
        order = list(self._breakers)
        return order.index(one) < order.index(other)

    def is_hopeless(self) -> bool:
        """Whether all of them have refused us for good."""
        states = {breaker.state for breaker in self._breakers.values()}
        return states == {State.REFUSED}

    def is_trying(self, now: float) -> bool:
        """Whether a server is being tried, or will be at once."""
        return any(
            breaker.state is State.TRYING or _is_ready(breaker, now) for breaker in self._breakers.values()
        )

    def _wanted(self) -> dict[str, _Breaker]:
        """Those that are worth trying, as things are."""
        wanted = {}
        for server, breaker in self._breakers.items():
            if server == self.used:
                break
            wanted[server] = breaker
        return wanted

    # --- time -----------------------------------------------------------------------------------------

    def due(self, now: float) -> str | None:
        """The server to begin with now; it is taken as begun."""
        wanted = self._wanted()
        if now < self._begun_until(wanted):
            return None
        for server, breaker in wanted.items():
            if _is_ready(breaker, now):
                breaker.state, breaker.since = State.TRYING, now
                return server
        return None

    def _begun_until(self, wanted: dict[str, _Breaker]) -> float:
        """Until when those that have begun have the floor."""
        busy = [breaker for breaker in wanted.values() if breaker.state in (State.TRYING, State.INSIDE)]
        if not busy:
            return float("-inf")
        return float("inf") if self.used is not None else max(each.since for each in busy) + STAGGER

    def next_deadline(self) -> float | None:
        """When `due` has something to say; `None` if only an event can change that."""
        wanted = self._wanted()
        moments = [b.until for b in wanted.values() if b.state is State.WAITING]
        moments += [b.since for b in wanted.values() if b.state is State.READY]
        floor = self._begun_until(wanted)
        return None if not moments or floor == float("inf") else max(min(moments), floor)

    # --- events ---------------------------------------------------------------------------------------

    def entered(self, server: str, now: float) -> None:
        """We are in the room there."""
        breaker = self._breakers[server]
        breaker.state, breaker.since = State.INSIDE, now

    def ended(self, server: str, now: float, *, final: bool = False, wait: float | None = None) -> None:
        """It could not be entered, or the visit ended; *wait* is how long it asked us to stay away."""
        breaker = self._breakers[server]
        if final:
            breaker.state = State.REFUSED
            return
        if breaker.state is State.INSIDE and now - breaker.since > STEADY:
            breaker.failures = 0
        if not breaker.failures:
            breaker.failing = now
        away = max(RETRY_FIRST, now - breaker.failing)
        longest = min(RETRY_LONGEST, RETRY_FIRST * 2.0**breaker.failures, away)
        breaker.failures = min(breaker.failures + 1, RETRY_DOUBLINGS)
        breaker.state = State.WAITING
        breaker.until = now + max(self._uniform(0, longest), min(wait or 0.0, HINT_LIMIT))

    def given_up(self, server: str, now: float) -> None:
        """We broke off the try ourselves, or left: that says nothing about the server."""
        breaker = self._breakers[server]
        breaker.state, breaker.since = State.READY, now

    def retry_now(self) -> None:
        """The network changed: what was learnt about servers on the old one does not count."""
        for breaker in self._breakers.values():
            if breaker.state is State.WAITING:
                breaker.state, breaker.failures, breaker.since = State.READY, 0, float("-inf")

    def hurry(self, now: float) -> None:
        """Somebody left our room, perhaps for a better server: look there at once."""
        if self.used is None or now < self._hurried + HURRY_EVERY:
            return
        self._hurried = now
        for breaker in self._wanted().values():
            if breaker.state is State.WAITING:
                breaker.until = now


def _is_ready(breaker: _Breaker, now: float) -> bool:
    return breaker.state is State.READY or (breaker.state is State.WAITING and now >= breaker.until)
