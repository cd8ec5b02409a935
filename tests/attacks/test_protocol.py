"""Attacks by members, and by those who would like to be: what happens when a peer says what it may not.

After each of them the attacker is gone, or has got nothing; the session goes on, and a neighbour who did
nothing wrong has noticed nothing.
"""

import tracemalloc
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.core.actions import AppendUpdate, LoadBlob
from peer.core.certificates import Role
from peer.core.document import Document
from peer.core.edits import Edit
from peer.core.events import DirectLossyArrived, DocumentEdited, MemberLeft, RelayPieceArrived
from peer.core.frames import (
    BLOB_PART,
    Ack,
    Ask,
    BlobAsk,
    BlobPart,
    Bye,
    DigestEntry,
    Digests,
    EditFrame,
    Frame,
    Offer,
    Ping,
    PresenceFrame,
    Proof,
    State,
    Summary,
    encode,
)
from peer.core.greeting import REFUSED_FOR
from peer.core.ids import DocId, client_of, peer_id
from peer.core.notices import PeerJoined, PresenceChanged, Warned
from peer.core.pieces import Lane
from tests.core.world import (
    ADDRESS,
    BINDING,
    DOC,
    OTHER_DOC,
    Guest,
    Host,
    certificates,
    device,
    key,
    proof,
)

EMPTY = b"\x00"
BOTH_SIDES = pytest.mark.parametrize("address", [b"\x02" * 8, b"\xf0" * 8], ids=["they begin", "we begin"])


class Scene:
    """A host, a neighbour who does nothing wrong, and an attacker."""

    def __init__(self, role: Role = Role.EDITOR, *, joins: bool = True, client: int | None = None) -> None:
        self.host = Host(policy="relay")
        self.neighbour = Guest(self.host, 3).join()
        self.attacker = Guest(self.host, 2, role=role, client=client)
        if joins:
            self.attacker.join()
        self.attacker.heard.clear()

    def log(self) -> list[AppendUpdate]:
        """What was written down."""
        return self.host.ordered(AppendUpdate)

    def goes_on(self) -> None:
        """Check that host and neighbour can still work together."""
        assert self.host.knows(self.neighbour)
        self.neighbour.heard.clear()
        before = self.host.text(OTHER_DOC)
        self.neighbour.say(EditFrame(OTHER_DOC, self.neighbour.typed("n", OTHER_DOC)), Lane.EDITS)
        assert self.host.text(OTHER_DOC) == "n" + before
        self.host.wait(1.0)
        self.host.type("h", OTHER_DOC)
        assert self.neighbour.said(EditFrame)

    def attacker_is_out(self) -> None:
        """Check that the attacker was cut off, was told so, and that nobody else suffered."""
        assert not self.host.knows(self.attacker)
        assert self.attacker.said(Bye)[-1].reason.startswith("refused: ")
        assert [warning.code for warning in self.host.told(Warned)] == ["W-CUT-OFF"]
        self.goes_on()

    def attacker_got_nothing(self) -> None:
        """Check that the attacker is still a member like others, and that nobody suffered."""
        assert self.host.knows(self.attacker)
        assert self.host.told(Warned) == []
        self.goes_on()


# --- writing what one may not ------------------------------------------------------------------------------


def test_a_viewer_who_edits() -> None:
    scene = Scene(Role.VIEWER)
    scene.attacker.say(EditFrame(DOC, scene.attacker.typed("graffiti")), Lane.EDITS)
    assert scene.host.text() == ""
    assert scene.log() == []
    scene.attacker_is_out()


def test_a_viewer_who_answers_what_nobody_asked_it() -> None:
    scene = Scene(Role.VIEWER)
    scene.attacker.typed("graffiti")
    document = scene.attacker.document()
    scene.attacker.say(Digests([DigestEntry(DOC, document.digest())], last=True))
    scene.attacker.say(State(DOC, document.full_state()), Lane.BULK)
    assert scene.host.text() == ""
    assert scene.attacker.said(Ask) == []
    scene.attacker_got_nothing()


def test_an_edit_in_another_members_name() -> None:
    scene = Scene()
    forged = Document(DOC, scene.neighbour.client, lambda _: None)
    forged.edit([Edit(0, 0, "I said this")])
    scene.attacker.say(EditFrame(DOC, forged.full_state()), Lane.EDITS)
    assert scene.host.text() == ""
    scene.attacker_is_out()


def test_an_edit_in_our_name() -> None:
    scene = Scene()
    forged = Document(DOC, scene.host.setup.client, lambda _: None)
    forged.edit([Edit(0, 0, "you said this")])
    scene.attacker.say(Digests([DigestEntry(DOC, b"d" * 16)], last=True))
    scene.attacker.say(State(DOC, forged.full_state()), Lane.BULK)
    assert scene.host.text() == ""
    scene.attacker_is_out()


@pytest.mark.parametrize("whose", [1, 3, 4], ids=["ours", "a neighbour's", "that of somebody who is away"])
def test_a_hello_with_the_client_id_of_somebody_else(whose: int) -> None:
    scene = Scene(client=client_of(peer_id(device(whose), bytes((whose,)) * 8)))
    assert not scene.host.knows(scene.attacker)
    assert "the id of somebody else" in scene.host.told(Warned)[-1].message
    scene.goes_on()


def test_an_edit_in_the_name_of_somebody_who_is_away() -> None:
    scene = Scene()
    away = client_of(peer_id(device(4), b"\x04" * 8))
    forged = Document(DOC, away, lambda _: None)
    forged.edit([Edit(0, 0, "I said this")])
    scene.attacker.say(EditFrame(DOC, forged.full_state()), Lane.EDITS)
    assert scene.host.text() == ""
    scene.attacker_is_out()


def test_clock_squatting_by_bulk() -> None:
    """Work under a neighbour's id, at clocks that it will use next, would make its own edits disappear."""
    scene = Scene()
    squatted = Document(DOC, scene.neighbour.client, lambda _: None)
    squatted.edit([Edit(0, 0, "squatted " * 10)])
    scene.attacker.say(Digests([DigestEntry(DOC, b"d" * 16)], last=True))
    scene.attacker.say(State(DOC, squatted.full_state()), Lane.BULK)
    scene.neighbour.say(EditFrame(DOC, scene.neighbour.typed("what I really typed")), Lane.EDITS)
    assert scene.host.text() == "what I really typed"
    scene.attacker_got_nothing()


def test_an_unsolicited_state() -> None:
    scene = Scene()
    scene.attacker.typed("never asked for")
    for _ in range(100):
        scene.attacker.say(State(DOC, scene.attacker.document().full_state()), Lane.BULK)
    assert scene.host.text() == ""
    assert scene.log() == []
    scene.attacker_got_nothing()


def test_a_stale_answer() -> None:
    """A second answer to one question, and one to a question that somebody else was asked."""
    scene = Scene()
    scene.neighbour.typed("honest")
    scene.neighbour.say(Digests([DigestEntry(DOC, scene.neighbour.document().digest())], last=True))
    scene.attacker.typed("late")
    scene.attacker.say(State(DOC, scene.attacker.document().full_state()), Lane.BULK)
    assert scene.host.text() == ""
    scene.neighbour.say(State(DOC, scene.neighbour.document().full_state()), Lane.BULK)
    logged = len(scene.log())
    for _ in range(3):
        scene.neighbour.say(State(DOC, scene.neighbour.document().full_state()), Lane.BULK)
        scene.attacker.say(State(DOC, scene.attacker.document().full_state()), Lane.BULK)
    assert scene.host.text() == "honest"
    assert len(scene.log()) == logged
    scene.attacker_got_nothing()


# --- counting, asking, flooding ----------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [Ack(1), Ack(2**62), Ping(1, 5000, bytes(8))], ids=["one", "many", "ping"])
def test_a_peer_that_acknowledges_what_was_never_sent(frame: Frame) -> None:
    scene = Scene()
    scene.attacker.say(frame)
    scene.attacker_is_out()


def test_a_peer_that_asks_20001_documents() -> None:
    scene = Scene()
    scene.host.type("text")
    scene.attacker.ignore_windows()
    scene.attacker.acknowledges = False
    asks = [Ask(DocId(number.to_bytes(8)), EMPTY) for number in range(20_001)]
    scene.attacker.say_all(asks, Lane.EDITS)
    assert len(scene.host.documents) == 1
    exchange = next(iter(scene.host.session._sync._exchanges.values()))
    assert len(exchange.answers) <= 64
    scene.attacker_got_nothing()


def test_a_peer_that_lists_documents_without_end() -> None:
    scene = Scene()
    for start in range(0, 30_000, 500):
        entries = [DigestEntry(number.to_bytes(8), b"d" * 16) for number in range(start, start + 500)]
        scene.attacker.say(Digests(entries, last=False))
    scene.attacker_is_out()


def test_a_question_that_cannot_be_read() -> None:
    scene = Scene()
    scene.host.type("text")
    scene.attacker.say(Ask(DOC, b"\xff" * 40), Lane.EDITS)
    scene.attacker_is_out()


def test_a_peer_that_has_all_digests_listed_again_and_again() -> None:
    scene = Scene()
    for number in range(1, 2_000):
        scene.host.documents.open(DocId(number.to_bytes(8))).edit([Edit(0, 0, "x")])
    scene.host.feed(DocumentEdited(DOC))
    for _ in range(20):
        scene.attacker.say_all([Summary(b"anything")] * 250)
    scene.host.wait(0.5)
    assert len(scene.attacker.said(Digests)) <= 2 * -(-2_000 // 512)
    scene.attacker_got_nothing()


def test_a_peer_that_asks_for_blobs_without_taking_them() -> None:
    scene = Scene()
    scene.attacker.ignore_windows()
    asks = [BlobAsk(b"d" * 32, number * BLOB_PART) for number in range(5_000)]
    scene.attacker.say_all(asks, Lane.EDITS)
    assert len(scene.host.ordered(LoadBlob)) <= 16
    scene.attacker_got_nothing()


def test_a_peer_that_sends_parts_of_a_file_that_nobody_wants() -> None:
    scene = Scene()
    for offset in range(0, 100 * BLOB_PART, BLOB_PART):
        scene.attacker.say(BlobPart(b"d" * 32, offset, 1 << 40, bytes(1000)), Lane.BULK)
    scene.attacker_got_nothing()


def test_a_peer_that_dials_without_end() -> None:
    host = Host()
    number = next(number for number in range(2, 40) if host.setup.me > Guest(host, number).id)
    attacker = Guest(host, number).join()
    orders = len(host.orders)
    attacker.say_all([Offer(attempt, "v=0") for attempt in range(1_000)])
    assert [order for order in host.orders[orders:] if type(order).__name__ == "AcceptOffer"] != []
    assert len([order for order in host.orders[orders:] if type(order).__name__ == "AcceptOffer"]) == 1


def test_a_deflate_bomb() -> None:
    for lane, window in ((Lane.EDITS, -13), (Lane.BULK, -15)):
        scene = Scene()
        packer = zlib.compressobj(9, zlib.DEFLATED, window)
        bomb = packer.compress(bytes(256 * 1024 * 1024)) + packer.flush(zlib.Z_SYNC_FLUSH)
        pieces = [bomb[start : start + 16_000] for start in range(0, len(bomb), 16_000)]
        tracemalloc.start()
        for number, piece in enumerate(pieces):
            more = number + 1 < len(pieces)
            scene.host.feed(scene.attacker.carried(bytes((lane << 1 | 0x08 | more,)) + piece))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100 * 1024 * 1024
        scene.attacker_is_out()


@pytest.mark.parametrize("lane", list(Lane))
def test_a_frame_that_never_ends(lane: Lane) -> None:
    scene = Scene()
    piece = scene.attacker.carried(bytes((lane << 1 | 0x01,)) + bytes(16_000))
    for _ in range(34 * 1024 * 1024 // 16_000):
        scene.host.feed(piece)
    scene.attacker_is_out()


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(0, 10**6))
def test_garbage_in_every_lane(pieces: list[bytes], seed: int) -> None:
    """Before the greeting, in the middle of it, and after: nothing but the attacker's own link suffers."""
    rng = Random(seed)
    scene = Scene(joins=rng.random() < 0.5)
    if rng.random() < 0.5:
        scene.attacker.seal()
    for piece in pieces:
        flags = rng.choice((0x00, 0x01, 0x02, 0x04, 0x0A, 0x0C, 0x06, 0x80))
        scene.host.feed(scene.attacker.carried(bytes((flags,)) + piece))
        scene.host.feed(scene.attacker.carried(piece))
    assert scene.host.text() == ""
    scene.goes_on()


@pytest.mark.parametrize("frame", [PresenceFrame(1, "#1", "a.md"), Ping(1, 0, bytes(8)), Summary(bytes(8))])
def test_garbage_in_every_place_of_a_real_frame(frame: Frame) -> None:
    data = encode(frame)
    for at in range(len(data)):
        for change in (0x01, 0x80, 0xFF):
            scene = Scene()
            altered = data[:at] + bytes((data[at] ^ change,)) + data[at + 1 :]
            scene.host.feed(scene.attacker.carried(b"\x00" + altered))
            assert scene.host.text() == ""
            assert scene.host.knows(scene.neighbour)


def test_a_presence_frame_of_1_mb() -> None:
    host = Host()
    attacker = Guest(host).join().open_direct()
    assert attacker.attempt is not None
    huge = encode(PresenceFrame(1, "#1", "a.md")) + bytes(1024 * 1024)
    for data in (huge, encode(PresenceFrame(2, "#1", "a" * 500)) + bytes(1000)):
        host.feed(DirectLossyArrived(attacker.attempt, data))
    assert host.told(PresenceChanged) == []
    assert host.session.presence() == []


def test_a_presence_with_a_path_of_64_kb() -> None:
    scene = Scene()
    scene.attacker.say(PresenceFrame(1, "#1", "a" * 60_000))
    assert scene.host.told(PresenceChanged) == []
    scene.attacker_is_out()


@pytest.mark.parametrize("cursor", [(-1, 0), (0, 2**31), (0, 2**62)])
def test_a_presence_with_a_cursor_that_cannot_be_in_a_text(cursor: tuple[int, int]) -> None:
    scene = Scene()
    scene.attacker.say(PresenceFrame(1, "#1", "a.md", cursor))
    assert scene.host.told(PresenceChanged) == []
    scene.attacker_is_out()


# --- getting in --------------------------------------------------------------------------------------------


@BOTH_SIDES
def test_a_reflected_proof(address: bytes) -> None:
    host = Host()
    mirror = Guest(host, address=address)
    mirror.seal()
    (ours,) = mirror.said(Proof)
    mirror.say(ours)
    assert [type(frame) for _, frame in mirror.heard] == [Proof]
    assert host.told(PeerJoined) == []


@BOTH_SIDES
def test_a_proof_for_another_connection(address: bytes) -> None:
    host = Host()
    thief = Guest(host, address=address)
    thief.seal()
    thief.say(proof(b"a connection elsewhere", initiator=thief.initiator))
    assert [type(frame) for _, frame in thief.heard] == [Proof]


@BOTH_SIDES
def test_a_wrong_proof_is_told_nothing(address: bytes) -> None:
    """Not even our hello, which has names and certificates in it; and not why."""
    host = Host()
    stranger = Guest(host, address=address)
    stranger.secret = bytes(32)
    stranger.join()
    for frame in (stranger.hello(), Ask(DOC, EMPTY), Ping(1, 0, bytes(8))):
        stranger.say(frame)
    assert [type(frame) for _, frame in stranger.heard] == [Proof]
    assert not host.knows(stranger)


def test_a_stranger_who_fills_memory_before_it_proves_anything() -> None:
    host = Host()
    stranger = Guest(host)
    stranger.seal()
    piece = RelayPieceArrived(stranger.address, b"\x05" + bytes(16_000))
    tracemalloc.start()
    for _ in range(1_000):
        host.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1024 * 1024


@pytest.mark.parametrize("what", ["expired", "foreign", "stolen", "none", "garbage"])
def test_a_hello_from_an_expired_or_foreign_chain(what: str) -> None:
    host = Host()
    outsider = Guest(host)
    outsider.chain = {
        "expired": certificates(2, until=99),
        "foreign": certificates(2, owner=key(77)),
        "stolen": certificates(3),
        "none": [],
        "garbage": [b"garbage" * 20],
    }[what]
    outsider.join()
    assert not host.knows(outsider)
    assert outsider.said(Bye)[0].reason.startswith("refused: ")
    outsider.say(EditFrame(DOC, outsider.typed("x")), Lane.EDITS)
    assert host.text() == ""
    assert host.told(PeerJoined) == []


def test_a_peer_that_was_cut_off_and_comes_straight_back() -> None:
    scene = Scene()
    scene.attacker.say(Ack(1))
    scene.attacker_is_out()
    again = Guest(scene.host, 2, instance=b"new run!", address=b"\x04" * 8)
    for _ in range(20):
        again.join()
        scene.host.feed(MemberLeft(again.address))
        scene.host.wait(REFUSED_FOR / 40)
        scene.neighbour.say(Ping(1, 0, bytes(8)))
    assert again.heard == []
    assert not scene.host.knows(again)


def test_a_peer_that_was_cut_off_is_let_in_again_when_its_time_is_over() -> None:
    scene = Scene()
    scene.attacker.say(Ack(1))
    scene.host.now += REFUSED_FOR
    scene.attacker.join()
    assert scene.host.knows(scene.attacker)


def test_our_other_folder_is_not_locked_out_with_a_run_that_was_cut_off() -> None:
    host = Host(policy="relay")
    bad = Guest(host, 1, instance=b"run-bad!", address=b"\x02" * 8).join()
    bad.say(Ack(1))
    assert not host.knows(bad)
    bad.join()
    assert not host.knows(bad)
    good = Guest(host, 1, instance=b"run-good", address=b"\x03" * 8).join()
    assert host.knows(good)


def test_a_server_that_shows_us_our_own_face() -> None:
    host = Host()
    mirror = Guest(host, 1, instance=host.setup.me[32:], address=b"\x02" * 8)
    mirror.join()
    assert host.told(PeerJoined) == []
    assert mirror.address != ADDRESS
    assert len(BINDING) > 0


def test_a_file_whose_size_somebody_lied_about_costs_nobody_their_link() -> None:
    """Who writes a wrong size into the index must not make others cut each other off."""
    host = Host()
    honest = Guest(host).join()
    content = bytes(1000)
    host.session._blobs.want({(b"d" * 32, 5)})
    host.wait(0.0)
    assert honest.said(BlobAsk) == [BlobAsk(b"d" * 32, 0)]
    honest.say(BlobPart(b"d" * 32, 0, len(content), content), Lane.BULK)
    assert host.knows(honest)
