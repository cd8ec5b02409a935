"""Sealed links by relay address: who starts, what is stale, what a server can and cannot do."""

from collections import deque

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.events import Event, RelayPieceArrived, SealBroken, Sealed
from peer.edge.identity import Identity, make_identity
from peer.edge.seals import EPOCHS_REMEMBERED, SEALS_LIMIT, Seals

LOW, HIGH = b"\x01" * 8, b"\x02" * 8


class End:
    """One side in the room, with what it sent and what it was told."""

    def __init__(self, address: bytes, *, identity: Identity | None = None) -> None:
        self.address = address
        self.identity = identity or make_identity(Ed25519PrivateKey.generate())
        self.events: list[Event] = []
        self.outbox: deque[tuple[bytes, bytes]] = deque()
        self.seals = Seals(self.identity, self.events.append, lambda to, data: self.outbox.append((to, data)))
        self.seals.entered(address)

    def take(self) -> list[Event]:
        """What was told since this was last asked."""
        events = list(self.events)
        self.events.clear()
        return events

    def sent(self) -> list[bytes]:
        """The payloads that wait for the server, taken away from it."""
        payloads = [payload for _, payload in self.outbox]
        self.outbox.clear()
        return payloads


class Room:
    """Two ends, LOW the initiator, and an honest server."""

    def __init__(self) -> None:
        self.low, self.high = End(LOW), End(HIGH)

    def carry(self) -> None:
        """Pass everything on until nothing is left."""
        ends = {LOW: self.low, HIGH: self.high}
        while self.low.outbox or self.high.outbox:
            for sender in ends.values():
                while sender.outbox:
                    to, payload = sender.outbox.popleft()
                    ends[to].seals.receive(sender.address, payload)

    def link(self) -> None:
        """Make a link, and forget what was told about it."""
        self.low.seals.start(HIGH)
        self.carry()
        assert [type(event) for event in self.low.take()] == [Sealed]
        assert [type(event) for event in self.high.take()] == [Sealed]

    def works(self) -> bool:
        """Whether pieces travel both ways."""
        self.low.take()
        self.high.take()
        self.low.seals.send(HIGH, b"down")
        self.high.seals.send(LOW, b"up")
        self.carry()
        return self.low.take() == [RelayPieceArrived(HIGH, b"up")] and self.high.take() == [
            RelayPieceArrived(LOW, b"down")
        ]


@pytest.fixture
def room() -> Room:
    return Room()


def broken(end: End) -> list[str]:
    return [event.reason for event in end.take() if isinstance(event, SealBroken)]


def test_both_learn_the_others_device_and_the_same_binding(room: Room) -> None:
    room.low.seals.start(HIGH)
    room.carry()
    (low,), (high,) = room.low.take(), room.high.take()
    assert isinstance(low, Sealed)
    assert isinstance(high, Sealed)
    assert (low.address, low.device) == (HIGH, room.high.identity.device)
    assert (high.address, high.device) == (LOW, room.low.identity.device)
    assert low.binding == high.binding
    assert room.works()


def test_a_link_that_its_initiator_starts_again_takes_the_place_of_the_old_one(room: Room) -> None:
    room.link()
    room.low.seals.start(HIGH)
    room.carry()
    assert [type(event) for event in room.low.take()] == [Sealed]
    assert [type(event) for event in room.high.take()] == [Sealed]
    assert room.works()


def test_what_is_sent_while_a_link_is_being_made_is_dropped_and_hurts_nobody(room: Room) -> None:
    room.link()
    room.low.seals.start(HIGH)
    to, hello = room.low.outbox.popleft()
    room.high.seals.receive(LOW, hello)
    room.high.seals.send(LOW, b"from the old link")
    room.low.seals.send(HIGH, b"from the old link")
    room.carry()
    assert to == HIGH
    assert [type(event) for event in (*room.low.take(), *room.high.take())] == [Sealed, Sealed]
    assert room.works()


def test_nothing_is_sent_to_an_address_without_a_link(room: Room) -> None:
    room.low.seals.send(HIGH, b"hello?")
    room.low.seals.close(HIGH)
    assert room.low.sent() == []


def test_what_an_older_link_left_behind_does_not_disturb_the_new_one(room: Room) -> None:
    room.low.seals.start(HIGH)
    old = room.low.sent()
    room.carry()
    room.link()
    for payload in old:
        room.high.seals.receive(LOW, payload)
    assert room.high.take() == []
    room.carry()
    assert room.works()


def test_a_server_that_repeats_everything_can_end_a_link_but_adds_nothing_to_it(room: Room) -> None:
    room.link()
    room.low.seals.send(HIGH, b"once")
    (payload,) = room.low.sent()
    room.high.seals.receive(LOW, payload)
    room.high.seals.receive(LOW, payload)
    events = room.high.take()
    assert [event for event in events if isinstance(event, RelayPieceArrived)] == [
        RelayPieceArrived(LOW, b"once")
    ]
    assert isinstance(events[-1], SealBroken)
    room.carry()
    assert len(broken(room.low)) == 1
    room.link()
    assert room.works()


@pytest.mark.parametrize("at", [1, 6, -1])
def test_a_changed_byte_ends_the_link_on_both_sides(room: Room, at: int) -> None:
    room.link()
    room.low.seals.send(HIGH, b"transfer 10")
    changed = bytearray(room.low.sent()[0])
    changed[at] ^= 1
    room.high.seals.receive(LOW, bytes(changed))
    assert len(broken(room.high)) == 1
    room.carry()
    assert len(broken(room.low)) == 1


def test_a_server_that_swaps_two_payloads_ends_the_link(room: Room) -> None:
    room.link()
    room.low.seals.send(HIGH, b"first")
    room.low.seals.send(HIGH, b"second")
    for payload in reversed(room.low.sent()):
        room.high.seals.receive(LOW, payload)
    assert not [event for event in room.high.events if isinstance(event, RelayPieceArrived)]
    assert len(broken(room.high)) == 1


def test_a_goodbye_counts_even_if_the_end_comes_in_the_same_payload(room: Room) -> None:
    room.link()
    room.low.seals.send(HIGH, b"goodbye")
    room.low.seals.close(HIGH)
    payloads = room.low.sent()
    joined = payloads[0] + b"".join(payload[1:] for payload in payloads[1:])
    room.high.seals.receive(LOW, joined)
    said, ended = room.high.take()
    assert said == RelayPieceArrived(LOW, b"goodbye")
    assert isinstance(ended, SealBroken)


def test_who_closes_is_told_nothing_more_and_the_other_side_is(room: Room) -> None:
    room.link()
    room.high.seals.close(LOW)
    room.carry()
    assert room.high.take() == []
    assert broken(room.low) == ["the other side closed the sealed link"]
    room.link()
    assert room.works()


def test_who_goes_on_with_a_link_that_is_over_is_told_to_start_again(room: Room) -> None:
    room.link()
    room.high.seals.close(LOW)
    room.high.sent()  # the server loses the farewell
    room.low.seals.send(HIGH, b"are you there?")
    room.carry()
    assert broken(room.low) == ["the other side has no such link any more"]
    assert room.high.take() == []
    room.link()
    assert room.works()


def test_a_reset_of_a_link_that_is_over_is_passed_over(room: Room) -> None:
    room.low.seals.start(HIGH)
    (first,) = room.low.sent()
    room.link()
    room.low.seals.receive(HIGH, first[:1])
    assert room.low.take() == []
    assert room.works()


def test_two_resets_do_not_answer_each_other(room: Room) -> None:
    room.link()
    room.low.seals.receive(HIGH, b"\x07")
    room.high.seals.receive(LOW, b"\x07")
    assert room.low.sent() == room.high.sent() == []
    assert room.works()


def test_only_the_lower_address_may_start(room: Room) -> None:
    stranger = End(HIGH)
    stranger.seals.start(LOW)
    for payload in stranger.sent():
        room.low.seals.receive(HIGH, payload)
    assert room.low.take() == []
    assert room.low.sent() == []


def test_the_epoch_goes_round_and_old_ones_stay_old(room: Room) -> None:
    for _ in range(600):
        room.low.seals.start(HIGH)
        first = room.low.outbox[0][1]
        room.carry()
        room.low.take()
        room.high.take()
    room.link()
    room.high.seals.receive(LOW, first)
    room.carry()
    assert room.works()


def test_an_empty_payload_is_nothing(room: Room) -> None:
    room.link()
    room.high.seals.receive(LOW, b"")
    room.low.seals.receive(HIGH, b"")
    assert room.works()


@pytest.mark.parametrize(
    "rubbish", [b"\x01\x16\x03\x01", b"\x05" + b"GET / HTTP/1.1\r\n\r\n", b"\x01" + b"\xff" * 70_000]
)
def test_rubbish_is_an_end_and_never_a_link(room: Room, rubbish: bytes) -> None:
    room.high.seals.receive(LOW, rubbish)
    assert not [event for event in room.high.take() if isinstance(event, Sealed)]
    room.high.sent()
    room.low.seals.start(HIGH)
    room.carry()
    if rubbish[0] == 1 and not room.works():
        room.low.seals.start(HIGH)  # half a beginning under the same epoch: the next one counts
        room.carry()
    assert room.works()


def test_links_of_an_earlier_room_are_over(room: Room) -> None:
    room.link()
    room.high.seals.entered(b"\x03" * 8)
    room.low.seals.send(HIGH, b"late")
    room.carry()
    assert not [event for event in room.high.take() if isinstance(event, RelayPieceArrived | Sealed)]


def test_there_are_not_more_links_than_the_limit() -> None:
    high = End(HIGH)
    low = End(LOW)
    low.seals.start(HIGH)
    (hello,) = low.sent()
    for number in range(SEALS_LIMIT + 5):
        high.seals.receive(number.to_bytes(8), hello)
    answered = {to for to, _ in high.outbox}
    assert len(answered) == SEALS_LIMIT
    high.sent()
    high.seals.close((0).to_bytes(8))
    high.seals.receive((SEALS_LIMIT + 1).to_bytes(8), hello)
    assert high.sent() != []


def test_addresses_that_come_and_go_are_forgotten_but_not_those_with_a_link(room: Room) -> None:
    room.link()
    for number in range(EPOCHS_REMEMBERED + 10):
        room.low.seals.start((2**60 + number).to_bytes(8))
        room.low.seals.close((2**60 + number).to_bytes(8))
    room.low.sent()
    assert len(room.low.seals._epochs) == EPOCHS_REMEMBERED
    assert room.works()
    for _ in range(3):
        room.low.seals.start(HIGH)
        room.carry()
    assert room.works()


def test_what_nobody_takes_ends_the_link(room: Room) -> None:
    room.link()
    state = room.low.seals._open[HIGH]
    state.seal._outgoing_size = 10**9  # as if the server had not been sent anything for long
    room.low.seals.send(HIGH, b"too much")
    assert len(broken(room.low)) == 1
    room.carry()
    assert len(broken(room.high)) == 1
