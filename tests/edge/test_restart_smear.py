"""A server that restarts is not run over by those who come back, and all of them do."""

import asyncio
import random
import resource
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.events import Event, ServerEntered, ServerLost
from peer.edge.signaling_client import SignalingClient
from signaling.server import RoomServer
from signaling.settings import Settings
from tests.conftest import PATIENCE

CLIENTS = 500
IN_A_ROOM = 10
WINDOW = 4.0
"""Seconds over which the server asks them to come back."""
SLOTS = 8
LIMIT = 30.0
"""Seconds for the whole test; it takes about ten on two cores that others use as well."""
SETTINGS = Settings(
    port=0, reconnect_seconds=WINDOW, connections_per_address=2 * CLIENTS, connect_rate=1e6, connect_burst=1e6
)


@pytest.fixture(autouse=True)
def _enough_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Everybody, when each of them was let in last, and when they meant to come back."""

    def __init__(self, url: str) -> None:
        self.entered: dict[int, float] = {}
        self.planned: dict[int, float] = {}
        self.reasons: set[str] = set()
        self.clients = [self._client(number, url) for number in range(CLIENTS)]
        self.runs = [asyncio.create_task(client.run()) for client in self.clients]

    def _client(self, number: int, url: str) -> SignalingClient:
        room = Ed25519PrivateKey.from_private_bytes((number // IN_A_ROOM).to_bytes(32))

        def hear(event: Event) -> None:
            if isinstance(event, ServerEntered):
                self.entered[number] = asyncio.get_running_loop().time()
            elif isinstance(event, ServerLost):
                self.reasons.add(event.reason)
                self.planned.setdefault(number, client._rota.next_deadline() or 0.0)

        client = SignalingClient((url,), room, hear, lambda *_: None, rng=random.Random(number))
        return client

    async def all_inside(self) -> None:
        """Wait until everybody was let in."""
        while len(self.entered) < CLIENTS:
            await asyncio.sleep(0.02)

    async def go(self) -> None:
        """Leave, and end."""
        await asyncio.gather(*(client.aclose() for client in self.clients))
        await asyncio.gather(*self.runs, return_exceptions=True)


async def test_500_clients_come_back_spread_over_the_time_that_the_server_gave_them() -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(LIMIT * PATIENCE):
        server = RoomServer(SETTINGS, random=random.Random(5))
        await server.start()
        port, crowd = server.port, Crowd(server.url)
        await crowd.all_inside()
        assert server.connections == CLIENTS
        crowd.entered.clear()
        down = loop.time()
        await server.drain()
        await server.stop()
        async with RoomServer(replace(SETTINGS, port=port)) as again:
            up = loop.time()
            await crowd.all_inside()
            assert again.connections == CLIENTS
            assert again.rooms == CLIENTS // IN_A_ROOM
            await crowd.go()
    assert all(
        "it was stopped, or is restarting" in reason or "no connection" in reason for reason in crowd.reasons
    )
    waits = sorted(at - down for at in crowd.entered.values())
    print(f"down for {up - down:.2f} s, back after {waits[0]:.2f} to {waits[-1]:.2f} s")
    assert waits[-1] > WINDOW * 0.8, "somebody was asked to wait for long"
    # what they meant to do, because a machine that is busy elsewhere may hold up many at once
    slots = [0] * 3 * SLOTS
    for planned in crowd.planned.values():
        slots[min(int((planned - down) / WINDOW * SLOTS), 3 * SLOTS - 1)] += 1
    print(f"meant to come back, in eighths of {WINDOW:g} s: {slots}")
    assert sum(slots) == CLIENTS
    assert max(slots) < 0.25 * CLIENTS, "no rush in any eighth of the time"
