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

_UNSEEN: Final = frozenset((Nat.NONE, Nat.UDP_BLOCKED))
"""What may stand before somebody whom STUN servers that answer others see at no other address."""

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


def our_side(findings: Sequence[Finding], here: Collection[str], there: Collection[str], path: str) -> Side:
    """What this doctor found out about this side, and else what it showed in the last attempt.

    *path* is the one that the two are on, empty if none; what was not measured is concluded from nothing.
    """
    data = _by_id(findings)
    ipv6 = "public6" in here and data.get("internet.route", {}).get("ipv6") is not False
    mapping = data.get("internet.nat_mapping", {})
    if _is_blocked(findings, stun="seen4" in there):
        return Side(frozenset({Nat.UDP_BLOCKED}), ipv6)
    if mapping.get("kind") == "easy":
        lets_in = _BY_FILTER.get(str(data.get("internet.nat_filtering", {}).get("kind")))
        return Side(frozenset({lets_in}) if lets_in else _KEEPS_PORTS, ipv6)
    if mapping:
        known = {"none": Nat.NONE, "hard": Nat.SYMMETRIC}.get(str(mapping.get("kind")))
        return Side(frozenset({known}) if known else BEHIND_NAT, ipv6)
    has_udp = _has_udp(findings) or _sends_to_the_others_turn(here, path)
    return Side(_by_showing(here, stun="seen4" in there, udp=has_udp), ipv6)


def their_side(findings: Sequence[Finding], here: Collection[str], there: Collection[str], path: str) -> Side:
    """What the other side may be: it showed *there* (`peer.core.shown.KINDS`), and we showed *here*.

    That it was seen at no other address says something only if some STUN server answers us.
    """
    stun = "seen4" in here or bool(_by_id(findings).get("internet.nat_mapping"))
    kinds = _by_showing(there, stun=stun, udp=_sends_to_the_others_turn(there, path))
    return Side(kinds, "public6" in there)


def _by_id(findings: Sequence[Finding]) -> dict[str, Mapping[str, object]]:
    return {each.id: each.data for each in findings}


def _by_showing(shown: Collection[str], *, stun: bool, udp: bool) -> frozenset[Nat]:
    """Which kinds fit; *stun*: a STUN server was there to answer, *udp*: UDP is known to get out."""
    if "public4" in shown:
        return frozenset({Nat.NONE})
    if "seen4" in shown:
        return BEHIND_NAT
    if "private4" not in shown and any(each.startswith(("private", "public")) for each in shown):
        return frozenset()
    # without NAT a STUN server sees the address itself, which is not told twice
    fits = _UNSEEN if stun and "private4" in shown else frozenset(Nat)
    return fits - {Nat.UDP_BLOCKED} if udp else fits


def _is_blocked(findings: Sequence[Finding], *, stun: bool) -> bool:
    """Whether this side surely lets no UDP out.

    A rule here says so; or a machine that was asked by UDP answers by everything else, and *stun*: the other
    side was seen by a STUN server, so it is not the server that takes no UDP from anybody.
    """
    udp = next((each for each in findings if each.id == "internet.udp"), None)
    if udp is None or udp.verdict is not Verdict.NOTE or _has_udp(findings):
        return False
    asked = udp.data.get("asked")
    hosts = {str(each).rpartition(":")[0] for each in asked} if isinstance(asked, list) else set()
    streams = (each for each in findings if each.id in ("server.turn_tcp", "server.turn_tls"))
    is_up = any(_answered(each) and each.data.get("host") in hosts for each in streams)
    return udp.data.get("blocked") == "here" or (stun and is_up)


def _has_udp(findings: Sequence[Finding]) -> bool:
    return any(
        (each.id == "internet.udp" and each.verdict is Verdict.OK)
        or (each.id == "server.turn_udp" and _answered(each))
        for each in findings
    )


def _answered(turn: Finding) -> bool:
    """Whether a TURN server said anything, were it a refusal."""
    steps = turn.data.get("steps")
    return isinstance(steps, Mapping) and steps.get("reach") == "ok"


def _sends_to_the_others_turn(shown: Collection[str], path: str) -> bool:
    """Whether a side is on a path over TURN without a relayed address of its own, so by plain UDP."""
    return path == "turn" and bool(shown) and not {"turn4", "turn6"} & set(shown)


def left_over(theirs: Side, ours: Side) -> frozenset[Nat]:
    """Which kinds of *theirs* explain that the two are not direct."""
    return frozenset(kind for kind in theirs.kinds if not all(can_be_direct(kind, own) for own in ours.kinds))
