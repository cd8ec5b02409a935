from random import Random

import pytest

from peer.core.actions import AppendUpdate
from peer.core.certificates import Role
from peer.core.difference import COMPARE_EVERY, COMPARE_LONGEST, DIFFERENCE_PATIENCE
from peer.core.document import Document
from peer.core.edits import Edit
from peer.core.events import DirectBroken, DocumentEdited
from peer.core.frames import (
    Ack,
    Ask,
    Bye,
    DigestEntry,
    Digests,
    EditFrame,
    Ping,
    Pong,
    State,
    Summary,
)
from peer.core.ids import INDEX, DocId
from peer.core.notices import PeerLeft, SyncDone, SyncProgress, Warned
from peer.core.pieces import RELAY_WINDOW, Lane
from peer.core.sync import (
    ANSWERS_LIMIT,
    ASK_PATIENCE,
    ASKS_AT_ONCE,
    DOCUMENT_LIMIT,
    FLUSHES_REMEMBERED,
    LIST_EVERY,
    PROGRESS_EVERY,
    TICK,
)
from peer.errors import Malformed
from tests.core.world import DOC, OTHER_DOC, Guest, Host, device

EMPTY = b"\x00"


def digests(*documents: Document, last: bool = True) -> Digests:
    return Digests([DigestEntry(each.id, each.digest()) for each in documents], last=last)


def names(count: int) -> list[DocId]:
    return [DocId(b"many" + number.to_bytes(4)) for number in range(count)]


def relayed(role: Role = Role.EDITOR, theirs: Role = Role.EDITOR) -> tuple[Host, Guest]:
    """A host and a guest on the relay for good, and what they said at first forgotten."""
    host = Host(policy="relay", role=role)
    guest = Guest(host, role=theirs).join()
    guest.heard.clear()
    return host, guest


def logged(host: Host) -> list[AppendUpdate]:
    return host.ordered(AppendUpdate)


# --- asking ------------------------------------------------------------------------------------------------


def test_what_a_peer_has_and_we_lack_is_asked_for_and_taken() -> None:
    host, guest = relayed()
    guest.typed("text")
    guest.say(digests(guest.document()))
    assert guest.said(Ask) == [Ask(DOC, EMPTY)]
    guest.say(State(DOC, guest.document().full_state()), Lane.BULK)
    assert host.text() == "text"
    assert [entry.author for entry in logged(host)] == [device(2)]
    (done,) = host.told(SyncDone)
    assert (done.documents, done.name) == (1, "guest 2")


def test_what_we_have_already_is_not_asked_for() -> None:
    host, guest = relayed()
    update = guest.typed("text")
    guest.say(EditFrame(DOC, update), Lane.EDITS)
    guest.say(digests(guest.document()))
    assert guest.said(Ask) == []
    assert len(host.told(SyncDone)) == 1


def test_an_empty_list_is_the_end_of_it() -> None:
    host, guest = relayed()
    guest.say(Digests([], last=False))
    assert host.told(SyncDone) == []
    guest.say(Digests([], last=True))
    guest.say(Digests([], last=True))
    assert len(host.told(SyncDone)) == 1


def test_a_summary_that_says_the_same_is_the_end_of_it_too() -> None:
    host, guest = relayed()
    guest.say(Summary(bytes(8)))
    assert len(host.told(SyncDone)) == 1
    assert guest.heard == []


def test_the_index_is_asked_for_first_and_only_so_many_at_once() -> None:
    host, guest = relayed()
    docs = names(ASKS_AT_ONCE + 4)
    guest.say(Digests([DigestEntry(doc, b"d" * 16) for doc in [*docs[:-1], INDEX, docs[-1]]], last=True))
    asked = [ask.doc for ask in guest.said(Ask)]
    assert len(asked) == ASKS_AT_ONCE
    assert asked[0] == INDEX
    guest.say(State(docs[0], b""), Lane.BULK)
    guest.say(State(docs[1], b""), Lane.BULK)
    assert len(guest.said(Ask)) == ASKS_AT_ONCE + 2
    assert host.told(SyncDone) == []


def two_with_the_same() -> tuple[Host, Guest, Guest]:
    """A host, and two guests who both say that they have one text."""
    host, first = relayed()
    second = Guest(host, 3).join()
    first.typed("text")
    first.say(digests(first.document()))
    second.document().load(first.document().full_state())
    second.say(digests(second.document()))
    return host, first, second


def test_one_document_is_asked_for_from_one_peer_only() -> None:
    host, first, second = two_with_the_same()
    assert len(first.said(Ask)) == 1
    assert second.said(Ask) == []
    first.say(State(DOC, first.document().full_state()), Lane.BULK)
    assert second.said(Ask) == []
    assert len(host.told(SyncDone)) == 2


def test_when_one_who_was_asked_goes_another_is_asked() -> None:
    host, first, second = two_with_the_same()
    first.say(Bye("left"))
    assert len(second.said(Ask)) == 1
    second.say(State(DOC, second.document().full_state()), Lane.BULK)
    assert host.text() == "text"


def test_an_unanswered_question_is_asked_again_and_its_late_answer_is_still_taken() -> None:
    host, guest = relayed()
    guest.typed("text")
    *others, last = [DigestEntry(doc, b"d" * 16) for doc in names(ASKS_AT_ONCE)]
    entries = [*others, DigestEntry(DOC, guest.document().digest()), last]
    guest.say(Digests(entries, last=True))
    assert guest.said(Ask)[-1] == Ask(DOC, EMPTY)
    for _ in range(int(ASK_PATIENCE)):
        host.wait(1.0)
        guest.say(Pong(1, 0))
    again = [ask.doc for ask in guest.said(Ask)[ASKS_AT_ONCE:]]
    assert again == [last.doc, *(entry.doc for entry in others)], "the given up one has its turn later"
    guest.say(State(DOC, guest.document().full_state()), Lane.BULK)
    assert host.text() == "text"
    guest.say(State(last.doc, b""), Lane.BULK)
    assert len(guest.said(Ask)) == 2 * ASKS_AT_ONCE, "and need not be asked for any more"


def test_a_large_answer_on_a_slow_path_is_waited_for() -> None:
    host, guest = relayed()
    guest.typed("text")
    guest.say(digests(guest.document()))
    for _ in range(4):
        host.wait(ASK_PATIENCE * 0.6)
        guest.say(Pong(1, 0))
        host.feed(guest.carried(b"\x05" + bytes(2000)))
    assert len(guest.said(Ask)) == 1
    host.wait(6.0)
    guest.say(Pong(1, 0))
    host.wait(ASK_PATIENCE - 6.0)
    assert len(guest.said(Ask)) == 2


def test_progress_is_told_now_and_then() -> None:
    host, guest = relayed()
    docs = names(8)
    guest.say(Digests([DigestEntry(doc, b"d" * 16) for doc in docs], last=True))
    guest.say(Digests([DigestEntry(doc, b"e" * 16) for doc in docs], last=True))
    for doc in docs[:4]:
        host.wait(PROGRESS_EVERY / 2)
        guest.say(State(doc, b""), Lane.BULK)
    progress = host.told(SyncProgress)
    assert [told.done for told in progress] == [1, 3]
    assert {told.total for told in progress} == {8}


def test_what_an_answer_holds_already_is_not_logged_again() -> None:
    host, guest = relayed()
    guest.say(EditFrame(DOC, guest.typed("text")), Lane.EDITS)
    host.type("more")
    entries = len(logged(host))
    guest.say(digests(guest.document()))
    guest.say(State(DOC, guest.document().full_state()), Lane.BULK)
    assert len(logged(host)) == entries
    assert host.text() == "moretext"


def test_an_answer_that_waits_for_more_is_logged() -> None:
    host, guest = relayed()
    guest.typed("first")
    later = guest.typed("later")
    guest.say(digests(guest.document()))
    guest.say(State(DOC, later), Lane.BULK)
    assert len(logged(host)) == 1
    assert host.text() == ""


def test_what_a_connected_member_made_is_taken_from_that_member_only() -> None:
    host, author = relayed()
    relay = Guest(host, 3).join()
    relay.document().load(author.typed("mine"))
    relay.typed("own", at=0)
    relay.say(digests(relay.document()))
    relay.say(State(DOC, relay.document().full_state()), Lane.BULK)
    assert "mine" not in host.text()
    restarted = Document(DOC, 99, lambda _: None)
    for entry in logged(host):
        restarted.load(entry.update)
    assert "mine" not in restarted.text, "what was left out is not in the log either"
    author.say(digests(author.document()))
    author.say(State(DOC, author.document().full_state()), Lane.BULK)
    assert host.text() == relay.document().text == "ownmine"


def test_what_a_run_that_died_had_not_sent_is_taken_from_the_next_run_of_the_same_device() -> None:
    host, died = relayed()
    unsent = died.typed("unsent ")
    again = Guest(host, address=bytes((7,)) * 8, instance=b"next run").join()
    assert host.knows(died), "nobody knows yet that it died"
    again.document().load(unsent)
    again.typed("and more", at=7)
    again.say(digests(again.document()))
    again.say(State(DOC, again.document().full_state()), Lane.BULK)
    assert host.text() == "unsent and more"


def test_what_a_member_made_is_asked_of_others_as_soon_as_it_is_gone() -> None:
    host, author = relayed()
    other = Guest(host, 3).join()
    other.document().load(author.typed("last words"))
    other.say(Ping(1, 0, b"differs."))
    other.heard.clear()
    author.say(Bye("left"))
    (summary,) = other.said(Summary)
    assert summary.digest == bytes(8)
    other.say(digests(other.document()))
    other.say(State(DOC, other.document().full_state()), Lane.BULK)
    assert host.text() == "last words"


def test_nobody_is_asked_who_holds_the_same_when_a_member_goes() -> None:
    host, author = relayed()
    other = Guest(host, 3).join()
    other.heard.clear()
    author.say(Bye("left"))
    assert other.said(Summary) == []


def test_a_list_of_more_documents_than_a_session_has_is_refused() -> None:
    host, guest = relayed()
    docs = names(DOCUMENT_LIMIT + 200)
    for start in range(0, len(docs), 500):
        entries = [DigestEntry(doc, b"d" * 16) for doc in docs[start : start + 500]]
        guest.say(Digests(entries, last=False))
    assert not host.knows(guest)
    assert f"the limit is {DOCUMENT_LIMIT}" in host.told(Warned)[0].message


def test_no_more_documents_are_opened_than_a_session_has() -> None:
    host, guest = relayed()
    for doc in names(DOCUMENT_LIMIT):
        host.documents._documents[doc] = host.documents.open(DOC)
    guest.say(EditFrame(OTHER_DOC, guest.typed("x")), Lane.EDITS)
    assert not host.knows(guest)
    assert host.documents.get(OTHER_DOC) is None


# --- answering ---------------------------------------------------------------------------------------------


def test_a_question_is_answered_with_what_is_missing() -> None:
    host, guest = relayed()
    host.type("text")
    guest.say(Ask(DOC, EMPTY), Lane.EDITS)
    guest.say(Ask(OTHER_DOC, EMPTY), Lane.EDITS)
    ours, nothing = guest.said(State)
    guest.document().apply(ours.update)
    assert guest.document().text == "text"
    assert nothing == State(OTHER_DOC, b"")


def test_a_state_vector_that_is_refused_ends_the_link_and_nothing_else() -> None:
    host, guest = relayed()
    host.type("text")
    guest.say(Ask(DOC, b"\xff\xff"), Lane.EDITS)
    assert not host.knows(guest)
    host.type("more")
    assert host.text() == "moretext"


def test_more_questions_than_an_honest_peer_has_push_out_the_oldest() -> None:
    _, guest = relayed()
    guest.acknowledges = False
    guest.ignore_windows()
    asks = [Ask(doc, EMPTY) for doc in names(ANSWERS_LIMIT + 10)]
    guest.say_all(asks, Lane.EDITS)
    assert [state.doc for state in guest.said(State)] == [ask.doc for ask in asks[10:]][: RELAY_WINDOW.pieces]


def test_a_question_is_read_when_it_comes_and_not_when_there_is_room_for_its_answer() -> None:
    host, guest = relayed()
    guest.acknowledges = False
    rng = Random(1)
    for doc in (DOC, OTHER_DOC):
        host.type("".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(200_000)), doc)
        guest.say(Ask(doc, EMPTY), Lane.EDITS)
    assert guest.said(State) == [], "the window is too small for that"
    guest.say(Ask(DOC, b"\xff\xff"), Lane.EDITS)
    assert not host.knows(guest)


def test_a_question_that_the_engine_fails_on_ends_the_link_and_nothing_else() -> None:
    class Failing(Document):
        def updates_since(self, state_vector: bytes) -> bytes:
            raise Malformed("the CRDT engine cannot take these bytes")

    host, guest = relayed()
    neighbour = Guest(host, 3).join()
    host.documents._documents[DOC] = Failing(DOC, 1, lambda _: None)
    guest.say(Ask(DOC, EMPTY), Lane.EDITS)
    assert not host.knows(guest)
    assert host.knows(neighbour)


# --- edits -------------------------------------------------------------------------------------------------


def test_what_is_typed_is_logged_and_goes_to_everyone_at_once() -> None:
    host, guest = relayed()
    other = Guest(host, 3).join()
    host.type("a")
    for each in (guest, other):
        (edit,) = each.said(EditFrame)
        each.document().apply(edit.update)
        assert each.document().text == "a"
    assert [entry.author for entry in logged(host)] == [host.setup.me[:32]]


def test_edits_that_come_thick_and_fast_are_merged_for_one_tick() -> None:
    host, guest = relayed()
    host.type("a")
    for _ in range(10):
        host.type("b")
        host.type("c", OTHER_DOC)
    assert len(guest.said(EditFrame)) == 2
    assert host.wakes() == pytest.approx(TICK)
    host.wait(TICK)
    assert len(guest.said(EditFrame)) == 4
    assert len(logged(host)) == 4


def test_a_document_that_ends_as_it_began_is_nothing_to_send() -> None:
    host, guest = relayed()
    host.documents.changed.add(DOC)
    host.feed(DocumentEdited(DOC))
    assert guest.said(EditFrame) == []
    assert logged(host) == []


def test_a_burst_beyond_what_goes_ahead_is_sent_in_the_same_turn() -> None:
    host, guest = relayed()
    docs = names(40)
    for doc in docs:
        host.documents.open(doc).edit([Edit(0, 0, "x" * 1024)])
    host.feed(*map(DocumentEdited, docs))
    assert {edit.doc for edit in guest.said(EditFrame)} == set(docs)


def test_a_peer_without_room_gets_the_rest_merged_or_learns_what_it_lacks() -> None:
    host, guest = relayed()
    guest.acknowledges = False
    typed = 0
    while host.session.peers()[0].waiting < 1:
        host.wait(TICK)
        host.type(str(typed) * 3000)
        typed += 1
    guest.acknowledge(all_of_it=True)
    guest.acknowledges = True
    guest.say(Ack(1))
    guest._relay[1].reported()
    guest.say(Ack(guest._relay[1].received))
    assert host.session.peers()[0].waiting == 0
    for edit in guest.said(EditFrame):
        guest.document().apply(edit.update)
    assert guest.document().text == host.text()


def test_a_large_paste_is_asked_for_as_bulk() -> None:
    host, guest = relayed()
    host.wait(LIST_EVERY)
    guest.heard.clear()
    host.type("x" * 2_000_000)
    assert guest.said(EditFrame) == []
    assert [entry.doc for entry in guest.said(Digests)[-1].entries] == [DOC]
    host.type("y", OTHER_DOC)
    assert guest.said(EditFrame)


def test_the_first_flush_of_a_document_that_was_forgotten_is_at_once() -> None:
    host, guest = relayed()
    for doc in names(FLUSHES_REMEMBERED + 1):
        host.type("x", doc)
    assert len(guest.said(EditFrame)) == FLUSHES_REMEMBERED + 1


def test_an_edit_may_hold_the_work_of_its_sender_only() -> None:
    host, guest = relayed()
    other = Guest(host, 3).join()
    guest.say(EditFrame(DOC, other.typed("x")), Lane.EDITS)
    assert not host.knows(guest)
    assert host.text() == ""
    other.say(EditFrame(DOC, other.document().full_state()), Lane.EDITS)
    assert host.text() == "x"


def test_a_viewer_sends_nothing_of_its_own() -> None:
    host, guest = relayed(role=Role.VIEWER)
    host.type("only here")
    assert guest.said(EditFrame) == []
    assert len(logged(host)) == 1


def test_a_viewer_is_not_asked_for_anything() -> None:
    host, guest = relayed(theirs=Role.VIEWER)
    guest.typed("x")
    guest.say(digests(guest.document()))
    assert guest.said(Ask) == []
    guest.say(State(DOC, guest.document().full_state()), Lane.BULK)
    assert host.text() == ""


# --- comparing ---------------------------------------------------------------------------------------------


def ping_for(host: Host, guest: Guest, seconds: float, summary: bytes) -> int:
    """Heartbeats with this summary; how many lists they led to."""
    before = len(guest.said(Digests))
    for _ in range(int(seconds)):
        host.wait(1.0)
        guest.say(Ping(1, 0, summary))
    return len(guest.said(Digests)) - before


def test_a_difference_that_lasts_is_looked_into_now_and_then() -> None:
    host, guest = relayed()
    host.wait(0.1)
    assert ping_for(host, guest, COMPARE_EVERY - 1, b"anything") == 0
    assert ping_for(host, guest, 2, b"anything") == 1
    assert ping_for(host, guest, COMPARE_EVERY - 2, b"anything") == 0
    assert ping_for(host, guest, 2, b"anything") == 1


def test_a_difference_that_nothing_helps_is_looked_into_less_and_less_and_told_once() -> None:
    host, guest = relayed()
    host.wait(0.1)
    hour = 3600
    assert ping_for(host, guest, 60, b"anything") == 3, "after 10, 20 and 40 s"
    assert host.told(Warned) == []
    assert ping_for(host, guest, hour, b"anything") <= 4 + hour / COMPARE_LONGEST
    (warned,) = host.told(Warned)
    assert (warned.code, warned.message[:26]) == ("W-DIFFERS", "guest 2 holds something el")


def test_a_difference_is_no_news_while_nothing_may_carry_contents() -> None:
    host = Host(policy="turn")
    guest = Guest(host).join()
    host.wait(0.1)
    assert ping_for(host, guest, 600, b"anything") == 0
    assert "W-DIFFERS" not in [told.code for told in host.told(Warned)]


@pytest.mark.parametrize("what", ["we change", "they change", "somebody comes", "somebody leaves"])
def test_a_difference_is_looked_into_soon_when_anything_changes(what: str) -> None:
    host, guest = relayed()
    host.wait(0.1)
    ping_for(host, guest, 300, b"anything")
    third = Guest(host, 3)
    if what == "somebody leaves":
        third.join()
        assert ping_for(host, guest, 5, b"anything") == 1
    assert ping_for(host, guest, 5, b"anything") == 0
    theirs = b"anything"
    if what == "we change":
        host.type("x")
    elif what == "they change":
        theirs = b"new ones"
    elif what == "somebody comes":
        third.join()
    else:
        third.say(Bye("left"))
    assert ping_for(host, guest, COMPARE_EVERY, theirs) >= 1


def test_a_difference_that_passes_is_not() -> None:
    host, guest = relayed()
    ping_for(host, guest, COMPARE_EVERY + 1, bytes(8))
    assert ping_for(host, guest, DIFFERENCE_PATIENCE, b"anything") == 0
    assert ping_for(host, guest, 1, bytes(8)) == 0
    assert ping_for(host, guest, DIFFERENCE_PATIENCE, b"anything") == 0
    assert ping_for(host, guest, 2, b"anything") == 1


def test_a_summary_that_differs_is_answered_with_a_list_but_not_with_hundreds() -> None:
    host, guest = relayed()
    host.type("text")
    guest.say_all([Summary(b"anything")] * 200)
    host.wait(LIST_EVERY)
    assert len(guest.said(Digests)) == 1
    guest.say_all([Summary(b"anything")] * 200)
    assert len(guest.said(Digests)) == 1
    assert host.wakes() == pytest.approx(LIST_EVERY)
    host.wait(LIST_EVERY)
    assert len(guest.said(Digests)) == 2


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_a_move_asks_again_for_what_was_under_way(number: int) -> None:
    host = Host()
    guest = Guest(host, number).join()
    host.type("ours", OTHER_DOC)
    guest.typed("text")
    guest.say(digests(guest.document()))
    guest.open_direct()
    assert len(guest.said(Ask)) == 2
    assert guest.attempt is not None
    guest.say(State(DOC, guest.document().full_state()), Lane.BULK, direct=True)
    assert host.text() == "text"
    host.feed(DirectBroken(guest.attempt, "closed"))
    assert len(guest.said(Summary)) == 2
    assert host.told(PeerLeft) == []
