"""What Weft needs of ICE (RFC 8445) beyond what aioice offers; the one module that knows aioice's ICE.

aioice leaves out loopback addresses, waits five seconds for a dead STUN server, uses small socket buffers,
pauses 20 ms between checks even if there is only one to make, and may ask for consent for ever after a
close.  Each of these is put right at one documented place.  `install` costs the import of aioice and is
called late.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from aioice import Connection

__all__ = [
    "GATHER_SECONDS",
    "SOCKET_BUFFER",
    "IceServer",
    "IceServerLike",
    "classify_path",
    "describe_path",
    "end_consent_with",
    "enlarge_buffers",
    "hurry",
    "install",
    "same_host",
    "sockets",
    "usable_servers",
]

GATHER_SECONDS: Final = 1.5
"""How long a STUN or TURN server may keep us from making an offer: three tries of 0.5 s, doubled once."""

SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""Bytes; with the usual 208 KiB a burst overflows and the path stalls for SCTP's one-second timer."""

_HURRY_PAIRS: Final = 4
"""Pairs of addresses that may be checked all at once: too few to fill a router's table."""

_URL: Final = re.compile(r"(stun:[^?:@\s]+(:\d{1,5})?|turns?:[^?:@\s]+(:\d{1,5})?(\?transport=(udp|tcp))?)")

same_host: ContextVar[bool] = ContextVar("same_host", default=False)
"""Whether the path that the current task prepares joins two peers on this machine."""


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


def usable_servers(servers: Sequence[IceServerLike]) -> list[IceServer]:
    """Return *servers* without the URLs that aioice would choke on.

    One bad entry in a server's configuration must not take every direct path away.
    """
    usable = []
    for server in servers:
        urls = tuple(url for url in server.urls if _URL.fullmatch(url))
        if urls:
            usable.append(IceServer(urls, server.username, server.credential))
    return usable


def install() -> None:
    """Import aioice and put our functions into its places; further calls do nothing."""
    import aioice.ice
    import aioice.turn

    original = aioice.ice.get_host_addresses
    if getattr(original, "of_weft", False):
        return

    def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        loopback = _loopback_addresses(use_ipv4, use_ipv6)
        return loopback if same_host.get() else original(use_ipv4, use_ipv6) or loopback

    host_addresses.of_weft = True  # type: ignore[attr-defined]
    aioice.ice.get_host_addresses = host_addresses
    aioice.turn.UDP_SOCKET_BUFFER_SIZE = SOCKET_BUFFER
    # The only parameter with a default is the time for gathering.
    aioice.Connection.get_component_candidates.__defaults__ = (GATHER_SECONDS,)


def _loopback_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    if use_ipv4:
        return ["127.0.0.1"]  # one is enough, and its packets are 20 bytes shorter than those of ::1
    addresses: list[str] = []
    if use_ipv6:
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
                probe.bind(("::1", 0))
        except OSError:
            return addresses
        addresses.append("::1")
    return addresses


def sockets(connection: "Connection") -> Iterator[socket.socket]:
    """Yield the UDP sockets that *connection* has opened so far."""
    for protocol in connection._protocols:
        opened = protocol.transport.get_extra_info("socket")
        if opened is not None:
            yield opened


def enlarge_buffers(connection: "Connection") -> None:
    """Ask for `SOCKET_BUFFER` in both directions; the system gives what it allows."""
    for opened in sockets(connection):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)


def hurry(connection: "Connection") -> None:
    """Let *connection* make all its checks at once if there are few, and none through a relay.

    RFC 8445 section 6.1.4.2 spaces checks so as not to swamp a NAT; with up to `_HURRY_PAIRS` the
    pause is all that a connection on a local network waits for.  With a relay in the list the order
    matters, because the first success wins.
    """
    paced = connection._check_periodic

    def check_all() -> bool:
        pairs = connection._check_list
        relayed = any("relay" in (p.local_candidate.type, p.remote_candidate.type) for p in pairs)
        if relayed or len(pairs) > _HURRY_PAIRS or connection._check_list_done:
            return paced()
        for pair in pairs:
            if pair.state in (pair.State.WAITING, pair.State.FROZEN):
                connection.check_start_task(pair)
        return connection._remote_candidates_expected()

    replace: Callable[[object, str, object], None] = setattr
    replace(connection, "_check_periodic", check_all)


def end_consent_with(connection: "Connection") -> None:
    """Let *connection* ask for consent (RFC 7675) only until it is closed.

    A close that comes just when the checks have succeeded finds no task to cancel yet; `connect` then
    starts one that nothing ever ends.
    """
    ask = connection.query_consent

    async def ask_while_open() -> None:
        if not connection._closing:
            await ask()

    replace: Callable[[object, str, object], None] = setattr
    replace(connection, "query_consent", ask_while_open)


def classify_path(local: tuple[str, str], remote: tuple[str, str], own_hosts: Collection[str]) -> str:
    """Name the path between two chosen candidates, each given as (type, host).

    `turn` if either is a relay, `lan` if both are addresses of a private network and the other is not
    this machine itself, `direct` otherwise.
    """
    if "relay" in (local[0], remote[0]):
        return "turn"
    private = all(kind == "host" and _is_private(host) for kind, host in (local, remote))
    return "lan" if private and remote[1] not in own_hosts else "direct"


def describe_path(connection: "Connection") -> tuple[str, str]:
    """Return the kind of path that *connection* settled on, and the other side's address for people."""
    pair = connection._nominated[1]
    local, remote = pair.local_candidate, pair.remote_candidate
    own = {candidate.host for candidate in connection.local_candidates}
    kind = classify_path((local.type, local.host), (remote.type, remote.host), own)
    host = f"[{remote.host}]" if ":" in remote.host else remote.host
    return kind, f"{host}:{remote.port}"


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        # A multicast DNS name, which only the local network resolves.
        return host.endswith(".local")
    return (address.is_private or address.is_link_local) and not address.is_loopback
