"""A server that is named as only this machine can reach it, and so would stand in the link."""

import ipaddress
from urllib.parse import urlsplit

from peer.cli.wording import plain

__all__ = ["is_for_this_machine", "warning"]

_ANYWHERE = "192.168.1.20"
"""For an example, where this machine has no network."""


def is_for_this_machine(server: str) -> bool:
    """Whether the host of *server* means this machine, on whatever machine it is read."""
    host = _parts(server)[0].rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def warning(server: str) -> str:
    """One sentence about such a *server*, with what others could use."""
    host, port = _parts(server)
    named = plain(f"{host}:{port}" if port else host)
    return (
        f"the link will name {named}, which only this machine can reach: for others, run  weft serve --host "
        f"0.0.0.0  and share with  --server http://{_own_address()}:{port or 8787}"
    )


def _parts(server: str) -> tuple[str, int | None]:
    text = server.strip()
    if "://" not in text and text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None  # no address at all, as is said when it is used


def _own_address() -> str:
    from peer.edge.lan.interfaces import list_interfaces

    own = [
        address
        for interface in sorted(list_interfaces(), key=lambda each: not each.is_physical)
        for address, _ in interface.ipv4
        if interface.is_up and not interface.is_loopback
    ]
    return own[0] if own else _ANYWHERE
