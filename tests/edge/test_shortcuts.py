"""Shorter ways through aiortc: the same as the long ones, and left out where they are not known to be."""

import asyncio
import random
from typing import Any

import pytest

from peer.core.events import DirectBroken
from peer.edge import shortcuts
from tests.edge.test_webrtc import ONE, Side, connect, two_sides, until


def test_the_installed_library_is_the_one_that_is_known() -> None:
    """If this fails after an upgrade: read the methods named there again, then change their sums."""
    assert shortcuts.is_known.__wrapped__()


@pytest.mark.parametrize("name", [*shortcuts.ORIGINALS, "Connection.no_such_method"])
def test_another_library_is_not_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shortcuts.ORIGINALS, name, "another")
    assert not shortcuts.is_known.__wrapped__()


def sctp_of(side: Side) -> Any:
    wire = side.paths._paths[ONE]._wire
    assert wire is not None
    return wire.pc.sctp


@pytest.mark.parametrize("takers", [0, 1, 2])
async def test_everything_arrives_in_order_whoever_takes_shortcuts(
    takers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    real, asked = shortcuts.take, iter(range(9))
    monkeypatch.setattr(shortcuts, "take", lambda *wire: real(*wire) if next(asked) < takers else None)
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        assert sum("_data_channel_send" in vars(sctp_of(side)) for side in (ana, ben)) == takers
        for _ in range(40):
            sent = [
                [rng.randbytes(rng.choice([1, 40, 1189, 1190, 16_384])) for _ in range(rng.randrange(20))]
                for _ in range(2)
            ]
            for side, pieces in zip((ana, ben), sent, strict=True):
                for piece in pieces:
                    side.paths.send(ONE, piece)
            assert await ben.pieces(len(sent[0])) == sent[0]
            assert await ana.pieces(len(sent[1])) == sent[1]


async def test_a_message_has_left_when_send_returns() -> None:
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        await until(lambda: not sctp_of(ana)._sent_queue)
        ana.paths.send(ONE, b"key stroke")
        assert ana.paths.buffered(ONE) == 0
        assert len(sctp_of(ana)._sent_queue) == 1
        assert await ben.pieces(1) == [b"key stroke"]


async def test_an_error_ends_the_path_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: bytes) -> None:
        raise ValueError("a mistake in the library")

    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        monkeypatch.setattr(sctp_of(ben), "_handle_data", fail)
        ana.paths.send(ONE, b"makes it fail")
        await ben.next(DirectBroken)


async def test_what_waits_after_all_is_gone_on_with() -> None:
    gate = asyncio.Event()
    seen: list[str] = []

    async def wait(how: str) -> None:
        seen.append("begun")
        try:
            await gate.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            how = "cancelled"
        seen.append(how)

    shortcuts._run(wait("done"))
    assert seen == ["begun"]
    gate.set()
    await until(lambda: seen == ["begun", "done"])
    await until(lambda: not shortcuts._unfinished)
    gate.clear()
    shortcuts._run(wait("done"))
    await asyncio.sleep(0)
    for task in shortcuts._unfinished:
        task.cancel()
    await until(lambda: seen[2:] == ["begun", "cancelled"])


async def test_a_packet_that_is_lost_while_sctp_opens_costs_a_second_and_not_three(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from aiortc.rtcsctptransport import InitChunk, RTCSctpTransport

    send = RTCSctpTransport._send_chunk
    lost: set[RTCSctpTransport] = set()

    async def lose_the_first(sctp: Any, chunk: Any) -> None:
        if isinstance(chunk, InitChunk) and sctp not in lost:
            lost.add(sctp)
        else:
            await send(sctp, chunk)

    monkeypatch.setattr(RTCSctpTransport, "_send_chunk", lose_the_first)
    async with asyncio.timeout(2.8), two_sides() as (ana, ben):
        await connect(ana, ben)
        assert lost
