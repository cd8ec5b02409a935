"""One address at one TURN server (RFC 8656), by whichever address of the server answers first.

aioice asks the first address that a name has, and over TCP one after the other.  Where the server has IPv6
and the way there is dead, which no error tells, that uses up all patience.  So the addresses are asked in
turn but without waiting for each other (RFC 8305, "happy eyeballs").
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from peer.edge.ice import SOCKET_BUFFER
from peer.edge.ice_servers import TurnServer
from peer.edge.racing import STAGGER_SECONDS, addresses, connect, first

if TYPE_CHECKING:
    from aioice import Candidate, Connection
    from aioice.ice import StunProtocol
    from aioice.turn import TurnClientTcpProtocol, TurnClientUdpProtocol

__all__ = ["FAREWELL_SECONDS", "Relayed", "allocate", "give_back"]

FAREWELL_SECONDS: Final = 2.0
"""For a server to take an address back: a question and two repetitions over UDP.  aioice asks for 32 s, and
until then it closes nothing; an address that is not taken back expires by itself."""

Relayed = tuple["Candidate", "StunProtocol"]


async def allocate(
    connection: "Connection", server: TurnServer, refused: Callable[[int], None] = lambda code: None
) -> Relayed:
    """Get an address for *connection*, which is an IPv4 one unless the operator's server gives others.

    *refused* is told the error code of each answer that says no.

    Raises:
        ConnectionError: the server did not answer over UDP, or not as it should.
        OSError: its name is not known, it cannot be reached, or TLS failed.
        aioice.stun.TransactionError: it refused (TCP and TLS).
    """
    if server.kind != "udp":
        opened = await connect(server.host, server.port)
        return await _relayed(connection, refused, *await _open_stream(server, opened))
    found = enumerate(await addresses(server.host, server.port))
    asking = [
        _ask(connection, server, address, number * STAGGER_SECONDS, refused) for number, address in found
    ]
    answer = await first(asking, spare=give_back)
    if answer is None:
        raise ConnectionError(f"{server.host} does not answer over UDP")
    return answer


async def give_back(relayed: Relayed) -> None:
    """Tell the server that the address is not needed any more."""
    await relayed[1].close()


async def _ask(
    connection: "Connection",
    server: TurnServer,
    address: tuple[str, int],
    wait: float,
    refused: Callable[[int], None],
) -> Relayed:
    from aioice.turn import TurnClientUdpProtocol

    await asyncio.sleep(wait)
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        _client(TurnClientUdpProtocol, server), remote_addr=address
    )
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    return await _relayed(connection, refused, transport, protocol)


async def _open_stream(
    server: TurnServer, opened: socket.socket
) -> tuple[asyncio.Transport, "TurnClientTcpProtocol"]:
    from aioice.turn import TurnClientTcpProtocol

    try:
        return await asyncio.get_running_loop().create_connection(
            _client(TurnClientTcpProtocol, server),
            sock=opened,
            ssl=server.kind == "tls" or None,
            server_hostname=server.host if server.kind == "tls" else None,
        )
    except BaseException:
        opened.close()
        raise


def _client(kind: type[Any], server: TurnServer) -> Callable[[], Any]:
    from aioice.turn import DEFAULT_ALLOCATION_LIFETIME, DEFAULT_CHANNEL_REFRESH_TIME

    return lambda: kind(
        (server.host, server.port),
        username=server.username,
        password=server.credential,
        lifetime=DEFAULT_ALLOCATION_LIFETIME,
        channel_refresh_time=DEFAULT_CHANNEL_REFRESH_TIME,
    )


async def _relayed(
    connection: "Connection",
    refused: Callable[[int], None],
    transport: asyncio.BaseTransport,
    client: "TurnClientUdpProtocol | TurnClientTcpProtocol",
) -> Relayed:
    """Ask for an address over an open way to the server, and describe it."""
    from aioice import Candidate
    from aioice.candidate import candidate_foundation, candidate_priority
    from aioice.ice import StunProtocol
    from aioice.stun import TransactionFailed
    from aioice.turn import TurnTransport

    protocol = StunProtocol(connection)
    relay = TurnTransport(client)
    _part_in_time(client)
    try:
        await relay._connect(protocol)
    except BaseException as error:
        if isinstance(error, TransactionFailed) and (code := error.response.error_code):
            refused(code)  # whoever races several addresses hears of no error
        transport.close()  # also if nobody waits for it any more
        raise
    host, port = relay.get_extra_info("sockname")
    protocol.local_candidate = Candidate(
        foundation=candidate_foundation("relay", "udp", host),
        component=1,
        transport="udp",
        priority=candidate_priority(1, "relay"),
        host=host,
        port=port,
        type="relay",
        # what the server sees of us is told to nobody who does not need it (RFC 8839 section 5.1)
        related_address="::" if ":" in host else "0.0.0.0",
        related_port=9,
    )
    return protocol.local_candidate, protocol


def _part_in_time(client: "TurnClientUdpProtocol | TurnClientTcpProtocol") -> None:
    """Let *client* close within `FAREWELL_SECONDS`, whether its server still answers or not."""
    delete = client.delete

    async def delete_in_time() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await delete()
                return
        client.transport.abort()  # a close would wait for what TCP or TLS still want to say to the server

    replace: Callable[[object, str, object], None] = setattr
    replace(client, "delete", delete_in_time)
