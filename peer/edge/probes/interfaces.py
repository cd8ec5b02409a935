"""Which ways lead out of this computer, and which of them a local network can be behind."""

import ipaddress
from dataclasses import dataclass
from typing import Final

from peer.core.networks import virtual_kind
from peer.edge.lan.interfaces import adapters, is_up
from peer.edge.probes.finding import Finding, note, ok

__all__ = ["Interface", "interfaces", "probe"]

SHOWN: Final = 4
"""Addresses named in one line."""

_IDS: Final = ("lan.interfaces", "interfaces")


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface.

    Attributes:
        addresses: with their prefix lengths, IPv4 first.
        skip: why no local network is looked for behind it, or an empty string.
    """

    name: str
    index: int
    addresses: tuple[str, ...]
    skip: str

    @property
    def ipv4(self) -> str:
        """Its first IPv4 address, or an empty string."""
        return next((each.partition("/")[0] for each in self.addresses if ":" not in each), "")


def interfaces() -> list[Interface]:
    """All of them but loopback."""
    found = []
    for adapter in adapters(unconfigured=True):
        name = adapter.nice_name if isinstance(adapter.nice_name, str) else adapter.name
        plain = [str(each.ip if each.is_IPv4 else each.ip[0]) for each in adapter.ips]
        if (plain and all(_is_loopback(each) for each in plain)) or name == "lo":
            continue
        shown = [f"{ip}/{each.network_prefix}" for ip, each in zip(plain, adapter.ips, strict=True)]
        shown.sort(key=lambda each: ":" in each)
        found.append(Interface(name, adapter.index or 0, tuple(shown), _why_not(name, shown)))
    return sorted(found, key=lambda each: (bool(each.skip), each.name))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _why_not(name: str, addresses: list[str]) -> str:
    if kind := virtual_kind(name):
        return kind
    if not is_up(name):
        return "down"
    return "" if addresses else "no address"


def probe(found: list[Interface]) -> Finding:
    """Name the interfaces that are used, and those that are not, with the reason."""
    used = [each for each in found if not each.skip]
    reasons = dict.fromkeys(each.skip for each in found if each.skip)
    left = ", ".join(
        f"{', '.join(each.name for each in found if each.skip == reason)} ({reason})" for reason in reasons
    )
    shown = " · ".join(f"{each.name} {' '.join(each.addresses[:2])}" for each in used[:SHOWN])
    if len(used) > SHOWN:
        shown += f" · {len(used) - SHOWN} more"
    rest = f"skipped: {left}" if left else ""
    data: dict[str, object] = {
        "used": [each.name for each in used],
        "skipped": [each.name for each in found if each.skip],
    }
    if used:
        return ok(*_IDS, f"{shown}   {rest}".rstrip(), data=data)
    cause = "the network is switched off, or the cable is out" + (f"; {rest}" if rest else "")
    return note(*_IDS, "none leads to a network", cause=cause, do="ip link", data=data)
