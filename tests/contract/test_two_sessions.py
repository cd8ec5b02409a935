"""What two sessions may expect of the world: the simulated one, or real TLS and aiortc."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.certificates import FOREVER, Role, issue
from peer.core.documents import Documents
from peer.core.edits import Edit
from peer.core.events import (
    DocumentEdited,
    Event,
    LeaveRequested,
    MemberJoined,
    MemberLeft,
    PresenceSet,
    ServerEntered,
    ServerLost,
    Tick,
)
from peer.core.greeting import Setup
from peer.core.ids import DocId, peer_id
from peer.core.notices import Notice, PeerJoined, PeerLeft, PeerPath, PresenceChanged
from peer.core.session import Session
from peer.edge.driver import Driver
from peer.edge.identity import make_identity
from peer.edge.seals import Seals
from peer.edge.webrtc import DirectPaths
from tests.simulator import LINK_KEY, OWNER, SESSION, World

DOC = DocId(b"contract")


class Side(Protocol):
    """One of the two, in either world."""

    session: Session
    notices: list[Notice]

    def feed(self, event: Event) -> None:
        """Let something happen to it."""


class Two(Protocol):
    """Both sides, and the world around them."""

    sides: list[Side]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let time pass until something holds; fail if it does not."""

    def lose_server(self) -> None:
        """Take the server away from both."""

    def vanish(self, number: int) -> None:
        """Let the server tell the other side that this one is gone."""


class SimulatedSide:
    """A node of the simulator."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._node = world.nodes[number]
        world.start(self._node)
        assert self._node.core is not None
        self.session = self._node.core
        self.notices = self._node.notices

    def feed(self, event: Event) -> None:
        self._world.feed(self._node, event)


class Simulated:
    """Two nodes of the simulator in good weather."""

    def __init__(self) -> None:
        self._world = World(seed=1, nodes=2)
        self._world.weather.relay_break = 0.0
        self._world.weather.direct_works = 1.0
        self._world.weather.words = ("direct",)
        self.sides: list[Side] = [SimulatedSide(self._world, number) for number in range(2)]

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(3000):
            if holds():
                return
            self._world.run(0.01)
        raise AssertionError("not within 30 simulated seconds")

    def lose_server(self) -> None:
        self._world.stop_server()

    def vanish(self, number: int) -> None:
        self._world.leave(self._world.nodes[number])


class RealSide:
    """A session joined to real TLS and real data channels; only the server is played."""

    def __init__(self, number: int, relay: Callable[[int, bytes, bytes], None]) -> None:
        identity = make_identity(Ed25519PrivateKey.generate())
        chain = issue(
            OWNER, session=SESSION, subject=identity.device, role=Role.EDITOR, until=FOREVER, may_invite=True
        )
        setup = Setup(
            me=peer_id(identity.device, os.urandom(8)),
            session=SESSION,
            chain=(chain,),
            role="editor",
            name=f"side {number}",
            link_key=LINK_KEY,
            host=b"h" * 16,
            version="0",
            policy="auto",
            unix_offset=time.time() - time.monotonic(),
        )
        self.address = bytes((number + 1,)) * 8
        self.notices: list[Notice] = []
        self.session = Session(setup, Documents(lambda: setup.client), time.monotonic())
        self.paths = DirectPaths(self.feed)
        self.seals = Seals(identity, self.feed, lambda to, payload: relay(number, to, payload))
        self.driver = Driver(
            self.session, seals=self.seals, paths=self.paths, journal=None, tell=self.notices.append
        )

    def feed(self, event: Event) -> None:
        self.driver.feed(event)


class Real:
    """Two real sides, with a relay that is a function call."""

    def __init__(self) -> None:
        self._both = [RealSide(number, self._relay) for number in range(2)]
        self.sides: list[Side] = list(self._both)
        first, second = self._both
        self._up = True
        for side, others in ((first, ()), (second, (first.address,))):
            side.seals.entered(side.address)
            side.feed(ServerEntered(side.address, others))
            side.feed(Tick())
        first.feed(MemberJoined(second.address))

    def _relay(self, sender: int, to: bytes, payload: bytes) -> None:
        target = self._both[1 - sender]
        if self._up and to == target.address:
            asyncio.get_running_loop().call_soon(target.seals.receive, self._both[sender].address, payload)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.005)

    def lose_server(self) -> None:
        self._up = False
        for side in self._both:
            side.feed(ServerLost("gone"))

    def vanish(self, number: int) -> None:
        self._both[1 - number].feed(MemberLeft(self._both[number].address))

    async def close(self) -> None:
        """End both."""
        for side in self._both:
            side.feed(LeaveRequested())
        for side in self._both:
            await side.driver.finished.wait()
            await side.paths.aclose()


@pytest.fixture(params=["simulated", "real"])
async def two(request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    """Two sessions that are about to meet."""
    if request.param == "simulated":
        yield Simulated()
        return
    real = Real()
    yield real
    await real.close()


def paths(side: Side) -> list[str]:
    return [notice.path for notice in side.notices if isinstance(notice, PeerPath)]


def type_at(side: Side, at: int, text: str) -> None:
    side.session.documents.open(DOC).edit([Edit(at, 0, text)])
    side.feed(DocumentEdited(DOC))


def text_of(side: Side) -> str:
    return side.session.documents.open(DOC).text


async def test_two_meet_on_the_relay_and_move_to_a_direct_path(two: Two) -> None:
    await two.until(lambda: all(paths(side)[-1:] == ["direct"] for side in two.sides))
    assert [paths(side) for side in two.sides] == [["relay", "direct"]] * 2
    for side in two.sides:
        assert len([notice for notice in side.notices if isinstance(notice, PeerJoined)]) == 1


async def test_what_was_there_before_and_what_is_typed_later_reaches_the_other(two: Two) -> None:
    one, other = two.sides
    type_at(one, 0, "before 日本 ")
    await two.until(lambda: text_of(other) == "before 日本 ")
    await two.until(lambda: all(paths(side)[-1:] == ["direct"] for side in two.sides))
    type_at(other, len(text_of(other)), "after 😀")
    await two.until(lambda: text_of(one) == "before 日本 after 😀")


async def test_a_direct_path_outlives_the_server(two: Two) -> None:
    one, other = two.sides
    await two.until(lambda: all(paths(side)[-1:] == ["direct"] for side in two.sides))
    two.lose_server()
    type_at(one, 0, "no server")
    await two.until(lambda: text_of(other) == "no server")
    assert all(len(side.session.peers()) == 1 for side in two.sides)


async def test_a_large_text_arrives_whole(two: Two) -> None:
    one, other = two.sides
    large = "".join(f"line {number} 日本\n" for number in range(40_000))
    type_at(one, 0, large)
    await two.until(lambda: text_of(other) == large)


async def test_presence_is_shown_and_ends_with_a_goodbye(two: Two) -> None:
    one, other = two.sides
    await two.until(lambda: all(paths(side)[-1:] == ["direct"] for side in two.sides))
    one.feed(PresenceSet(path="a.md", cursor=(1, 2)))
    await two.until(lambda: [seen.cursor for seen in other.session.presence()] == [(1, 2)])
    one.feed(LeaveRequested())
    await two.until(lambda: other.session.presence() == [])
    assert [n.reason for n in other.notices if isinstance(n, PeerLeft)] == ["bye"]
    assert [n.here for n in other.notices if isinstance(n, PresenceChanged)][-1] is False


async def test_who_answers_on_the_direct_path_is_not_gone_whatever_the_server_says(two: Two) -> None:
    one, other = two.sides
    await two.until(lambda: all(paths(side)[-1:] == ["direct"] for side in two.sides))
    two.vanish(0)
    type_at(one, 0, "still here")
    await two.until(lambda: text_of(other) == "still here")
    assert len(other.session.peers()) == 1
