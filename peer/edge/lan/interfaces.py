"""The network interfaces of this machine; the only module that knows ifaddr."""

import socket
from ipaddress import IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from peer.core.networks import Interface

if TYPE_CHECKING:
    from ifaddr import Adapter

__all__ = ["adapters", "index_of", "is_up", "list_interfaces"]

_SYSTEM: Final = Path("/sys/class/net")
_UP: Final = 0x1
_LOOPBACK: Final = 0x8
_MULTICAST: Final = 0x1000
"""Flags of an interface, as in <linux/if.h>."""


def adapters(*, unconfigured: bool = False) -> "list[Adapter]":
    """What the system calls its interfaces; also those without an address, if *unconfigured*.

    Empty if the system does not tell.
    """
    import ifaddr

    try:
        return list(ifaddr.get_adapters(include_unconfigured=unconfigured))
    except OSError:
        return []


def list_interfaces() -> list[Interface]:
    """Every interface that has an address; empty if the system does not tell."""
    return [_interface(adapter) for adapter in adapters()]


def _interface(adapter: "Adapter") -> Interface:
    name = adapter.nice_name
    ipv4 = tuple((str(ip.ip), int(ip.network_prefix)) for ip in adapter.ips if ip.is_IPv4)
    ipv6 = [IPv6Address(ip.ip[0]) for ip in adapter.ips if not ip.is_IPv4]
    is_loopback = any(address.startswith("127.") for address, _ in ipv4) or IPv6Address("::1") in ipv6
    flags = _flags(name)
    return Interface(
        name,
        adapter.index or 0,
        ipv4,
        tuple(str(each) for each in ipv6 if each.is_link_local),
        tuple(str(each) for each in ipv6 if not each.is_link_local and not each.is_loopback),
        is_up=is_up(name),
        is_loopback=is_loopback if flags is None else bool(flags & _LOOPBACK),
        has_multicast=flags is None or bool(flags & _MULTICAST),
        is_physical=(_SYSTEM / name / "device").exists(),
    )


def is_up(name: str) -> bool:
    """Whether the interface is switched on; where the system does not say, what has addresses is."""
    flags = _flags(name)
    return flags is None or bool(flags & _UP)


def _flags(name: str) -> int | None:
    """What the kernel says of an interface; `None` on systems that do not say it this way."""
    try:
        return int((_SYSTEM / name / "flags").read_text(), 16)
    except (OSError, ValueError):
        return None


def index_of(scope: str) -> int:
    """The number of the interface that an address is scoped to; 0 if there is none of that name."""
    if scope.isdecimal():
        return int(scope)
    try:
        return socket.if_nametoindex(scope)
    except OSError:
        return 0
