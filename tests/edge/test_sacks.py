"""What a direct path says of how much has arrived: as SCTP's acknowledgements do, and no sooner."""

import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from peer.core.events import DirectArrived
from peer.core.ids import Attempt
from peer.edge.sacks import under_way
from tests.edge.test_shortcuts import sctp_of
from tests.edge.test_webrtc import ONE, Side, channel, connect, two_sides, until


def arrived(side: Side) -> int:
    """What the path has delivered, as it is told."""
    side.paths.tell_arrived(ONE)
    event = side.told.get_nowait()
    assert isinstance(event, DirectArrived)
    assert event.attempt == ONE
    return event.pieces


async def test_everything_has_arrived_a_moment_after_it_was_sent_and_nothing_before() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        assert arrived(ana) == 0
        total = 0
        for _ in range(30):
            sizes = [rng.choice([0, 1, 40, 1189, 16_384]) for _ in range(rng.randrange(1, 40))]
            for size in sizes:
                ana.paths.send(ONE, bytes(size))
                ana.paths.send_lossy(ONE, b"presence")
            assert arrived(ana) == total, "no packet came in meanwhile"
            total += len(sizes)
            await until(lambda total=total: arrived(ana) == total)  # type: ignore[misc]
            assert ben.told.qsize() >= len(sizes)
            while not ben.told.empty():
                ben.told.get_nowait()


async def test_what_the_network_swallows_has_not_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        ana.paths.send(ONE, b"before")
        await until(lambda: arrived(ana) == 1)

        async def swallow(_: bytes) -> None:
            return None

        monkeypatch.setattr(sctp_of(ben), "_handle_data", swallow)
        for _ in range(3):
            ana.paths.send(ONE, b"typed")
        await ben.pieces(1)
        assert arrived(ana) == 1


async def test_of_a_path_that_is_over_nothing_is_told() -> None:
    async with two_sides() as (ana, _):
        ana.paths.tell_arrived(Attempt(99))
        assert ana.told.empty()


def test_what_follows_a_gap_has_not_arrived_though_it_was_acknowledged() -> None:
    ours: Any = SimpleNamespace(id=1)
    chunks = [
        SimpleNamespace(stream_id=stream, flags=flags, _acked=acked)
        for stream, flags, acked in [
            (2, 3, False),  # a lost one of another channel holds nothing up
            (1, 3, True),
            (1, 2, True),  # the first half of the second message: there; the other is not
            (1, 1, False),
            (1, 3, True),
        ]
    ]
    waiting = [(ours, 53, b"more"), (SimpleNamespace(id=2), 53, b"presence")]
    ours.transport = SimpleNamespace(_sent_queue=chunks[:3], _outbound_queue=chunks[3:])
    ours.transport._data_channel_queue = waiting
    assert under_way(ours) == 3


async def test_before_there_is_a_channel_and_with_another_library_nothing_is_under_way() -> None:
    assert under_way(None) == 0
    assert under_way(cast(Any, SimpleNamespace(id=1, transport=object()))) == 0
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        assert under_way(channel(ana).edits) == 0
