"""STUN and TURN servers as they are named, and as they are asked.

A `turn:` URL without a transport means UDP and TCP both.  One bad entry in an operator's configuration
must not take every direct path away, so what cannot be used is left out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from peer.core.ladder import KINDS

__all__ = ["IceServer", "IceServerLike", "Servers", "TurnServer", "kinds", "sorted_servers"]

_URL: Final = re.compile(
    r"(?P<scheme>stun|turns?):(?P<host>\[[0-9A-Fa-f:.]+\]|[^?:@\s\[\]]+)(:(?P<port>\d{1,5}))?"
    r"(\?transport=(?P<transport>udp|tcp))?"
)
_PORT: Final = 3478
_TLS_PORT: Final = 5349


class IceServerLike(Protocol):
    """A STUN or TURN server as the signaling server names it."""

    @property
    def urls(self) -> Sequence[str]:
        """`stun:`, `turn:` or `turns:` URLs (RFC 7064, 7065)."""
        ...

    @property
    def username(self) -> str | None:
        """For TURN."""
        ...

    @property
    def credential(self) -> str | None:
        """For TURN."""
        ...


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class TurnServer:
    """One TURN server over one of `ladder.KINDS`."""

    host: str
    port: int
    kind: str
    username: str | None
    credential: str | None


@dataclass(frozen=True, slots=True)
class Servers:
    """All that may be asked, in the order of the configuration."""

    stun: tuple[tuple[str, int], ...] = ()
    turn: tuple[TurnServer, ...] = ()


def sorted_servers(servers: Sequence[IceServerLike]) -> Servers:
    """Take *servers* apart; URLs that cannot be used are left out."""
    stun: list[tuple[str, int]] = []
    turn: list[TurnServer] = []
    for server in servers:
        for match in filter(None, map(_URL.fullmatch, server.urls)):
            host, port = match["host"].strip("[]"), int(match["port"] or 0)
            if port > 65535:
                continue
            if match["scheme"] == "stun":
                stun += [] if match["transport"] else [(host, port or _PORT)]
                continue
            found = _transports(match["scheme"], match["transport"])
            usual = _TLS_PORT if match["scheme"] == "turns" else _PORT
            turn += [TurnServer(host, port or usual, k, server.username, server.credential) for k in found]
    return Servers(tuple(dict.fromkeys(stun)), tuple(dict.fromkeys(turn)))


def kinds(servers: Servers) -> tuple[str, ...]:
    """Over which of `ladder.KINDS` there is a TURN server."""
    return tuple(kind for kind in KINDS if any(server.kind == kind for server in servers.turn))


def _transports(scheme: str, transport: str | None) -> tuple[str, ...]:
    if scheme == "turns":
        return () if transport == "udp" else ("tls",)  # TURN over DTLS is nothing that we can speak
    return ("udp", "tcp") if transport is None else (transport,)
