"""The carriers of one link that lead through rooms: the best is its relay, the others are spares.

Two members may share the room of the session's server, and those that members run on a local network.  A
member's own room outranks a server's, and an older carrier a newer one, so that a link does not move without
a reason.
"""

from peer.core.ids import room_of
from peer.core.link import PING_EVERY, SILENT_AFTER, Carrier, Link

__all__ = ["attach", "ping", "through"]


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
    _prefer_heard(link, now)
    carriers = [c for c in link.carriers() if c is not link.retired]
    for carrier in carriers:
        if carrier is carriers[0] or now - carriers[0].heard >= 2 * PING_EVERY:
            carrier.ping(now, summary)
    return link.content is not before


def _prefer_heard(link: Link, now: float) -> None:
    """Let the relay trade places with a spare that was heard while it was silent."""
    relay = link.relay
    if relay is None or now - relay.heard < SILENT_AFTER:
        return
    for index, spare in enumerate(link.spares):
        if now - spare.heard < SILENT_AFTER:
            link.relay, link.spares[index] = spare, relay
            return
