import pytest

from peer.core.actions import AskArrived, CloseDirect, CloseSeal, SendPiece, SendRelay
from peer.core.carrier import ACK_WITHIN, ASK_EVERY, PINGS_REMEMBERED, Carrier
from peer.core.frames import Ack, Ping, Pong, State, encode
from peer.core.ids import Attempt
from peer.core.pieces import RELAY_WINDOW, Lane
from peer.errors import Malformed
from tests.core.test_link import EDIT, RELAY, noise, pieces, sent
from tests.core.world import DOC


def test_a_carrier_orders_what_its_kind_of_key_says() -> None:
    relay, direct = Carrier(RELAY, 100.0, "relay"), Carrier(Attempt(3), 100.0, "direct", "10.0.0.1")
    assert relay.order(b"x") == SendRelay(RELAY, b"x")
    assert direct.order(b"x") == SendPiece(Attempt(3), b"x")
    assert relay.closing() == CloseSeal(RELAY)
    assert direct.closing(drain=True) == CloseDirect(Attempt(3), drain=True)


def test_a_heartbeat_is_answered_and_measures_the_way() -> None:
    one, other = Carrier(RELAY, 100.0, "relay"), Carrier(RELAY, 100.0, "relay")
    for round_trip in (0.1, 0.3):
        one.ping(100.0, b"summary!")
        (piece,) = one.out.pieces()
        arrived = other.receive(piece, 100.0)
        assert arrived is not None
        assert isinstance(arrived[1], Ping)
        (answer,) = other.out.pieces()
        assert one.receive(answer, 100.0 + round_trip) is None
    assert one.rtt == pytest.approx(0.1 * 0.875 + 0.3 * 0.125)
    assert one.heard == 100.3


def test_an_answer_to_nothing_measures_nothing() -> None:
    one = Carrier(RELAY, 100.0, "relay")
    one.pong(Pong(99, 0), 101.0)
    for _ in range(PINGS_REMEMBERED + 1):
        one.ping(100.0, b"summary!")
    one.pong(Pong(1, 0), 101.0)
    assert one.rtt is None


def test_what_arrives_is_acknowledged_when_enough_has_arrived() -> None:
    one = Carrier(RELAY, 100.0, "relay")
    for piece in pieces(*[encode(EDIT)] * RELAY_WINDOW.ack_pieces, lane=Lane.EDITS):
        arrived = one.receive(piece, 101.0)
        assert arrived == (Lane.EDITS, EDIT)
    assert sent(one) == [Ack(RELAY_WINDOW.ack_pieces)]


def test_an_acknowledgement_opens_the_window_and_goes_no_further() -> None:
    one = Carrier(RELAY, 100.0, "relay")
    for _ in range(RELAY_WINDOW.pieces + 1):
        one.out.push(Lane.EDITS, b"x")
    assert len(list(one.orders())) == RELAY_WINDOW.pieces
    (piece,) = pieces(encode(Ack(1)))
    assert one.receive(piece, 101.0) is None
    assert len(list(one.orders())) == 1


def test_a_piece_of_a_frame_that_goes_on_is_not_a_frame_yet() -> None:
    one = Carrier(RELAY, 100.0, "relay")
    first, *rest = pieces(encode(State(DOC, noise(40_000))), lane=Lane.BULK)
    assert one.receive(first, 101.0) is None
    assert [one.receive(piece, 101.0) is not None for piece in rest] == [False, True]


def test_a_frame_of_a_newer_kind_is_passed_over() -> None:
    assert Carrier(RELAY, 100.0, "relay").receive(b"\x00\x92\x63\x01", 101.0) is None


def test_what_is_no_frame_is_malformed() -> None:
    with pytest.raises(Malformed):
        Carrier(RELAY, 100.0, "relay").receive(b"\x00nonsense", 101.0)


# --- what has arrived -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carrier", "after"),
    [
        (Carrier(RELAY, 100.0, "relay"), None),
        (Carrier(RELAY, 100.0, "lan"), ACK_WITHIN),
        (Carrier(Attempt(3), 100.0, "lan"), None),
    ],
)
def test_through_the_room_of_a_peer_what_arrives_is_acknowledged_within_a_moment(
    carrier: Carrier, after: float | None
) -> None:
    for piece in pieces(encode(EDIT), encode(EDIT), lane=Lane.EDITS):
        carrier.receive(piece, 101.0)
    assert carrier.ack_at == (None if after is None else 101.0 + after)
    carrier.acknowledge(101.0)
    assert sent(carrier) == []
    carrier.acknowledge(101.0 + ACK_WITHIN)
    assert sent(carrier) == ([] if after is None else [Ack(2)])
    assert carrier.ack_at is None


def test_a_heartbeat_takes_the_acknowledgement_with_it() -> None:
    carrier = Carrier(RELAY, 100.0, "lan")
    carrier.receive(pieces(encode(EDIT), lane=Lane.EDITS)[0], 101.0)
    carrier.ping(101.1, b"summary!")
    assert sent(carrier) == [Ping(1, 1, b"summary!")]
    assert carrier.ack_at is None


def test_a_relay_keeps_nothing_for_a_detour() -> None:
    carrier = Carrier(RELAY, 100.0, "relay")
    carrier.push(Lane.EDITS, b"edit")
    assert carrier.look_back(101.0) is None
    assert not carrier.detour.has_any()


@pytest.mark.parametrize("frame", [Ack(1), Pong(1, 1), Ping(1, 1, b"summary!")])
def test_what_is_acknowledged_in_the_room_of_a_peer_is_not_kept(frame: Ack | Pong | Ping) -> None:
    carrier = Carrier(RELAY, 100.0, "lan")
    carrier.push(Lane.BULK, b"bulk")
    carrier.push(Lane.EDITS, b"edit")
    assert carrier.look_back(101.0) is None, "it tells by itself"
    assert len(list(carrier.orders())) == 2
    assert carrier.detour.has_any()
    carrier.receive(pieces(encode(frame))[0], 101.1)
    assert not carrier.detour.has_any()


def test_a_direct_path_is_asked_what_has_arrived_now_and_then_until_everything_has() -> None:
    carrier = Carrier(Attempt(3), 100.0, "direct")
    assert carrier.next_question() is None
    for lane in (Lane.EDITS, Lane.CONTROL, Lane.EDITS):
        carrier.push(lane, b"x")
    assert len(list(carrier.orders())) == 3
    assert carrier.look_back(101.0) is None
    assert carrier.next_question() == 101.0 + ASK_EVERY
    assert carrier.look_back(101.0 + ASK_EVERY) == AskArrived(Attempt(3))
    assert carrier.look_back(101.0 + ASK_EVERY) is None
    assert carrier.next_question() == 101.0 + ASK_EVERY + ASK_EVERY
    carrier.arrived(2, 100.0)
    assert carrier.detour.has_any()
    assert carrier.look_back(103.0) == AskArrived(Attempt(3))
    carrier.arrived(3, 100.0)
    assert carrier.next_question() is None
    assert carrier.look_back(104.0) is None
    assert not carrier.out.edits_acked, "which opens no window"
