"""What both sides showed of themselves in an attempt at a direct path: kinds of addresses, no addresses.

Whoever wants to know why two people are not direct has to know both networks.  Of its own a doctor can find
out much; of the other one it knows what came with the last attempt: whether a STUN server answered there, a
TURN server, and whether there is IPv6.
"""

import ipaddress
from collections.abc import Iterable
from itertools import islice
from typing import Final

from peer.core.events import AnswerMade, CandidatesFound, OfferMade
from peer.core.frames import Answer, Candidates, Offer

__all__ = ["KINDS", "Shown", "kind_of"]

KINDS: Final = ("private4", "public4", "private6", "public6", "seen4", "seen6", "turn4", "turn6")
"""An address of the machine itself, one as a STUN server sees it, one at a TURN server; IPv4 and IPv6."""

LINES_LIMIT: Final = 256
"""Lines of a description that are looked at; a long one has a hundred."""

OUTSIDE_LIMIT: Final = 8
"""Addresses under which one side is seen; it has one for each way out of its network."""

_FIELDS: Final = 8
"""Of a candidate, up to its type (RFC 8839 section 5.1)."""


class Shown:
    """The kinds of addresses of the last attempt, one of `KINDS` each, of both sides.

    Attributes:
        ours, theirs: what was shown so far.
    """

    def __init__(self) -> None:
        self.ours: set[str] = set()
        self.theirs: set[str] = set()
        self._outside: tuple[set[str], set[str]] = (set(), set())

    @property
    def one_router(self) -> bool:
        """Whether servers see both sides at one address, so both are behind one router or provider."""
        return not self._outside[0].isdisjoint(self._outside[1])

    def told(self, event: OfferMade | AnswerMade | CandidatesFound) -> None:
        """Our side showed something; an offer begins a new attempt."""
        if isinstance(event, OfferMade):
            self._begin()
        self._add(0, event.candidates if isinstance(event, CandidatesFound) else event.sdp.splitlines())

    def heard(self, frame: Offer | Answer | Candidates) -> None:
        """The other side showed something; an offer begins a new attempt."""
        if isinstance(frame, Offer):
            self._begin()
        self._add(1, frame.candidates if isinstance(frame, Candidates) else frame.sdp.splitlines())

    def _begin(self) -> None:
        self.ours, self.theirs, self._outside = set(), set(), (set(), set())

    def _add(self, side: int, lines: Iterable[str]) -> None:
        for line in islice(lines, LINES_LIMIT):
            kind, host = kind_of(line)
            if kind:
                (self.ours, self.theirs)[side].add(kind)
            if kind == "seen4" and len(self._outside[side]) < OUTSIDE_LIMIT:
                self._outside[side].add(host)


def kind_of(line: str) -> tuple[str, str]:
    """One of `KINDS` and the address for a candidate, as a line of SDP or its value; else twice nothing."""
    fields = line.removeprefix("a=").removeprefix("candidate:").split()
    if len(fields) < _FIELDS or fields[6] != "typ":
        return "", ""
    host, of_type = fields[4], fields[7]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ("private4", host) if host.endswith(".local") else ("", "")
    own = "public" if address.is_global else "private"
    word = {"host": own, "srflx": "seen", "prflx": "seen", "relay": "turn"}.get(of_type, "")
    return (f"{word}{address.version}", str(address)) if word else ("", "")
