"""Real clients for a real server: well behaved, raw, and neighbours that notice everything."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, Self, TypeVar

import aiohttp
from aiohttp import WSMsgType
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.messages import (
    CLOSED_FOR_GOOD,
    ENDPOINT,
    Claim,
    Enter,
    FromClient,
    FromServer,
    Joined,
    Nonce,
    Relayed,
    Welcome,
    decode_from_server,
    encode,
    pack_frame,
    proof_bytes,
    unpack_frame,
)
from signaling.proofs import claim_bytes
from signaling.server import RoomServer

PATIENCE: Final = 10 * float(os.environ.get("WEFT_TEST_PATIENCE", "1"))
"""Seconds that anything which must happen may take before the test fails."""

_T = TypeVar("_T")


class Client:
    """One WebSocket to the server, by way of aiohttp."""

    def __init__(self, session: aiohttp.ClientSession, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self.websocket = websocket
        self.address = b""
        self.welcome: Welcome
        self.member_key: Ed25519PrivateKey | None = None

    @classmethod
    async def connect(cls, server: RoomServer, headers: Mapping[str, str] | None = None) -> Self:
        """Upgrade, and say nothing yet."""
        session = aiohttp.ClientSession()
        try:
            websocket = await session.ws_connect(
                server.url + ENDPOINT, headers=headers, autoping=False, max_msg_size=0
            )
        except BaseException:
            await session.close()
            raise
        return cls(session, websocket)

    @classmethod
    async def join(
        cls,
        server: RoomServer,
        room: Ed25519PrivateKey | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Connect and enter *room*, or a new one."""
        client = await cls.connect(server, headers)
        await client.enter(room or Ed25519PrivateKey.generate())
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    @classmethod
    async def member(
        cls,
        server: RoomServer,
        room: Ed25519PrivateKey,
        key: Ed25519PrivateKey,
        *,
        token: bytes | None = None,
    ) -> Self:
        """Enter as somebody who wants to come back, or has come back with *token*."""
        client = await cls.connect(server)
        client.member_key = key
        await client.enter(room, token=token)
        return client

    @property
    def token(self) -> bytes:
        """What to come back with."""
        assert self.welcome.token is not None
        return self.welcome.token

    def cut(self) -> None:
        """Lose the connection, as far as the server can tell."""
        transport = self.websocket._writer.transport
        assert transport is not None
        transport.abort()

    async def leave(self, code: int = CLOSED_FOR_GOOD) -> None:
        """Close politely."""
        await self.websocket.close(code=code)
        await self._session.close()

    async def enter(self, room: Ed25519PrivateKey, *, token: bytes | None = None) -> Welcome:
        """Prove that we belong into *room*; with `member_key` set, ask for a token, or claim *token*."""
        nonce = (await self.hear(Nonce)).nonce
        public = room.public_key().public_bytes_raw()
        key, member, claim = self.member_key, None, None
        if key is not None:
            member = key.public_key().public_bytes_raw()
            claim = None if token is None else Claim(token, key.sign(claim_bytes(nonce, token)))
        await self.say(Enter(public, room.sign(proof_bytes(nonce)), 1, member, claim))
        self.welcome = await self.hear(Welcome)
        self.address = bytes.fromhex(self.welcome.address)
        return self.welcome

    async def say(self, message: FromClient | bytes | str) -> None:
        """Send a control message, or any text."""
        text = message if isinstance(message, bytes | str) else encode(message)
        await self.websocket.send_str(text.decode() if isinstance(text, bytes) else text)

    async def send(self, target: bytes, payload: bytes) -> None:
        """Send a frame."""
        await self.websocket.send_bytes(pack_frame(target, payload))

    async def receive(self) -> aiohttp.WSMessage:
        """Whatever comes next."""
        async with asyncio.timeout(PATIENCE):
            message = await self.websocket.receive()
        assert isinstance(message, aiohttp.WSMessage)
        return message

    async def hear(self, kind: type[_T]) -> _T:
        """The next message, which must be a control message of this kind."""
        message = await self.receive()
        assert message.type is WSMsgType.TEXT, message
        said = decode_from_server(message.data)
        assert isinstance(said, kind), said
        return said

    async def frame(self) -> Relayed:
        """The next message, which must be a frame."""
        message = await self.receive()
        assert message.type is WSMsgType.BINARY, message
        frame = unpack_frame(message.data)
        assert frame is not None
        return frame

    async def until_closed(self) -> tuple[int | None, list[FromServer | None]]:
        """The close code, and the control messages that came before it."""
        said = []
        while (message := await self.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PONG):
            if message.type is WSMsgType.TEXT:
                said.append(decode_from_server(message.data))
        return self.websocket.close_code, said


@contextlib.asynccontextmanager
async def pair(server: RoomServer) -> AsyncIterator[tuple[Client, Client]]:
    """Two members of a new room who have heard of each other."""
    room = Ed25519PrivateKey.generate()
    async with await Client.join(server, room) as one, await Client.join(server, room) as other:
        assert (await one.hear(Joined)).address == other.address.hex()
        yield one, other


@contextlib.asynccontextmanager
async def neighbours(server: RoomServer) -> AsyncIterator[None]:
    """Two members of another room who talk all the time and fail the test if anything disturbs them."""
    slowest = 0.0
    async with pair(server) as (one, other):

        async def talk() -> None:
            nonlocal slowest
            for number in range(1_000_000):
                begin = time.perf_counter()
                await one.send(other.address, b"%d" % number)
                assert await other.frame() == Relayed(one.address, b"%d" % number)
                slowest = max(slowest, time.perf_counter() - begin)
                await asyncio.sleep(0.002)

        talking = asyncio.create_task(talk())
        try:
            yield
            assert not talking.done(), talking.exception()
            # Far above what it takes, far below what a stuck server would take.
            assert slowest < PATIENCE / 10
        finally:
            talking.cancel()
            await asyncio.wait((talking,))


async def eventually(is_true: Callable[[], bool]) -> None:
    """Wait until a condition holds, within limits."""
    async with asyncio.timeout(PATIENCE):
        while not is_true():
            await asyncio.sleep(0.005)


def websocket_frame(payload: bytes, opcode: int = 2, *, first: int | None = None) -> bytes:
    """One masked client frame; *first* replaces its first byte to break the rules."""
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size <= 0xFFFF:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes((0x80 | opcode if first is None else first,)) + length + bytes(4) + payload


def upgrade_request(headers: str = "") -> bytes:
    """What asks for a WebSocket."""
    return (
        f"GET {ENDPOINT} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"{headers}\r\n".encode()
    )


class RawClient:
    """A member whose bytes we write ourselves, and who reads only when told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.address = b""

    @classmethod
    async def connect(cls, server: RoomServer, *, small_buffers: bool = False) -> Self:
        """Open a TCP connection."""
        plain = socket.socket()
        if small_buffers:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", server.port))
        return cls(*await asyncio.open_connection(sock=plain, limit=4096))

    async def upgrade(self, headers: str = "") -> bytes:
        """Ask for a WebSocket; returns the head of the answer."""
        self.writer.write(upgrade_request(headers))
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def message(self) -> tuple[int, bytes]:
        """Opcode and payload of the next WebSocket frame."""
        async with asyncio.timeout(PATIENCE):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return first & 0x0F, await self.reader.readexactly(size)

    async def enter(self, room: Ed25519PrivateKey) -> None:
        """Upgrade and prove that we belong into *room*."""
        await self.upgrade()
        nonce = decode_from_server((await self.message())[1])
        assert isinstance(nonce, Nonce)
        public = room.public_key().public_bytes_raw()
        proof = Enter(public, room.sign(proof_bytes(nonce.nonce)), 1)
        self.writer.write(websocket_frame(encode(proof), 1))
        welcome = decode_from_server((await self.message())[1])
        assert isinstance(welcome, Welcome)
        self.address = bytes.fromhex(welcome.address)

    async def close_code(self) -> int:
        """Read on until the server closes; the code it gives, or 1006 if it just hangs up."""
        try:
            while True:
                opcode, payload = await self.message()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006

    async def is_hung_up(self) -> bool:
        """Whether the server ends the TCP connection within our patience."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while await self.reader.read(65_536):
                    pass
        return True

    def abort(self) -> None:
        """Break the connection."""
        self.writer.transport.abort()
