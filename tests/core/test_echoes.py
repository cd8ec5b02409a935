from typing import cast

import pytest

from peer.core.actions import AppendUpdate, SendLossy
from peer.core.certificates import Role
from peer.core.echoes import DOCS_LIMIT, ECHO_AFTER, ECHO_BYTES, ECHO_RTT, ECHO_SPAN, Echoes
from peer.core.edits import Edit
from peer.core.events import DirectBroken, DirectLossyArrived
from peer.core.frames import EDITS_PER_ECHO, LOSSY_LIMIT, Echo, EditFrame, Pong, decode, encode
from peer.core.ids import DocId
from tests.core.world import DOC, OTHER_DOC, Guest, Host

# --- what is said again -------------------------------------------------------------------------------


def test_an_edit_is_said_again_a_moment_later_and_only_then() -> None:
    echoes = Echoes()
    assert echoes.due is None
    assert echoes.take(100.0) == []
    echoes.sent(DOC, b"one", 100.0)
    assert echoes.due == 100.0 + ECHO_AFTER
    assert echoes.take(100.0) == []
    assert echoes.take(100.0 + ECHO_AFTER) == [Echo(DOC, [b"one"])]
    assert echoes.due is None
    assert echoes.take(101.0) == []


def test_what_was_typed_before_is_said_again_with_it_for_a_while() -> None:
    echoes = Echoes()
    said = []
    for number in range(4):
        now = 100.0 + number * ECHO_SPAN / 2
        echoes.sent(DOC, bytes((number,)), now)
        said += echoes.take(now + ECHO_AFTER)
    assert [[update[0] for update in echo.updates] for echo in said] == [[0], [0, 1], [1, 2], [2, 3]]


def test_an_echo_fits_one_packet_and_holds_the_newest() -> None:
    echoes = Echoes()
    for number in range(2 * EDITS_PER_ECHO):
        echoes.sent(DOC, bytes((number,)), 100.0)
    (echo,) = echoes.take(101.0 - ECHO_SPAN)
    assert [update[0] for update in echo.updates] == list(range(EDITS_PER_ECHO, 2 * EDITS_PER_ECHO))
    for _ in range(EDITS_PER_ECHO):
        echoes.sent(DOC, bytes(ECHO_BYTES // 2), 101.0)
    (echo,) = echoes.take(101.0 + ECHO_AFTER)
    assert len(echo.updates) == 2
    assert len(encode(echo)) <= LOSSY_LIMIT


def test_what_was_pasted_is_not_said_again_and_nothing_before_it() -> None:
    echoes = Echoes()
    echoes.sent(DOC, b"one", 100.0)
    echoes.sent(DOC, bytes(ECHO_BYTES + 1), 100.0)
    assert echoes.take(101.0) == []
    echoes.sent(DOC, b"two", 101.0)
    assert echoes.take(102.0) == [Echo(DOC, [b"two"])]


def test_who_copies_many_files_is_not_taken_for_somebody_who_types() -> None:
    echoes = Echoes()
    docs = [DocId(number.to_bytes(8)) for number in range(1, DOCS_LIMIT + 2)]
    for doc in docs:
        echoes.sent(doc, b"x", 100.0)
    assert echoes.take(101.0) == []
    for doc in docs[:-1]:
        echoes.sent(doc, b"y", 101.0)
    assert [echo.doc for echo in echoes.take(102.0)] == docs[:-1]


# --- in a session -------------------------------------------------------------------------------------


def far_away(host: Host, guest: Guest, seconds: float = 2 * ECHO_RTT) -> Guest:
    """A direct path on which answers take so long."""
    guest.answers = False
    guest.open_direct()
    host.now += seconds
    guest.say(Pong(1, 0), direct=True)
    return guest


def said_again(host: Host) -> list[Echo]:
    frames = [decode(order.data) for order in host.orders if isinstance(order, SendLossy)]
    return [frame for frame in frames if isinstance(frame, Echo)]


def test_what_is_typed_for_somebody_far_away_is_said_twice() -> None:
    host = Host()
    guest = far_away(host, Guest(host).join())
    host.type("a")
    assert said_again(host) == []
    host.wait(ECHO_AFTER)
    (edit,) = guest.said(EditFrame)
    assert said_again(host) == [Echo(DOC, [edit.update])]
    host.wait(ECHO_SPAN)
    assert len(said_again(host)) == 1


def test_nothing_is_said_twice_to_somebody_near_or_on_the_relay() -> None:
    host = Host()
    far_away(host, Guest(host).join(), ECHO_RTT / 20)
    Guest(host, 3).join()
    host.type("a")
    host.wait(1.0)
    assert said_again(host) == []


def test_nothing_is_said_again_on_a_path_that_is_gone() -> None:
    host = Host()
    guest = far_away(host, Guest(host).join())
    host.type("a")
    assert guest.attempt is not None
    host.feed(DirectBroken(guest.attempt, "gone"))
    host.wait(1.0)
    assert said_again(host) == []


def echo(host: Host, guest: Guest, *updates: bytes, doc: DocId = DOC) -> None:
    assert guest.attempt is not None
    host.feed(DirectLossyArrived(guest.attempt, encode(Echo(doc, list(updates)))))


def logged(host: Host) -> int:
    return len(host.ordered(AppendUpdate))


def test_an_echo_brings_what_is_late_and_what_is_late_then_changes_nothing() -> None:
    host = Host()
    guest = Guest(host).join().open_direct()
    first, second, third = (guest.typed(letter, at=at) for at, letter in enumerate("abc"))
    guest.say(EditFrame(DOC, first), direct=True)
    echo(host, guest, first, second, third)
    assert host.text() == "abc"
    before = logged(host)
    for update in (second, third):
        guest.say(EditFrame(DOC, update), direct=True)
    echo(host, guest, first, second, third)
    assert host.text() == "abc"
    assert logged(host) == before


def test_a_deletion_is_echoed_too() -> None:
    host = Host()
    guest = Guest(host).join().open_direct()
    typed = guest.typed("ab")
    guest.say(EditFrame(DOC, typed), direct=True)
    document = guest.document()
    document.edit([Edit(0, 1, "")])
    echo(host, guest, typed, *document.take_local())
    assert host.text() == "b"


def test_an_echo_of_what_follows_something_missing_waits_for_the_ordered_channel() -> None:
    host = Host()
    guest = Guest(host).join().open_direct()
    first, second = guest.typed("a"), guest.typed("b", at=1)
    echo(host, guest, first)
    assert host.text() == "", "a document is not opened by an echo"
    guest.say(EditFrame(DOC, first), direct=True)
    third = guest.typed("c", at=2)
    echo(host, guest, third)
    assert host.text() == "a"
    assert not host.documents.open(DOC).has_pending()
    for update in (second, third):
        guest.say(EditFrame(DOC, update), direct=True)
    assert host.text() == "abc"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_attack_an_echo_may_not_say_what_an_edit_may_not(role: Role) -> None:
    host = Host()
    guest, other = Guest(host, role=role).join().open_direct(), Guest(host, 3).join()
    host.type("mine", OTHER_DOC)
    host.wait(1.0)
    theirs = other.typed("x", OTHER_DOC)
    echo(host, guest, theirs if role is Role.EDITOR else guest.typed("x"), doc=OTHER_DOC)
    assert host.text(OTHER_DOC) == "mine"
    assert not host.knows(guest)
    assert host.knows(other)


def test_attack_an_echo_that_cannot_be_read_ends_the_link() -> None:
    host = Host()
    guest = Guest(host).join().open_direct()
    host.type("a")
    echo(host, guest, b"nonsense")
    assert not host.knows(guest)


def test_an_old_peer_takes_no_notice_of_an_echo() -> None:
    # that is why it is a type of its own: whoever does not know it ignores it (protocol.md §4)
    assert cast("list[int]", encode(Echo(DOC, [b"x"])))[1] == 22
