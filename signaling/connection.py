"""One WebSocket: what goes out through its own queue and task, and how it ends.

Nobody who sends to a client ever waits for it. `send` and `forward` only put into the outbox; one
writer task empties it. A client that does not read fills its own outbox, and `end` is called for
it; its neighbours notice nothing but that it left.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from signaling.errors import Refusal
from signaling.heartbeat import Beat, Heartbeat
from signaling.limits import Bucket, Throttle
from signaling.messages import CloseCode, Ping, encode
from signaling.outbox import Budget, Kind, Outbox
from signaling.rooms import Membership
from signaling.settings import Settings

__all__ = ["CLOSING_SECONDS", "HEARD", "Connection"]

HEARD: Final = frozenset((WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG))
"""What a client may say; everything else that aiohttp returns means that it has nothing more to say."""

CLOSING_SECONDS: Final = 2.0
"""Time for the client's half of the closing handshake (RFC 6455 §7.1.1)."""

_LINGER_SECONDS: Final = 3.0
"""After that, time for a slow client to take what we already hold for it, and the reason."""

_MESSAGES_PER_TURN: Final = 512
"""Messages written before other connections get their turn: about a millisecond. More than what one
client may send per turn, or several senders could outrun a receiver that reads well."""

_OPCODES: Final = {Kind.CONTROL: WSMsgType.TEXT, Kind.FRAME: WSMsgType.BINARY, Kind.PONG: WSMsgType.PONG}
_PING: Final = encode(Ping())


class Connection:
    """One client that is connected now, inside a room or not yet."""

    __slots__ = (
        "_finished",
        "_opened_at",
        "_settings",
        "_transport",
        "_wake",
        "_writer",
        "_writing_since",
        "address",
        "ending",
        "heartbeat",
        "ice",
        "number",
        "on_end",
        "outbox",
        "place",
        "said_goodbye",
        "socket",
        "talk",
        "throttle",
    )

    def __init__(
        self,
        socket: web.WebSocketResponse[bool],
        transport: asyncio.Transport,
        *,
        number: int,
        address: str,
        settings: Settings,
        budget: Budget,
        random: Random,
        ice_seconds: float,
        on_end: "Callable[[Connection], None]",
    ) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.socket = socket
        self.number = number
        self.address = address
        self.on_end = on_end
        self.place: Membership[Connection] | None = None
        self.ending: Refusal | None = None
        self.said_goodbye = False
        self.outbox = Outbox(
            control_limit=settings.queue_control,
            frame_limit=settings.queue_frames,
            byte_limit=settings.queue_bytes,
            budget=budget,
        )
        self.heartbeat = Heartbeat(
            ping_seconds=settings.ping_seconds, pong_seconds=settings.pong_seconds, now=now, random=random
        )
        self.throttle = Throttle(
            frame_rate=settings.frame_rate,
            frame_burst=settings.frame_burst,
            byte_rate=settings.byte_rate,
            byte_burst=settings.byte_burst,
            now=now,
        )
        self.talk = Bucket(settings.talk_rate, settings.talk_burst, now)
        self.ice = Bucket(1 / ice_seconds, 1, now)
        self._settings = settings
        self._transport = transport
        self._opened_at = now
        self._finished = False
        self._writing_since: float | None = None
        self._wake: asyncio.Future[None] | None = None
        self._writer = loop.create_task(self._write())

    def send(self, message: bytes, kind: Kind = Kind.CONTROL) -> None:
        """Queue a control message; if it does not fit, this connection ends."""
        if self.ending is None:
            try:
                self.outbox.put_control(message, kind)
            except Refusal as refusal:
                self.end(refusal)
            else:
                self._wake_writer()

    def forward(self, frame: bytes) -> None:
        """Queue a relayed frame; if it does not fit, this connection ends."""
        if self.ending is None:
            try:
                self.outbox.put_frame(frame)
            except Refusal as refusal:
                self.end(refusal)
            else:
                self._wake_writer()

    def check(self, now: float, random: Random) -> None:
        """Look at all deadlines of this connection; called for each connection about once a second."""
        settings = self._settings
        if self.ending is not None:
            return
        if self._writing_since is not None and now - self._writing_since > settings.write_seconds:
            self.end(Refusal(CloseCode.TOO_SLOW))
        elif self.place is None and now - self._opened_at > settings.enter_seconds:
            self.end(Refusal(CloseCode.SILENT, f"{settings.enter_seconds:g} s"))
        else:
            self._beat(now, random)

    def _beat(self, now: float, random: Random) -> None:
        beat = self.heartbeat.check(now, random)
        if beat is Beat.PING:
            self.send(_PING)
        elif beat is Beat.GIVE_UP:
            self.end(Refusal(CloseCode.NO_PONG, f"{self._settings.pong_seconds:g} s"))

    def end(self, refusal: Refusal, farewell: bytes | None = None) -> None:
        """Say why and begin to close; *farewell* is said instead of the error. The first reason counts.

        Returns at once, and the room hears of it a moment later, so that ending many connections from
        one place, or one from within another's, neither waits nor recurses.

        The last words go straight to the transport, behind what it holds. aiohttp's own ways would
        wait for it to drain, on a future that all who wait share and that dies with the first of them
        who is cancelled; and its `close` hangs up on a client that is just sending, who then sees a
        broken connection instead of the reason.
        """
        if self.ending is None and not self._finished:
            self.ending = refusal
            self.outbox.forget_frames()
            last_words = farewell if farewell is not None else encode(refusal.as_message())
            self._write_past_aiohttp(refusal, last_words)
            loop = asyncio.get_running_loop()
            loop.call_soon(self.on_end, self)
            loop.call_later(CLOSING_SECONDS, self._transport.close)
            loop.call_later(CLOSING_SECONDS + _LINGER_SECONDS, self._transport.abort)

    def _write_past_aiohttp(self, refusal: Refusal, last_words: bytes) -> None:
        if not self._transport.is_closing():
            parts = []
            while (waiting := self.outbox.take()) is not None:
                parts.append(_frame(_OPCODES[waiting[0]], waiting[1]))
            parts.append(_frame(WSMsgType.TEXT, last_words))
            parts.append(_closing_frame(refusal.code, refusal.reason.name))
            self._transport.write(b"".join(parts))

    async def finish(self) -> None:
        """Close what is still open, once the client has had its time; the conversation is over."""
        try:
            if self.ending is not None:
                await self._hear_out()
            else:
                self.on_end(self)
                if not self._transport.is_closing():
                    # RFC 6455 §5.5.1: who is sent a close frame answers with one.
                    self._transport.write(_closing_frame(WSCloseCode.OK, ""))
        finally:
            self._finished = True
            self.outbox.forget_frames()
            self._writer.cancel()
            self._transport.close()
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.abort)

    async def _hear_out(self) -> None:
        """Read on until the client has closed, too: unread bytes would make the kernel reset the
        connection, and the reason could be lost on its way.
        """
        count = 0
        while (await self.socket.receive()).type in HEARD:
            count += 1
            if count % _MESSAGES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _write(self) -> None:
        take, send = self.outbox.take, self.socket.send_frame
        time = asyncio.get_running_loop().time
        written = 0
        try:
            while self.ending is None:
                waiting = take()
                if waiting is None:
                    await self._until_woken()
                    continue
                kind, message = waiting
                self._writing_since = time()
                await send(message, _OPCODES[kind])
                self._writing_since = None
                written += 1
                if written % _MESSAGES_PER_TURN == 0:
                    await asyncio.sleep(0)
        except ConnectionError:
            if self.ending is None:
                # Whoever reads from this socket might be stuck in a closing handshake that will
                # never be answered; this sets it free.
                self._transport.abort()

    async def _until_woken(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    def _wake_writer(self) -> None:
        wake = self._wake
        if wake is not None:
            self._wake = None
            if not wake.done():
                wake.set_result(None)


def _closing_frame(code: int, reason: str) -> bytes:
    return _frame(WSMsgType.CLOSE, code.to_bytes(2, "big") + reason.encode())


def _frame(opcode: WSMsgType, payload: bytes) -> bytes:
    """A whole unmasked WebSocket frame of up to 64 KiB (RFC 6455 §5.2)."""
    size = len(payload)
    length = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + payload
