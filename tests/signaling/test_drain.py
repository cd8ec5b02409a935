"""Going down: everybody is told when to come back, nobody holds it up, and the process ends in time."""

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import replace

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.messages import ENDPOINT, Nonce, Restarting, decode_from_server
from signaling.server import RoomServer
from signaling.settings import Settings
from tests.signaling.clients import PATIENCE, Client, RawClient, eventually, websocket_frame

SETTINGS = Settings(port=0)


async def test_everybody_is_told_a_moment_of_their_own_to_come_back() -> None:
    async with RoomServer(SETTINGS) as server:
        clients = [await Client.join(server) for _ in range(20)] + [await Client.connect(server)]
        endings = [asyncio.create_task(client.until_closed()) for client in clients]
        await asyncio.wait((asyncio.create_task(server.drain()),))
        moments = set()
        for ending in endings:
            code, said = await ending
            assert code == 4001
            assert isinstance(said[-1], Restarting)
            assert said[-1].try_for_ms == 120_000
            moments.add(said[-1].reconnect_in_ms)
        assert len(moments) > 10
        assert all(0 <= moment <= 5000 for moment in moments)
        for client in clients:
            await client.leave()


async def test_an_empty_server_is_drained_at_once() -> None:
    async with RoomServer(SETTINGS) as server:
        begin = time.perf_counter()
        await server.drain()
        assert time.perf_counter() - begin < 0.5


async def test_nobody_new_gets_in_while_the_server_drains_but_it_is_alive() -> None:
    async with RoomServer(replace(SETTINGS, drain_seconds=60)) as server, aiohttp.ClientSession() as session:
        stuck = await RawClient.connect(server)
        await stuck.enter(Ed25519PrivateKey.generate())
        draining = asyncio.create_task(server.drain())
        async with session.get(f"{server.url}/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "draining\n")
        async with session.get(f"{server.url}/livez") as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await Client.connect(server)
        assert refused.value.status == 503
        assert refused.value.headers is not None
        assert refused.value.headers["Weft-Error"] == "4001 restarting"
        stuck.abort()
        await draining


async def test_a_connection_that_was_just_being_made_is_sent_away_too() -> None:
    async with RoomServer(SETTINGS) as server:
        late = await RawClient.connect(server)
        upgrade = asyncio.create_task(late.upgrade())
        await eventually(lambda: server._admitted == 1 or upgrade.done())
        await server.drain()
        answer = await upgrade
        assert b" 503 " in answer or await late.close_code() == 4001
        late.abort()


async def test_attack_never_reading_does_not_hold_up_the_end() -> None:
    settings = replace(SETTINGS, drain_seconds=0.5, byte_burst=1e9, frame_burst=1e9)
    events: list[str] = []
    room = Ed25519PrivateKey.generate()
    async with RoomServer(settings, report=lambda event, _: events.append(event)) as server:
        lazy = await RawClient.connect(server, small_buffers=True)
        await lazy.enter(room)
        async with await Client.join(server, room) as ann:
            for _ in range(100):
                await ann.send(lazy.address, bytes(32_000))
        begin = time.perf_counter()
        await server.drain()
        await server.stop()
        assert time.perf_counter() - begin < PATIENCE / 2
    assert "server.drain-cut-short" in events
    lazy.abort()


class Process:
    """`python -m signaling` with NDJSON on its stdout."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0

    @classmethod
    async def start(cls, *flags: str) -> "Process":
        """Run it until it listens."""
        command = (sys.executable, "-m", "signaling", "--port", "0", "--json", *flags)
        pipe = asyncio.subprocess.PIPE
        started = cls(await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe))
        assert started.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            event = json.loads(await started.process.stdout.readline())
        assert event["type"] == "server.listening"
        assert event["schema"] == event["seq"] == 1
        started.port = event["port"]
        return started

    async def end(self) -> tuple[int | None, str, str]:
        """Wait for its end; the exit code and what it printed."""
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate()
        return self.process.returncode, out.decode(), err.decode()


async def open_socket(port: int) -> RawClient:
    """A client of a process, upgraded, that will not answer a closing handshake by itself."""
    client = RawClient(*await asyncio.open_connection("127.0.0.1", port))
    assert b" 101 " in await client.upgrade()
    assert isinstance(decode_from_server((await client.message())[1]), Nonce)
    return client


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_sends_clients_away_and_ends_the_process(number: signal.Signals, code: int) -> None:
    server = await Process.start()
    client = await open_socket(server.port)
    server.process.send_signal(number)
    farewell = decode_from_server((await client.message())[1])
    assert isinstance(farewell, Restarting)
    opcode, payload = await client.message()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (8, 4001)
    client.writer.write(websocket_frame(payload, 8))
    returned, out, err = await server.end()
    assert returned == code
    types = [json.loads(line)["type"] for line in out.splitlines()]
    assert types == ["server.draining", "client.ended", "server.stopped"]
    assert err.startswith(f"listening on http://127.0.0.1:{server.port} (Ctrl-C to stop)\n")
    client.abort()


async def test_a_second_signal_ends_the_process_at_once() -> None:
    server = await Process.start("--drain-seconds", "60")
    client = await open_socket(server.port)
    server.process.send_signal(signal.SIGTERM)
    assert isinstance(decode_from_server((await client.message())[1]), Restarting)
    server.process.send_signal(signal.SIGTERM)
    assert (await server.end())[0] == 143
    client.abort()


async def test_a_restarted_server_can_have_the_same_port_at_once() -> None:
    first = await Process.start()
    client = await open_socket(first.port)
    first.process.kill()
    await first.end()
    second = await Process.start("--port", str(first.port))
    assert second.port == first.port
    second.process.send_signal(signal.SIGTERM)
    assert (await second.end())[0] == 0
    client.abort()


def test_the_endpoint_and_the_process_agree_with_the_protocol_page() -> None:
    assert ENDPOINT == "/v1/ws"
    assert os.path.exists(os.path.join(os.path.dirname(__file__), "../../docs/protocol-signaling.md"))
