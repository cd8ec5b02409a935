"""Does a packet to everybody on the local network come back?  Discovery without a server rests on it.

There are two ways to find each other, mDNS and Weft's own beacon, and both are tried.  What is sent is the
emptiest mDNS packet there is (RFC 6762 §18: a header without any question), so it asks for nothing and tells
nothing; beacons are longer, and who listens for them passes it over.  A firewall on this machine keeps even
one's own copy away; whether the network itself carries multicast, nobody can tell alone.
"""

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final

from peer.edge.lan.beacon import BEACON_PORT, GROUP_IPV4
from peer.edge.probes.finding import Finding, broken, note, ok, skipped
from peer.edge.probes.interfaces import Interface

__all__ = ["CHANNELS", "PATIENCE", "probe"]

CHANNELS: Final = {"mDNS": ("224.0.0.251", 5353), "beacon": (GROUP_IPV4, BEACON_PORT)}
"""Group and UDP port of each: that of mDNS (RFC 6762 §3), and that of Weft's own beacon."""
PATIENCE: Final = 0.4
"""Seconds for a packet to make its way through this machine, three times."""
SENDINGS: Final = 3

_IDS: Final = ("lan.multicast", "local discovery")

Trouble = dict[tuple[Interface, str], str]


async def probe(found: list[Interface], *, needed: bool) -> Finding:
    """Send on each interface and listen; *needed*: there is no server, so people can meet in no other way."""
    used = [each for each in found if not each.skip and each.ipv4]
    if not used:
        return skipped(*_IDS, "no interface to try it on")
    tried = [(interface, channel) for interface in used for channel in CHANNELS]
    results = await asyncio.gather(*(_loop(interface, *CHANNELS[channel]) for interface, channel in tried))
    trouble = {each: why for each, why in zip(tried, results, strict=True) if why}
    names = [each.name for each in used]
    if not trouble:
        return ok(*_IDS, f"multicast on {', '.join(names)} comes back", data={"interfaces": names})
    return _blocked(trouble, needed=needed and len(trouble) == len(tried))


def _blocked(trouble: Trouble, *, needed: bool) -> Finding:
    (first, _), why = next(iter(trouble.items()))
    where = ", ".join(dict.fromkeys(interface.name for interface, _ in trouble))
    channels = list(dict.fromkeys(channel for _, channel in trouble))
    ports = " and ".join(str(CHANNELS[channel][1]) for channel in channels)
    other = "" if len(channels) == len(CHANNELS) else "; the other way still works"
    allow = "; ".join(f"sudo ufw allow {CHANNELS[channel][1]}/udp" for channel in channels)
    say = broken if needed else note
    return say(
        *_IDS,
        f"sent on {where} by {' and '.join(channels)}: {why}",
        cause=f"a firewall on this computer drops multicast (UDP {ports}){other}",
        do=f"{allow}   until then:  weft join --at {first.ipv4}:PORT",
        data={"silent": [f"{interface.name} {channel}" for interface, channel in trouble]},
    )


async def _loop(interface: Interface, group: str, port: int) -> str:
    """Why the packet did not come back on *interface*, or an empty string."""
    packet = os.urandom(2) + bytes(10)
    try:
        with _listener(interface, group, port) as listener, _sender(interface) as sender:
            for _ in range(SENDINGS):
                if await _comes_back(packet, interface, (group, port), listener, sender):
                    return ""
    except PermissionError as error:
        return f"not allowed out ({error.strerror})"
    except OSError as error:
        return f"another program keeps the port for itself ({error.strerror})"
    return "our own packet did not come back"


async def _comes_back(
    packet: bytes, interface: Interface, to: tuple[str, int], listener: socket.socket, sender: socket.socket
) -> bool:
    loop = asyncio.get_running_loop()
    await loop.sock_sendto(sender, packet, to)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while True:
                data, source = await loop.sock_recvfrom(listener, 2048)
                if data == packet and source[0] == interface.ipv4:
                    return True
    return False


@contextlib.contextmanager
def _listener(interface: Interface, group: str, port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            # mDNS responders share the port this way (RFC 6762 §15.1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("" if sys.platform == "win32" else group, port))
        member = struct.pack(
            "4s4si", socket.inet_aton(group), socket.inet_aton(interface.ipv4), interface.index
        )
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        yield sock


@contextlib.contextmanager
def _sender(interface: Interface) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface.ipv4))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        yield sock
