"""One WebSocket in one room: challenge, proof, welcome, then frames both ways until it ends.

A visit always ends with an `Ending`, which says why, and whether and when to come again.  Who uses its
frames, and whether it is the one that counts, is decided by `signaling_client`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.certificates import public_bytes
from peer.edge.endings import Ending, closed, raise_if_error, refused_before, to_address
from peer.edge.server_url import ServerUrl
from signaling import messages

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Outbox", "Place", "Visit"]

_STEP_SECONDS: Final = 10.0
"""For the server to be reached, to challenge us, and to let us in, each; as long as it waits for us."""

_SILENT_PINGS: Final = 1.5
"""A server that is quiet for this many of its own ping intervals is gone (30 s by default)."""

_PING_SECONDS_RANGE: Final = (1.0, 60.0)
"""Whatever a server says its interval is, we take it to be within this."""

_PROBE_SECONDS: Final = 1.0
"""For anything to come back when we doubt a connection: more than nearly all ways take, and being wrong costs
no more than connecting again."""

_MESSAGES_PER_TURN: Final = 64
"""After so many the loop goes round: what was read at once may be thousands, and a turn takes 256 events."""

_CLOSE_SECONDS: Final = 1.0
"""For the server to answer our closing."""

_FRAMES_LIMIT: Final = 8192
_BYTES_LIMIT: Final = 8 * 1024 * 1024
"""What may wait for the server: twice what it holds for one client, so it is not us who gives up first."""

_MEMBERS_LIMIT: Final = 1024
"""Addresses that we remember to be in a room; sixteen times what a server lets in by default."""

_OURS: Final = f"{messages.PROTOCOL_MIN} to {messages.PROTOCOL_MAX}"

_M = TypeVar("_M", messages.Nonce, messages.Welcome)

Message = messages.FromServer | messages.Relayed | None


@dataclass(slots=True)
class Place:
    """What gives us our address back at one server: a key that only it knows, and its last token."""

    key: Ed25519PrivateKey
    token: bytes | None = None


class Outbox:
    """What waits to be written; control messages first, so that a pong never waits behind frames."""

    def __init__(self) -> None:
        self.fault = asyncio.get_running_loop().create_future()
        self._control: deque[bytes] = deque()
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    def put_control(self, message: messages.FromClient) -> None:
        """Send a control message before any frame that waits."""
        self._control.append(messages.encode(message))
        self._added()

    def put_frame(self, frame: bytes) -> None:
        """Send a frame in its turn."""
        self._frames.append(frame)
        self._bytes += len(frame)
        self._added()

    def _added(self) -> None:
        self._filled.set()
        self._emptied.clear()
        waiting = len(self._frames) + len(self._control)
        if self._bytes > _BYTES_LIMIT or waiting > _FRAMES_LIMIT:
            self.fail(Ending("it does not take what we send"))

    def fail(self, ending: Ending) -> None:
        """End the visit for a reason of ours; the first one counts."""
        if not self.fault.done():
            self.fault.set_exception(ending)

    async def write_to(self, socket: "aiohttp.ClientWebSocketResponse") -> None:
        """Write whatever comes, for ever."""
        while True:
            await self._filled.wait()
            while self._control or self._frames:
                if self._control:
                    await socket.send_str(self._control.popleft().decode())
                else:
                    frame = self._frames.popleft()
                    self._bytes -= len(frame)
                    await socket.send_bytes(frame)
            self._filled.clear()
            self._emptied.set()

    async def flush(self) -> None:
        """Wait until everything has been handed to the operating system."""
        await self._emptied.wait()


class Visit:
    """From the connection to its end.

    Attributes:
        server: where; *name* is how whoever made this visit calls it.
        address: ours in the room, once inside.
        members: addresses of the others who are there now.
        take: is given each message about others, once set; until then only *members* is kept.
        leaves: whether to say goodbye at the end, instead of meaning to come back.
    """

    def __init__(self, name: str, room_key: Ed25519PrivateKey, place: Place) -> None:
        """Raise `UsageError` if *name* does not name a server."""
        self.name = name
        self.server = ServerUrl.parse(name)
        self.address = b""
        self.members: set[bytes] = set()
        self.welcome: messages.Welcome | None = None
        self.take: Callable[[Message], None] | None = None
        self.leaves = False
        self.outbox: Outbox | None = None
        self._room_key = room_key
        self._place = place
        self._heard = 0

    async def run(self, http: "aiohttp.ClientSession", entered: Callable[["Visit"], None]) -> None:
        """Enter the room, say so, and stay; always ends with an `Ending`."""
        async with self._connected(http) as socket:
            welcome = self.welcome = await self._enter(socket)
            self.address = to_address(welcome.address)
            self.members = set(map(to_address, welcome.members[:_MEMBERS_LIMIT]))
            self._place.token = welcome.token
            outbox = self.outbox = Outbox()
            entered(self)
            try:
                await _first_of(self._read(socket, outbox), _write(outbox, socket), outbox.fault)
            finally:
                self.outbox = None

    def probe(self) -> None:
        """Something is wrong with the network: if nothing comes back soon, this connection is dead."""
        if self.outbox is not None:
            self.outbox.put_control(messages.Ping())
            asyncio.get_running_loop().call_later(_PROBE_SECONDS, self._check, self.outbox, self._heard)

    def _check(self, outbox: Outbox, heard: int) -> None:
        if self._heard == heard:
            outbox.fail(Ending(f"nothing came back for {_PROBE_SECONDS:g} s, and the network is in doubt"))

    def leave(self) -> None:
        """Say goodbye, and end."""
        self.leaves = True
        if self.outbox is not None:
            self.outbox.fail(Ending("we left it"))

    # --- getting in -----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _connected(
        self, http: "aiohttp.ClientSession"
    ) -> AsyncIterator["aiohttp.ClientWebSocketResponse"]:
        import aiohttp

        try:
            async with asyncio.timeout(_STEP_SECONDS):
                socket = await http.ws_connect(
                    self.server.url,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
                    max_msg_size=messages.LARGEST_MESSAGE_BYTES,
                    compress=0,
                )
        except aiohttp.WSServerHandshakeError as error:
            raise refused_before(error) from error
        except TimeoutError as error:
            raise Ending(f"no connection within {_STEP_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Ending(f"no connection: {error}") from error
        try:
            yield socket
        finally:
            await socket.close(code=messages.CLOSED_FOR_GOOD if self.leaves else messages.CLOSED_FOR_NOW)

    async def _enter(self, socket: "aiohttp.ClientWebSocketResponse") -> messages.Welcome:
        nonce = await self._expect(socket, messages.Nonce, "did not challenge us")
        lowest, highest = nonce.protocol
        if not lowest <= messages.PROTOCOL_MAX or not highest >= messages.PROTOCOL_MIN:
            who = "Weft here is too old" if lowest > messages.PROTOCOL_MAX else "the server is too old"
            raise Ending(f"{who}: it speaks protocol {lowest} to {highest}, we speak {_OURS}", final=True)
        await socket.send_str(messages.encode(self._proof(nonce.nonce, highest)).decode())
        return await self._expect(socket, messages.Welcome, "did not let us into the room")

    def _proof(self, nonce: bytes, highest: int) -> messages.Enter:
        place = self._place
        claim = None
        if place.token is not None:
            signature = place.key.sign(messages.claim_bytes(nonce, place.token))
            claim = messages.Claim(place.token, signature)
        return messages.Enter(
            public_bytes(self._room_key),
            self._room_key.sign(messages.proof_bytes(nonce)),
            min(highest, messages.PROTOCOL_MAX),
            public_bytes(place.key),
            claim,
        )

    async def _expect(self, socket: "aiohttp.ClientWebSocketResponse", kind: type[_M], failing: str) -> _M:
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                while True:
                    message = await _receive(socket)
                    if isinstance(message, kind):
                        return message
                    raise_if_error(message)
        except TimeoutError as error:
            raise Ending(f"it {failing} within {_STEP_SECONDS:g} s") from error

    # --- staying --------------------------------------------------------------------------------------

    async def _read(self, socket: "aiohttp.ClientWebSocketResponse", outbox: Outbox) -> None:
        assert self.welcome is not None, "nobody reads before the welcome"
        shortest, longest = _PING_SECONDS_RANGE
        patience = _SILENT_PINGS * min(max(self.welcome.ping_seconds, shortest), longest)
        restarting: float | None = None
        while True:
            try:
                async with asyncio.timeout(patience):
                    message = await _receive(socket, restarting)
            except TimeoutError as error:
                raise Ending(f"nothing was heard from it for {patience:g} s") from error
            self._heard += 1
            if isinstance(message, messages.Restarting):
                restarting = message.reconnect_in_ms / 1000
            elif isinstance(message, messages.Ping):
                outbox.put_control(messages.Pong())
            else:
                self._note(message)
                if self._heard % _MESSAGES_PER_TURN == 0:
                    await asyncio.sleep(0)

    def _note(self, message: Message) -> None:
        raise_if_error(message)
        match message:
            case messages.Joined() | messages.Back() if len(self.members) < _MEMBERS_LIMIT:
                self.members.add(to_address(message.address))
            case messages.Left() | messages.Away() | messages.PeerGone():
                self.members.discard(to_address(message.address))
            case _:
                pass  # nothing that changes who is there
        if self.take is not None:
            self.take(message)


async def _receive(socket: "aiohttp.ClientWebSocketResponse", restarting: float | None = None) -> Message:
    """Return the next message, `None` for one that a newer server may send.

    Raises:
        Ending: there is none, or it cannot be read.
    """
    from aiohttp import WSMsgType

    message = await socket.receive()
    try:
        if message.type is WSMsgType.TEXT:
            return messages.decode_from_server(message.data)
        if message.type is WSMsgType.BINARY:
            return messages.unpack_frame(message.data)
    except messages.Malformed as error:
        raise Ending(f"it said something that is not in the protocol: {error}") from error
    raise closed(socket.close_code, message.extra, restarting)


async def _write(outbox: Outbox, socket: "aiohttp.ClientWebSocketResponse") -> None:
    try:
        await outbox.write_to(socket)
    except OSError as error:
        raise Ending(f"the connection broke off: {error}") from error


async def _first_of(*work: Coroutine[Any, Any, None] | asyncio.Future[None]) -> None:
    """Wait for the first of *work* to end, end the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
