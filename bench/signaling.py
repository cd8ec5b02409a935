"""The signaling server against a bare aiohttp echo loop, measured in the same run on loopback.

    python -m bench.signaling [--json] [--seconds 3] [--connections 1000]

Frames per CPU second of the server process are compared, not frames per second of the wall: that
stays true when others use the machine. The load comes in prepared batches over plain sockets. Latency
is that of one innocent room while other clients never read, send garbage, or flood.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling import messages as wire

__all__ = ["main", "measure"]

BATCH: Final = 32
"""Frames per write and per answer: what a busy client sends in one turn of its loop."""
IN_FLIGHT: Final = 4
"""Batches on their way per sender: enough to keep the server busy, too few to fill its queues."""
PAIRS: Final = 4
FLOOR: Final = ("bench.signaling", "--echo")
UNLIMITED: Final = ["--frame-rate=1e9", "--frame-burst=1e9", "--byte-rate=1e12", "--byte-burst=1e12"]
CROWD: Final = ["--connections-per-address=20000", "--connect-rate=1e6", "--connect-burst=1e6"]


def websocket_frame(payload: bytes, opcode: int) -> bytes:
    """One masked client frame (RFC 6455 §5.2); an all-zero mask is allowed and costs us nothing."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + bytes(4) + payload


def received_size(payload_size: int) -> int:
    """Length on the wire of a server frame with *payload_size* bytes."""
    return payload_size + (2 if payload_size < 126 else 4)


class Socket(asyncio.Protocol):
    """A client that speaks just enough WebSocket to measure, and counts bytes instead of frames."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.received = 0
        self.counting = False
        self.batch = b""
        self.batch_size = 0
        self._credit = 0
        self._arrived = asyncio.Event()
        self.closed = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits."""
        self.closed.set()
        self._arrived.set()

    def data_received(self, data: bytes) -> None:
        """Count, and answer each whole batch with the next one; or keep the bytes for `message`."""
        if not self.counting:
            self.buffer += data
            self._arrived.set()
            return
        self.received += len(data)
        self._credit += len(data)
        while self.batch and self._credit >= self.batch_size:
            self._credit -= self.batch_size
            self.transport.write(self.batch)

    async def upgrade(self, host: str) -> None:
        """Make a WebSocket of it."""
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET {wire.ENDPOINT} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self.buffer:
            await self._more()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(head.decode())
        self.buffer[:] = rest

    async def message(self) -> bytes:
        """The next message of up to 64 KiB."""
        start, size = 2, await self._byte(1)
        if size == 126:
            start, size = 4, await self._byte(2) * 256 + await self._byte(3)
        while len(self.buffer) < start + size:
            await self._more()
        payload = bytes(self.buffer[start : start + size])
        del self.buffer[: start + size]
        return payload

    async def _byte(self, place: int) -> int:
        while len(self.buffer) <= place:
            await self._more()
        return self.buffer[place]

    async def _more(self) -> None:
        if self.closed.is_set():
            raise ConnectionError("the server hung up")
        self._arrived.clear()
        await self._arrived.wait()

    async def enter(self, key: Ed25519PrivateKey) -> wire.Welcome:
        """Go through nonce, enter and welcome."""
        nonce = wire.decode_from_server(await self.message())
        assert isinstance(nonce, wire.Nonce)
        proof = wire.Enter(key.public_key().public_bytes_raw(), key.sign(wire.proof_bytes(nonce.nonce)), 1)
        self.transport.write(websocket_frame(wire.encode(proof), 1))
        welcome = wire.decode_from_server(await self.message())
        assert isinstance(welcome, wire.Welcome)
        return welcome

    def start(self, frame: bytes) -> None:
        """Send batches of *frame* from now on, as fast as they come back."""
        self.batch = websocket_frame(frame, 2) * BATCH
        self.batch_size = received_size(len(frame)) * BATCH
        self.counting = True
        self.buffer.clear()
        for _ in range(IN_FLIGHT):
            self.transport.write(self.batch)


@dataclass
class Server:
    """A server in its own process, on a core of its own if there is one."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        with open(f"/proc/{self.pid}/stat") as file:
            values = file.read().rpartition(")")[2].split()
        return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Memory in use now."""
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def running(*command: str, core: int | None = 0) -> Iterator[Server]:
    """A process started with *command*, which prints one JSON line with a port when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        if core is not None and hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        yield Server(process.pid, json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.communicate()


def weft(*flags: str) -> contextlib.AbstractContextManager[Server]:
    """Our server."""
    return running("signaling", "--port=0", "--json", *CROWD, *flags)


async def connect(server: Server) -> Socket:
    """Open one WebSocket."""
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(Socket, "127.0.0.1", server.port)
    await socket.upgrade(f"127.0.0.1:{server.port}")
    return socket


@contextlib.asynccontextmanager
async def pair(server: Server) -> AsyncIterator[tuple[Socket, str, Socket, str]]:
    """Two members of a new room, and their addresses."""
    key = Ed25519PrivateKey.generate()
    one = await connect(server)
    first = await one.enter(key)
    other = await connect(server)
    second = await other.enter(key)
    await one.message()
    try:
        yield one, first.address, other, second.address
    finally:
        one.transport.abort()
        other.transport.abort()


async def throughput(server: Server, sockets: list[Socket], size: int, seconds: float) -> dict[str, float]:
    """Frames per CPU second and per second, once the first batches are through."""
    await asyncio.sleep(0.3)
    frames = received_size(size)
    before, cpu, begin = sum(s.received for s in sockets), server.cpu_seconds(), time.perf_counter()
    await asyncio.sleep(seconds)
    count = (sum(s.received for s in sockets) - before) / frames
    wall = time.perf_counter() - begin
    return {"per_cpu_second": count / (server.cpu_seconds() - cpu), "per_second": count / wall}


async def echo_rate(payload: int, seconds: float) -> dict[str, float]:
    """The floor: the same bytes from the same number of connections, sent straight back."""
    with running(*FLOOR) as server:
        sockets = [await connect(server) for _ in range(2 * PAIRS)]
        for socket in sockets:
            socket.start(wire.pack_frame(bytes(8), bytes(payload)))
        return await throughput(server, sockets, wire.FRAME_HEADER_BYTES + payload, seconds)


async def relay_rate(payload: int, seconds: float) -> dict[str, float]:
    """Pairs of members who send to each other without a pause."""
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(weft(*UNLIMITED))
        sockets = []
        for _ in range(PAIRS):
            one, first, other, second = await stack.enter_async_context(pair(server))
            one.counting = other.counting = True
            sockets += [(one, second), (other, first)]
        for socket, target in sockets:
            socket.start(wire.pack_frame(bytes.fromhex(target), bytes(payload)))
        return await throughput(server, [s for s, _ in sockets], wire.FRAME_HEADER_BYTES + payload, seconds)


async def idle_memory(count: int, ours: bool) -> float:
    """KiB of the server's memory per connection that does nothing."""
    with weft() if ours else running(*FLOOR) as server:
        # What is allocated once, for the first connections, is not theirs.
        sockets = [await _idle(server, ours) for _ in range(50)]
        before = server.resident_bytes()
        sockets += [await _idle(server, ours) for _ in range(count)]
        await asyncio.sleep(0.5)
        grown = server.resident_bytes() - before
        for socket in sockets:
            socket.transport.abort()
        return grown / count / 1024


async def _idle(server: Server, ours: bool) -> Socket:
    socket = await connect(server)
    if ours:
        await socket.enter(Ed25519PrivateKey.generate())
    return socket


async def latency(attack: str | None, seconds: float) -> dict[str, float]:
    """One way through the server, in µs, of an innocent room while somebody does *attack*."""
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(weft())
        if attack is not None:
            stack.enter_context(running("bench.signaling", "--attack", attack, str(server.port), core=None))
        one, _, other, address = await stack.enter_async_context(pair(server))
        return await _round_trips(one, other, bytes.fromhex(address), seconds)


async def _round_trips(one: Socket, other: Socket, address: bytes, seconds: float) -> dict[str, float]:
    frame = websocket_frame(wire.pack_frame(address, bytes(100)), 2)
    samples = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        one.transport.write(frame)
        while (await other.message())[:1] != b"\x01":
            pass
        samples.append((time.perf_counter() - begin) * 1e6)
        await asyncio.sleep(0.002)
    cuts = statistics.quantiles(samples, n=100)
    return {"p50": cuts[49], "p99": cuts[98], "max": max(samples), "samples": len(samples)}


async def attack_forever(kind: str, port: int) -> None:
    """Be the attacker; runs in a process of its own until it is killed."""
    os.nice(10)  # The attacker must not win against the measurement for the processor.
    server = Server(0, port)
    print(json.dumps({"port": port}), flush=True)
    while True:
        with contextlib.suppress(ConnectionError, AssertionError):
            await {"never reads": _never_read, "garbage": _send_garbage, "flood": _flood}[kind](server)


async def _never_read(server: Server) -> None:
    async with pair(server) as (one, _, other, address):
        other.transport.pause_reading()
        one.counting = True
        frame = websocket_frame(wire.pack_frame(bytes.fromhex(address), bytes(60_000)), 2)
        while not one.closed.is_set() and not other.closed.is_set():
            one.transport.write(frame)
            await asyncio.sleep(0.005)


async def _send_garbage(server: Server) -> None:
    chance = random.Random(time.time_ns())
    async with pair(server) as (one, _, other, _):
        one.counting = other.counting = True
        one.transport.write(chance.randbytes(10_000))
        other.transport.write(websocket_frame(b'{"type":"enter","x":' + b"[" * 60_000, 1))
        await one.closed.wait()
        await other.closed.wait()


async def _flood(server: Server) -> None:
    async with pair(server) as (one, _, other, address):
        one.counting = other.counting = True
        batch = websocket_frame(wire.pack_frame(bytes.fromhex(address), bytes(20)), 2) * 1000
        while not one.closed.is_set():
            if one.transport.get_write_buffer_size() < 1_000_000:
                one.transport.write(batch)
            await asyncio.sleep(0.001)


def serve_echo() -> None:
    """The floor: the shortest correct echo with aiohttp, on the same event loop as ours."""
    import uvloop
    from aiohttp import web

    async def echo(request: web.BaseRequest) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(compress=False)
        await websocket.prepare(request)
        async for message in websocket:
            await websocket.send_bytes(message.data)
        return websocket

    async def main() -> None:
        server = web.Server(echo, access_log=None)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        print(json.dumps({"port": listener.sockets[0].getsockname()[1]}), flush=True)
        await asyncio.Event().wait()

    uvloop.run(main())


async def measure(seconds: float, connections: int) -> dict[str, Any]:
    """Everything, in well under a minute with the default numbers."""
    rates = {}
    for payload in (100, 1200, 16_000):
        echo, relay = await echo_rate(payload, seconds), await relay_rate(payload, seconds)
        share = relay["per_cpu_second"] / echo["per_cpu_second"]
        rates[str(payload)] = {"echo": echo, "relay": relay, "share": share}
    memory = {
        "echo": await idle_memory(connections, ours=False),
        "relay": await idle_memory(connections, ours=True),
    }
    attacks = {"nobody": await latency(None, seconds)}
    for kind in ("never reads", "garbage", "flood"):
        attacks[kind] = await latency(kind, seconds)
    return {"rates": rates, "idle_kib_per_connection": memory, "latency_us": attacks}


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"{'payload':>8}  {'echo/cpu-s':>11}  {'relay/cpu-s':>11}  {'share':>6}  {'relay/s':>9}")
    for payload, row in result["rates"].items():
        print(
            f"{payload:>8}  {row['echo']['per_cpu_second']:>11,.0f}  {row['relay']['per_cpu_second']:>11,.0f}"
            f"  {row['share']:>6.0%}  {row['relay']['per_second']:>9,.0f}"
        )
    memory = result["idle_kib_per_connection"]
    print(f"\nidle memory per connection: {memory['relay']:.1f} KiB (bare aiohttp {memory['echo']:.1f} KiB)")
    print(f"\n{'innocent room while somebody …':>30}  {'p50 µs':>8}  {'p99 µs':>8}  {'max µs':>8}")
    for attack, row in result["latency_us"].items():
        print(f"{attack:>30}  {row['p50']:>8,.0f}  {row['p99']:>8,.0f}  {row['max']:>8,.0f}")


def main() -> None:
    """Parse the command line and run one of the roles."""
    parser = argparse.ArgumentParser(description="Measure the signaling server against a bare echo loop.")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of each measurement")
    parser.add_argument("--connections", type=int, default=1000, help="idle connections for the memory")
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--attack", nargs=2, metavar=("KIND", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.echo:
        serve_echo()
    elif arguments.attack:
        asyncio.run(attack_forever(arguments.attack[0], int(arguments.attack[1])))
    else:
        result = asyncio.run(measure(arguments.seconds, arguments.connections))
        print(json.dumps(result, indent=2)) if arguments.json else show(result)


if __name__ == "__main__":
    main()
