"""Two cores' worth of parts for unit tests, without a world around them."""

from peer.core.actions import Action
from peer.core.ids import DeviceKey, PeerId, peer_id
from peer.core.link import Link, Member


def peer(number: int) -> PeerId:
    """A peer id with this number in it."""
    return peer_id(DeviceKey(bytes((number,)) * 32), bytes((number,)) * 8)


def member(number: int = 1, *, role: str = "editor", policy: str = "auto") -> Member:
    """A member with this number in its id."""
    return Member(peer(number), f"node {number}", role, number, b"h" * 16, policy)


def link(orders: list[Action], number: int = 1, *, role: str = "editor", policy: str = "auto") -> Link:
    """A link without carriers, which puts its orders in *orders*."""
    return Link(member(number, role=role), policy, 100.0, orders.append)
