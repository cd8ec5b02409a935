"""Which network interfaces of a machine are worth looking for others on."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["INTERFACES_LIMIT", "Interface", "broadcast_address", "sensible", "virtual_kind"]

INTERFACES_LIMIT: Final = 8
"""Interfaces announced on; machines with more are routers and hosts of containers."""

_CONTAINERS: Final = re.compile(r"(docker|veth|br-|virbr|vnet|vmnet|vboxnet|lxc|lxd|cni|flannel|cali|podman)")
"""Names of interfaces that lead to containers and virtual machines on this one."""
_TUNNEL: Final = re.compile(r"(tun|tap|utun|wg|zt|ppp|tailscale|ipsec|nordlynx)")
"""Names of interfaces that lead into tunnels, which carry no multicast."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface as it is now.

    Attributes:
        name, index: what the system calls it.
        ipv4: addresses with their prefix lengths.
        link_local: IPv6 addresses in fe80::/10, without a scope.
        ipv6: other IPv6 addresses.
        is_up, is_loopback, has_multicast: what the system says of it.
        is_physical: there is hardware behind it.
    """

    name: str
    index: int
    ipv4: tuple[tuple[str, int], ...] = ()
    link_local: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    is_up: bool = True
    is_loopback: bool = False
    has_multicast: bool = True
    is_physical: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """What others on this network may connect to; link-local ones with our scope."""
        scoped = tuple(f"{address}%{self.name}" for address in self.link_local)
        return (*(address for address, _ in self.ipv4), *self.ipv6, *scoped)


def virtual_kind(name: str) -> str:
    """`containers` or `tunnel`, if that is what an interface of this name leads to; else an empty string."""
    if _CONTAINERS.match(name):
        return "containers"
    return "tunnel" if _TUNNEL.match(name) else ""


def sensible(interfaces: Iterable[Interface]) -> list[Interface]:
    """The interfaces to look for others on: those with hardware first, this machine's own loop last.

    What leads to containers or into a tunnel is left out, unless there is nothing else.
    """
    usable = [each for each in interfaces if each.is_up and each.addresses]
    loop = [each for each in usable if each.is_loopback]
    outward = [each for each in usable if not each.is_loopback]
    plain = [each for each in outward if each.has_multicast and not virtual_kind(each.name)]
    chosen = sorted(plain or outward, key=lambda each: (not each.is_physical, each.index))
    return chosen[:INTERFACES_LIMIT] + loop[:1]


def broadcast_address(address: str, prefix: int) -> str | None:
    """The address that everybody on the network of *address* hears; `None` where there is none."""
    if prefix > 30:
        return None  # a link between two, or an address alone (RFC 3021)
    return str(ipaddress.IPv4Interface(f"{address}/{prefix}").network.broadcast_address)
