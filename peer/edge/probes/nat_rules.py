"""Which two networks let two people be direct: the golden table of docs/connectivity.md as a rule.

A side is described by the kinds of NAT that it may have, since not all can be told from here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from peer.edge.probes.finding import Finding, Verdict

__all__ = ["BEHIND_NAT", "Nat", "Side", "can_be_direct", "left_over", "our_side", "their_side"]


class Nat(StrEnum):
    """What stands before IPv4, in the words of docs/connectivity.md."""

    NONE = "none"
    FULL_CONE = "full cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    UDP_BLOCKED = "UDP-blocked"


BEHIND_NAT: Final = frozenset((Nat.FULL_CONE, Nat.ADDRESS_RESTRICTED, Nat.PORT_RESTRICTED, Nat.SYMMETRIC))
"""What may stand before somebody who has a private address and is seen at another one."""

_KEEPS_PORTS: Final = BEHIND_NAT - {Nat.SYMMETRIC}
_BY_FILTER: Final = {
    "endpoint-independent": Nat.FULL_CONE,
    "address-dependent": Nat.ADDRESS_RESTRICTED,
    "address-and-port-dependent": Nat.PORT_RESTRICTED,
}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: which kinds of NAT its IPv4 may have, none if it has no IPv4; and IPv6."""

    kinds: frozenset[Nat]
    ipv6: bool


def can_be_direct(one: Nat, other: Nat) -> bool:
    """Whether IPv4 lets two people be direct.

    Hole punching needs one whose outside port the other can know beforehand, or one that lets in what comes
    from an unknown port.
    """
    both = {one, other}
    if Nat.UDP_BLOCKED in both:
        return False
    return Nat.SYMMETRIC not in both or not both <= {Nat.SYMMETRIC, Nat.PORT_RESTRICTED}


def our_side(findings: Sequence[Finding], shown: Collection[str]) -> Side:
    """What this doctor found out about this side, and else what it showed in the last attempt."""
    data: dict[str, Mapping[str, object]] = {each.id: each.data for each in findings}
    mapping = data.get("internet.nat_mapping", {}).get("kind")
    udp = next((each for each in findings if each.id == "internet.udp"), None)
    has_route = data.get("internet.route", {}).get("ipv6")
    from_showing = their_side(shown)
    ipv6 = from_showing.ipv6 and has_route is not False
    if udp is not None and udp.verdict is Verdict.NOTE:
        return Side(frozenset({Nat.UDP_BLOCKED}), ipv6)
    if mapping == "easy":
        lets_in = _BY_FILTER.get(str(data.get("internet.nat_filtering", {}).get("kind")))
        return Side(frozenset({lets_in}) if lets_in else _KEEPS_PORTS, ipv6)
    known = {"none": Nat.NONE, "hard": Nat.SYMMETRIC}.get(str(mapping))
    return Side(frozenset({known}) if known else from_showing.kinds, ipv6)


def their_side(shown: Collection[str]) -> Side:
    """What a side may be that showed these kinds of addresses (`peer.core.shown.KINDS`)."""
    ipv6 = "public6" in shown
    if "public4" in shown:
        return Side(frozenset({Nat.NONE}), ipv6)
    if "seen4" in shown:
        return Side(BEHIND_NAT, ipv6)
    return Side(frozenset({Nat.UDP_BLOCKED}) if "private4" in shown else frozenset(), ipv6)


def left_over(theirs: Side, ours: Side) -> frozenset[Nat]:
    """Which kinds of *theirs* explain that the two are not direct."""
    return frozenset(kind for kind in theirs.kinds if not all(can_be_direct(kind, own) for own in ours.kinds))
