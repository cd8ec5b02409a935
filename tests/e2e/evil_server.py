"""A server between clients and the real one: it records everything it sees, and may meddle with frames."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Self

import aiohttp
from aiohttp import WSMsgType, web

__all__ = ["MEDDLING", "EvilServer"]

Send = Callable[[bytes], Awaitable[None]]
Meddle = Callable[["EvilServer", bytes, Send], Awaitable[None]]


class EvilServer:
    """Passes everything on to *upstream*, in a thread of its own.

    Attributes:
        seen: every message in both directions, text and binary.
        meddle: what is done to binary frames on their way to a client.
    """

    def __init__(self, upstream: str, seed: int = 1) -> None:
        self.seen: list[bytes] = []
        self.url = ""
        self.meddle: Meddle | None = None
        self.random = random.Random(seed)
        self.kept: bytes | None = None
        self.meddled = 0
        self._upstream = upstream.rstrip("/")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        self.seen.append(repr((request.path_qs, sorted(request.headers.items()))).encode())
        client = web.WebSocketResponse(compress=False, max_msg_size=0)
        await client.prepare(request)
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(self._upstream + request.path_qs, max_msg_size=0) as server,
        ):
            ways = [self._pass(client, server, None), self._pass(server, client, self._to_client)]
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await server.close()
        await client.close()
        return client

    async def _pass(
        self,
        source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
        target: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
        meddle: Callable[[bytes, Send], Awaitable[None]] | None,
    ) -> None:
        async for message in source:
            if message.type is WSMsgType.TEXT:
                self.seen.append(message.data.encode())
                await target.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                self.seen.append(message.data)
                if meddle is None:
                    await target.send_bytes(message.data)
                else:
                    await meddle(message.data, target.send_bytes)

    async def _to_client(self, data: bytes, send: Send) -> None:
        if self.meddle is None:
            await send(data)
        else:
            await self.meddle(self, data, send)


async def _drop(evil: EvilServer, data: bytes, send: Send) -> None:
    if evil.random.random() < 0.2:
        evil.meddled += 1
    else:
        await send(data)


async def _repeat(evil: EvilServer, data: bytes, send: Send) -> None:
    await send(data)
    if evil.random.random() < 0.2:
        evil.meddled += 1
        await send(data)


async def _reorder(evil: EvilServer, data: bytes, send: Send) -> None:
    kept, evil.kept = evil.kept, None
    if kept is None and evil.random.random() < 0.2:
        evil.kept = data
        evil.meddled += 1
        return
    await send(data)
    if kept is not None:
        await send(kept)


async def _flip(evil: EvilServer, data: bytes, send: Send) -> None:
    if evil.random.random() < 0.2 and len(data) > 20:
        evil.meddled += 1
        at = evil.random.randrange(10, len(data))
        data = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
    await send(data)


async def _swap(evil: EvilServer, data: bytes, send: Send) -> None:
    """Give each client, now and then, a frame that was meant for another moment or another client."""
    if evil.kept is not None and evil.random.random() < 0.2:
        evil.meddled += 1
        data, evil.kept = data[:9] + evil.kept[9:], data
    else:
        evil.kept = data
    await send(data)


MEDDLING: dict[str, Meddle] = {
    "drops": _drop,
    "repeats": _repeat,
    "reorders": _reorder,
    "flips a bit": _flip,
    "swaps": _swap,
}
