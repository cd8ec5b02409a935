"""STUN binding requests (RFC 8489), and the two questions of RFC 5780; the only probe that knows aioice.

A *connected* socket learns that nobody listens there (ICMP makes its next receive fail); an *open* one keeps
one local port toward several servers, which is what tells how a router maps ports.
"""

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

__all__ = ["PATIENCE", "Answer", "NoAnswer", "OpenSocket", "ask", "open_socket"]

Address = tuple[str, int]

SENDINGS: Final = (0.0, 0.25, 0.5, 1.0)
"""Seconds between requests: one may be lost, four are not."""
PATIENCE: Final = 2.5
"""Seconds for an answer; a slow mobile network takes one."""
DATAGRAM: Final = 2048
"""Bytes; a binding response has about a hundred."""

_CHANGE_ADDRESS: Final = 0x4
_CHANGE_PORT: Final = 0x2


@dataclass(frozen=True, slots=True)
class Answer:
    """A binding response: how the server sees us, from where it came, and where else it answers."""

    mapped: Address
    source: Address
    other: Address | None
    ms: float


class NoAnswer(Exception):
    """There was no answer: *kind* is `silent`, `refused`, `no-route`, `forbidden` or `failed`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


def _why(error: OSError) -> NoAnswer:
    kinds = {
        errno.ECONNREFUSED: "refused",
        errno.ENETUNREACH: "no-route",
        errno.EHOSTUNREACH: "no-route",
        errno.EPERM: "forbidden",
        errno.EACCES: "forbidden",
    }
    return NoAnswer(kinds.get(error.errno or 0, "failed"), error.strerror or str(error))


async def ask(server: Address) -> Answer:
    """Ask one server through a socket of its own.

    Raises:
        NoAnswer: and why.
    """
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(server)
            return await _exchange(sock, server, 0)
        except OSError as error:
            raise _why(error) from error


class OpenSocket:
    """One local port from which several servers are asked."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    async def ask(self, server: Address, *, address: bool = False, port: bool = False) -> Answer:
        """Ask *server*, with *address* or *port* to answer from another one of its own (RFC 5780 §7.2).

        Raises:
            NoAnswer: and why.
        """
        flags = (_CHANGE_ADDRESS if address else 0) | (_CHANGE_PORT if port else 0)
        try:
            return await _exchange(self._socket, server, flags)
        except OSError as error:
            raise _why(error) from error


@contextlib.asynccontextmanager
async def open_socket(family: int = socket.AF_INET) -> AsyncIterator[OpenSocket]:
    """A port of our own, open to answers from anywhere."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("", 0))
        yield OpenSocket(sock)


async def _exchange(sock: socket.socket, server: Address, flags: int) -> Answer:
    from aioice import stun

    loop = asyncio.get_running_loop()
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    if flags:
        request.attributes["CHANGE-REQUEST"] = flags
    began = time.monotonic()
    sending = asyncio.create_task(_send(sock, bytes(request), server))
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                data, source = await loop.sock_recvfrom(sock, DATAGRAM)
                if (answer := _read(data, request.transaction_id, source, began)) is not None:
                    return answer
    except TimeoutError as error:
        if sending.done() and not sending.cancelled() and isinstance(sending.exception(), OSError):
            raise sending.exception() or error from error
        raise NoAnswer("silent", f"nothing came back within {PATIENCE:g} s") from error
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(sock: socket.socket, data: bytes, server: Address) -> None:
    loop = asyncio.get_running_loop()
    for pause in SENDINGS:
        await asyncio.sleep(pause)
        if sock.type & socket.SOCK_DGRAM and _is_connected(sock):
            await loop.sock_sendall(sock, data)
        else:
            await loop.sock_sendto(sock, data, server)


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _read(data: bytes, transaction: bytes, source: Address, began: float) -> Answer | None:
    """The answer in *data*, or `None` for anything else that came by."""
    from aioice import stun

    try:
        message = stun.parse_message(data)
    except ValueError:
        return None
    if message.transaction_id != transaction or message.message_class != stun.Class.RESPONSE:
        return None
    mapped = message.attributes.get("XOR-MAPPED-ADDRESS") or message.attributes.get("MAPPED-ADDRESS")
    if mapped is None:
        return None
    ms = (time.monotonic() - began) * 1000
    return Answer(mapped, (source[0], source[1]), message.attributes.get("OTHER-ADDRESS"), round(ms, 1))
