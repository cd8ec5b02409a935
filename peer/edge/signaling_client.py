"""The connection to the signaling server: enters the room, stays in it, comes back when it breaks.

One visit is one WebSocket: challenge, proof, welcome, then frames both ways until it ends.  Why a visit
ended is an `Ending`, which also says whether and when to come again.  The wire is `signaling.messages`.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.certificates import public_bytes
from peer.core.events import Event, MemberJoined, MemberLeft, ServerEntered, ServerLost
from peer.edge.endings import Ending, closed, raise_if_error, refused_before, to_address
from peer.edge.server_url import ServerUrl
from signaling import messages

if TYPE_CHECKING:
    import aiohttp

__all__ = ["SignalingClient"]

_STEP_SECONDS: Final = 10.0
"""For the server to be reached, to challenge us, and to let us in, each; as long as it waits for us."""

_SILENT_PINGS: Final = 1.5
"""A server that is quiet for this many of its own ping intervals is gone (30 s by default)."""

_PING_SECONDS_RANGE: Final = (1.0, 60.0)
"""Whatever a server says its interval is, we take it to be within this."""

_RETRY_FIRST_SECONDS: Final = 0.5
_RETRY_LONGEST_SECONDS: Final = 30.0
"""Waits grow from the first to the longest by doubling, each cut at random so that not all come at once."""

_STEADY_SECONDS: Final = 10.0
"""A visit that lasted this long was a success; after a shorter one the waits go on growing."""

_CLOSE_SECONDS: Final = 1.0
"""For the server to answer our closing, and for our last frames to leave."""

_FRAMES_LIMIT: Final = 8192
_BYTES_LIMIT: Final = 8 * 1024 * 1024
"""What may wait for the server: twice what it holds for one client, so it is not us who gives up first."""

_MESSAGES_PER_TURN: Final = 64
"""After so many the loop goes round: what was read at once may be thousands, and a turn takes 256 events."""

_MOTD_LIMIT: Final = 200
"""Characters of the operator's message that people are shown: two lines."""

_HINT_LIMIT_SECONDS: Final = 300.0
"""The longest that a server may ask us to stay away."""

_RETRY_DOUBLINGS: Final = 6
"""After so many the longest wait is reached."""

_OURS: Final = f"{messages.PROTOCOL_MIN} to {messages.PROTOCOL_MAX}"

_M = TypeVar("_M", messages.Nonce, messages.Welcome)

Relay = Callable[[bytes, bytes], None]


class _Outbox:
    """What waits to be written; control messages first, so that a pong never waits behind frames."""

    def __init__(self) -> None:
        self.overflow = asyncio.get_running_loop().create_future()
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
        if (self._bytes > _BYTES_LIMIT or waiting > _FRAMES_LIMIT) and not self.overflow.done():
            self.overflow.set_exception(Ending("it does not take what we send"))

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


class SignalingClient:
    """Our place in one room of one server, kept by `run`.

    *emit* is told `ServerEntered`, `ServerLost`, `MemberJoined` and `MemberLeft`; *on_relay* is given the
    sender's address and the payload of each frame; *on_ice_servers* is given the server's list right
    before `ServerEntered`.  All three must return at once.  *rng* spreads the waits.  *connector* makes what
    finds the server's socket, where that is not left to the system.
    """

    def __init__(
        self,
        url: str,
        room_key: Ed25519PrivateKey,
        emit: Callable[[Event], None],
        on_relay: Relay,
        *,
        rng: random.Random,
        on_ice_servers: Callable[[Sequence[messages.IceServer]], None] = lambda _: None,
        connector: Callable[[], "aiohttp.BaseConnector | None"] = lambda: None,
    ) -> None:
        """Raise `UsageError` if *url* does not name a server."""
        self.server = ServerUrl.parse(url)
        self._room_key = room_key
        self._emit = emit
        self._on_relay = on_relay
        self._on_ice_servers = on_ice_servers
        self._connector = connector
        self._rng = rng
        self._outbox: _Outbox | None = None
        self._runner: asyncio.Task[object] | None = None
        self._told: str | None = None
        self._failures = 0

    async def run(self) -> str:
        """Stay in the room until the server says that coming back is useless; return why.

        Cancel it, or call `aclose`, to leave.
        """
        self._runner = asyncio.current_task()
        aiohttp = await asyncio.to_thread(_import_aiohttp)
        async with aiohttp.ClientSession(connector=self._connector()) as http:
            while True:
                entered = asyncio.get_running_loop().time()
                try:
                    await self._visit(http)
                except Ending as ending:
                    if asyncio.get_running_loop().time() - entered > _STEADY_SECONDS:
                        self._failures = 0
                    self._tell(ending)
                    if ending.final:
                        return self._sentence(ending)
                    await asyncio.sleep(self._pause(ending))

    def send_relay(self, address: bytes, payload: bytes) -> None:
        """Send *payload* to *address*; dropped when we are not in the room, which `emit` was told."""
        if self._outbox is not None:
            self._outbox.put_frame(messages.pack_frame(address, payload))

    async def aclose(self) -> None:
        """Send what waits (with a limit), then leave the room and end `run`."""
        outbox, runner = self._outbox, self._runner
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                if outbox is not None:
                    await outbox.flush()
        if runner is not None and not runner.done():
            runner.cancel()
            await asyncio.wait({runner}, timeout=3 * _CLOSE_SECONDS)

    # --- one visit ----------------------------------------------------------------------------------

    async def _visit(self, http: "aiohttp.ClientSession") -> None:
        """Enter the room and stay; always ends with an `Ending`."""
        async with self._connected(http) as socket:
            welcome = await self._enter(socket)
            outbox = _Outbox()
            try:
                self._announce(welcome, outbox)
                await _first_of(
                    self._read(socket, welcome.ping_seconds, outbox), _write(outbox, socket), outbox.overflow
                )
            finally:
                self._outbox = None

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
            await socket.close()

    async def _enter(self, socket: "aiohttp.ClientWebSocketResponse") -> messages.Welcome:
        nonce = await self._expect(socket, messages.Nonce, "did not challenge us")
        lowest, highest = nonce.protocol
        if not lowest <= messages.PROTOCOL_MAX or not highest >= messages.PROTOCOL_MIN:
            who = "Weft here is too old" if lowest > messages.PROTOCOL_MAX else "the server is too old"
            raise Ending(f"{who}: it speaks protocol {lowest} to {highest}, we speak {_OURS}", final=True)
        proof = self._room_key.sign(messages.proof_bytes(nonce.nonce))
        protocol = min(highest, messages.PROTOCOL_MAX)
        await socket.send_str(
            messages.encode(messages.Enter(public_bytes(self._room_key), proof, protocol)).decode()
        )
        return await self._expect(socket, messages.Welcome, "did not let us into the room")

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

    def _announce(self, welcome: messages.Welcome, outbox: _Outbox) -> None:
        address = to_address(welcome.address)
        members = tuple(map(to_address, welcome.members))
        self._told = None
        self._outbox = outbox
        self._on_ice_servers(welcome.ice_servers)
        motd = "".join(letter for letter in welcome.motd[:_MOTD_LIMIT] if letter.isprintable())
        self._emit(ServerEntered(address, members, motd, called=welcome.server[:_MOTD_LIMIT]))

    async def _read(
        self, socket: "aiohttp.ClientWebSocketResponse", ping_seconds: float, outbox: _Outbox
    ) -> None:
        shortest, longest = _PING_SECONDS_RANGE
        patience = _SILENT_PINGS * min(max(ping_seconds, shortest), longest)
        restarting: float | None = None
        taken = 0
        while True:
            try:
                async with asyncio.timeout(patience):
                    message = await _receive(socket, restarting)
            except TimeoutError as error:
                raise Ending(f"nothing was heard from it for {patience:g} s") from error
            if isinstance(message, messages.Restarting):
                restarting = message.reconnect_in_ms / 1000
            elif isinstance(message, messages.Ping):
                outbox.put_control(messages.Pong())
            else:
                self._take(message)
                taken += 1
                if taken % _MESSAGES_PER_TURN == 0:
                    await asyncio.sleep(0)

    def _take(self, message: messages.FromServer | messages.Relayed | None) -> None:
        match message:
            case messages.Relayed(address, payload):
                self._on_relay(address, payload)
            case messages.Joined():
                self._emit(MemberJoined(to_address(message.address)))
            case messages.Left() | messages.PeerGone():
                self._emit(MemberLeft(to_address(message.address)))
            case _:
                raise_if_error(message)

    # --- between visits -----------------------------------------------------------------------------

    def _sentence(self, ending: Ending) -> str:
        return f"the server {self.server.name}: {ending.reason}"

    def _tell(self, ending: Ending) -> None:
        """Say that we are out, once for each time and reason."""
        if ending.reason != self._told:
            self._told = ending.reason
            self._emit(ServerLost(self._sentence(ending)))

    def _pause(self, ending: Ending) -> float:
        longest = min(_RETRY_LONGEST_SECONDS, _RETRY_FIRST_SECONDS * 2.0**self._failures)
        self._failures = min(self._failures + 1, _RETRY_DOUBLINGS)
        return max(self._rng.uniform(0, longest), min(ending.wait or 0.0, _HINT_LIMIT_SECONDS))


def _import_aiohttp() -> ModuleType:
    import aiohttp

    return aiohttp


async def _receive(
    socket: "aiohttp.ClientWebSocketResponse", restarting: float | None = None
) -> messages.FromServer | messages.Relayed | None:
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


async def _write(outbox: _Outbox, socket: "aiohttp.ClientWebSocketResponse") -> None:
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
