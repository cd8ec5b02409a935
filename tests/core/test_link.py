from random import Random

import pytest

from peer.core.actions import Action, CloseDirect, SendPiece, SendRelay
from peer.core.carrier import Carrier
from peer.core.frames import Bye, EditFrame, NoDirect, State, decode, encode
from peer.core.ids import Attempt
from peer.core.link import DEAD_AFTER, RELAY_BUDGET, RELAY_PATIENCE, SILENT_AFTER, Link
from peer.core.pieces import RELAY_WINDOW, Lane, Outgoing
from tests.core.world import DOC, link, member

RELAY = b"relay-to"
EDIT = EditFrame(DOC, b"update")


def pieces(*frames: bytes, lane: Lane = Lane.CONTROL) -> list[bytes]:
    """What the other side sends for these frames."""
    out = Outgoing(RELAY_WINDOW)
    for frame in frames:
        out.push(lane, frame)
    return list(out.pieces())


def sent(carrier: Carrier) -> list[object]:
    """The frames of one piece each that *carrier* would send now."""
    bodies = [action.piece for action in carrier.orders() if isinstance(action, SendRelay | SendPiece)]
    return [decode(body[1:]) for body in bodies]


def noise(size: int) -> bytes:
    """Bytes that do not get smaller."""
    return Random(1).randbytes(size)


def carried(orders: list[Action]) -> int:
    """Bytes of pieces in these orders."""
    return sum(len(order.piece) for order in orders if isinstance(order, SendRelay | SendPiece))


# --- links -------------------------------------------------------------------------------------------------


def both(orders: list[Action], policy: str = "auto") -> Link:
    """A link with a relay and a direct carrier."""
    new = link(orders, policy=policy)
    new.relay = Carrier(RELAY, 100.0, "relay")
    new.direct = Carrier(Attempt(3), 101.0, "direct")
    return new


def test_content_goes_over_the_direct_path_and_else_over_the_relay() -> None:
    orders: list[Action] = []
    new = both(orders)
    assert (new.path, new.content, new.carriers()) == ("direct", new.direct, [new.direct, new.relay])
    assert new.send(Lane.EDITS, EDIT)
    new.pump(102.0)
    assert [type(order) for order in orders] == [SendPiece]
    new.direct = None
    assert new.path == "relay"
    assert new.send(Lane.EDITS, EDIT)
    new.pump(102.0)
    assert [type(order) for order in orders] == [SendPiece, SendRelay]
    new.relay = None
    assert new.path is None
    assert not new.send(Lane.EDITS, EDIT)
    assert not new.send(Lane.CONTROL, Bye("left"))
    new.signal(Bye("left"))
    assert not new.room(Lane.EDITS, 1000)


@pytest.mark.parametrize("side", ["we", "they"])
def test_who_wants_only_a_direct_path_has_no_content_on_the_relay(side: str) -> None:
    orders: list[Action] = []
    theirs = member(policy="direct" if side == "they" else "auto")
    new = Link(theirs, "direct" if side == "we" else "auto", 100.0, orders.append)
    new.relay = Carrier(RELAY, 100.0, "relay")
    assert new.content is None
    assert new.bulk_received == 0
    assert not new.send(Lane.EDITS, EDIT)
    assert new.send(Lane.CONTROL, Bye("left"))


def test_what_is_about_the_direct_path_goes_over_the_relay_where_there_is_one() -> None:
    orders: list[Action] = []
    new = both(orders)
    new.signal(NoDirect(1, "no"))
    new.pump(102.0)
    assert isinstance(orders[-1], SendRelay)
    new.relay = None
    new.signal(NoDirect(1, "no"))
    new.pump(102.0)
    assert isinstance(orders[-1], SendPiece)


def test_a_link_is_heard_over_any_carrier_even_one_that_is_gone() -> None:
    new = both([])
    assert new.relay is not None
    assert new.direct is not None
    assert new.heard == 101.0
    new.relay.heard = 105.0
    assert new.heard == 105.0
    new.detach(new.relay)
    assert new.heard == 105.0
    new.direct.heard = 107.0
    assert new.heard == 107.0


def test_a_carrier_is_found_by_its_key() -> None:
    new = both([])
    assert new.carrier(RELAY) is new.relay
    assert new.carrier(Attempt(3)) is new.direct
    assert new.carrier(Attempt(4)) is None


def test_while_the_direct_path_is_undecided_the_relay_carries_so_much_bulk_and_no_more() -> None:
    orders: list[Action] = []
    new = link(orders)
    new.relay = Carrier(RELAY, 100.0, "relay")
    for _ in range(2):
        new.send(Lane.BULK, State(DOC, noise(300_000)))
    arrived = 0
    while True:
        new.pump(104.0)
        if len(orders) == arrived:
            break
        arrived = len(orders)
        new.relay.out.acknowledge(arrived)
    assert RELAY_BUDGET <= carried(orders) < RELAY_BUDGET + 16 * 1024
    assert new.next_deadline() == new.next_ping
    new.next_ping = 200.0
    assert new.next_deadline() == 100.0 + RELAY_PATIENCE
    assert new.send(Lane.EDITS, EDIT)
    new.pump(104.0)
    assert len(orders) == arrived + 1, "only bulk is held"
    orders.clear()
    new.pump(100.0 + RELAY_PATIENCE)
    assert orders, "patience is over"


def test_a_slow_relay_does_not_keep_us_awake_when_patience_is_over() -> None:
    new = link([])
    new.relay = Carrier(RELAY, 100.0, "relay")
    new.next_ping = 110.0
    new.send(Lane.BULK, State(DOC, noise(600_000)))
    new.pump(100.0 + RELAY_PATIENCE)
    assert new.relay.out.frames
    assert new.next_deadline() == 100.0 + SILENT_AFTER


def test_a_decision_frees_the_relay() -> None:
    orders: list[Action] = []
    new = link(orders)
    new.relay = Carrier(RELAY, 100.0, "relay")
    new.decide()
    new.send(Lane.BULK, State(DOC, noise(600_000)))
    for _ in range(20):
        new.pump(101.0)
        new.relay.out.acknowledge(len(orders))
    assert carried(orders) > 600_000


def test_losing_a_carrier_keeps_its_traffic_and_closes_it_if_asked() -> None:
    orders: list[Action] = []
    new = both(orders)
    assert new.relay is not None
    assert new.direct is not None
    new.send(Lane.EDITS, EDIT)
    new.pump(102.0)
    new.direct.receive(pieces(encode(EDIT), lane=Lane.EDITS)[0], 102.0)
    before = new.traffic()
    assert min(before) > 0
    new.detach(new.direct, drain=True)
    assert orders[-1] == CloseDirect(Attempt(3), drain=True)
    new.detach(new.relay, close=False)
    assert len(orders) == 2
    assert new.traffic() == before
    stranger = Carrier(RELAY, 100.0, "relay")
    new.detach(stranger, close=False)
    assert new.carriers() == []


def test_a_link_is_looked_at_when_it_should_ping_or_is_silent_or_dead_or_doubted() -> None:
    new = link([])
    assert new.next_deadline() == 100.0
    new.next_ping = 200.0
    assert new.next_deadline() == 100.0 + SILENT_AFTER
    new.told_silent = True
    assert new.next_deadline() == 100.0 + DEAD_AFTER
    new.doubted_until = 103.0
    assert new.next_deadline() == 103.0


def test_a_lane_is_full_before_a_push_can_fail() -> None:
    new = link([])
    new.relay = Carrier(RELAY, 100.0, "relay")
    count = 0
    while new.room(Lane.BULK, 1 << 30):
        new.send(Lane.BULK, State(DOC, b""))
        count += 1
    assert 1000 < count < 4096
    assert new.bulk_received == 0
