"""How a peer of a running session is reached, and if not directly: why, and who has to change what.

Of this side the doctor's own findings tell; of the other one what it showed in the last attempt, which is why
some of it is only likely, and said to be.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from peer.edge.probes.finding import Finding, note, ok
from peer.edge.probes.nat_rules import BEHIND_NAT, Nat, Side, left_over, our_side, their_side

__all__ = ["probe"]

_RELAYED: Final = ("relay", "turn")

_KIND_WORDS: Final = {
    Nat.NONE: "IPv4 without NAT",
    Nat.FULL_CONE: "a router that lets anybody in (full cone)",
    Nat.ADDRESS_RESTRICTED: "a router that lets in addresses that were asked (address-restricted)",
    Nat.PORT_RESTRICTED: "a router that lets in exactly who was asked (port-restricted)",
    Nat.SYMMETRIC: "a router with another port for each destination (symmetric)",
    Nat.UDP_BLOCKED: "no UDP gets out",
}


def probe(
    peer: Mapping[str, object], words: Callable[[str, str], str], findings: Sequence[Finding] = ()
) -> list[Finding]:
    """Judge what the session's status says of *peer*; *words* names a path and its address for people.

    With *findings* of this side, and an attempt to go by, there are both sides and the reason as well.
    """
    name = str(peer.get("name", "-"))
    ids = ("peer.path", name[:16])
    path = peer.get("path")
    rtt = peer.get("rtt_ms")
    ms = float(rtt) if isinstance(rtt, int | float) else None
    address = str(peer.get("address") or "")
    found = "not reached at the moment"
    if isinstance(path, str):
        found = words(path, address) + (f", {ms:.0f} ms" if ms is not None else "")
        if path not in _RELAYED:
            return [ok(*ids, found, data={"path": path})]
    data: dict[str, object] = {"path": path} if isinstance(path, str) else {}
    here, there = _shown(peer, "shown_here"), _shown(peer, "shown_there")
    if peer.get("chosen") or not there:
        return [_unexplained(peer, name, found, data)]
    at = path if isinstance(path, str) else ""
    ours, theirs = our_side(findings, here, there, at), their_side(findings, here, there, at)
    do = f"weft ping {name} --until-direct" if data else f"weft ping {name}"
    one_router = peer.get("one_router") is True
    cause, change = _reason(name, ours, theirs, one_router=one_router)
    # behind one router they need not differ from what would do elsewhere
    likely = left_over(theirs, ours) if theirs.kinds == BEHIND_NAT and not one_router else theirs.kinds
    return [
        note(*ids, found, cause=cause, do=change or do, data=data),
        ok("peer.here", "this side", _words(ours, ours.kinds), data=_data(ours, ours.kinds, here)),
        ok(
            "peer.there",
            f"{name[:10]}'s side",
            f"{_words(theirs, likely)}; by what it showed while connecting, `weft doctor` there is sure",
            data=_data(theirs, likely, there),
        ),
    ]


def _shown(peer: Mapping[str, object], field: str) -> tuple[str, ...]:
    shown = peer.get(field)
    return tuple(map(str, shown)) if isinstance(shown, list | tuple) else ()


def _unexplained(peer: Mapping[str, object], name: str, found: str, data: dict[str, object]) -> Finding:
    """No attempt was made, or none at a direct path is allowed, so there is only the outcome."""
    why, chosen = (str(peer.get(field) or "") for field in ("why_not_direct", "chosen"))
    if chosen:
        who = "on both sides" if "in common" in chosen else name if "other side" in chosen else "here"
        cause = chosen if data or why in ("", chosen) else f"{chosen}; {why}"
        do = f"{who}: to change that, start Weft again with --path auto"
    elif not data:
        cause, do = "no path that your --path allows has been found yet", f"weft ping {name}"
    else:
        cause = why or "the two networks let no direct path through so far"
        do = f"weft ping {name} --until-direct"
    return note("peer.path", name[:16], found, cause=cause, do=do, data=data)


def _words(side: Side, kinds: frozenset[Nat]) -> str:
    if len(kinds) == 1:
        ipv4 = _KIND_WORDS[next(iter(kinds))]
    elif _is_unknown(kinds):
        ipv4 = "what stands before its IPv4 is not known"
    elif Nat.NONE in kinds:
        ipv4 = "IPv4 without NAT, or no UDP gets out"
    elif kinds:
        ipv4 = "a router, " + " or ".join(each.value for each in Nat if each in kinds)
    else:
        ipv4 = "no IPv4"
    return f"{ipv4}; {'IPv6' if side.ipv6 else 'no IPv6'}"


def _is_unknown(kinds: frozenset[Nat]) -> bool:
    return {Nat.NONE, Nat.SYMMETRIC} <= kinds


def _data(side: Side, kinds: frozenset[Nat], shown: tuple[str, ...]) -> dict[str, object]:
    return {"nat": [str(each) for each in Nat if each in kinds], "ipv6": side.ipv6, "showed": list(shown)}


def _reason(name: str, ours: Side, theirs: Side, *, one_router: bool) -> tuple[str, str]:
    """Why the two are not direct, and who has to change what."""
    if ours.kinds == {Nat.UDP_BLOCKED}:
        return "this side's network lets no UDP out", "here: have UDP let out, or use another network"
    if one_router:
        return (
            "both are behind one router, or one provider's, in parts that cannot reach each other (as guest "
            "networks cannot), and it does not let its own address back in (hairpinning)",
            "bring both to one network: not one of them a guest",
        )
    if ours.ipv6 and theirs.ipv6:
        return (
            "both have IPv6, and still a firewall on one of the two sides lets nothing through",
            "on both: let the firewall pass what was asked for, by UDP and IPv6",
        )
    if bool(ours.kinds) != bool(theirs.kinds) and (theirs if ours.kinds else ours).ipv6:
        lacks = name if not theirs.ipv6 else "this side"
        return "one side has IPv6 alone, the other IPv4 alone", f"{lacks}: needs a network with IPv6"
    return _untold(name, ours, theirs) or _by_the_rules(name, ours, theirs)


def _untold(name: str, ours: Side, theirs: Side) -> tuple[str, str] | None:
    """What to say where the one side or the other may be several things that differ in who has to act."""
    here, there = ours.kinds, theirs.kinds
    if not here or not there or _is_unknown(here) or _is_unknown(there):
        return (
            "it cannot be told: no STUN server was seen to answer, so too little is known of the networks",
            f"weft doctor --peer {name} when STUN answers, without --only",
        )
    if Nat.UDP_BLOCKED in here:
        return (
            "it cannot be told: this side's network lets no UDP out, or something on the way keeps the two "
            "apart; nothing measured tells which",
            f"weft doctor --peer {name}, without --only",
        )
    if Nat.UDP_BLOCKED not in there:
        return None
    apart = "a firewall on one of the two computers or on the way, or a network that keeps its devices apart"
    blocked = f"{name}'s network lets no UDP out"
    likely = f"{apart}, or {blocked}" if here == {Nat.NONE} else f"{blocked}, or {apart}"
    return f"it cannot be told from here; possible are: {likely}", f"{name}: weft doctor there tells"


def _by_the_rules(name: str, ours: Side, theirs: Side) -> tuple[str, str]:
    if not left_over(theirs, ours):
        return (
            "by the rules these two networks can be direct: a firewall on a machine, a network that keeps "
            "its devices apart, or a bad line",
            "",
        )
    lacks = "both need" if not ours.ipv6 and not theirs.ipv6 else f"{_lacking(name, ours)} needs"
    advice = f"use another network, such as one at home; or IPv6, which {lacks}"
    if ours.kinds == {Nat.SYMMETRIC}:
        return (
            "this side's router takes another port for each destination, and the other one lets in only "
            "ports that were asked, as most do",
            f"here: {advice}",
        )
    if Nat.SYMMETRIC in ours.kinds:
        return (
            "at least one of the two routers takes another port for each destination, as those of mobile "
            "networks and companies do; which one cannot be told with this server",
            f"weft doctor on both sides, with a server that names two STUN servers; or {advice}",
        )
    return (
        f"most likely {name}'s router takes another port for each destination, as those of mobile networks "
        "and companies do, and this side's lets in only ports that were asked",
        f"{name}: {advice}",
    )


def _lacking(name: str, ours: Side) -> str:
    return name if ours.ipv6 else "this side"
