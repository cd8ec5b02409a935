"""The carriers of one link that lead through rooms: the best is its relay, the others are spares.

Two members may share the room of the session's server, and those that members run on a local network.  A
member's own room outranks a server's, and an older carrier a newer one, so that a link does not move without
a reason.
"""

from collections.abc import Callable
from typing import Final

from peer.core.carrier import Carrier
from peer.core.ids import room_of
from peer.core.link import ASK_AHEAD, DOUBT, PING_EVERY, SILENT_AFTER, Link

__all__ = ["PROBE_EVERY", "attach", "doubt", "next_deadline", "ping", "prefer_heard", "probe", "through"]

PROBE_EVERY: Final = 1.0
"""Seconds between two questions whether any room is better than a carrier that is odd."""


def through(link: Link, room: bytes) -> list[Carrier]:
    """The carriers of *link* that lead through this room."""
    return [c for c in link.carriers() if isinstance(c.key, bytes) and room_of(c.key) == room]


def attach(link: Link, carrier: Carrier) -> bool:
    """Take a carrier through a room, in place of an older one in that room; true if content moves."""
    assert isinstance(carrier.key, bytes), "direct carriers come by themselves"
    before = link.content
    link.doubted_until = None
    for other in through(link, room_of(carrier.key)):
        link.detach(other)
    carriers = [c for c in (link.relay, *link.spares, carrier) if c is not None]
    carriers.sort(key=lambda each: each.path != "lan")  # which keeps the order of equals
    link.relay, *link.spares = carriers
    return link.content is not before


def ping(link: Link, now: float, summary: bytes) -> bool:
    """Ask on the best way; when that is silent, on all, and go on where answers come; true if moved."""
    before = link.content
    prefer_heard(link, now - SILENT_AFTER)
    _go_back(link, now)
    carriers = [c for c in link.carriers() if c is not link.retired]
    for carrier in carriers:
        if now - carriers[0].heard >= 2 * PING_EVERY or carrier in (carriers[0], *_better(link)):
            carrier.ping(now, summary)
    return link.content is not before


def doubt(link: Link, now: float, summary: Callable[[], bytes]) -> bool:
    """While edits are late in the room that carries them, ask in all; true if content moves to another.

    It may be silent for a while before it is left, because moving is for more than a hiccup.
    """
    content, late_at = _waiting(link)
    if content is None or now < late_at - ASK_AHEAD:
        return False
    probe(link, now, summary)
    if now >= max(late_at, content.heard + DOUBT):
        _trade(link, _heard_since(link, content))
    return link.content is not content


def next_deadline(link: Link) -> float | None:
    """When `doubt` has something to do."""
    content, late_at = _waiting(link)
    if content is None:
        return None
    asks = max(late_at - ASK_AHEAD, link.next_probe)
    return min(asks, max(late_at, content.heard + DOUBT)) if _heard_since(link, content) else asks


def _heard_since(link: Link, content: Carrier) -> list[Carrier]:
    """Spares that may carry contents, and were heard since the one that does."""
    return [spare for spare in link.spares if spare.heard > content.heard and link.may_carry(spare)]


def _waiting(link: Link) -> tuple[Carrier | None, float]:
    """The room that carries contents and owes an acknowledgement, if any, and when that is late."""
    late_at = None if link.direct is not None else link.late_at
    return (None, 0.0) if late_at is None else (link.content, late_at)


def probe(link: Link, now: float, summary: Callable[[], bytes]) -> None:
    """Ask in all rooms for a sign of life, unless that was done a moment ago."""
    if now >= link.next_probe:
        link.next_probe = now + PROBE_EVERY
        for room in link.rooms():
            room.ping(now, summary())


def prefer_heard(link: Link, since: float) -> None:
    """Let the relay trade places with a spare that was heard *since*, while it was silent."""
    if link.relay is not None and link.relay.heard <= since:
        _trade(link, [spare for spare in link.spares if spare.heard > since])


def _go_back(link: Link, now: float) -> None:
    """Let a better room that answers again have its place back."""
    _trade(link, [spare for spare in _better(link) if spare.heard > now - PING_EVERY])


def _better(link: Link) -> list[Carrier]:
    """Spares of a better kind than what is used."""
    worse = link.relay is not None and link.relay.path != "lan"
    return [spare for spare in link.spares if worse and spare.path == "lan"]


def _trade(link: Link, better: list[Carrier]) -> None:
    if better and link.relay is not None:
        link.spares[link.spares.index(better[0])] = link.relay
        link.relay = better[0]
