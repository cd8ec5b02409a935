"""The seven kinds of NAT, as nftables rulesets of a router with the interfaces `wan` and `lan`.

The words are those of RFC 4787: mapping and filtering are each endpoint-independent, address-dependent, or
address-and-port-dependent.  All of them drop what comes to the router itself from outside.  Without that a
packet that nobody asked for is accepted by the router, stays in its table, and the next connection to its
sender gets another port, so that a port-restricted NAT behaves as a symmetric one now and then.
"""

import enum
from collections.abc import Iterable

__all__ = ["Kind", "ruleset"]


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


def _chain(name: str, hook: str, rules: Iterable[str]) -> str:
    lines = "\n".join(f"    {rule}" for rule in rules if rule)
    return f"  chain {name} {{\n    type {hook}\n{lines}\n  }}"
