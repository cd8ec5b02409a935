"""How fast is the encrypted relay?  Two visitors in a room of their own, and data from one to the other."""

import asyncio
import os
import time
from typing import Final

from peer.edge.probes.finding import Finding, broken, note, ok
from peer.edge.probes.visitor import NotLetIn, Visitor
from peer.edge.server_url import ServerUrl

__all__ = ["FRAME", "FRAMES", "PATIENCE", "probe"]

FRAME: Final = 16 * 1024
"""Bytes of one frame; what a link sends, too."""
FRAMES: Final = 48
"""768 KiB together: less than any server's allowance for a start, and enough to tell a rate."""
PATIENCE: Final = 4.0
"""Seconds for all of it; slower than 200 kB/s is slow."""
ROUNDS: Final = 3

_IDS: Final = ("server.relay", "relay")
SLOW_MS: Final = 300.0
"""Above this round trip, typing feels late."""


async def probe(server: ServerUrl) -> Finding:
    """Measure round trip and rate from us through the server to us."""
    try:
        async with Visitor(server.url) as one, Visitor(server.url, one.secret) as two:
            ms = await _round_trip(one, two)
            rate, whole = await _rate(one, two)
    except NotLetIn as error:
        return broken(*_IDS, "two visitors did not both get in", cause=str(error))
    except TimeoutError:
        return broken(*_IDS, "passed nothing on", cause="the server took frames and lost them")
    found = (
        f"round trip {ms:.1f} ms, {rate / 1e6:.1f} MB/s"
        if rate >= 1e5
        else f"round trip {ms:.0f} ms, {rate / 1e3:.0f} kB/s"
    )
    data: dict[str, object] = {"bytes_per_s": round(rate), "round_trip_ms": round(ms, 1)}
    if ms > SLOW_MS or not whole:
        cause = "the server is far away or overloaded; others will see you type late"
        return note(*_IDS, found, cause=cause, do="choose a nearer one:  --server URL", data=data)
    return ok(*_IDS, found, ms=round(ms, 1), data=data)


async def _round_trip(one: Visitor, two: Visitor) -> float:
    best = float("inf")
    async with asyncio.timeout(PATIENCE):
        for _ in range(ROUNDS):
            began = time.monotonic()
            one.send(two.address, b"there")
            await two.arrived.get()
            two.send(one.address, b"back")
            await one.arrived.get()
            best = min(best, (time.monotonic() - began) * 1000)
    return best


async def _rate(one: Visitor, two: Visitor) -> tuple[float, bool]:
    """Bytes per second, and whether everything came through in time."""
    payload = os.urandom(FRAME)
    began = time.monotonic()
    for _ in range(FRAMES):
        one.send(two.address, payload)
    came = 0
    try:
        async with asyncio.timeout(PATIENCE):
            while came < FRAMES:
                await two.arrived.get()
                came += 1
    except TimeoutError:
        if not came:
            raise
    return came * FRAME / (time.monotonic() - began), came == FRAMES
