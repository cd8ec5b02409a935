import random
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.core.pieces import (
    CONTROL_LIMIT,
    DIRECT_WINDOW,
    PIECE_BODY,
    PIECE_LEAST,
    QUEUE_LIMIT,
    RELAY_WINDOW,
    Incoming,
    Lane,
    Outgoing,
    Window,
)
from peer.errors import Malformed, TooLarge

SMALL = Window(pieces=4, bytes=100_000, bulk_bytes=40_000, ack_pieces=2, ack_bytes=50_000)


def deliver(sender: Outgoing, receiver: Incoming) -> list[tuple[Lane, bytes]]:
    """Send all that may be sent, with acknowledgements, until nothing moves."""
    frames: list[tuple[Lane, bytes]] = []
    while pieces := list(sender.pieces()):
        for piece in pieces:
            assert len(piece) <= PIECE_BODY + 1
            whole = receiver.receive(piece)
            if whole is not None:
                frames.append(whole)
        sender.acknowledge(receiver.reported())
    return frames


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Lane)), st.binary(max_size=40), st.sampled_from([1, 700, 2000])),
        max_size=12,
    )
)
def test_frames_arrive_whole_and_in_order_within_their_lane(what: list[tuple[Lane, bytes, int]]) -> None:
    sent = [(lane, data * (min(times, 500) if lane is Lane.CONTROL else times)) for lane, data, times in what]
    sender, receiver = Outgoing(DIRECT_WINDOW), Incoming(DIRECT_WINDOW)
    for lane, frame in sent:
        sender.push(lane, frame)
    arrived = deliver(sender, receiver)
    for lane in Lane:
        assert [f for at, f in arrived if at is lane] == [f for at, f in sent if at is lane]
    assert sender.frames == 0


def test_an_empty_frame_is_still_heard_of() -> None:
    sender, receiver = Outgoing(SMALL), Incoming(SMALL)
    sender.push(Lane.EDITS, b"")
    assert deliver(sender, receiver) == [(Lane.EDITS, b"")]


def test_an_edit_overtakes_bulk_that_waits() -> None:
    sender, receiver = Outgoing(DIRECT_WINDOW), Incoming(DIRECT_WINDOW)
    noise = bytes(range(256)) * 4096
    sender.push(Lane.BULK, zlib.compress(noise * 3, 9) + bytes(3_000_000))
    sender.push(Lane.BULK, b"second")
    sender.push(Lane.EDITS, b"typed")
    assert deliver(sender, receiver)[0] == (Lane.EDITS, b"typed")


def test_the_window_closes_and_acknowledgements_open_it() -> None:
    sender, receiver = Outgoing(SMALL), Incoming(SMALL)
    for number in range(6):
        sender.push(Lane.EDITS, b"%d" % number)
    first = list(sender.pieces())
    assert len(first) == 4
    assert list(sender.pieces()) == []
    for piece in first[:2]:
        receiver.receive(piece)
    assert receiver.ack_due()
    sender.acknowledge(receiver.reported())
    assert not receiver.ack_due()
    assert len(list(sender.pieces())) == 2


def test_the_window_counts_bytes_too() -> None:
    window = Window(pieces=100, bytes=40_000, bulk_bytes=20_000, ack_pieces=100, ack_bytes=30_000)
    sender = Outgoing(window)
    sender.push(Lane.BULK, bytes(range(256)) * 3 + zlib.compress(bytes(range(256)) * 9))
    incompressible = b"".join(zlib.compress(b"%d" % n) for n in range(20_000))
    sender.push(Lane.BULK, zlib.compress(incompressible))
    pieces = list(sender.pieces())
    assert 20_000 <= sum(map(len, pieces)) < 20_000 + 2 * PIECE_BODY
    receiver = Incoming(window)
    for piece in pieces:
        receiver.receive(piece)
    sender.acknowledge(receiver.reported())
    assert list(sender.pieces())


def test_control_frames_pass_a_closed_window() -> None:
    sender = Outgoing(SMALL)
    for number in range(6):
        sender.push(Lane.EDITS, b"%d" % number)
    list(sender.pieces())
    sender.push(Lane.CONTROL, b"ping")
    assert list(sender.pieces()) == [b"\x00ping"]


def test_bulk_can_be_held_back() -> None:
    sender = Outgoing(SMALL)
    sender.push(Lane.BULK, b"state")
    assert list(sender.pieces(bulk=0)) == []
    assert sender.queued(Lane.BULK) == 5
    assert len(list(sender.pieces(bulk=1))) == 1
    assert sender.bulk_sent == 6
    sender.push(Lane.BULK, b"state")
    assert list(sender.pieces(bulk=6)) == []
    assert len(list(sender.pieces())) == 1


def test_waiting_frames_can_be_dropped_but_a_begun_one_is_finished() -> None:
    sender, receiver = Outgoing(SMALL), Incoming(SMALL)
    begun = b"".join(zlib.compress(b"%d" % n) for n in range(20_000))
    sender.push(Lane.BULK, begun)
    sender.push(Lane.BULK, b"waiting")
    pieces = list(sender.pieces())
    sender.drop_waiting(Lane.BULK)
    assert sender.queued(Lane.BULK) == 0
    for piece in pieces:
        receiver.receive(piece)
    sender.acknowledge(receiver.reported())
    assert deliver(sender, receiver) == [(Lane.BULK, begun)]


def test_a_key_stroke_costs_little_more_than_ten_bytes_in_a_stream() -> None:
    sender = Outgoing(DIRECT_WINDOW)
    sizes = []
    for clock in range(200):
        update = (
            b"\x93\x09\xc4\x08DOCUMENT\xc4\x1c\x01\x01\xab\xcd\xef\x01\x23"
            + bytes((clock,))
            + b"\x84\xab\xcd\xef\x01\x23"
            + bytes((clock,))
            + b"\x01x\x00"
        )
        sender.push(Lane.EDITS, update)
        sizes += [len(piece) for piece in sender.pieces()]
        sender.acknowledge(clock + 1)
    assert sum(sizes[50:]) / len(sizes[50:]) < 14


def test_a_full_lane_says_so() -> None:
    sender = Outgoing(SMALL)
    for _ in range(QUEUE_LIMIT):
        sender.push(Lane.BULK, b"x")
    with pytest.raises(OverflowError):
        sender.push(Lane.BULK, b"x")


def test_an_acknowledgement_of_what_was_never_sent_is_malformed() -> None:
    with pytest.raises(Malformed):
        Outgoing(SMALL).acknowledge(1)


@pytest.mark.parametrize("piece", [b"", b"\x06", b"\x10x", b"\x80x"])
def test_flags_without_meaning_are_malformed(piece: bytes) -> None:
    with pytest.raises(Malformed):
        Incoming(SMALL).receive(piece)


@pytest.mark.parametrize("lane", list(Lane))
def test_crumbs_are_malformed(lane: Lane) -> None:
    """Each costs its receiver a place in a list, however little it holds."""
    receiver = Incoming(RELAY_WINDOW)
    assert receiver.receive(bytes((lane << 1 | 0x01,)) + bytes(PIECE_LEAST - 1)) is None
    with pytest.raises(Malformed):
        receiver.receive(bytes((lane << 1 | 0x01,)) + bytes(PIECE_LEAST - 2))


def test_a_frame_that_never_ends_is_cut_off_at_the_limit() -> None:
    receiver = Incoming(RELAY_WINDOW)
    piece = b"\x01" + bytes(PIECE_BODY)
    for _ in range(CONTROL_LIMIT // PIECE_BODY):
        receiver.receive(piece)
    with pytest.raises(TooLarge):
        receiver.receive(piece)


@pytest.mark.parametrize("lane", [Lane.EDITS, Lane.BULK])
def test_a_deflate_bomb_is_cut_off_at_the_limit(lane: Lane) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15 if lane is Lane.BULK else -13)
    bomb = packer.compress(bytes(64 * 1024 * 1024)) + packer.flush(zlib.Z_SYNC_FLUSH)
    receiver = Incoming(DIRECT_WINDOW)
    *first, last = [bomb[start : start + PIECE_BODY] for start in range(0, len(bomb), PIECE_BODY)]
    for body in first:
        assert receiver.receive(bytes((lane << 1 | 0x09,)) + body) is None
    with pytest.raises(TooLarge):
        receiver.receive(bytes((lane << 1 | 0x08,)) + last)


@pytest.mark.parametrize("lane", [Lane.EDITS, Lane.BULK])
def test_a_body_that_does_not_inflate_is_malformed(lane: Lane) -> None:
    with pytest.raises(Malformed):
        Incoming(SMALL).receive(bytes((lane << 1 | 0x08,)) + b"\xff\xff\xff")


def test_a_deflated_control_frame_is_malformed() -> None:
    with pytest.raises(Malformed):
        Incoming(SMALL).receive(b"\x08" + zlib.compress(b"x"))


def test_bulk_that_would_not_get_smaller_is_sent_as_it_is() -> None:
    sender, receiver = Outgoing(DIRECT_WINDOW), Incoming(DIRECT_WINDOW)
    packed = Random(1).randbytes(60_000)
    sender.push(Lane.BULK, packed)
    pieces = list(sender.pieces())
    assert not pieces[0][0] & 0x08
    assert [receiver.receive(piece) for piece in pieces][-1] == (Lane.BULK, packed)


def test_there_is_room_below_a_limit_of_bytes_and_half_of_the_frames() -> None:
    sender = Outgoing(SMALL)
    assert sender.has_room(Lane.BULK, 1)
    assert not sender.has_room(Lane.BULK, 0)
    for _ in range(QUEUE_LIMIT // 2):
        assert sender.has_room(Lane.BULK, 1 << 30)
        sender.push(Lane.BULK, b"")
    assert not sender.has_room(Lane.BULK, 1 << 30)
    sender.drop_waiting(Lane.BULK)
    assert sender.has_room(Lane.BULK, 1 << 30)
    assert sender.frames == 0


@pytest.mark.parametrize("size", [1_000, 200_000])
def test_what_does_not_shrink_is_sent_as_it_is(size: int) -> None:
    noise = random.Random(size).randbytes(size)
    sender, receiver = Outgoing(DIRECT_WINDOW), Incoming(DIRECT_WINDOW)
    sender.push(Lane.BULK, noise)
    pieces = list(sender.pieces())
    assert sum(map(len, pieces)) == size + len(pieces)
    assert [whole for piece in pieces if (whole := receiver.receive(piece))] == [(Lane.BULK, noise)]


def test_which_edits_have_arrived_follows_from_how_many_pieces_of_all_lanes_have() -> None:
    sender = Outgoing(DIRECT_WINDOW)
    sender.push(Lane.CONTROL, b"control")
    sender.push(Lane.EDITS, b"one")
    sender.push(Lane.EDITS, Random(1).randbytes(20_000))
    sender.push(Lane.BULK, b"bulk")
    sender.push(Lane.EDITS, b"three")
    assert [piece[0] & 0x07 for piece in sender.pieces()] == [0, 2, 3, 2, 2, 4]
    assert [sender.edits_within(pieces) for pieces in range(8)] == [0, 0, 1, 1, 2, 3, 3, 3]
    sender.acknowledge(1)
    assert [sender.edits_within(pieces) for pieces in (0, 2, 5)] == [1, 1, 3]
