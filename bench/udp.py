"""Counts what goes over the UDP sockets of this process, below every library that could count for itself.

Each datagram counts with its IP and UDP headers (28 bytes for IPv4, 48 for IPv6): DTLS records with their
SCTP packets, acknowledgements and connectivity checks, in both directions.
"""

from collections.abc import Callable
from typing import Any, Final

__all__ = ["HEADERS", "Meter"]

HEADERS: Final = {False: 28, True: 48}
"""Bytes of IP and UDP headers, by whether it is IPv6."""


class Meter:
    """Datagrams and bytes so far; counts from when it is made."""

    def __init__(self) -> None:
        from aioice.ice import StunProtocol

        self.sent = self.sent_bytes = self.received = self.received_bytes = 0
        protocol: Any = StunProtocol
        protocol.connection_made = self._wrap(protocol.connection_made)
        arrived = protocol.datagram_received

        def datagram_received(this: object, data: bytes, addr: tuple[Any, ...]) -> None:
            self.received += 1
            self.received_bytes += len(data) + HEADERS[len(addr) > 2]
            arrived(this, data, addr)

        protocol.datagram_received = datagram_received

    def _wrap(self, made: Callable[[object, object], None]) -> Callable[[object, object], None]:
        def connection_made(this: object, transport: object) -> None:
            made(this, _Counted(transport, self))

        return connection_made

    def read(self) -> dict[str, int]:
        """The numbers so far."""
        return {
            "sent": self.sent,
            "sent_bytes": self.sent_bytes,
            "received": self.received,
            "received_bytes": self.received_bytes,
        }


class _Counted:
    """A transport that counts what it sends."""

    def __init__(self, transport: Any, meter: Meter) -> None:
        self._transport = transport
        self._meter = meter

    def sendto(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._meter.sent += 1
        self._meter.sent_bytes += len(data) + HEADERS[len(addr) > 2]
        self._transport.sendto(data, addr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
