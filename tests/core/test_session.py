from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

import pytest

from peer.core.actions import (
    Action,
    AppendUpdate,
    LoadBlob,
    ReadFile,
    SaveBlob,
    SendRelay,
)
from peer.core.blobs import BLOB_LIMIT
from peer.core.certificates import Role
from peer.core.edits import Edit
from peer.core.events import (
    BlobLoaded,
    DirectLossyArrived,
    DocumentEdited,
    FileEvent,
    FileMissing,
    PresenceSet,
)
from peer.core.frames import (
    BLOB_PART,
    LOSSY_LIMIT,
    Ask,
    BlobAsk,
    BlobPart,
    Bye,
    Digests,
    EditFrame,
    Hello,
    PresenceFrame,
    State,
    decode,
    encode,
)
from peer.core.ids import DocId
from peer.core.notices import Author, PresenceChanged, Warned
from peer.core.pieces import Lane
from peer.core.presence import REPEAT
from peer.core.session import BLOBS_AHEAD, LOADS_AT_ONCE
from tests.core.world import DOC, Guest, Host, peer

CONTENT = b"binary" * 1000
DIGEST = sha256(CONTENT).digest()


@dataclass
class Folder:
    """A folder that writes down what it is told."""

    events: list[FileEvent] = field(default_factory=list)
    changed: list[dict[DocId, Author | None]] = field(default_factory=list)
    blobs: list[tuple[bytes, bytes]] = field(default_factory=list)
    missing: set[tuple[bytes, int]] = field(default_factory=set)
    ticks: int = 0
    due: float | None = None

    def handle(self, event: FileEvent, now: float) -> list[Action]:
        self.events.append(event)
        return [ReadFile("because of an event")]

    def documents_changed(self, changed: dict[DocId, Author | None], now: float) -> list[Action]:
        self.changed.append(changed)
        return [ReadFile("because of a change")]

    def blob_arrived(self, digest: bytes, content: bytes, now: float) -> list[Action]:
        self.blobs.append((digest, content))
        self.missing = set()
        return [ReadFile("because of a blob")]

    def missing_blobs(self) -> set[tuple[bytes, int]]:
        return self.missing

    def tick(self, now: float) -> list[Action]:
        self.ticks += 1
        return [ReadFile("because of time")]

    def next_deadline(self) -> float | None:
        return self.due


# --- the folder --------------------------------------------------------------------------------------------


def test_the_folder_is_told_of_the_disk_of_time_and_of_changes() -> None:
    folder = Folder()
    host = Host(folder=folder, policy="relay")
    guest = Guest(host).join()
    ticks = folder.ticks
    host.feed(FileMissing("a.txt"))
    assert folder.events == [FileMissing("a.txt")]
    host.type("ours")
    guest.say(EditFrame(DOC, guest.typed("theirs")), Lane.EDITS)
    assert folder.changed == [{DOC: None}, {DOC: Author("guest 2", guest.id[:4].hex() + guest.id[-4:].hex())}]
    host.wait(0.0)
    assert folder.ticks == ticks + 1
    reasons = {order.path for order in host.ordered(ReadFile)}
    assert reasons == {"because of an event", "because of a change", "because of time"}


def test_the_folders_deadline_counts() -> None:
    folder = Folder()
    host = Host(folder=folder)
    folder.due = host.now + 0.25
    assert host.wakes() == pytest.approx(0.25)
    folder.due = None
    assert host.wakes() > 0.25


def test_what_the_disk_changed_is_logged_in_the_same_batch_even_within_a_tick() -> None:
    folder = Folder()
    host = Host(folder=folder)
    host.type("a")
    host.type("b")
    assert len(host.ordered(AppendUpdate)) == 1
    actions = host.feed(FileMissing("a.txt"))
    assert any(isinstance(action, AppendUpdate) for action in actions)


def test_without_a_folder_the_disk_is_nobodys_business() -> None:
    host = Host()
    assert host.feed(FileMissing("a.txt")) == []


# --- blobs -------------------------------------------------------------------------------------------------


def test_a_blob_that_the_folder_misses_is_fetched_kept_and_shown() -> None:
    folder = Folder(missing={(DIGEST, len(CONTENT))})
    host = Host(folder=folder)
    guest = Guest(host).join()
    assert guest.said(BlobAsk) == [BlobAsk(DIGEST, 0)]
    guest.say(BlobPart(DIGEST, 0, len(CONTENT), CONTENT), Lane.BULK)
    assert host.ordered(SaveBlob) == [SaveBlob(DIGEST, CONTENT)]
    assert folder.blobs == [(DIGEST, CONTENT)]


def test_a_blob_that_our_own_store_has_is_shown_without_asking_anybody() -> None:
    folder = Folder()
    host = Host(folder=folder)
    host.stored[DIGEST] = CONTENT
    folder.missing = {(DIGEST, len(CONTENT))}
    guest = Guest(host).join()
    host.wait(0.0)
    assert host.ordered(LoadBlob) == [LoadBlob(host.setup.me, DIGEST, 0, BLOB_LIMIT)]
    assert folder.blobs == [(DIGEST, CONTENT)]
    assert guest.said(BlobAsk) == []


def test_a_blob_is_kept_even_without_a_folder() -> None:
    host = Host()
    guest = Guest(host).join()
    host.session._blobs.want({(DIGEST, len(CONTENT))})
    host.wait(0.0)
    guest.say(BlobPart(DIGEST, 0, len(CONTENT), CONTENT), Lane.BULK)
    assert host.ordered(SaveBlob) == [SaveBlob(DIGEST, CONTENT)]


def test_a_part_that_a_peer_asks_for_is_read_and_sent() -> None:
    host = Host()
    guest = Guest(host).join()
    guest.say(BlobAsk(DIGEST, 0), Lane.EDITS)
    assert host.ordered(LoadBlob) == [LoadBlob(guest.id, DIGEST, 0, BLOB_PART)]
    host.feed(BlobLoaded(guest.id, DIGEST, 0, len(CONTENT), CONTENT), BlobLoaded(peer(9), DIGEST, 0, 0, None))
    assert guest.said(BlobPart) == [BlobPart(DIGEST, 0, len(CONTENT), CONTENT)]


def test_only_so_many_parts_are_read_for_one_peer_at_once() -> None:
    host = Host()
    guest = Guest(host).join().ignore_windows()
    guest.say_all([BlobAsk(DIGEST, number * BLOB_PART) for number in range(1000)], Lane.EDITS)
    assert len(host.ordered(LoadBlob)) == LOADS_AT_ONCE
    host.feed(BlobLoaded(guest.id, DIGEST, 0, 0, None))
    guest.say(BlobAsk(DIGEST, 0), Lane.EDITS)
    assert len(host.ordered(LoadBlob)) == LOADS_AT_ONCE + 1


def test_parts_are_not_read_ahead_of_what_a_peer_takes() -> None:
    host = Host()
    guest = Guest(host).join()
    guest.acknowledges = False
    noise = Random(1).randbytes(BLOB_PART)
    asked = 2 * BLOBS_AHEAD // BLOB_PART
    for number in range(asked):
        guest.say(BlobAsk(DIGEST, 0), Lane.EDITS)
        if len(host.ordered(LoadBlob)) > number:
            host.feed(BlobLoaded(guest.id, DIGEST, 0, 1 << 30, noise))
    assert BLOBS_AHEAD // BLOB_PART <= len(host.ordered(LoadBlob)) < asked


# --- presence ----------------------------------------------------------------------------------------------


def test_a_new_peer_is_told_reliably_where_we_are() -> None:
    host = Host()
    host.feed(PresenceSet(path="a.md", cursor=(1, 2)))
    guest = Guest(host).join()
    (told,) = guest.said(PresenceFrame)
    assert (told.path, told.cursor) == ("a.md", (1, 2))


def test_presence_goes_over_the_lossy_channel_where_there_is_one() -> None:
    host = Host()
    direct, relayed = Guest(host, 2).join().open_direct(), Guest(host, 3).join()
    for guest in (direct, relayed):
        guest.heard.clear()
    host.wait(1.0)
    host.feed(PresenceSet(path="b.md"))
    (frame,) = map(decode, direct.lossy)
    assert frame == relayed.said(PresenceFrame)[0]
    assert direct.said(PresenceFrame) == []


def test_where_a_peer_is_is_shown_however_it_came() -> None:
    host = Host()
    guest = Guest(host).join().open_direct()
    guest.say(PresenceFrame(1, "#1", "a.md"))
    assert guest.attempt is not None
    host.feed(DirectLossyArrived(guest.attempt, encode(PresenceFrame(2, "#1", "b.md", (3, 4)))))
    assert [told.path for told in host.told(PresenceChanged)] == ["a.md", "b.md"]
    assert host.session.peers()[0].file == "b.md"
    assert [here.cursor for here in host.session.presence()] == [(3, 4)]
    guest.say(Bye("left"))
    assert host.session.presence() == []


def test_the_lossy_channel_carries_presence_and_nothing_else() -> None:
    host = Host()
    guest = Guest(host).join().open_direct()
    assert guest.attempt is not None
    for data in (
        encode(EditFrame(DOC, guest.typed("x"))),
        encode(PresenceFrame(1, "#1", "a.md")).ljust(LOSSY_LIMIT + 1, b"x"),
        b"\x92\x63\x01",
    ):
        host.feed(DirectLossyArrived(guest.attempt, data))
    assert host.text() == ""
    assert host.told(PresenceChanged) == []
    assert host.knows(guest)
    host.feed(DirectLossyArrived(guest.attempt, b"nonsense"))
    assert not host.knows(guest)


def test_a_long_path_does_not_make_our_presence_unreadable() -> None:
    host = Host()
    guest = Guest(host).join()
    host.wait(REPEAT / 10)
    host.feed(PresenceSet(path="é日😀/" * 200 + "end.md"))
    told = guest.said(PresenceFrame)[-1]
    assert told.path is not None
    assert told.path.endswith("😀/end.md")
    assert len(encode(told)) <= LOSSY_LIMIT


# --- what people ask ---------------------------------------------------------------------------------------


def test_a_peer_is_shown_with_what_is_known_of_it() -> None:
    host = Host()
    guest = Guest(host).join()
    (state,) = host.session.peers()
    assert (state.name, state.role, state.path, state.address) == ("guest 2", "editor", "relay", "")
    assert (state.rtt_ms, state.silent, state.file, state.waiting) == (0.0, False, None, 0)
    assert (state.typing, state.idle, state.why_not_direct) == (False, False, "nothing answered yet")
    assert min(state.sent_bytes, state.received_bytes) > 0
    guest.seal()
    assert host.session.peers()[0].path is None


def test_what_means_nothing_here_is_passed_over() -> None:
    host = Host()
    guest = Guest(host).join()
    guest.say(guest.hello())
    host.feed(DocumentEdited(DOC))
    assert host.knows(guest)
    assert host.told(Warned) == []
    assert len(guest.said(Hello)) == 1
    assert len(guest.said(Digests)) == 1


def test_several_events_are_answered_with_what_they_lead_to_once() -> None:
    host = Host()
    guest = Guest(host).join()
    sent = len(host.ordered(SendRelay))
    host.documents.open(DOC).edit([Edit(0, 0, "a")])
    host.feed(DocumentEdited(DOC), DocumentEdited(DOC))
    assert len(host.ordered(SendRelay)) == sent + 1
    assert len(guest.said(EditFrame)) == 1


def test_what_happens_alone_is_answered_alone() -> None:
    host = Host()
    guest = Guest(host).join()
    actions = host.session.handle(PresenceSet(path="a"), host.now + 1.0)
    (order,) = [action for action in actions if isinstance(action, SendRelay)]
    assert order.address == guest.address


def test_a_viewer_here_may_still_be_answered_and_cut_off() -> None:
    host = Host()
    host.type("text")
    guest = Guest(host, role=Role.VIEWER).join()
    guest.say(Ask(DOC, b"\x00"), Lane.EDITS)
    assert len(guest.said(State)) == 1
