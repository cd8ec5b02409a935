"""One WebSocket: what goes out through its own queue and task, and how it ends.

Nobody who sends to a client ever waits for it. `send` and `forward` only put into the outbox; one
writer task empties it. A client that does not read fills its own outbox, and `end` is called for
it; its neighbours notice nothing but that it left.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

from aiohttp import WSMsgType, web

from signaling.errors import Refusal
from signaling.heartbeat import Beat, Heartbeat
from signaling.limits import Bucket, Throttle
from signaling.messages import CloseCode, Ping, encode
from signaling.outbox import Budget, Kind, Outbox
from signaling.rooms import Membership
from signaling.settings import Settings

__all__ = ["CLOSING_SECONDS", "Connection"]

CLOSING_SECONDS: Final = 2.0
"""Time for the last words and the client's half of the closing handshake (RFC 6455 §7.1.1)."""

_LINGER_SECONDS: Final = 5.0
"""After that, time for a slow client to take what the kernel and we already hold for it."""

_MESSAGES_PER_TURN: Final = 512
"""Messages written before other connections get their turn: about a millisecond. More than what one
client may send per turn, or several senders could outrun a receiver that reads well."""

_OPCODES: Final = {Kind.CONTROL: WSMsgType.TEXT, Kind.FRAME: WSMsgType.BINARY, Kind.PONG: WSMsgType.PONG}
_PING: Final = encode(Ping())


class Connection:
    """One client that is connected now, inside a room or not yet."""

    __slots__ = (
        "_closer",
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
        "number",
        "on_end",
        "outbox",
        "place",
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
        self._settings = settings
        self._transport = transport
        self._opened_at = now
        self._finished = False
        self._writing_since: float | None = None
        self._wake: asyncio.Future[None] | None = None
        self._closer: asyncio.Task[None] | None = None
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
        """Begin to close; *farewell* is said instead of the error. The first reason counts.

        Returns at once. What follows happens in a task, so that ending many connections from one
        place, or one from within another's, neither waits nor recurses.
        """
        if self.ending is None and not self._finished:
            self.ending = refusal
            self.outbox.forget_frames()
            self._writer.cancel()
            last_words = farewell if farewell is not None else encode(refusal.as_message())
            self._closer = asyncio.get_running_loop().create_task(self._close(refusal, last_words))

    async def finish(self) -> None:
        """Wait until nothing of this connection is left; the caller has stopped reading from it."""
        self._finished = True
        self.outbox.forget_frames()
        self._writer.cancel()
        await asyncio.wait((self._writer,))
        if self._closer is None:
            self.on_end(self)
        else:
            await self._closer

    async def _write(self) -> None:
        take, send = self.outbox.take, self.socket.send_frame
        time = asyncio.get_running_loop().time
        written = 0
        try:
            while True:
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

    async def _close(self, refusal: Refusal, last_words: bytes) -> None:
        """Leave the room, say why, shake hands, and never wait long for any of it."""
        self.on_end(self)
        try:
            await self._say(last_words, hurry=refusal.code is CloseCode.TOO_SLOW)
            async with asyncio.timeout(CLOSING_SECONDS):
                await self.socket.close(code=refusal.code, message=refusal.reason.name.encode())
        except (TimeoutError, ConnectionError):
            self._transport.close()
        # Closing gracefully waits for the kernel to take what is buffered; a client that does not
        # read could hold that for ever.
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.abort)

    async def _say(self, last_words: bytes, *, hurry: bool) -> None:
        """Write what still waits and the last words.

        In a *hurry* the client is known not to read: then the last words are put behind what the
        transport already holds, without waiting for them to leave.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if hurry else CLOSING_SECONDS):
                while not hurry and (waiting := self.outbox.take()) is not None:
                    await self.socket.send_frame(waiting[1], _OPCODES[waiting[0]])
                await self.socket.send_frame(last_words, WSMsgType.TEXT)
