"""Which TURN transport is asked when, and what worked on this network before.

UDP is best and often blocked; TCP works on most of such networks, TLS on port 443 nearly everywhere.  Each
rung is tried a moment after the one before it, unless that has brought an address by then, and the one
that worked on this network last time comes first.  Nothing waits for any of it: addresses are told to the
other side as they are found.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = [
    "EVERYTHING",
    "KINDS",
    "NETWORKS_REMEMBERED",
    "RELAY_AFTER",
    "RELAY_SOON",
    "RUNG_EVERY",
    "TURN_AFTER",
    "Ladder",
    "Means",
    "Rung",
]

KINDS: Final = ("udp", "tcp", "tls")
"""Transports to a TURN server, the best first."""
TURN_AFTER: Final = 0.25
"""Seconds before TURN is asked at all: on a local network the path stands by then, and costs nobody an
allocation."""
RUNG_EVERY: Final = 0.6
"""Seconds for one rung: two round trips on a slow line, or one lost packet."""
RELAY_AFTER: Final = 1.5
"""Seconds for which no check goes through TURN: a hole in two NATs takes half a second (the first packet is
lost) and a round trip or two, and the first pair that works is taken."""
RELAY_SOON: Final = 0.4
"""The same between two who needed TURN last time; a better path is looked for later."""
NETWORKS_REMEMBERED: Final = 16
"""More places than anybody carries a running session to."""


class Rung(NamedTuple):
    """One transport to TURN, asked *after* so many seconds if no other has worked by then."""

    kind: str
    after: float


@dataclass(frozen=True, slots=True)
class Means:
    """What one attempt at a direct path may use: own addresses, STUN, and which rungs of TURN.

    Pairs of addresses through TURN are checked *hold* seconds after the others.
    """

    host: bool = True
    stun: bool = True
    turn: tuple[Rung, ...] = ()
    hold: float = RELAY_AFTER


EVERYTHING: Final = Means(turn=tuple(Rung(kind, TURN_AFTER + RUNG_EVERY * n) for n, kind in enumerate(KINDS)))
"""All ways, for a network that nothing is known of."""


class Ladder:
    """The rungs that there are, in the order that fits the present network.

    Attributes:
        offered: kinds of TURN that some server offers us.
        reached: the kind that answered on this network, or `None`.
        refused: the error code of a server that last answered and said no, until one gives an address.
    """

    def __init__(self) -> None:
        self.offered: tuple[str, ...] = ()
        self.refused: int | None = None
        self._network = b""
        self._worked: dict[bytes, str] = {}

    @property
    def reached(self) -> str | None:
        """The kind of TURN that answered last on this network."""
        return self._worked.get(self._network)

    def offer(self, kinds: Collection[str]) -> None:
        """The servers changed."""
        self.refused = None
        self.offered = tuple(kind for kind in KINDS if kind in kinds)

    def moved(self, network: bytes) -> None:
        """We are on another network, which is known by this tag."""
        self.refused = None
        self._network = network

    def worked(self, kind: str) -> None:
        """A TURN server answered over this transport."""
        self.refused = None
        self._worked.pop(self._network, None)
        self._worked[self._network] = kind
        if len(self._worked) > NETWORKS_REMEMBERED:
            del self._worked[next(iter(self._worked))]

    def means(self, ways: Collection[str], *, soon: bool = False) -> Means:
        """What an attempt may use that is allowed these *ways* (`host`, `stun`, `turn`).

        *soon*: the two needed TURN last time.
        """
        kinds = sorted(self.offered, key=lambda kind: kind != self.reached) if "turn" in ways else []
        first = TURN_AFTER if "host" in ways else 0.0
        rungs = tuple(Rung(kind, first + RUNG_EVERY * place) for place, kind in enumerate(kinds))
        hold = RELAY_SOON if soon else RELAY_AFTER
        return Means("host" in ways, "stun" in ways, rungs, hold if "host" in ways else 0.0)
