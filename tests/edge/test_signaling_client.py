"""The client's side of the conversation with a signaling server: a real one, and ones that misbehave."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.events import Event, MemberJoined, MemberLeft, ServerEntered, ServerLost
from peer.edge import visit
from peer.edge.server_url import ServerUrl
from peer.edge.signaling_client import SignalingClient
from peer.errors import UsageError
from signaling import messages
from signaling.server import RoomServer
from signaling.settings import Settings

PATIENCE = 10.0
ROOM = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
E = TypeVar("E", bound=Event)


class Guest:
    """A client in a room, and all that it was told."""

    def __init__(self, url: str, room: Ed25519PrivateKey = ROOM) -> None:
        self.told: asyncio.Queue[Event] = asyncio.Queue()
        self.relayed: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self.ice_servers: Sequence[messages.IceServer] = ()
        self.client = SignalingClient(
            (url,),
            room,
            self.told.put_nowait,
            lambda address, payload: self.relayed.put_nowait((address, payload)),
            rng=random.Random(1),
            on_ice_servers=self._take_ice_servers,
        )
        self.run = asyncio.create_task(self.client.run())

    def _take_ice_servers(self, servers: Sequence[messages.IceServer]) -> None:
        self.ice_servers = servers

    async def next(self, kind: type[E]) -> E:
        async with asyncio.timeout(PATIENCE):
            event = await self.told.get()
        assert isinstance(event, kind), event
        return event

    async def frame(self) -> tuple[bytes, bytes]:
        async with asyncio.timeout(PATIENCE):
            return await self.relayed.get()

    async def ended(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return await self.run


@asynccontextmanager
async def guest(url: str, room: Ed25519PrivateKey = ROOM) -> AsyncIterator[Guest]:
    made = Guest(url, room)
    try:
        yield made
    finally:
        await made.client.aclose()
        assert made.run.done()


def real_server(port: int = 0, motd: str = "", room_members: int = 64) -> RoomServer:
    servers = (messages.IceServer(("stun:stun.example",)),)
    return RoomServer(Settings(port=port, motd=motd, ice_servers=servers, room_members=room_members))


# --- with the real server ---------------------------------------------------------------------------


async def test_two_guests_meet_and_pass_frames() -> None:
    async with real_server(motd="hello\x1b there") as server, guest(server.url) as ana:
        entered = await ana.next(ServerEntered)
        assert entered.members == ()
        assert entered.motd == "hello there"
        assert [each.urls for each in ana.ice_servers] == [("stun:stun.example",)]
        async with guest(server.url) as ben:
            there = await ben.next(ServerEntered)
            assert there.members == (entered.address,)
            assert await ana.next(MemberJoined) == MemberJoined(there.address)
            payloads = [b"", b"x" * 32_768, *(bytes([number]) for number in range(100))]
            for payload in payloads:
                ana.client.send_relay(there.address, payload)
            for payload in payloads:
                assert await ben.frame() == (entered.address, payload)
            ben.client.send_relay(entered.address, b"last words")
        assert await ana.frame() == (there.address, b"last words")
        assert await ana.next(MemberLeft) == MemberLeft(there.address)
        ana.client.send_relay(there.address, b"are you there?")
        assert await ana.next(MemberLeft) == MemberLeft(there.address)


async def test_credentials_are_renewed_before_they_expire() -> None:
    settings = Settings(
        port=0, stun=("stun:s",), turn=("turn:t",), turn_secret="north-wind-and-the-sun", turn_seconds=4.0
    )
    async with RoomServer(settings) as server, guest(server.url) as ana:
        await ana.next(ServerEntered)
        names = {server.username for server in ana.ice_servers}
        assert len(names) == 2
        async with asyncio.timeout(PATIENCE):
            while len(names | {server.username for server in ana.ice_servers}) < 4:
                assert int((ana.ice_servers[1].username or "").partition(":")[0]) > time.time()
                names |= {server.username for server in ana.ice_servers}
                await asyncio.sleep(0.02)
        assert ana.told.empty()


async def test_a_list_outlives_the_connection_but_not_its_time() -> None:
    settings = Settings(port=0, turn=("turn:t",), turn_secret="north-wind-and-the-sun", turn_seconds=1.0)
    async with RoomServer(settings) as server, guest(server.url) as ana:
        await ana.next(ServerEntered)
        await server.drain()
        await ana.next(ServerLost)
        async with asyncio.timeout(PATIENCE):
            while ana.ice_servers:
                await asyncio.sleep(0.02)
                ana.client.check_ice_servers()


async def test_another_key_is_another_room() -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    async with real_server() as server, guest(server.url) as ana, guest(server.url, other) as ben:
        await ana.next(ServerEntered)
        assert (await ben.next(ServerEntered)).members == ()
        assert ana.told.empty()


async def test_a_server_that_comes_back_is_found_again() -> None:
    async with real_server() as server:
        port = server.port
        ana = Guest(server.url)
        await ana.next(ServerEntered)
    lost = await ana.next(ServerLost)
    assert lost.reason == f"the server 127.0.0.1:{port}: it was stopped, or is restarting"
    ana.client.send_relay(bytes(8), b"goes nowhere")
    async with real_server(port):
        async with asyncio.timeout(PATIENCE):
            while not isinstance(event := await ana.told.get(), ServerEntered):
                assert isinstance(event, ServerLost)
        await ana.client.aclose()


async def test_a_server_that_is_not_there_is_named_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with guest(f"127.0.0.1:{port}") as ana:
            lost = await ana.next(ServerLost)
            assert lost.reason.startswith(f"the server 127.0.0.1:{port}: no connection: ")
            while ana.client._rota._breakers[f"127.0.0.1:{port}"].failures < 3:
                await asyncio.sleep(0.01)
            assert ana.told.empty()


async def test_a_full_room_may_be_tried_again() -> None:
    async with real_server(room_members=1) as server, guest(server.url) as ana:
        await ana.next(ServerEntered)
        async with guest(server.url) as ben:
            assert "(4009" in (await ben.next(ServerLost)).reason
            assert not ben.run.done()


# --- with servers that misbehave ----------------------------------------------------------------------

Script = Callable[[web.WebSocketResponse], Awaitable[None]]
WELCOME = messages.Welcome("ab" * 8, (), messages.Limits(64, 65536, 1e3, 1e6, 1 << 22), (), "x", "", 20.0)


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[str]:
    """A server that plays one script for each connection, the last one for ever."""
    visits = 0
    running: set[asyncio.Task[None]] = set()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        nonlocal visits
        script = scripts[min(visits, len(scripts) - 1)]
        visits += 1
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        task = asyncio.ensure_future(script(socket))
        running.add(task)
        await asyncio.wait({task})
        running.discard(task)
        if not task.cancelled():
            task.result()
        return socket

    application = web.Application()
    application.router.add_get(messages.ENDPOINT, serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        for task in running:
            task.cancel()
        await runner.cleanup()


async def challenge(socket: web.WebSocketResponse, protocol: tuple[int, int] = (1, 1)) -> None:
    nonce = b"n" * messages.NONCE_BYTES
    await socket.send_str(messages.encode(messages.Nonce(nonce, "test", protocol)).decode())


async def let_in(socket: web.WebSocketResponse, welcome: messages.Welcome = WELCOME) -> None:
    nonce = b"n" * messages.NONCE_BYTES
    await challenge(socket)
    enter = messages.decode_from_client(await socket.receive_str())
    assert isinstance(enter, messages.Enter)
    assert messages.verify(enter.room_key, nonce, enter.signature)
    await socket.send_str(messages.encode(welcome).decode())


async def let_in_and_wait(socket: web.WebSocketResponse) -> None:
    await let_in(socket)
    await socket.receive()


def then_say(*words: str | bytes) -> Script:
    async def script(socket: web.WebSocketResponse) -> None:
        await let_in(socket)
        for word in words:
            await (socket.send_str(word) if isinstance(word, str) else socket.send_bytes(word))
        await socket.receive()

    return script


def then_close(code: int, *, first: messages.FromServer | None = None, words: bytes = b"") -> Script:
    async def script(socket: web.WebSocketResponse) -> None:
        await let_in(socket)
        if first is not None:
            await socket.send_str(messages.encode(first).decode())
        await socket.close(code=code, message=words)

    return script


async def silence(socket: web.WebSocketResponse) -> None:
    await socket.receive()


@pytest.mark.parametrize("code", [4500, 4501, 4502, 4526, 4999, 1002, 1009])
async def test_a_final_code_ends_it_with_one_clear_reason(code: int) -> None:
    async with scripted(then_close(code, words=b"your proof is wrong")) as url, guest(url) as ana:
        await ana.next(ServerEntered)
        reason = await ana.ended()
        assert reason.endswith(f"it closed the connection ({code}): your proof is wrong")
        assert (await ana.next(ServerLost)).reason == reason
        assert ana.told.empty()


async def test_the_servers_own_words_are_passed_on() -> None:
    error = messages.Error(4501, "wrong-proof", "The signature does not fit.", retryable=False)
    async with scripted(then_close(4501, first=error)) as url, guest(url) as ana:
        assert (await ana.ended()).endswith("The signature does not fit. (4501 wrong-proof)")


async def test_a_refusal_instead_of_a_challenge_is_understood() -> None:
    async def refuse(socket: web.WebSocketResponse) -> None:
        error = messages.Error(4526, "wrong-protocol", "Update.", retryable=False)
        await socket.send_str(messages.encode(error).decode())
        await socket.close(code=4526)

    async with scripted(refuse) as url, guest(url) as ana:
        assert "Update. (4526" in await ana.ended()


@pytest.mark.parametrize(
    ("protocol", "who"), [((2, 3), "Weft here is too old"), ((0, 0), "the server is too old")]
)
async def test_a_protocol_nobody_shares_is_final(protocol: tuple[int, int], who: str) -> None:
    async def ask(socket: web.WebSocketResponse) -> None:
        await challenge(socket, protocol)
        await socket.receive()

    async with scripted(ask) as url, guest(url) as ana:
        assert who in await ana.ended()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (then_close(4029), "(4029)"),
        (then_close(1001), "(1001)"),
        (then_say("rubbish"), "not in the protocol"),
        (then_say('{"type":"joined","address":"xyz"}'), "an address that cannot be read"),
        (then_say(b"\x01short"), "not in the protocol"),
        (then_say(b""), "not in the protocol"),
    ],
)
async def test_after_a_passing_trouble_it_comes_back(script: Script, words: str) -> None:
    async with scripted(script, let_in_and_wait) as url, guest(url) as ana:
        await ana.next(ServerEntered)
        assert words in (await ana.next(ServerLost)).reason
        await ana.next(ServerEntered)


async def test_a_server_that_hangs_up_without_a_word_is_tried_again() -> None:
    async def hang_up(socket: web.WebSocketResponse) -> None:
        await let_in(socket)
        transport = socket._req.transport if socket._req is not None else None
        assert transport is not None
        transport.close()

    async with scripted(hang_up, let_in_and_wait) as url, guest(url) as ana:
        await ana.next(ServerEntered)
        assert "the connection broke off" in (await ana.next(ServerLost)).reason
        await ana.next(ServerEntered)


async def test_what_a_newer_server_says_is_ignored() -> None:
    words = ('{"type":"weather"}', b"\x09whatever", '{"type":"joined","address":"0102030405060708"}')
    async with scripted(then_say(*words)) as url, guest(url) as ana:
        await ana.next(ServerEntered)
        assert await ana.next(MemberJoined) == MemberJoined(bytes(range(1, 9)))


async def test_a_server_that_says_much_at_once_leaves_room_for_turns() -> None:
    """Else what it says would fill the inbox faster than turns can empty it, and end the session."""
    word = '{"type":"joined","address":"0102030405060708"}'
    most = 0
    async with scripted(then_say(*[word] * 5_000)) as url, guest(url) as ana:
        async with asyncio.timeout(PATIENCE):
            for _ in range(5_000):
                most = max(most, ana.told.qsize())
                await ana.told.get()
    assert most <= 2 * visit._MESSAGES_PER_TURN


async def test_a_ping_is_answered_at_once() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def ping(socket: web.WebSocketResponse) -> None:
        await let_in(socket)
        await socket.send_str(messages.encode(messages.Ping()).decode())
        heard.put_nowait(await socket.receive_str())
        await socket.receive()

    async with scripted(ping) as url, guest(url):
        async with asyncio.timeout(PATIENCE):
            assert messages.decode_from_client(await heard.get()) == messages.Pong()


async def test_a_silent_server_is_given_up() -> None:
    welcome = messages.Welcome("ab" * 8, (), WELCOME.limits, (), "x", "", 0.0)

    async def fall_asleep(socket: web.WebSocketResponse) -> None:
        await let_in(socket, welcome)
        await socket.receive()

    async with scripted(fall_asleep) as url, guest(url) as ana:
        await ana.next(ServerEntered)
        assert (await ana.next(ServerLost)).reason.endswith("nothing was heard from it for 1.5 s")


async def test_a_server_that_never_challenges_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "_STEP_SECONDS", 0.2)
    async with scripted(silence) as url, guest(url) as ana:
        assert "it did not challenge us within 0.2 s" in (await ana.next(ServerLost)).reason


async def test_a_server_that_never_lets_us_in_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "_STEP_SECONDS", 0.2)

    async def ask_only(socket: web.WebSocketResponse) -> None:
        await challenge(socket)
        await socket.receive()
        await socket.receive()

    async with scripted(ask_only) as url, guest(url) as ana:
        assert "it did not let us into the room within 0.2 s" in (await ana.next(ServerLost)).reason


async def test_a_port_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "_STEP_SECONDS", 0.2)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(1)
        async with guest(f"127.0.0.1:{mute.getsockname()[1]}") as ana:
            assert "no connection within 0.2 s" in (await ana.next(ServerLost)).reason


async def test_a_server_that_does_not_read_costs_a_bounded_queue() -> None:
    async def never_read(socket: web.WebSocketResponse) -> None:
        await let_in(socket)
        await asyncio.sleep(PATIENCE)

    async with scripted(never_read, let_in_and_wait) as url, guest(url) as ana:
        await ana.next(ServerEntered)
        for _ in range(visit._FRAMES_LIMIT + 2):
            ana.client.send_relay(bytes(8), b"x")
        assert "it does not take what we send" in (await ana.next(ServerLost)).reason
        await ana.next(ServerEntered)
        for _ in range(visit._BYTES_LIMIT // 32_768 + 1):
            ana.client.send_relay(bytes(8), bytes(32_768))
        assert "it does not take what we send" in (await ana.next(ServerLost)).reason


async def test_whoever_leaves_sends_what_waits_first() -> None:
    frames: list[bytes] = []
    left = asyncio.Event()

    async def collect(socket: web.WebSocketResponse) -> None:
        await let_in(socket)
        async for message in socket:
            frames.append(message.data)
        left.set()

    # More than the sockets between the two hold, so that a part still waits in the client.
    async with scripted(collect) as url:
        async with guest(url) as ana:
            await ana.next(ServerEntered)
            for _ in range(220):
                ana.client.send_relay(bytes(8), bytes(32_768))
        async with asyncio.timeout(PATIENCE):
            await left.wait()
    assert len(frames) == 220


@asynccontextmanager
async def http_only(status: int, headers: dict[str, str]) -> AsyncIterator[str]:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, headers=headers)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_something_else_than_a_weft_server_says_so() -> None:
    async with http_only(404, {}) as url, guest(url) as ana:
        assert "is not a Weft server (HTTP 404)" in (await ana.next(ServerLost)).reason
        assert not ana.run.done()


async def test_a_refusal_before_the_websocket_is_understood() -> None:
    busy = {"Weft-Error": "4031 address-full", "Retry-After": "7"}
    async with http_only(429, busy) as url, guest(url) as ana:
        assert "refused the connection: address full (4031)" in (await ana.next(ServerLost)).reason
        assert not ana.run.done()
    async with http_only(403, {"Weft-Error": "4503 wrong-origin"}) as url, guest(url) as ana:
        assert "wrong origin (4503)" in await ana.ended()


# --- addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url", "name"),
    [
        ("weft.example", "wss://weft.example/v1/ws", "weft.example"),
        ("weft.example:8443", "wss://weft.example:8443/v1/ws", "weft.example:8443"),
        ("weft.example/team/", "wss://weft.example/team/v1/ws", "weft.example/team"),
        ("8.8.8.8", "wss://8.8.8.8/v1/ws", "8.8.8.8"),
        ("localhost", "ws://localhost:8787/v1/ws", "localhost:8787"),
        ("127.0.0.1", "ws://127.0.0.1:8787/v1/ws", "127.0.0.1:8787"),
        ("127.0.0.1:99", "ws://127.0.0.1:99/v1/ws", "127.0.0.1:99"),
        ("192.168.1.5", "ws://192.168.1.5:8787/v1/ws", "192.168.1.5:8787"),
        ("nas.local", "ws://nas.local:8787/v1/ws", "nas.local:8787"),
        ("::1", "ws://[::1]:8787/v1/ws", "[::1]:8787"),
        ("[fd00::2]:99", "ws://[fd00::2]:99/v1/ws", "[fd00::2]:99"),
        (" https://weft.example/ ", "wss://weft.example/v1/ws", "weft.example"),
        ("http://weft.example", "ws://weft.example/v1/ws", "weft.example"),
        ("ws://127.0.0.1:8787", "ws://127.0.0.1:8787/v1/ws", "127.0.0.1:8787"),
        ("wss://weft.example/v1/ws", "wss://weft.example/v1/ws", "weft.example"),
    ],
)
def test_a_server_may_be_written_in_many_ways(text: str, url: str, name: str) -> None:
    assert ServerUrl.parse(text) == ServerUrl(url, name)


@pytest.mark.parametrize(
    "text",
    ["", "   ", "ftp://x", "ws://", "weft.example:port", "ws://x:99999", "ws://[::1", "[::1", "ws://x/?a=b",
     "ws://x/#y", "ws://user:pass@x", "https://weft.example/j#secret"],
)  # fmt: skip
def test_what_is_no_server_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a server"):
        ServerUrl.parse(text)
