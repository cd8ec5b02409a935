"""What the router does to a plain socket, asked through a TURN server, where STUN has one address only.

A relayed address is another port of the same machine: whether our socket is seen at the same port from there
tells the mapping, and whether its packet comes in before ours went out tells the filter (RFC 4787 §4, §5).
What a router would do toward another *machine* stays open; those that tell machines apart but not ports are
rare, and for who can be direct, letting in a known machine is as good as letting in anybody.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from peer.edge.turn_client import (
    Address,
    Outside,
    Rejected,
    Target,
    TurnClient,
    Unanswered,
    connected,
    outside,
    targets,
)
from peer.errors import UsageError
from signaling.messages import IceServer

__all__ = ["Through", "ask"]

SECONDS: Final = 1.0
"""For each step; the server has just answered another question."""
_TRIES: Final = 2
_WORD_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Through:
    """What was seen: our address at the server's port, and at the relayed one; whether a stranger got in."""

    first: Address
    second: Address
    lets_in: bool


async def ask(servers: Sequence[IceServer]) -> Through | None:
    """Ask through the first TURN server that answers by UDP; `None` if none does, or it may not send here."""
    for server in servers:
        for url in server.urls:
            try:
                target = next((each for each in targets(url) if each.transport == "udp"), None)
            except UsageError:
                target = None
            if target is not None and server.username and server.credential:
                return await _ask_one(target, server.username, server.credential)
    return None


async def _ask_one(target: Target, username: str, credential: str) -> Through | None:
    try:
        async with connected(target, username, credential, seconds=SECONDS) as client:
            relayed = await client.allocate()
            async with outside(SECONDS) as plain:
                first = await plain.seen_as(target)
                await client.open_to(first)
                lets_in = await _comes_in(client, plain, first)
                second = await _goes_out(client, plain, relayed)
                return None if second is None else Through(first, second, lets_in)
    except (Rejected, Unanswered, OSError):
        return None


async def _comes_in(client: TurnClient, plain: Outside, seen: Address) -> bool:
    """Whether a packet from a port that was never asked arrives."""
    word = os.urandom(_WORD_BYTES)
    for _ in range(_TRIES):
        await client.send(word, seen)
        try:
            if (await plain.receive(SECONDS / _TRIES))[0] == word:
                return True
        except Unanswered:
            continue
    return False


async def _goes_out(client: TurnClient, plain: Outside, relayed: Address) -> Address | None:
    """Where that port sees our socket."""
    word = os.urandom(_WORD_BYTES)
    for _ in range(_TRIES):
        plain.send(word, relayed)
        try:
            async with asyncio.timeout(SECONDS / _TRIES):
                data, seen = await client.receive()
        except (TimeoutError, Unanswered):
            continue
        if data == word:
            return seen
    return None
