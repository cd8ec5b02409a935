"""Two connected processes: two members of a session, or two ends of a bare data channel."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bench.children import LOOPBACK, Child, Spot, child

__all__ = ["Pair", "Sizes", "connect_raw", "raw_pair", "weft_pair"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything is measured.

    Attributes:
        repeat: repetitions of everything; medians are told.
        strokes: seconds of typing at each rate.
        patches: of each trace; `None` for all.
        text_size: characters in each of ten texts.
        files: small files in a folder.
        joins: how often somebody joins in one process.
        seconds: of each measurement of the server.
        connections: idle ones at the server.
        peers: of the session whose memory is measured.
        typing: seconds of typing whose bytes are divided by who carried them.
        troubles: how many of those in the NAT laboratory; `None` for all.
        far_strokes: seconds of typing at each rate to somebody far away.
    """

    repeat: int = 3
    strokes: float = 4.0
    patches: int | None = None
    text_size: int = 1024 * 1024
    files: int = 1000
    joins: int = 5
    seconds: float = 1.0
    connections: int = 1000
    peers: int = 4
    typing: float = 10.0
    troubles: int | None = None
    far_strokes: float = 30.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two processes; *one* speaks, *two* listens."""

    one: Child
    two: Child
    link: str = ""


@contextlib.asynccontextmanager
async def weft_pair(
    server: str, *, count: bool = False, loop: str = "uvloop", spots: tuple[Spot, Spot] = (LOOPBACK, LOOPBACK)
) -> AsyncIterator[Pair]:
    """Two members of a new session without a folder, on a direct path."""
    async with child("weft_side", loop, spots[0]) as one, child("weft_side", loop, spots[1]) as two:
        if count:
            await asyncio.gather(one.do("count"), two.do("count"))
        link = await one.do("share", server=server)
        await two.do("join", link=link)
        await asyncio.gather(one.do("path", path="direct"), two.do("path", path="direct"))
        yield Pair(one, two, link)


@contextlib.asynccontextmanager
async def raw_pair(
    *, count: bool = False, loop: str = "uvloop", spots: tuple[Spot, Spot] = (LOOPBACK, LOOPBACK)
) -> AsyncIterator[Pair]:
    """Two ends of a bare channel that is open."""
    async with child("raw_side", loop, spots[0]) as one, child("raw_side", loop, spots[1]) as two:
        if count:
            await asyncio.gather(one.do("count"), two.do("count"))
        pair = Pair(one, two)
        await connect_raw(pair)
        yield pair


async def connect_raw(pair: Pair) -> float:
    """Open a channel; return the milliseconds from the first step to both ends being open."""
    offer = await pair.one.do("offer")
    answer = await pair.two.do("answer", sdp=offer["sdp"])
    await pair.one.do("accept", sdp=answer)
    opened = await asyncio.gather(pair.one.do("opened"), pair.two.do("opened"))
    return float(max(opened) - offer["began"]) / 1e6
