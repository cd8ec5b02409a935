"""One conversation with a TURN server (RFC 8656), step by step; for tests of servers, not for sessions.

The packets are aioice's.  What a session needs is done by aiortc; here every request is sent for itself,
so that its answer and the time it took can be seen.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from aioice import stun, turn

from peer.edge.racing import addresses, connect
from peer.errors import RemoteError, Unreachable, UsageError

__all__ = [
    "ANSWER_SECONDS",
    "Rejected",
    "Target",
    "Transport",
    "TurnClient",
    "Unanswered",
    "connected",
    "outside",
    "targets",
]

ANSWER_SECONDS: Final = 3.0
"""For one answer: with aioice's timers, three tries over UDP."""

_WAITING_PACKETS: Final = 16
"""Relayed packets that may wait to be looked at; a test sends one at a time."""

_TRIES: Final = 2
"""Packets may be lost on their way, though hardly twice."""

_LIFETIME: Final = 120
"""Seconds that an allocation lives if we cannot delete it: far longer than any test of ours."""

_DEFAULT_PORT: Final = 3478
_DEFAULT_TLS_PORT: Final = 5349
_IPV6_FAMILY: Final = 0x02000000
_UNSIGNED: Final = (0x0017, "REQUESTED-ADDRESS-FAMILY", stun.pack_unsigned, stun.unpack_unsigned)

_URL: Final = re.compile(
    r"(?P<scheme>turns?):(?P<host>\[[0-9a-fA-F:.%]+\]|[^\[\]?:@/\s]+)(:(?P<port>\d{1,5}))?"
    r"(\?transport=(?P<transport>udp|tcp))?"
)

Transport = Literal["udp", "tcp", "tls"]
Address = tuple[str, int]
_T = TypeVar("_T")

# aioice knows no IPv6 allocations (RFC 8656 §18.9); both tables are how it writes and reads attributes.
stun.ATTRIBUTES_BY_NAME.setdefault(_UNSIGNED[1], _UNSIGNED)
stun.ATTRIBUTES_BY_TYPE.setdefault(_UNSIGNED[0], _UNSIGNED)


class Unanswered(Unreachable):
    """Nothing came back; the sentence says what was waited for."""


class Rejected(RemoteError):
    """The server said no, with a STUN error code (RFC 8489 §14.8), 0 if it gave none."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code


@dataclass(frozen=True, slots=True)
class Target:
    """Where a TURN server is, and how it is spoken to."""

    host: str
    port: int
    transport: Transport

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.transport}"


def targets(url: str) -> list[Target]:
    """Where *url* (RFC 7065) leads: a `turn:` URL without a transport means UDP and TCP.

    Raises:
        UsageError: it is no `turn:` or `turns:` URL.
    """
    found = _URL.fullmatch(url)
    port = int(found["port"] or 0) if found else 0
    if not found or port > 65_535 or (found["scheme"] == "turns" and found["transport"] == "udp"):
        raise UsageError(
            f"{url!r} is no TURN address: write turn:host, turn:host:3478?transport=tcp or turns:host:443"
        )
    host = found["host"].strip("[]")
    if found["scheme"] == "turns":
        return [Target(host, port or _DEFAULT_TLS_PORT, "tls")]
    kinds: tuple[Transport, ...] = ("tcp",) if found["transport"] == "tcp" else ("udp",)
    if found["transport"] is None:
        kinds = ("udp", "tcp")
    return [Target(host, port or _DEFAULT_PORT, kind) for kind in kinds]


class _Packets(asyncio.DatagramProtocol):
    """What came through the relay."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue(_WAITING_PACKETS)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self.arrived.put_nowait((data, addr))


class _Broken:
    """Mixed into aioice's protocols: lets a waiting request know that there is nobody to answer."""

    broken: "asyncio.Future[None]"

    def error_received(self, error: Exception) -> None:
        """The system says that a packet could not be delivered."""
        self._fail(error)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection ended."""
        self._fail(error or ConnectionResetError("it closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self.broken.done():
            self.broken.set_exception(error)
            self.broken.exception()  # whoever waits sees it; without a waiter it is no news


class _Udp(_Broken, turn.TurnClientUdpProtocol):
    pass


class _Tcp(_Broken, turn.TurnClientTcpProtocol):
    pass


class TurnClient:
    """One socket to a TURN server, and the allocation made through it.

    Every method raises `Rejected` or `Unanswered` if it fails, within *seconds*.
    """

    def __init__(self, protocol: "_Udp | _Tcp", seconds: float) -> None:
        self._protocol = protocol
        self._seconds = seconds
        self._packets = _Packets()
        self.relayed: Address | None = None
        protocol.receiver = self._packets

    @property
    def certificate_end(self) -> str | None:
        """When the certificate of the TLS connection ends, as OpenSSL writes it."""
        found = self._protocol.transport.get_extra_info("peercert")
        return found.get("notAfter") if found else None

    @property
    def server_address(self) -> str:
        """The IP address that answers."""
        return str(self._protocol.transport.get_extra_info("peername")[0])

    async def greet(self) -> Address:
        """Ask with a STUN binding request which address we come from; needs no credential."""
        response = await self._request(stun.Method.BINDING, {}, retry=False)
        seen = response.attributes.get("XOR-MAPPED-ADDRESS") or response.attributes.get("MAPPED-ADDRESS")
        if seen is None:
            raise Rejected(0, "the answer has no address in it")
        return str(seen[0]), int(seen[1])

    async def allocate(self, *, ipv6: bool = False) -> Address:
        """Get a relayed address."""
        wanted: dict[str, Any] = {"LIFETIME": _LIFETIME, "REQUESTED-TRANSPORT": turn.UDP_TRANSPORT}
        if ipv6:
            wanted["REQUESTED-ADDRESS-FAMILY"] = _IPV6_FAMILY
        response = await self._request(stun.Method.ALLOCATE, wanted)
        if "XOR-RELAYED-ADDRESS" not in response.attributes:
            raise Rejected(0, "the answer has no relayed address in it")
        host, port = response.attributes["XOR-RELAYED-ADDRESS"]
        self.relayed = (str(host), int(port))
        return self.relayed

    async def permit(self, host: str) -> None:
        """Let packets pass between *host* and our relayed address."""
        # The port of a permission means nothing (RFC 8656 §9.1).
        await self._request(stun.Method.CREATE_PERMISSION, {"XOR-PEER-ADDRESS": (host, 9)})

    async def open_to(self, peer: Address) -> None:
        """Bind a channel to *peer*; aioice drops what comes from anybody else."""
        await self.send(b"", peer)

    async def send(self, data: bytes, peer: Address) -> None:
        """Send *data* to *peer* through the relay; binds a channel the first time."""
        await self._limited(self._protocol.send_data(data, peer))

    async def receive(self) -> tuple[bytes, Address]:
        """Wait for a packet that came through the relay."""
        return await self._limited(self._packets.arrived.get())

    async def release(self) -> None:
        """Give the allocation back."""
        if self.relayed is not None:
            self.relayed = None
            await self._request(stun.Method.REFRESH, {"LIFETIME": 0})

    async def _request(
        self, method: stun.Method, attributes: dict[str, Any], *, retry: bool = True
    ) -> stun.Message:
        message = stun.Message(method, stun.Class.REQUEST, attributes=attributes)
        ask = self._protocol.request_with_retry if retry else self._protocol.request
        response, _ = await self._limited(ask(message))
        return response

    async def _limited(self, work: Awaitable[_T]) -> _T:
        """Wait for *work*, but not longer than it makes sense."""
        task: asyncio.Future[_T] = asyncio.ensure_future(work)
        try:
            await asyncio.wait(
                (task, self._protocol.broken), timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if task.done():
                return task.result()
        except stun.TransactionFailed as failed:
            code, reason = failed.response.attributes.get("ERROR-CODE", (0, "without a reason"))
            raise Rejected(code, reason.strip("\0 ")) from failed
        except (stun.TransactionError, ConnectionError) as failed:
            raise Unanswered(str(failed)) from failed
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._protocol.broken.done():
            failure = self._protocol.broken.exception()
            raise Unanswered(str(failure)) from failure
        raise Unanswered(f"no answer within {self._seconds:g} s")


class Outside:
    """A plain UDP socket of ours, as any peer has one: what reaches it came out of the relay."""

    def __init__(self, transport: asyncio.DatagramTransport, packets: _Packets, seconds: float) -> None:
        self._transport = transport
        self._packets = packets
        self._seconds = seconds

    async def seen_as(self, target: Target) -> Address:
        """Our address as the server at *target* sees it (RFC 8489 §2), asked for over this socket."""
        question = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        server = await _resolved(target, self._transport)
        for _ in range(_TRIES):
            self._transport.sendto(bytes(question), server)
            with contextlib.suppress(Unanswered):
                data, _peer = await self.receive(self._seconds / _TRIES)
                answer = stun.parse_message(data)
                if answer.transaction_id == question.transaction_id:
                    host, port = answer.attributes["XOR-MAPPED-ADDRESS"]
                    return str(host), int(port)
        raise Unanswered(f"no answer within {self._seconds:g} s")

    def send(self, data: bytes, peer: Address) -> None:
        """Send *data* to *peer*."""
        self._transport.sendto(data, peer)

    async def receive(self, seconds: float = 0.0) -> tuple[bytes, Address]:
        """Wait for a packet.

        Raises:
            Unanswered: none came in time.
        """
        try:
            return await asyncio.wait_for(self._packets.arrived.get(), seconds or self._seconds)
        except TimeoutError as error:
            raise Unanswered(f"no answer within {seconds or self._seconds:g} s") from error


async def _resolved(target: Target, transport: asyncio.DatagramTransport) -> Address:
    family = transport.get_extra_info("socket").family
    found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, family=family)
    return str(found[0][4][0]), int(found[0][4][1])


@contextlib.asynccontextmanager
async def outside(seconds: float = ANSWER_SECONDS) -> AsyncIterator[Outside]:
    """A plain UDP socket for IPv4."""
    transport, packets = await asyncio.get_running_loop().create_datagram_endpoint(
        _Packets, local_addr=("0.0.0.0", 0)
    )
    try:
        yield Outside(transport, packets, seconds)
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def connected(
    target: Target,
    username: str = "",
    credential: str = "",
    *,
    tls: ssl.SSLContext | None = None,
    seconds: float = ANSWER_SECONDS,
) -> AsyncIterator[TurnClient]:
    """A client that is connected to *target*, which over UDP says nothing yet.

    Raises:
        Unanswered: there was no connection within *seconds*.
        OSError: the name is not known, nobody listens there, or TLS failed (`ssl.SSLError`).
    """
    try:
        async with asyncio.timeout(seconds):
            protocol = await _open(target, username, credential, tls)
    except TimeoutError as error:
        raise Unanswered(f"no connection within {seconds:g} s") from error
    client = TurnClient(protocol, seconds)
    try:
        yield client
    finally:
        with contextlib.suppress(Rejected, Unanswered, OSError):
            await client.release()
        protocol.transport.close()


async def _open(target: Target, username: str, credential: str, tls: ssl.SSLContext | None) -> "_Udp | _Tcp":
    loop = asyncio.get_running_loop()
    server = (target.host, target.port)
    broken: asyncio.Future[None] = loop.create_future()
    known = (server, username or None, credential or None, _LIFETIME, _LIFETIME)
    protocol: _Udp | _Tcp
    if target.transport == "udp":
        protocol = _Udp(*known)
        protocol.broken = broken
        await _open_udp(protocol, target)
    else:
        protocol = _Tcp(*known)
        protocol.broken = broken
        context = (tls or ssl.create_default_context()) if target.transport == "tls" else None
        opened = await connect(target.host, target.port)
        name = target.host if context else None
        await loop.create_connection(lambda: protocol, sock=opened, ssl=context, server_hostname=name)
    return protocol


async def _open_udp(protocol: "_Udp", target: Target) -> None:
    """IPv4 if there is any way for it: where one kind of address is dead, that is nearly always IPv6."""
    found = await addresses(target.host, target.port)
    for number, address in enumerate(sorted(found, key=lambda each: ":" in each[0]), start=1):
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: protocol, remote_addr=address)
        except OSError:
            if number == len(found):
                raise
        else:
            return
