"""What Weft needs of ICE (RFC 8445) beyond what aioice offers; with `gathering.py` all that knows aioice.

aioice leaves out loopback addresses, offers IPv6 ones that others should not see, waits for servers before it
makes an offer, uses small socket buffers, pauses 20 ms between checks even if there is only one to make,
takes a relay if that answers first, and may ask for consent for ever after a close.  Each of these is put
right at one documented place.  `install` costs the import of aioice and is called late.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from peer.edge.own_addresses import offered

if TYPE_CHECKING:
    from aioice import Candidate, Connection
    from aioice.ice import CandidatePair

__all__ = [
    "PACE_SECONDS",
    "SOCKET_BUFFER",
    "Checks",
    "add_remote",
    "classify_path",
    "describe_path",
    "end_consent_with",
    "ended",
    "enlarge_buffers",
    "gather_only",
    "give_up_only_if",
    "install",
    "reconsider",
    "same_host",
    "sockets",
    "to_be_continued",
]

PACE_SECONDS: Final = 0.02
"""Between two checks, so as not to swamp a NAT (RFC 8445 section 14.2 says 50 ms, and aioice this)."""

SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""Bytes; with the usual 208 KiB a burst overflows and the path stalls for SCTP's one-second timer."""

_HURRY_PAIRS: Final = 4
"""Pairs of addresses that may be checked all at once: too few to fill a router's table."""

_PRIVATE: Final = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
    )
)
"""Addresses of local networks (RFC 1918, 3927, 4193, 4291); a provider's (100.64.0.0/10) are none."""

same_host: ContextVar[bool] = ContextVar("same_host", default=False)
"""Whether the path that the current task prepares joins two peers on this machine."""


def install() -> None:
    """Import aioice and put our functions into its places; further calls do nothing."""
    import aioice.ice
    import aioice.turn

    original = aioice.ice.get_host_addresses
    if getattr(original, "of_weft", False):
        return

    def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        loopback = _loopback_addresses(use_ipv4, use_ipv6)
        return loopback if same_host.get() else offered(original(use_ipv4, use_ipv6)) or loopback

    host_addresses.of_weft = True  # type: ignore[attr-defined]
    aioice.ice.get_host_addresses = host_addresses
    aioice.turn.UDP_SOCKET_BUFFER_SIZE = SOCKET_BUFFER


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


class Checks:
    """Makes the connectivity checks of one connection: direct pairs first, those through TURN after *hold* s.

    Up to `_HURRY_PAIRS` direct pairs are checked all at once: the pause is all that a connection on a local
    network would wait for.  A pair from TURN to a private address is never checked: the server may not send
    there, and coturn gives an allocation up that has no way to a peer.
    """

    def __init__(self, connection: "Connection", hold: float) -> None:
        self._connection = connection
        self._hold = hold
        self._began = 0.0
        self._task: asyncio.Task[None] | None = None
        replace: Callable[[object, str, object], None] = setattr
        replace(connection, "_check_periodic", self._begin)

    def stop(self) -> None:
        """Make no more checks."""
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> bool:
        """Called by `connect` until it returns false, and then it waits for the outcome of all checks."""
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._began = loop.time()
            self._task = loop.create_task(self._go_on())
        self._step(loop.time())
        return not self._connection._check_list and not self._connection._check_list_done

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._connection._check_list_done:
            await asyncio.sleep(PACE_SECONDS)
            self._step(loop.time())

    def _step(self, now: float) -> None:
        if self._connection._check_list_done:
            return
        direct = [pair for pair in self._connection._check_list if not _is_relayed(pair)]
        waiting = [pair for pair in direct if _is_waiting(pair)]
        if not waiting and now >= self._began + self._hold:
            relayed = [pair for pair in self._connection._check_list if _is_relayed(pair)]
            waiting = [pair for pair in relayed if _is_waiting(pair) and not _is_useless(pair)]
        for pair in (
            waiting if waiting and waiting[0] in direct and len(direct) <= _HURRY_PAIRS else waiting[:1]
        ):
            self._connection.check_start_task(pair)


def _is_waiting(pair: "CandidatePair") -> bool:
    return pair.task is None and pair.state in (pair.State.WAITING, pair.State.FROZEN)


def _is_relayed(pair: "CandidatePair") -> bool:
    return "relay" in (pair.local_candidate.type, pair.remote_candidate.type)


def _is_useless(pair: "CandidatePair") -> bool:
    remote = pair.remote_candidate
    return pair.local_candidate.type == "relay" and remote.type == "host" and _is_private(remote.host)


def gather_only(connection: "Connection", relayed: Callable[[], Awaitable[Sequence["Candidate"]]]) -> None:
    """Let *connection* describe itself with the candidates of *relayed* and none of this machine."""

    async def gather(component: int, addresses: list[str]) -> list["Candidate"]:
        return list(await relayed())

    replace: Callable[[object, str, object], None] = setattr
    replace(connection, "get_component_candidates", gather)


def to_be_continued(sdp: str) -> str:
    """The same description, but more addresses will follow (RFC 8840 section 8.2)."""
    return sdp.replace("a=end-of-candidates\r\n", "")


async def add_remote(connection: "Connection", candidates: Sequence[str], *, last: bool) -> None:
    """Let *connection* check more addresses of the other side, given as they stand in SDP."""
    from aioice import Candidate

    if connection._remote_candidates_end:
        return
    for text in candidates:
        await connection.add_remote_candidate(Candidate.from_sdp(text))
    if last:
        await connection.add_remote_candidate(None)


def give_up_only_if(connection: "Connection", all_is_known: Callable[[], bool]) -> None:
    """Let *connection* fail for want of pairs only if *all_is_known* of our addresses.

    aioice takes ours for complete.  Where no pair comes about without TURN (one side has IPv6 alone, the
    other IPv4 alone), it fails if the other side has told all of its own before our TURN server answers.
    """
    give_up = connection._check_list_maybe_fail

    def give_up_if_all_is_known() -> None:
        if all_is_known():
            give_up()

    replace: Callable[[object, str, object], None] = setattr
    replace(connection, "_check_list_maybe_fail", give_up_if_all_is_known)


def reconsider(connection: "Connection") -> None:
    """Now all is known of our addresses: *connection* fails if there is nothing left to wait for."""
    if connection._early_checks_done and not connection._check_list_done:
        connection._check_list_maybe_fail()


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


@contextlib.contextmanager
def ended(connection: "Connection") -> Iterator[None]:
    """After a close of *connection*, even one that was cut short, nothing of it is left.

    aiortc's monitor of the connection waits for an event that aioice sends at the very end of a close.
    """
    from aioice.ice import ConnectionClosed

    try:
        yield
    finally:
        for protocol in connection._protocols:
            protocol.transport.close()
        connection._protocols.clear()
        if connection._event_waiter is not None:
            connection._emit_event(ConnectionClosed())
            connection._closed = True


def classify_path(local: tuple[str, str], remote: tuple[str, str], own_hosts: Collection[str]) -> str:
    """Name the path between two chosen candidates, each given as (type, host).

    `turn` if either is a relay, `lan` if both are addresses of a private network or of one IPv6 prefix and
    the other is not this machine itself, `direct` otherwise.
    """
    if "relay" in (local[0], remote[0]):
        return "turn"
    if (local[0], remote[0]) != ("host", "host") or remote[1] in own_hosts:
        return "direct"
    private = _is_private(local[1]) and _is_private(remote[1])
    return "lan" if private or _is_one_link(local[1], remote[1]) else "direct"


def describe_path(connection: "Connection") -> tuple[str, str]:
    """Return the kind of path that *connection* settled on, and an address for people.

    Of `turn` that is the relayed one, at the TURN server that we use, or else at the other side's; of all
    others it is the other side's own.
    """
    pair = connection._nominated[1]
    local, remote = pair.local_candidate, pair.remote_candidate
    own = {candidate.host for candidate in connection.local_candidates}
    kind = classify_path((local.type, local.host), (remote.type, remote.host), own)
    shown = local if local.type == "relay" else remote
    host = f"[{shown.host}]" if ":" in shown.host else shown.host
    return kind, f"{host}:{shown.port}"


def _is_one_link(one: str, other: str) -> bool:
    """Whether both are of one IPv6 prefix, whose hosts reach each other without a router."""
    return _prefix(one) is not None and _prefix(one) == _prefix(other)


def _prefix(host: str) -> ipaddress.IPv6Network | None:
    """What all hosts of one local network share in IPv6 (RFC 4291 section 2.5.4); `None` for all else."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return ipaddress.IPv6Network((address, 64), strict=False) if address.version == 6 else None


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        # A multicast DNS name, which only the local network resolves.
        return host.endswith(".local")
    return any(address in network for network in _PRIVATE if network.version == address.version)
