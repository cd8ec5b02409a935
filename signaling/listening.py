"""What `weft serve` says of where it listens: an address that people can type on another machine.

The address to listen on may mean "all of them", which nobody can connect to by that name.  What the system
would send from is what others are likely to reach; asking for it sends nothing.
"""

import ipaddress
import socket
from typing import Final

__all__ = ["own_addresses", "where"]

_FAR_AWAY: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that belong to nobody (RFC 5737, RFC 3849), by which the system shows its way out."""

_ANY_PORT: Final = 9


def own_addresses(family: int = socket.AF_UNSPEC) -> list[str]:
    """The addresses of this machine on its way to the internet, at most one a family; none without a way."""
    found = []
    for kind, far in _FAR_AWAY:
        if family not in (socket.AF_UNSPEC, kind):
            continue
        try:
            with socket.socket(kind, socket.SOCK_DGRAM) as way:
                way.connect((far, _ANY_PORT))
                found.append(str(way.getsockname()[0]))
        except OSError:
            continue  # no network of this kind
    return [address for address in found if not ipaddress.ip_address(address).is_loopback]


def where(host: str, port: int, *, tls: bool) -> list[str]:
    """The lines that say where a server listens on *host* and *port*, and what others can type."""
    scheme = "https" if tls else "http"
    address = _address(host)
    if address is None or not address.is_unspecified:
        lines = [f"listening on {scheme}://{_bracketed(host)}:{port} (Ctrl-C to stop)"]
        if host == "localhost" or (address is not None and address.is_loopback):
            lines.append("only this machine reaches it; for others:  weft serve --host 0.0.0.0")
        return lines
    family = socket.AF_INET if address.version == 4 else socket.AF_UNSPEC
    lines = [f"listening on port {port}, on every address of this machine (Ctrl-C to stop)"]
    if tls:
        return [*lines, f"others use:  --server https://NAME:{port}  with a name that is in its certificate"]
    urls = [f"--server {scheme}://{_bracketed(own)}:{port}" for own in own_addresses(family)]
    if not urls:
        return [*lines, "this machine has no network now; others will use its address or name"]
    return [*lines, f"others use:  {'   or   '.join(urls)}"]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
