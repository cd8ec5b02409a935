"""A guest in a room of its own on a server: what the doctor enters with, and leaves nothing behind.

The room is that of a random secret, so nobody else is in it, and the server forgets it when we leave.
"""

import asyncio
import os
import random
from collections.abc import Sequence
from typing import Final, Self

from peer.core.events import Event, ServerEntered, ServerLost
from peer.core.invitation import room_private_key
from peer.edge.signaling_client import SignalingClient
from signaling.messages import IceServer

__all__ = ["PATIENCE", "NotLetIn", "Visitor"]

PATIENCE: Final = 5.0
"""Seconds for the server to let us in; it does so in milliseconds or has trouble."""


class NotLetIn(Exception):
    """The server did not let us into a room; the sentence says why."""


class Visitor:
    """One connection to one room; an async context manager."""

    def __init__(self, url: str, secret: bytes | None = None) -> None:
        self.secret = secret or os.urandom(32)
        self.address = b""
        self.ice_servers: tuple[IceServer, ...] = ()
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client = SignalingClient(
            (url,),
            room_private_key(self.secret),
            self._heard,
            self._received,
            rng=random.Random(),
            on_ice_servers=self._told,
        )
        self._running: asyncio.Task[str] | None = None

    async def __aenter__(self) -> Self:
        """Enter.

        Raises:
            NotLetIn: the server refused, or took too long.
        """
        self._running = asyncio.create_task(self._client.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await self._entered
        except TimeoutError as error:
            await self._leave()
            raise NotLetIn(f"it let nobody in within {PATIENCE:g} s") from error
        except NotLetIn:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        await self._client.aclose()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def send(self, to: bytes, payload: bytes) -> None:
        """Have the server pass *payload* on to the visitor at *to*."""
        self._client.send_relay(to, payload)

    def _told(self, servers: Sequence[IceServer]) -> None:
        self.ice_servers = tuple(servers)

    def _heard(self, event: Event) -> None:
        if self._entered.done():
            return
        if isinstance(event, ServerEntered):
            self.address = event.address
            self._entered.set_result(None)
        elif isinstance(event, ServerLost):
            self._entered.set_exception(NotLetIn(event.reason))

    def _received(self, address: bytes, payload: bytes) -> None:
        self.arrived.put_nowait(payload)
