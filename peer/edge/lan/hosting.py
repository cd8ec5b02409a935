"""Our own room server on the local network: the only use that the client makes of the server's code."""

import contextlib
import secrets
import socket
from typing import Final

from signaling.server import RoomServer
from signaling.settings import Settings

__all__ = ["FIRST_PORT", "LAST_PORT", "Hosting"]

FIRST_PORT: Final = 20_000
LAST_PORT: Final = 29_999
"""Below what systems give to connections that go out, so that the port is free again at the next start."""
_TRIES: Final = 8

_SETTINGS: Final = Settings(
    connections=128,  # two for each member of the largest room
    rooms=4,  # ours is there before anybody hears of the server; it is nobody else's business
    connections_per_address=128,
    drain_seconds=0.5,
    reconnect_seconds=0.0,
    ping_seconds=5.0,  # a member that was unplugged is missed sooner than on the internet
)


class Hosting:
    """A room server on every address of this machine."""

    def __init__(self, name: str, port: int) -> None:
        """Bind *port*, or another if that is taken or 0; *name* is what the server calls itself.

        Raises:
            OSError: the system allows no listening.
        """
        listener = _bind(port)
        self.port: int = listener.getsockname()[1]
        self._server = RoomServer(_SETTINGS, listener=listener, name=name)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the system does not allow it.
        """
        await self._server.start()

    async def close(self) -> None:
        """Send away whoever is there, and stop."""
        await self._server.drain(reconnect_seconds=0.0)
        await self._server.stop()


def _bind(port: int) -> socket.socket:
    chosen = (FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT + 1) for _ in range(_TRIES))
    for wanted in filter(None, (port, *chosen)):
        with contextlib.suppress(OSError):
            return _bind_exactly(wanted)
    return _bind_exactly(0)


def _bind_exactly(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
