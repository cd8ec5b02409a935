"""Does a packet to everybody on the local network come back?  Discovery without a server rests on it.

What is sent is the emptiest mDNS packet there is (RFC 6762 §18: a header without any question), so it asks
for nothing and tells nothing.  A firewall on this machine keeps even one's own copy away; whether the
network itself carries multicast, nobody can tell alone.
"""

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final

from peer.edge.probes.finding import Finding, broken, note, ok, skipped
from peer.edge.probes.interfaces import Interface

__all__ = ["GROUP", "PATIENCE", "PORT", "probe"]

GROUP: Final = "224.0.0.251"
PORT: Final = 5353
"""Those of mDNS (RFC 6762 §3)."""
PATIENCE: Final = 0.4
"""Seconds for a packet to make its way through this machine, three times."""
SENDINGS: Final = 3

_IDS: Final = ("lan.multicast", "local discovery")


async def probe(found: list[Interface], *, needed: bool) -> Finding:
    """Send on each interface and listen; *needed*: there is no server, so people can meet in no other way."""
    used = [each for each in found if not each.skip and each.ipv4]
    if not used:
        return skipped(*_IDS, "no interface to try it on")
    try:
        results = dict(zip(used, await asyncio.gather(*map(_loop, used)), strict=True))
    except OSError as error:
        return note(*_IDS, f"cannot listen for it: {error.strerror}", cause=_taken(error), do=_at(used[0]))
    silent = [each for each, trouble in results.items() if trouble]
    if not silent:
        names = ", ".join(each.name for each in used)
        return ok(
            *_IDS, f"multicast on {names} comes back", data={"interfaces": [each.name for each in used]}
        )
    first = silent[0]
    say = broken if needed and len(silent) == len(used) else note
    names = ", ".join(each.name for each in silent)
    return say(
        *_IDS,
        f"sent on {names}: {results[first]}",
        cause=f"a firewall on this computer drops multicast (UDP {PORT})",
        do=f"sudo ufw allow {PORT}/udp   until then:  {_at(first)}",
        data={"silent": [each.name for each in silent]},
    )


def _at(interface: Interface) -> str:
    return f"weft join --at {interface.ipv4}:PORT"


def _taken(error: OSError) -> str:
    return f"another program holds UDP port {PORT} for itself: {error.strerror}"


async def _loop(interface: Interface) -> str:
    """Why the packet did not come back on *interface*, or an empty string."""
    loop = asyncio.get_running_loop()
    packet = os.urandom(2) + bytes(10)
    with _listener(interface) as listener, _sender(interface) as sender:
        for _ in range(SENDINGS):
            try:
                await loop.sock_sendto(sender, packet, (GROUP, PORT))
            except OSError as error:
                return f"not allowed out ({error.strerror})"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    while True:
                        data, source = await loop.sock_recvfrom(listener, 2048)
                        if data == packet and source[0] == interface.ipv4:
                            return ""
    return "our own packet did not come back"


@contextlib.contextmanager
def _listener(interface: Interface) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            # mDNS responders share the port this way (RFC 6762 §15.1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("" if sys.platform == "win32" else GROUP, PORT))
        member = struct.pack(
            "4s4si", socket.inet_aton(GROUP), socket.inet_aton(interface.ipv4), interface.index
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
