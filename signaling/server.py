"""The server: sockets, HTTP, and the beginning and end of each connection.

`RoomServer` runs inside any asyncio program:

    async with RoomServer(Settings(port=0)) as server:
        print(server.port)

What it decides itself is only who may connect at all; the rest is `hub` and the pure modules.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Final, Self

from aiohttp import hdrs, web

from signaling.addresses import client_address, counted_as, is_in
from signaling.connection import CLOSING_SECONDS, Connection
from signaling.errors import Refusal
from signaling.hub import Hub, Report, converse
from signaling.messages import ENDPOINT, CloseCode, Restarting, encode
from signaling.settings import Settings, SettingsError

__all__ = ["RoomServer"]

_SPARE_SOCKETS: Final = 64
"""Sockets beyond the limits, for health checks and for refusals that come with a code."""

_WRITE_BUFFER_BYTES: Final = 32 * 1024
"""What may be on its way to one client outside its outbox; small, so that slowness shows early."""

_SHUTDOWN_SECONDS: Final = 0.5
"""Time for HTTP answers that are being written when the server ends."""

_CHECKED_PER_TURN: Final = 500
"""Connections whose deadlines are checked at a stretch: about a millisecond."""

_BACKLOG: Final = 1024
"""Connections the kernel holds for us when everybody comes back at once."""


class _Gate(web.Server):
    """Hangs up on sockets that would be too many, before they can send anything.

    A socket that never asks for anything costs little but counts; `keepalive_timeout` ends it.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], object],
        settings: Settings,
    ) -> None:
        super().__init__(
            handler,  # type: ignore[arg-type]
            access_log=None,
            keepalive_timeout=settings.enter_seconds,
            lingering_time=0.0,
            tcp_keepalive=False,
        )
        self._trusted = settings.trusted_networks()
        self._limit = settings.connections + _SPARE_SOCKETS
        self._limit_per_peer = settings.connections_per_address + _SPARE_SOCKETS
        self._open: dict[web.RequestHandler, str] = {}
        self._peers: dict[str, int] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """A socket was accepted."""
        super().connection_made(handler, transport)
        peer = counted_as(_peer_of(transport))
        self._open[handler] = peer
        count = self._peers[peer] = self._peers.get(peer, 0) + 1
        too_many = count > self._limit_per_peer and not is_in(_peer_of(transport), self._trusted)
        if too_many or len(self._open) > self._limit:
            transport.abort()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """A socket is gone."""
        super().connection_lost(handler, exc)
        peer = self._open.pop(handler, None)
        if peer is not None:
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]


class RoomServer:
    """A signaling server that lives as long as its `async with` block."""

    def __init__(
        self,
        settings: Settings,
        *,
        report: Report | None = None,
        random: Random | None = None,
        listener: socket.socket | None = None,
        name: str | None = None,
    ) -> None:
        """Serve on *listener*, if there is one, instead of the settings' address; clients are told *name*."""
        self._settings = settings
        self._hub = Hub(settings, report or _say_nothing, random or Random())
        self._hub.name = name or self._hub.name
        self._bound = listener
        self._trusted = settings.trusted_networks()
        self._gate: _Gate | None = None
        self._listener: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._numbers = 0
        self._admitted = 0
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain(reconnect_seconds=0.0)
        await self.stop()

    @property
    def port(self) -> int:
        """The port it listens on, also if the settings asked for any free one."""
        assert self._listener is not None, "the server has not been started"
        port = self._listener.sockets[0].getsockname()[1]
        assert isinstance(port, int)
        return port

    @property
    def url(self) -> str:
        """Where clients find it."""
        scheme = "http" if self._settings.tls_certificate is None else "https"
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"{scheme}://{host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._hub.connections)

    @property
    def rooms(self) -> int:
        """How many rooms have somebody in them."""
        return len(self._hub.rooms)

    async def start(self) -> None:
        """Listen.

        Raises:
            SettingsError: the certificate or its key cannot be used.
            OSError: the address cannot be listened on.
        """
        settings = self._settings
        self._gate = _Gate(self._answer, settings)
        place = {"sock": self._bound} if self._bound else {"host": settings.host, "port": settings.port}
        self._listener = await asyncio.get_running_loop().create_server(
            self._gate, **place, ssl=_tls(settings), backlog=_BACKLOG
        )
        self._watch = asyncio.create_task(self._watch_deadlines())

    async def drain(self, *, reconnect_seconds: float | None = None) -> None:
        """Send everybody away, asking them to come back, and wait until they are gone.

        Each client is given another moment within *reconnect_seconds* (from the settings, if None),
        so that they do not come back all at once. Nobody new gets in. Takes `drain_seconds` at most.
        """
        self._draining = True
        window = self._settings.reconnect_seconds if reconnect_seconds is None else reconnect_seconds
        for turn, connection in enumerate(list(self._hub.connections), 1):
            moment = Restarting(
                reconnect_in_ms=round(self._hub.random.uniform(0, window) * 1000),
                try_for_ms=round(self._settings.try_seconds * 1000),
            )
            connection.end(Refusal(CloseCode.RESTARTING), farewell=encode(moment))
            if turn % _CHECKED_PER_TURN == 0:
                await asyncio.sleep(0)
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._empty.wait()
        except TimeoutError:
            self._hub.report("server.drain-cut-short", {"connections": self.connections})

    async def stop(self) -> None:
        """Stop listening and hang up on whoever is still there."""
        if self._listener is not None and self._gate is not None and self._watch is not None:
            self._listener.close()
            self._watch.cancel()
            await asyncio.wait((self._watch,))
            await self._gate.shutdown(_SHUTDOWN_SECONDS)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == ENDPOINT:
            return await self._welcome_or_refuse(request)
        if request.path == "/livez":
            return web.Response(text="ok\n")
        if request.path == "/readyz":
            if self._draining:
                return web.Response(status=503, text="draining\n")
            return web.Response(text="ok\n")
        return web.Response(status=404, text=f"this is a Weft signaling server; clients use {ENDPOINT}\n")

    async def _welcome_or_refuse(self, request: web.BaseRequest) -> web.StreamResponse:
        address = self._address_of(request)
        counted = counted_as(address)
        loop = asyncio.get_running_loop()
        try:
            self._admit(request, counted, loop.time())
        except Refusal as refusal:
            self._hub.report("client.refused", {"code": int(refusal.code), **self._logged(address)})
            return _http_refusal(refusal)
        self._admitted += 1
        try:
            return await self._serve(request, address)
        finally:
            self._admitted -= 1
            self._hub.addresses.depart(counted, loop.time())

    def _address_of(self, request: web.BaseRequest) -> str:
        peer = _peer_of(request.transport)
        return client_address(peer, request.headers.getall(hdrs.X_FORWARDED_FOR, ()), self._trusted)

    def _admit(self, request: web.BaseRequest, counted: str, now: float) -> None:
        """Decide whether there may be one more connection; afterwards it is counted.

        Raises:
            Refusal: no.
        """
        origin = request.headers.get(hdrs.ORIGIN)
        if self._draining:
            raise Refusal(CloseCode.RESTARTING)
        if origin is not None and origin not in self._settings.allowed_origins:
            raise Refusal(CloseCode.WRONG_ORIGIN)
        if self._admitted >= self._settings.connections:
            raise Refusal(CloseCode.SERVER_FULL)
        self._hub.addresses.arrive(counted, now)

    async def _serve(self, request: web.BaseRequest, address: str) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSING_SECONDS,
            autoclose=False,
            autoping=False,
            compress=False,
            # aiohttp refuses a message that is as long as its limit.
            max_msg_size=self._settings.message_bytes + 1,
            writer_limit=_WRITE_BUFFER_BYTES,
            decode_text=False,
        )
        try:
            await socket.prepare(request)
        except ConnectionResetError:
            return web.Response()  # it hung up before its turn came: we slept, or were busy
        transport = request.transport
        if transport is None:
            return socket
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._numbers += 1
        connection = Connection(
            socket,
            transport,
            number=self._numbers,
            address=address,
            settings=self._settings,
            budget=self._hub.budget,
            random=self._hub.random,
            ice_seconds=self._hub.issuer.issue_seconds,
            on_end=self._hub.leave,
        )
        await self._attend(connection)
        return socket

    async def _attend(self, connection: Connection) -> None:
        """Serve one connection to its end, whatever happens in it."""
        hub = self._hub
        hub.connections.add(connection)
        self._empty.clear()
        try:
            if self._draining:
                raise Refusal(CloseCode.RESTARTING)
            await converse(hub, connection)
        except Refusal as refusal:
            connection.end(refusal)
        except Exception as fault:
            # A mistake of ours must cost one connection, not the server.
            hub.report("server.fault", {"n": connection.number, "error": repr(fault)})
            connection.end(Refusal(CloseCode.SERVER_FAULT))
        finally:
            try:
                await connection.finish()
            finally:
                self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._hub.connections.discard(connection)
        if not self._hub.connections:
            self._empty.set()
        ended = connection.ending
        code = connection.socket.close_code if ended is None else int(ended.code)
        fields = {"n": connection.number, "code": code, **self._logged(connection.address)}
        self._hub.report("client.ended", fields)

    def _logged(self, address: str) -> dict[str, object]:
        return {"address": address} if self._settings.log_addresses else {}

    async def _watch_deadlines(self) -> None:
        """One task looks after the deadlines of all connections: a timer each would cost more."""
        settings = self._settings
        shortest = min(
            settings.write_seconds, settings.enter_seconds, settings.ping_seconds, settings.pong_seconds,
            max(settings.resume_seconds, 0.05),
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(1.0, shortest / 4))
            now = loop.time()
            self._hub.expire(now)
            for turn, connection in enumerate(list(self._hub.connections), 1):
                connection.check(now, self._hub.random)
                if turn % _CHECKED_PER_TURN == 0:
                    await asyncio.sleep(0)


def _http_refusal(refusal: Refusal) -> web.Response:
    reason = refusal.reason
    headers = {"Weft-Error": f"{int(refusal.code)} {reason.name}"}
    if reason.retry_after_ms is not None:
        headers[hdrs.RETRY_AFTER] = str(-(-reason.retry_after_ms // 1000))
    return web.Response(
        status=reason.http_status,
        headers=headers,
        body=encode(refusal.as_message()),
        content_type="application/json",
    )


def _peer_of(transport: asyncio.BaseTransport | None) -> str:
    name = transport.get_extra_info("peername") if transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else "unknown"


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as problem:
        raise SettingsError(f"cannot use tls_certificate and tls_key: {problem}") from problem
    return context


def _say_nothing(event: str, fields: dict[str, object]) -> None:
    """Without anybody who wants to hear of it, nothing is logged."""
