"""How people write the address of a signaling server, and what it means."""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from peer.errors import UsageError
from signaling.messages import ENDPOINT

__all__ = ["ServerUrl"]

_LOCAL_PORT: Final = 8787
"""Where `weft serve` listens when nobody says otherwise."""

_SCHEMES: Final = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The address of a server: *url* of its WebSocket, *name* for people."""

    url: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "ServerUrl":
        """Read `ws(s)://…`, `http(s)://…`, or a bare host with or without a port.

        A bare host means TLS on port 443, except on this machine or a private network, where it means
        port 8787 without TLS.

        Raises:
            UsageError: it is none of these; the message says what is wrong.
        """
        text = text.strip()
        if "://" not in text:
            text = _complete(text)
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{text!r} is not the address of a server: {error}") from error
        _check(text, parts)
        scheme = _SCHEMES[parts.scheme]
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        name = f"{host}:{port}" if port else f"{host}"
        path = parts.path.rstrip("/").removesuffix(ENDPOINT)
        return cls(f"{scheme}://{name}{path}{ENDPOINT}", name + path)


def _check(text: str, parts: SplitResult) -> None:
    if parts.scheme not in _SCHEMES:
        raise UsageError(f"{text!r} is not the address of a server: it should begin with wss:// or https://")
    if not parts.hostname:
        raise UsageError(f"{text!r} is not the address of a server: it names no host")
    if parts.query or parts.fragment or parts.username is not None:
        raise UsageError(
            f"{text!r} is not the address of a server: nothing but host, port and path may be in it"
        )


def _complete(text: str) -> str:
    """Put a scheme, and where needed a port, to a bare host."""
    if text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"  # an IPv6 address as people write it
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{text!r} is not the address of a server: {error}") from error
    if not _is_local(parts.hostname or ""):
        return f"wss://{text}"
    return f"ws://{text}" if port else f"ws://{parts.netloc.rstrip(':')}:{_LOCAL_PORT}{parts.path}"


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_private or address.is_link_local
