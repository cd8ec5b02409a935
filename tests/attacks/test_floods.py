"""Floods from somebody who has proved nothing: a whole session behind real TLS, and a server that helps."""

import time
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.documents import Documents
from peer.core.events import ServerEntered
from peer.core.notices import Notice, Warned
from peer.core.session import Session
from peer.edge.driver import Driver
from peer.edge.identity import make_identity
from peer.edge.sealed import Seal
from peer.edge.seals import SEALS_LIMIT, WAITING_BYTES, WAITING_PIECES, Seals
from peer.edge.webrtc import DirectPaths
from tests.core.world import ADDRESS, setup

TINY_PIECES = 16_000
"""Empty ones, as many as fit in one relayed frame."""
LARGE_PIECE = bytes(15_000)


class Stranger:
    """Somebody in the room who makes TLS links to us, and sends what it likes."""

    def __init__(self, ours: Seals, address: bytes) -> None:
        self.ours = ours
        self.address = address
        self.epoch = 0
        self.inbox: list[bytes] = []
        self.identity = make_identity(Ed25519PrivateKey.generate())
        self.seal = Seal(True, self.identity)

    def link(self) -> None:
        """Shake hands, anew."""
        self.epoch = (self.epoch + 1) % 256
        self.inbox.clear()
        self.seal = Seal(True, self.identity)
        self.seal.start()
        for _ in range(4):
            self.pass_on()
            for payload in self.inbox:
                if len(payload) > 1:
                    self.seal.receive(payload[1:])
            self.inbox.clear()
        assert self.seal.established

    def pass_on(self) -> None:
        """Hand over what was sealed."""
        for data in self.seal.take_outgoing():
            self.ours.receive(self.address, bytes((self.epoch,)) + data)

    def flood(self, pieces: list[bytes]) -> None:
        """Say all of this without waiting for anything."""
        for piece in pieces:
            self.seal.send(piece)
            self.pass_on()

    def flood_tiny(self) -> None:
        """As many pieces as fit in one frame."""
        lengths = bytes(4 * TINY_PIECES)  # each says that an empty piece follows
        for start in range(0, len(lengths), 16_000):
            self.seal._connection.sendall(lengths[start : start + 16_000])
        self.ours.receive(self.address, bytes((self.epoch,)) + b"".join(self.seal.take_outgoing()))


class Side:
    """One session joined to real TLS; what it sends goes to the strangers."""

    def __init__(self) -> None:
        self.strangers: dict[bytes, Stranger] = {}
        self.notices: list[Notice] = []
        self.session = Session(setup(1), Documents(lambda: 1), time.monotonic())
        self.seals = Seals(
            make_identity(Ed25519PrivateKey.generate()), lambda event: self.driver.feed(event), self._relay
        )
        self.paths = DirectPaths(lambda event: self.driver.feed(event))
        self.driver = Driver(
            self.session, seals=self.seals, paths=self.paths, journal=None, tell=self.notices.append
        )
        self.seals.entered(ADDRESS)
        self.driver.feed(ServerEntered(ADDRESS, (ADDRESS,)))

    def _relay(self, address: bytes, payload: bytes) -> None:
        if address in self.strangers:
            self.strangers[address].inbox.append(payload)

    def stranger(self, number: int = 1) -> Stranger:
        """Another one, with a TLS link."""
        address = number.to_bytes(8)
        new = self.strangers[address] = Stranger(self.seals, address)
        new.link()
        return new

    def warnings(self) -> list[str]:
        return [notice.message for notice in self.notices if isinstance(notice, Warned)]


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    new = Side()
    yield new
    new.driver.stop()
    await new.paths.aclose()


async def test_tiny_pieces_without_end_before_any_proof(side: Side) -> None:
    stranger = side.stranger()
    for _ in range(30):
        stranger.link()
        stranger.flood_tiny()
    assert not side.driver.finished.is_set(), "the session goes on"
    assert len(side.driver._inbox) <= WAITING_PIECES + 3 * 31
    await side.driver.caught_up()
    assert side.driver.failure is None


async def test_large_pieces_without_end_before_any_proof(side: Side) -> None:
    stranger = side.stranger()
    for _ in range(3):
        stranger.link()
        stranger.flood([LARGE_PIECE] * 500)
    waiting = sum(len(getattr(event, "data", b"")) for event in side.driver._inbox)
    assert waiting <= WAITING_BYTES
    await side.driver.caught_up()


async def test_a_stranger_that_floods_can_be_met_again_once_its_pieces_are_taken(side: Side) -> None:
    stranger = side.stranger()
    stranger.flood_tiny()
    await side.driver.caught_up()
    assert side.seals.waiting == 0
    stranger.link()
    stranger.flood([b"?"])
    await side.driver.caught_up()
    assert side.warnings()[-1] == "the other side spoke before it said who it is"


async def test_garbage_from_addresses_without_end(side: Side) -> None:
    """What never was a link has no end that the core must hear of."""
    before = len(side.driver._inbox)
    for number in range(10 * SEALS_LIMIT):
        side.seals.receive(number.to_bytes(8), b"\x01garbage")
    assert len(side.driver._inbox) == before
