"""Our own announcements: small UDP packets by multicast and broadcast, on each interface by itself.

Beside mDNS because many networks block one of the two.  Multicast groups are link-local, so routers never
pass the packets on; a directed broadcast reaches machines behind switches that lose multicast.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from peer.core.networks import Interface, broadcast_address

__all__ = ["BEACON_PORT", "GROUP_IPV4", "GROUP_IPV6", "Beacon"]

BEACON_PORT: Final = 29_718
"""UDP; unassigned, and below the ports that systems give to programs."""
GROUP_IPV4: Final = "224.0.0.178"
"""In 224.0.0.0/24, which no switch filters and no router passes on (RFC 5771 section 4)."""
GROUP_IPV6: Final = "ff12::7765:6674"
"""Link-local and not assigned for good (RFC 4291 section 2.7)."""

_PACKET_LIMIT: Final = 256
"""Bytes read of a packet; ours have 44."""
_PACKETS_PER_TURN: Final = 64
"""Packets read before others get their turn."""

Hear = Callable[[bytes, str, Callable[[bytes], None]], None]
"""Takes a packet, the host it came from, and a way to answer that host alone."""

_Address = tuple[Any, ...]


class Beacon:
    """Sockets on some interfaces, for as long as these have the same addresses.

    An interface that refuses is left out; *problems* says which and why.
    """

    def __init__(self, interfaces: Sequence[Interface], hear: Hear) -> None:
        self.problems: list[str] = []
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._ways: list[tuple[socket.socket, _Address]] = []
        self._listen(socket.AF_INET, "", interfaces)
        self._listen(socket.AF_INET6, "::", interfaces)
        for interface in interfaces:
            for address, prefix in interface.ipv4:
                self._attempt(interface, self._speak_ipv4, interface, address, prefix)
            for address in interface.link_local[:1]:
                self._attempt(interface, self._speak_ipv6, interface, address)

    @property
    def works(self) -> bool:
        """Whether anything can be sent at all."""
        return bool(self._ways)

    def send(self, packet: bytes) -> None:
        """Send *packet* everywhere; where it cannot go now, it is not sent."""
        for way, target in self._ways:
            _send(way, packet, target)

    def close(self) -> None:
        """Close everything; what was sent is on its way."""
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._sockets.clear()
        self._ways.clear()

    # --- listening --------------------------------------------------------------------------------------

    def _listen(self, family: socket.AddressFamily, host: str, interfaces: Sequence[Interface]) -> None:
        try:
            listener = self._open(family, (host, BEACON_PORT), shared=True)
        except OSError as error:
            self.problems.append(f"UDP port {BEACON_PORT}: {error}")
            return
        for interface in interfaces:
            with contextlib.suppress(OSError):  # it still hears what is broadcast, or on the others
                _join(listener, family, interface)

    def _open(self, family: socket.AddressFamily, address: _Address, *, shared: bool) -> socket.socket:
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if shared:  # several sessions on one machine all hear what is sent to everybody
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if hasattr(socket, "SO_REUSEPORT"):
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            opened.bind(address)
        except OSError:
            opened.close()
            raise
        self._sockets.append(opened)
        self._loop.add_reader(opened, self._readable, opened)
        return opened

    def _readable(self, opened: socket.socket) -> None:
        for _ in range(_PACKETS_PER_TURN):
            try:
                data, source = opened.recvfrom(_PACKET_LIMIT)
            except OSError:  # nothing more, or an answer that a packet of ours was not wanted
                return
            self._hear(data, str(source[0]), partial(_answer, opened, source))

    # --- speaking -----------------------------------------------------------------------------------------

    def _attempt(self, interface: Interface, make: Callable[..., None], *arguments: object) -> None:
        try:
            make(*arguments)
        except OSError as error:
            self.problems.append(f"{interface.name}: {error}")

    def _speak_ipv4(self, interface: Interface, address: str, prefix: int) -> None:
        speaker = self._open(socket.AF_INET, (address, 0), shared=False)
        speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        self._ways.append((speaker, (GROUP_IPV4, BEACON_PORT)))
        everybody = broadcast_address(address, prefix)
        if everybody is not None:
            self._ways.append((speaker, (everybody, BEACON_PORT)))

    def _speak_ipv6(self, interface: Interface, address: str) -> None:
        speaker = self._open(socket.AF_INET6, (address, 0, 0, interface.index), shared=False)
        speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
        speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        speaker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
        self._ways.append((speaker, (GROUP_IPV6, BEACON_PORT, 0, interface.index)))


def _join(listener: socket.socket, family: socket.AddressFamily, interface: Interface) -> None:
    if family == socket.AF_INET6:
        group = socket.inet_pton(family, GROUP_IPV6)
        listener.setsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("@I", interface.index)
        )
        return
    for address, _ in interface.ipv4[:1]:
        group = socket.inet_aton(GROUP_IPV4) + socket.inet_aton(address)
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)


def _answer(way: socket.socket, target: _Address, packet: bytes) -> None:
    _send(way, packet, target)


def _send(way: socket.socket, packet: bytes, target: _Address) -> None:
    with contextlib.suppress(OSError):  # no route, a full queue: the next announcement has another chance
        way.sendto(packet, target)
