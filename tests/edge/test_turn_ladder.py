"""Direct paths through a real TURN server, over each transport, and the climb from one to the next."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from peer.core.actions import AcceptAnswer, AcceptOffer, AddCandidates, DialDirect
from peer.core.events import (
    AnswerMade,
    CandidatesFound,
    DirectBroken,
    DirectOpened,
    DirectPieceArrived,
    Event,
    OfferMade,
    TurnKnown,
    TurnReached,
    TurnRefused,
)
from peer.core.ids import Attempt
from peer.core.ladder import EVERYTHING, Ladder, Means, Rung
from peer.edge import gathering
from peer.edge.attempt import CLOSE_SECONDS
from peer.edge.ice_servers import IceServer
from peer.edge.webrtc import DirectPaths
from tests.edge.coturn import PASSWORD, USER, Coturn, coturn

pytestmark = pytest.mark.needs("turnserver")

ONE = Attempt(1)
PATIENCE = 15.0


class Side:
    """One peer, whose events go to the other as frames would."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.other: Side | None = None
        self.means = EVERYTHING
        self.changed = asyncio.Event()
        self.paths = DirectPaths(self.hear)

    def hear(self, event: Event) -> None:
        self.told.append(event)
        self.changed.set()
        other = self.other
        if other is None:
            return
        match event:
            case OfferMade():
                other.paths.accept_offer(AcceptOffer(event.attempt, event.sdp, False, other.means))
            case AnswerMade():
                other.paths.accept_answer(AcceptAnswer(event.attempt, event.sdp))
            case CandidatesFound():
                other.paths.add_candidates(AddCandidates(event.attempt, event.candidates, event.last))
            case _:
                pass

    async def first(self, kind: type[Event]) -> Event:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [event for event in self.told if isinstance(event, kind)]
                if found:
                    return found[0]
                assert kind is DirectBroken or not any(isinstance(e, DirectBroken) for e in self.told), (
                    self.told
                )
                self.changed.clear()
                await self.changed.wait()

    def reached(self) -> list[str]:
        return [event.kind for event in self.told if isinstance(event, TurnReached)]

    def described(self) -> list[str]:
        """What this side told of its own addresses in its description."""
        told = [event.sdp for event in self.told if isinstance(event, OfferMade | AnswerMade)]
        return [line for sdp in told for line in sdp.splitlines() if line.startswith("a=candidate:")]

    def found(self) -> list[str]:
        return [
            line for event in self.told if isinstance(event, CandidatesFound) for line in event.candidates
        ]


@asynccontextmanager
async def two_sides(*servers: IceServer, means: Means) -> AsyncIterator[tuple[Side, Side]]:
    ana, ben = Side(), Side()
    ana.other, ben.other = ben, ana
    try:
        for side in (ana, ben):
            side.means = means
            side.paths.use_ice_servers(servers)
            await side.paths.warm()
        yield ana, ben
    finally:
        await ana.paths.aclose()
        await ben.paths.aclose()


@contextmanager
def dead_turn() -> Iterator[IceServer]:
    """A server that takes packets and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("127.0.0.1", 0))
        yield IceServer((f"turn:127.0.0.1:{dead.getsockname()[1]}?transport=udp",), USER, PASSWORD)


def turn_only(*kinds: str) -> Means:
    ladder = Ladder()
    ladder.offer(kinds)
    return ladder.means({"turn"})


@pytest.fixture
async def turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Coturn]:
    async with coturn(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        yield server


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls"])
async def test_a_path_through_turn_opens_over_each_transport_and_carries(turn: Coturn, kind: str) -> None:
    async with two_sides(turn.server(kind), means=turn_only(kind)) as (ana, ben):
        ana.paths.dial(DialDirect(ONE, False, ana.means))
        for side in (ana, ben):
            opened = await side.first(DirectOpened)
            assert isinstance(opened, DirectOpened)
            assert opened.path == "turn"
            described = side.described()
            assert any(f" {opened.address.replace(':', ' ')} typ relay" in line for line in described)
            assert side.reached() == [kind]
        ana.paths.send(ONE, b"over the relay")
        arrived = await ben.first(DirectPieceArrived)
        assert isinstance(arrived, DirectPieceArrived)
        assert arrived.data == b"over the relay"


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls"])
async def test_a_path_whose_turn_server_fell_silent_leaves_no_task_behind(turn: Coturn, kind: str) -> None:
    """aioice asks such a server for 32 s to take its address back, and closes nothing before."""
    before = asyncio.all_tasks()
    async with two_sides(turn.server(kind), means=turn_only(kind)) as (ana, ben):
        ana.paths.dial(DialDirect(ONE, False, ana.means))
        for side in (ana, ben):
            await side.first(DirectOpened)
        os.kill(turn.pid, signal.SIGSTOP)
        closing = asyncio.get_running_loop().time()
        for side in (ana, ben):
            await side.paths.aclose()
        left = asyncio.all_tasks() - before
        assert left == set()
        assert asyncio.get_running_loop().time() - closing < 2 * CLOSE_SECONDS


async def test_who_shows_only_turn_shows_no_address_of_the_machine(turn: Coturn) -> None:
    async with two_sides(turn.server("udp"), means=turn_only("udp")) as (ana, _):
        ana.paths.dial(DialDirect(ONE, False, ana.means))
        offer = await ana.first(OfferMade)
        assert isinstance(offer, OfferMade)
        lines = [line for line in offer.sdp.splitlines() if line.startswith("a=candidate:")]
        assert [line.split()[7] for line in lines] == ["relay"]
        assert "raddr 0.0.0.0 rport 9" in lines[0]


async def test_the_next_rung_is_taken_when_one_is_dead(turn: Coturn) -> None:
    means = turn_only("udp", "tcp", "tls")
    with dead_turn() as dead:
        async with two_sides(dead, turn.server("tcp", "tls"), means=means) as (ana, ben):
            assert ana.told[0] == TurnKnown(("udp", "tcp", "tls"))
            started = asyncio.get_running_loop().time()
            ana.paths.dial(DialDirect(ONE, False, means))
            await ana.first(DirectOpened)
            await ben.first(DirectOpened)
            assert ana.reached() == ben.reached() == ["tcp"]
            assert asyncio.get_running_loop().time() - started < 5.0


async def test_a_direct_path_is_not_kept_waiting_by_turn_and_wins(turn: Coturn) -> None:
    means = Means(turn=(Rung("udp", 0.0),))
    async with two_sides(turn.server("udp"), means=means) as (ana, ben):
        ana.paths.dial(DialDirect(ONE, False, means))
        for side in (ana, ben):
            opened = await side.first(DirectOpened)
            assert isinstance(opened, DirectOpened)
            assert opened.path != "turn"


async def test_an_allocation_that_the_path_does_not_use_is_given_back(
    turn: Coturn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "RELEASE_AFTER", 1.0)
    monkeypatch.setattr(gathering, "RELEASE_IDLE", 0.0)
    async with two_sides(turn.server("udp"), means=Means(turn=(Rung("udp", 0.0),))) as (ana, ben):
        # what is found is kept from the other side until both hold an allocation
        ana.other = None
        ana.paths.dial(DialDirect(ONE, False, ana.means))
        offer = await ana.first(OfferMade)
        assert isinstance(offer, OfferMade)
        await ana.first(TurnReached)
        wire = ana.paths._paths[ONE]._wire
        assert wire is not None
        async with asyncio.timeout(PATIENCE):
            while len(relays := [p for p in wire.ice._protocols if p.local_candidate.type == "relay"]) < 1:
                await asyncio.sleep(0.01)
        ben.paths.accept_offer(AcceptOffer(ONE, offer.sdp, False, ben.means))
        await ana.first(DirectOpened)
        async with asyncio.timeout(PATIENCE):
            while relays[0] in wire.ice._protocols:
                await asyncio.sleep(0.01)
        ana.paths.send(ONE, b"still here")
        await ben.first(DirectPieceArrived)


async def test_a_wrong_password_is_no_path(turn: Coturn) -> None:
    wrong = IceServer(turn.server("udp").urls, USER, "wrong")
    async with two_sides(wrong, means=turn_only("udp")) as (ana, _):
        ana.paths.dial(DialDirect(ONE, False, ana.means))
        broken = await ana.first(DirectBroken)
        assert isinstance(broken, DirectBroken)
        assert "the TURN server answers and refuses (error 401)" in broken.reason
        assert ana.reached() == []
        assert [event for event in ana.told if isinstance(event, TurnRefused)] == [TurnRefused(401)]


@pytest.mark.parametrize("kind", ["tcp", "tls"])
async def test_a_wrong_password_is_told_over_streams_as_well(turn: Coturn, kind: str) -> None:
    wrong = IceServer(turn.server(kind).urls, USER, "wrong")
    async with two_sides(wrong, means=turn_only(kind)) as (ana, _):
        ana.paths.dial(DialDirect(ONE, False, ana.means))
        assert await ana.first(TurnRefused) == TurnRefused(401)


async def test_a_turn_server_also_tells_how_others_see_us(turn: Coturn) -> None:
    """On one machine that is an address which it knows already, so nothing is told but the end."""
    async with two_sides(turn.server("udp"), means=Means(host=True, stun=True)) as (ana, _):
        ana.other = None
        ana.paths.dial(DialDirect(ONE, False, ana.means))
        ended = await ana.first(CandidatesFound)
        assert ended == CandidatesFound(ONE, (), last=True)
