from hashlib import sha256

import pytest

from peer.core.actions import Action, SendRelay
from peer.core.blobs import ASK_PATIENCE, BLOB_LIMIT, FETCHES_AT_ONCE, PARTS_AHEAD, RETRY_EVERY, Blobs
from peer.core.carrier import Carrier
from peer.core.frames import BLOB_PART, BlobAsk, BlobPart, decode
from peer.core.link import Link
from peer.core.pieces import RELAY_WINDOW, Incoming
from peer.errors import Malformed
from tests.core.world import link

CONTENT = bytes(range(256)) * 5000
DIGEST = sha256(CONTENT).digest()


class Fetching:
    """Blobs with links on the relay, and what arrived."""

    def __init__(self, links: int = 1) -> None:
        self.arrived: list[tuple[bytes, bytes]] = []
        self.stored: dict[bytes, bytes] = {}
        self.blobs = Blobs(
            arrived=lambda digest, content: self.arrived.append((digest, content)),
            look=lambda digest: self.blobs.looked(digest, self.stored.get(digest)),
        )
        self.orders: list[Action] = []
        self.links: list[Link] = []
        self._incoming: dict[bytes, Incoming] = {}
        for number in range(1, links + 1):
            new = link(self.orders, number)
            new.relay = Carrier(bytes((number,)) * 8, 100.0, "relay")
            self._incoming[bytes((number,)) * 8] = Incoming(RELAY_WINDOW)
            self.links.append(new)
            self.blobs.opened(new)

    def asks(self, now: float = 100.0) -> list[tuple[int, BlobAsk]]:
        """What is asked of whom by now."""
        self.blobs.pump(now)
        for one in self.links:
            one.pump(now)
        asks = []
        for order in self.orders:
            assert isinstance(order, SendRelay)
            whole = self._incoming[order.address].receive(order.piece)
            frame = decode(whole[1]) if whole else None
            if isinstance(frame, BlobAsk):
                asks.append((order.address[0], frame))
        self.orders.clear()
        return asks

    def answer(self, number: int, ask: BlobAsk, content: bytes = CONTENT) -> None:
        """Answer one question truthfully."""
        data = content[ask.offset : ask.offset + BLOB_PART]
        part = BlobPart(ask.digest, ask.offset, len(content), data)
        self.blobs.on_part(self.links[number - 1], part, 100.0)


def test_a_blob_arrives_part_by_part_with_only_so_many_asked_for_at_once() -> None:
    fetching = Fetching()
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    asked = 0
    while not fetching.arrived:
        asks = fetching.asks()
        assert 0 < len(asks) <= PARTS_AHEAD
        for number, ask in asks:
            asked += 1
            fetching.answer(number, ask)
    assert fetching.arrived == [(DIGEST, CONTENT)]
    assert asked == -(-len(CONTENT) // BLOB_PART)
    assert fetching.asks() == []


def test_an_empty_blob_arrives_too() -> None:
    fetching = Fetching()
    digest = sha256(b"").digest()
    fetching.blobs.want({(digest, 0)})
    for number, ask in fetching.asks():
        fetching.answer(number, ask, b"")
    assert fetching.arrived == [(digest, b"")]


def test_who_does_not_have_it_is_replaced() -> None:
    fetching = Fetching(links=2)
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    assert {number for number, _ in fetching.asks()} == {1}
    fetching.blobs.on_part(fetching.links[0], BlobPart(DIGEST, 0, 0, None), 100.0)
    assert {number for number, _ in fetching.asks()} == {2}
    fetching.blobs.on_part(fetching.links[1], BlobPart(DIGEST, 0, 0, None), 100.0)
    assert fetching.asks() == []
    assert fetching.blobs.next_deadline() == 100.0 + RETRY_EVERY
    assert fetching.asks(100.0 + RETRY_EVERY)


def test_who_falls_silent_is_replaced() -> None:
    fetching = Fetching(links=2)
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    fetching.asks()
    assert fetching.blobs.next_deadline() == 100.0 + ASK_PATIENCE
    assert {number for number, _ in fetching.asks(100.0 + ASK_PATIENCE)} == {2}


@pytest.mark.parametrize("how", ["closed", "moved"])
def test_a_lost_path_begins_the_fetch_again(how: str) -> None:
    fetching = Fetching(links=2)
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    fetching.asks()
    if how == "closed":
        fetching.blobs.closed(fetching.links[0])
        fetching.blobs.closed(fetching.links[0])
        assert {number for number, _ in fetching.asks()} == {2}
    else:
        fetching.blobs.moved(fetching.links[0])
        assert fetching.asks()[0][1].offset == 0


def test_what_is_not_wanted_any_more_is_not_fetched() -> None:
    fetching = Fetching()
    fetching.blobs.want({(DIGEST, len(CONTENT)), (b"2" * 32, BLOB_LIMIT + 1)})
    asks = fetching.asks()
    assert {ask.digest for _, ask in asks} == {DIGEST}
    fetching.blobs.want(set())
    fetching.answer(*asks[0])
    assert fetching.asks() == []
    assert fetching.arrived == []


def test_only_so_many_are_in_memory_at_once() -> None:
    fetching = Fetching()
    fetching.blobs.want({(bytes((n,)) * 32, 100) for n in range(5)})
    assert len({ask.digest for _, ask in fetching.asks()}) == FETCHES_AT_ONCE


def test_nobody_to_ask_is_no_reason_to_wake_up() -> None:
    fetching = Fetching(links=0)
    fetching.blobs.want({(DIGEST, 100)})
    assert fetching.asks() == []
    assert fetching.blobs.next_deadline() is None


@pytest.mark.parametrize(
    "part",
    [
        BlobPart(DIGEST, 1, len(CONTENT), CONTENT[1 : 1 + BLOB_PART]),
        BlobPart(DIGEST, 0, len(CONTENT), b"short"),
        BlobPart(DIGEST, BLOB_PART * 1000, len(CONTENT), b""),
    ],
)
def test_a_part_that_does_not_fit_is_malformed(part: BlobPart) -> None:
    fetching = Fetching()
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    fetching.asks()
    with pytest.raises(Malformed):
        fetching.blobs.on_part(fetching.links[0], part, 100.0)


def test_content_with_another_digest_is_malformed_and_never_arrives() -> None:
    fetching = Fetching()
    wrong = b"x" * len(CONTENT)
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    asks: list[tuple[int, BlobAsk]] = []
    while len(asks) < -(-len(wrong) // BLOB_PART):
        asks += fetching.asks()
        for number, ask in asks[:-1]:
            fetching.answer(number, ask, wrong)
    with pytest.raises(Malformed, match="promised"):
        fetching.answer(*asks[-1], wrong)
    assert fetching.arrived == []


def test_a_part_from_somebody_else_is_dropped() -> None:
    fetching = Fetching(links=2)
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    fetching.asks()
    fetching.blobs.on_part(fetching.links[1], BlobPart(DIGEST, 0, 1, b"x"), 100.0)
    assert fetching.arrived == []


def test_a_retry_with_answers_restarts_only_where_links_stand() -> None:
    fetching = Fetching(links=1)
    fetching.links[0].relay = None
    fetching.blobs.want({(DIGEST, 100)})
    fetching.blobs.pump(100.0)
    assert fetching.blobs.next_deadline() == 100.0 + RETRY_EVERY


def test_a_size_that_the_index_had_wrong_is_not_the_fault_of_who_answers() -> None:
    fetching = Fetching()
    fetching.blobs.want({(DIGEST, 5)})
    for number, ask in fetching.asks():
        fetching.answer(number, ask)
    assert fetching.arrived == []
    assert fetching.asks() == []


def test_when_nobody_has_it_all_wait_and_are_not_asked_with_every_event() -> None:
    fetching = Fetching(links=1)
    fetching.blobs.want({(DIGEST, 100), (b"2" * 32, 100)})
    for digest in (DIGEST, b"2" * 32):
        fetching.asks()
        fetching.blobs.on_part(fetching.links[0], BlobPart(digest, 0, 0, None), 100.0)
    assert fetching.asks(100.0) == []
    assert fetching.asks(104.9) == []
    assert fetching.blobs.next_deadline() == 100.0 + RETRY_EVERY
    assert {ask.digest for _, ask in fetching.asks(100.0 + RETRY_EVERY)} == {DIGEST, b"2" * 32}


@pytest.mark.parametrize("how", ["opened", "moved"])
def test_somebody_new_is_asked_at_once(how: str) -> None:
    fetching = Fetching(links=1)
    fetching.blobs.want({(DIGEST, 100)})
    fetching.asks()
    fetching.blobs.on_part(fetching.links[0], BlobPart(DIGEST, 0, 0, None), 100.0)
    assert fetching.asks() == []
    getattr(fetching.blobs, how)(fetching.links[0])
    assert len(fetching.asks()) == 1


def test_nothing_is_remembered_of_what_is_not_wanted_any_more() -> None:
    fetching = Fetching(links=2)
    fetching.blobs.want({(DIGEST, 100)})
    fetching.asks()
    fetching.blobs.on_part(fetching.links[0], BlobPart(DIGEST, 0, 0, None), 100.0)
    fetching.blobs.want(set())
    fetching.blobs.want({(DIGEST, 100)})
    assert [number for number, _ in fetching.asks()] == [1]


def test_a_peer_that_goes_is_forgotten_and_may_be_asked_when_it_comes_back() -> None:
    fetching = Fetching(links=2)
    fetching.blobs.want({(DIGEST, 100)})
    fetching.asks()
    fetching.blobs.on_part(fetching.links[0], BlobPart(DIGEST, 0, 0, None), 100.0)
    fetching.blobs.closed(fetching.links[0])
    fetching.blobs.closed(fetching.links[1])
    fetching.blobs.opened(fetching.links[0])
    assert [number for number, _ in fetching.asks()] == [1]


# --- our own store ---------------------------------------------------------------------------------------


def test_what_is_here_already_is_not_asked_for() -> None:
    fetching = Fetching()
    fetching.stored[DIGEST] = CONTENT
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    assert fetching.asks() == []
    assert fetching.arrived == [(DIGEST, CONTENT)]


@pytest.mark.parametrize("stored", [CONTENT[:-1] + b"?", CONTENT[:-1]])
def test_what_is_here_and_damaged_is_asked_for(stored: bytes) -> None:
    fetching = Fetching()
    fetching.stored[DIGEST] = stored
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    assert fetching.asks() != []
    assert fetching.arrived == []


def test_our_own_store_is_asked_for_one_blob_at_a_time_and_once_for_each() -> None:
    looks: list[bytes] = []
    blobs = Blobs(arrived=lambda *_: None, look=looks.append)
    blobs.want({(b"a" * 32, 1), (b"b" * 32, 1)})
    blobs.pump(100.0)
    blobs.pump(100.0)
    assert len(looks) == 1
    blobs.looked(b"x" * 32, None)
    blobs.pump(100.0)
    assert len(looks) == 1, "that was no answer"
    blobs.looked(looks[0], None)
    blobs.pump(100.0)
    blobs.looked(looks[1], None)
    blobs.pump(100.0)
    assert sorted(looks) == [b"a" * 32, b"b" * 32]
    blobs.want(set())
    blobs.want({(b"a" * 32, 1)})
    blobs.pump(100.0)
    assert len(looks) == 3, "what is wanted again is looked for again"


def test_nobody_is_asked_before_our_own_store_has_answered() -> None:
    fetching = Fetching()
    asked: list[bytes] = []
    fetching.blobs._look = asked.append
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    assert fetching.asks() == []
    fetching.blobs.want(set())
    fetching.blobs.looked(DIGEST, CONTENT)
    assert fetching.arrived == [], "it is not wanted any more"
    fetching.blobs.want({(DIGEST, len(CONTENT))})
    assert fetching.asks() == []
    fetching.blobs.looked(DIGEST, None)
    assert fetching.asks() != []
