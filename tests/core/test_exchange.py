from peer.core.actions import Action
from peer.core.carrier import Carrier
from peer.core.difference import Difference
from peer.core.document import Document
from peer.core.edits import Edit
from peer.core.exchange import (
    BULK_AHEAD,
    EDIT_LIMIT,
    EDITS_AHEAD,
    EDITS_REMEMBERED,
    PENDING_LIMIT,
    Exchange,
)
from peer.core.frames import EditFrame, decode
from peer.core.pieces import RELAY_WINDOW, Lane
from tests.core.world import DOC, OTHER_DOC, link


class Typing:
    """An exchange over a relay, and updates to send over it."""

    def __init__(self) -> None:
        self.orders: list[Action] = []
        self.link = link(self.orders)
        self.carrier = self.link.relay = Carrier(b"relay-to", 100.0, "relay")
        self.exchange = Exchange(self.link, 100.0, Difference(100.0))
        self._document = Document(DOC, 7, lambda _: None)

    def update(self, size: int = 1) -> bytes:
        """The update of inserting so many characters."""
        self._document.edit([Edit(0, 0, "x" * size)])
        (update,) = self._document.take_local()
        return update

    def fill(self) -> None:
        """Leave no room for edits."""
        self.exchange.send_edit(OTHER_DOC, self.update(EDITS_AHEAD), 0.0)

    def frames(self) -> list[EditFrame]:
        """The edits that wait in the carrier."""
        queue = self.carrier.out._lanes[Lane.EDITS]
        return [frame for frame in map(decode, queue) if isinstance(frame, EditFrame)]


def test_an_edit_goes_at_once_where_there_is_room() -> None:
    typing = Typing()
    update = typing.update()
    typing.exchange.send_edit(DOC, update, 0.0)
    assert typing.frames() == [EditFrame(DOC, update)]
    assert typing.exchange.waiting() == 0
    assert not typing.exchange.can_send()


def test_edits_without_room_are_kept_and_sent_merged() -> None:
    typing = Typing()
    typing.fill()
    updates = [typing.update() for _ in range(5)]
    for update in updates:
        typing.exchange.send_edit(DOC, update, 0.0)
    assert typing.exchange.waiting() == 1
    assert not typing.exchange.can_send()
    typing.exchange.send_kept()
    assert len(typing.frames()) == 1
    list(typing.carrier.orders())
    assert typing.exchange.can_send()
    typing.exchange.send_kept()
    (merged,) = typing.frames()
    assert merged.doc == DOC
    assert len(merged.update) < sum(map(len, updates))
    assert typing.exchange.waiting() == 0


def test_what_is_typed_later_does_not_overtake_what_is_kept() -> None:
    typing = Typing()
    typing.fill()
    typing.exchange.send_edit(DOC, typing.update(), 0.0)
    list(typing.carrier.orders())
    typing.exchange.send_edit(DOC, typing.update(), 0.0)
    assert typing.frames() == []
    assert typing.exchange.waiting() == 1


def test_who_falls_too_far_behind_is_sent_nothing_until_it_has_room() -> None:
    typing = Typing()
    typing.fill()
    while not typing.exchange.behind:
        typing.exchange.send_edit(DOC, typing.update(PENDING_LIMIT // 8), 0.0)
    typing.exchange.send_edit(DOC, typing.update(), 0.0)
    assert typing.exchange.waiting() == 1
    assert not typing.exchange.may_catch_up()
    list(typing.carrier.orders())
    assert typing.exchange.may_catch_up()


def test_a_paste_too_large_for_the_lane_is_left_to_be_asked_for() -> None:
    typing = Typing()
    typing.exchange.send_edit(DOC, typing.update(EDIT_LIMIT), 0.0)
    assert typing.frames() == []
    assert typing.exchange.behind
    typing.exchange.send_edit(DOC, typing.update(), 0.0)
    assert len(typing.frames()) == 1, "what follows it goes on"


def test_without_a_carrier_for_content_a_peer_is_behind() -> None:
    typing = Typing()
    typing.link.relay = None
    typing.exchange.send_edit(DOC, typing.update(), 0.0)
    assert typing.exchange.behind
    assert not typing.exchange.may_catch_up()


def test_forgetting_what_is_kept_leaves_the_peer_behind_if_there_was_any() -> None:
    typing = Typing()
    typing.exchange.forget_kept()
    assert not typing.exchange.behind
    typing.fill()
    typing.exchange.send_edit(DOC, typing.update(), 0.0)
    typing.exchange.forget_kept()
    assert typing.exchange.behind
    assert typing.exchange.waiting() == 1


def test_answers_wait_for_room_of_their_own() -> None:
    typing = Typing()
    assert not typing.exchange.may_answer()
    typing.exchange.answers[DOC] = b"\x00"
    assert typing.exchange.may_answer()
    assert typing.exchange.can_send()
    typing.carrier.out.push(Lane.BULK, bytes(BULK_AHEAD))
    assert not typing.exchange.may_answer()
    assert RELAY_WINDOW.bulk_bytes < BULK_AHEAD


def test_an_edit_that_came_is_known_until_many_more_have_come() -> None:
    exchange = Typing().exchange
    updates = [number.to_bytes(2) for number in range(EDITS_REMEMBERED + 1)]
    assert not exchange.knows(DOC, updates[0])
    exchange.took(DOC, updates[0])
    assert exchange.knows(DOC, bytes(2))
    assert not exchange.knows(OTHER_DOC, bytes(2))
    for update in updates[1:]:
        exchange.took(DOC, update)
    assert not exchange.knows(DOC, updates[0])
    assert exchange.knows(DOC, updates[-1])
