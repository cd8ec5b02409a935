"""Is the server there, is its certificate good, and does it let us in?"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from peer.edge.probes import clock
from peer.edge.probes.finding import Finding, broken, note, ok, skipped
from peer.edge.probes.visitor import NotLetIn, Visitor
from peer.edge.probes.web import Look, Unseen, look
from peer.edge.server_url import ServerUrl
from signaling.messages import ENDPOINT, IceServer

__all__ = ["CERTIFICATE_DAYS", "Visit", "probe"]

CERTIFICATE_DAYS: Final = 14.0
"""Certificates are renewed a month before their end; two weeks before it something has gone wrong."""

_REACH: Final = ("server.reach", "server")
_CERTIFICATE: Final = ("server.certificate", "certificate")
_ENTER: Final = ("server.enter", "room")


@dataclass(frozen=True, slots=True)
class Visit:
    """What was found at the server, and what it told us to use."""

    findings: list[Finding]
    ice_servers: tuple[IceServer, ...] = ()
    entered: bool = False
    data: dict[str, object] = field(default_factory=dict)


async def probe(server: ServerUrl) -> Visit:
    """Look at the server, judge its certificate and our clock, and enter a room of our own."""
    parts = urlsplit(server.url)
    tls = parts.scheme == "wss"
    host, port = parts.hostname or "", parts.port or (443 if tls else 80)
    path = parts.path.removesuffix(ENDPOINT) + "/livez"
    try:
        seen = await look(host, port, path, tls=tls)
    except Unseen as error:
        return Visit([_unseen(error, server), clock.probe(None, server.name)])
    findings = [_reached(seen, server), clock.probe(seen.skew, server.name), _certificate(seen, tls=tls)]
    if seen.status != 200:
        return Visit(findings)
    try:
        async with Visitor(server.url) as visitor:
            return Visit([*findings, ok(*_ENTER, "let us in")], visitor.ice_servers, entered=True)
    except NotLetIn as error:
        if seen.distrust:
            return Visit([*findings, skipped(*_ENTER, "not entered: the certificate is not believed")])
        return Visit([*findings, broken(*_ENTER, "did not let us in", cause=str(error))])


def _reached(seen: Look, server: ServerUrl) -> Finding:
    if seen.status == 200:
        return ok(*_REACH, f"{server.name} answers", ms=seen.connect_ms)
    if seen.status == 503:
        return note(*_REACH, f"{server.name} is going down", cause="it asks to come back later")
    return broken(
        *_REACH,
        f"what answers at {server.name} is not a Weft server (HTTP {seen.status})",
        cause="the address is mistyped, or a proxy in front of it leads elsewhere",
        do="weft doctor --server URL   with the address from whoever runs it",
    )


_UNSEEN: Final = {
    "name": ("the name is mistyped, or this computer is offline", "getent hosts {host}"),
    "route": ("no way leads there: this computer is offline", "ip route"),
    "refused": (
        "its machine answers, but no server runs at that port",
        "on that machine:  weft serve --port {port}",
    ),
    "silent": (
        "its machine is down, or a firewall on the way drops the connection",
        "ask whoever runs it whether port {port} is open",
    ),
    "forbidden": ("a rule of this computer's own firewall refuses it", "sudo nft list ruleset"),
    "tls": (
        "it speaks no TLS, or another kind: http:// in place of https:// may be right",
        "weft doctor --server http://{host}:{port}",
    ),
    "web": ("another program listens there", ""),
}


def _unseen(error: Unseen, server: ServerUrl) -> Finding:
    parts = urlsplit(server.url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    cause, do = _UNSEEN[error.step]
    return broken(
        *_REACH,
        f"{server.name} cannot be reached: {error}",
        cause=cause,
        do=do.format(host=parts.hostname, port=port),
        data={"step": error.step},
    )


def _certificate(seen: Look, *, tls: bool) -> Finding:
    if not tls:
        return (
            note(
                *_CERTIFICATE,
                "none: the connection to the server is not encrypted",
                cause="contents are safe, but the network sees which room you are in",
                do="see docs/server.md, or use https://",
            )
            if not _is_loopback(seen.address)
            else skipped(*_CERTIFICATE, "none is needed on this computer")
        )
    days = seen.days
    left = (
        "" if days is None else f"{days:.0f} days left" if days >= 0 else f"it ran out {-days:.0f} days ago"
    )
    data: dict[str, object] = {"days": None if days is None else round(days, 1)}
    if seen.distrust:
        expired = days is not None and days < 0
        return broken(
            *_CERTIFICATE,
            f"not to be believed: {seen.distrust}" + (f"; {left}" if expired else ""),
            cause="it was not renewed"
            if expired
            else "it is for another name, signed by nobody known, or the clock here is wrong",
            do="on the server:  sudo certbot renew" if expired else "",
            data=data,
        )
    if days is not None and days < CERTIFICATE_DAYS:
        cause = "it is usually renewed a month before its end"
        return note(*_CERTIFICATE, left, cause=cause, do="on the server:  sudo certbot renew", data=data)
    return ok(*_CERTIFICATE, left, data=data)


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")
