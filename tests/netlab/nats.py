"""The seven kinds of NAT, as nftables rulesets of a router with the interfaces `wan` and `lan`.

Beside them: a firewall for IPv6, which has no NAT, and a second network for guests behind the same router.

The words are those of RFC 4787: mapping and filtering are each endpoint-independent, address-dependent, or
address-and-port-dependent.  All of them drop what comes to the router itself from outside.  Without that a
packet that nobody asked for is accepted by the router, stays in its table, and the next connection to its
sender gets another port, so that a port-restricted NAT behaves as a symmetric one now and then.
"""

import enum
from collections.abc import Iterable

__all__ = ["Kind", "firewall", "guest_rules", "ruleset"]


class Kind(enum.StrEnum):
    """What is between a host and the internet, in the order and the words of docs/connectivity.md."""

    NONE = "none"
    FULL_CONE = "full cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    UDP_BLOCKED = "UDP-blocked"
    ONLY_443 = "443-only"


# Whom each socket inside has sent to; a router that keeps its port is what makes the number the same outside.
_SEEN = """
  set seen {
    type ipv4_addr . inet_service
    flags dynamic,timeout
    timeout 120s
  }"""

_REMEMBER = 'iifname "lan" oifname "wan" meta l4proto udp update @seen { ip daddr . udp sport }'
_NO_UDP = "meta l4proto udp drop"


def ruleset(kind: Kind, wan: str, host: str, *, guarded: bool = True) -> str:
    """The rules of a router of this *kind* with the address *wan* outside, for one *host* inside.

    The kinds that let strangers in can do so for one host only; others behind the same router are as
    behind a port-restricted one.  Without *guarded* the router accepts what comes to itself.
    """
    keep_port = f'oifname "wan" snat to {wan}'
    sets, forward, source, destination = {
        Kind.NONE: ("", (), "", ""),
        Kind.FULL_CONE: ("", (), keep_port, f'iifname "wan" meta l4proto udp dnat to {host}'),
        Kind.ADDRESS_RESTRICTED: (
            _SEEN,
            (_REMEMBER,),
            keep_port,
            f'iifname "wan" meta l4proto udp ip saddr . udp dport @seen dnat to {host}',
        ),
        Kind.PORT_RESTRICTED: ("", (), keep_port, ""),
        Kind.SYMMETRIC: ("", (), 'oifname "wan" masquerade fully-random', ""),
        Kind.UDP_BLOCKED: ("", (_NO_UDP,), keep_port, ""),
        Kind.ONLY_443: ("", (_NO_UDP, 'iifname "lan" tcp dport != { 80, 443 } drop'), keep_port, ""),
    }[kind]
    known = 'iifname "wan" ct state established,related accept'
    arriving = (known, 'iifname "wan" drop') if guarded else ()
    passing = (*forward, known, 'iifname "wan" ct status dnat accept', 'iifname "wan" drop')
    chains = [
        _chain("arriving", "filter hook input priority filter", arriving),
        _chain("passing", "filter hook forward priority filter", passing),
        _chain("leaving", "nat hook postrouting priority srcnat", [source]),
        _chain("entering", "nat hook prerouting priority dstnat", [destination]),
    ]
    return "\n".join([f"table ip nat_of_the_lab {{{sets}", *chains, "}", ""])


def firewall(kind: Kind) -> str:
    """What routers do with IPv6: all goes out, and what nobody inside asked for does not come in.

    Where a NAT of this *kind* blocks UDP, UDP is blocked here too.
    """
    blocked = (_NO_UDP,) if kind in (Kind.UDP_BLOCKED, Kind.ONLY_443) else ()
    only_443 = ('iifname "lan" tcp dport != { 80, 443 } drop',) if kind is Kind.ONLY_443 else ()
    known = 'iifname "wan" ct state established,related accept'
    neighbours = 'iifname "wan" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept'
    drop = 'iifname "wan" drop'
    chains = [
        _chain("arriving", "filter hook input priority filter", (known, neighbours, drop)),
        _chain("passing", "filter hook forward priority filter", (*blocked, *only_443, known, drop)),
    ]
    return "\n".join(["table ip6 firewall_of_the_lab {", *chains, "}", ""])


# Who has which port outside, and which port inside has sent to which.
_HAIRPIN = """
  map owner {
    type inet_service : ipv4_addr
    flags dynamic,timeout
    timeout 120s
  }
  set asked {
    type inet_service . inet_service
    flags dynamic,timeout
    timeout 120s
  }"""


def guest_rules(wan: str, *, hairpin: bool) -> str:
    """What a port-restricted router adds for a second network, `guests`: the two cannot reach each other.

    With *hairpin* they can through the address *wan* outside (RFC 4787 section 6), where the same filter
    holds as for strangers: only from a port that was sent to.  It needs hosts that have different ports.
    """
    inside = '{ "lan", "guests" }'
    unasked = f"iifname {inside} ip daddr {wan} meta l4proto udp drop"
    between = f"iifname {inside} oifname {inside}"
    if not hairpin:
        chains = [
            _chain("arriving", "filter hook input priority filter", (unasked,)),
            _chain("passing", "filter hook forward priority filter", (f"{between} drop",)),
        ]
        return "\n".join(["table ip guests_of_the_lab {", *chains, "}", ""])
    passing = (
        f'iifname {inside} oifname "wan" meta l4proto udp update @owner {{ udp sport : ip saddr }}',
        f"{between} ct status dnat meta l4proto udp update @asked {{ udp sport . udp dport }}",
        f"{between} ct status dnat udp dport . udp sport @asked accept",
        f"{between} drop",
    )
    turned = f"iifname {inside} ip daddr {wan} meta l4proto udp dnat to udp dport map @owner"
    hidden = f"oifname {inside} ip saddr 10.0.0.0/8 ct status dnat meta l4proto udp snat to {wan}"
    chains = [
        _chain("arriving", "filter hook input priority filter", (unasked,)),
        _chain("passing", "filter hook forward priority filter", passing),
        _chain("entering", "nat hook prerouting priority dstnat - 1", (turned,)),
        _chain("leaving", "nat hook postrouting priority srcnat - 1", (hidden,)),
    ]
    return "\n".join([f"table ip guests_of_the_lab {{{_HAIRPIN}", *chains, "}", ""])


def _chain(name: str, hook: str, rules: Iterable[str]) -> str:
    lines = "\n".join(f"    {rule}" for rule in rules if rule)
    return f"  chain {name} {{\n    type {hook}\n{lines}\n  }}"
