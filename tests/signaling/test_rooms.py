"""Rooms decide who gets a frame and who hears of whom."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signaling.errors import Refusal
from signaling.messages import CloseCode
from signaling.rooms import Gone, Membership, Rooms


def rooms(room_limit: int = 4, member_limit: int = 3) -> Rooms[str]:
    return Rooms(room_limit=room_limit, member_limit=member_limit)


def test_the_first_one_in_a_room_is_alone() -> None:
    entered = rooms().enter("r", b"a", "ann")
    assert entered.others == {}
    assert entered.membership.room == "r"
    assert entered.membership.address == b"a"


def test_the_second_one_meets_the_first() -> None:
    both = rooms()
    both.enter("r", b"a", "ann")
    assert both.enter("r", b"b", "ben").others == {b"a": "ann"}
    assert len(both) == 1


def test_a_frame_goes_to_the_one_it_is_for() -> None:
    both = rooms()
    ann = both.enter("r", b"a", "ann").membership
    both.enter("r", b"b", "ben")
    assert ann.relay(b"b") == "ben"
    assert ann.relay(b"a") == "ann"


def test_a_frame_does_not_leave_its_room() -> None:
    both = rooms()
    ann = both.enter("r", b"a", "ann").membership
    both.enter("other", b"b", "ben")
    assert ann.relay(b"b") == Gone("never")


def test_the_sender_is_told_once_that_nobody_is_there() -> None:
    ann = rooms().enter("r", b"a", "ann").membership
    assert ann.relay(b"x") == Gone("never")
    assert ann.relay(b"x") == Gone(None)
    assert ann.relay(b"y") == Gone("never")


def test_the_sender_is_told_that_the_target_has_left() -> None:
    both = rooms()
    ann = both.enter("r", b"a", "ann").membership
    ben = both.enter("r", b"b", "ben").membership
    assert both.leave(ben) == ["ann"]
    assert ann.relay(b"b") == Gone("left")
    assert ann.relay(b"b") == Gone(None)


def test_leaving_twice_tells_nobody_twice() -> None:
    both = rooms()
    both.enter("r", b"a", "ann")
    ben = both.enter("r", b"b", "ben").membership
    assert both.leave(ben) == ["ann"]
    assert both.leave(ben) == []


def test_an_empty_room_leaves_nothing_behind() -> None:
    one = rooms()
    ann = one.enter("r", b"a", "ann").membership
    assert one.leave(ann) == []
    assert len(one) == 0
    assert one.leave(ann) == []
    assert one.enter("r", b"c", "cy").membership.relay(b"a") == Gone("never")


def test_a_full_room_refuses_one_more_until_somebody_leaves() -> None:
    full = rooms(member_limit=2)
    ann = full.enter("r", b"a", "ann").membership
    full.enter("r", b"b", "ben")
    with pytest.raises(Refusal) as refused:
        full.enter("r", b"c", "cy")
    assert refused.value.code == CloseCode.ROOM_FULL
    full.leave(ann)
    full.enter("r", b"c", "cy")


def test_one_room_too_many_is_refused_but_existing_ones_can_be_entered() -> None:
    full = rooms(room_limit=1)
    full.enter("r", b"a", "ann")
    with pytest.raises(Refusal) as refused:
        full.enter("other", b"b", "ben")
    assert refused.value.code == CloseCode.NO_MORE_ROOMS
    assert full.enter("r", b"b", "ben").others == {b"a": "ann"}


def test_attack_asking_for_countless_strangers_does_not_fill_the_memory() -> None:
    ann = rooms().enter("r", b"a", "ann").membership
    for number in range(1000):
        assert ann.relay(b"%d" % number) == Gone("never")
    assert len(ann._told or ()) == 128
    assert ann.relay(b"999") == Gone(None)
    assert ann.relay(b"0") == Gone("never")


def test_attack_coming_and_going_does_not_fill_the_memory() -> None:
    busy = rooms()
    ann = busy.enter("r", b"a", "ann").membership
    for number in range(1000):
        busy.leave(busy.enter("r", b"%d" % number, "x").membership)
    assert len(ann._room.departed) == 128
    assert ann.relay(b"999") == Gone("left")
    assert ann.relay(b"0") == Gone("never")


class Model(RuleBasedStateMachine):
    """Rooms against the simplest thing that could be right: a dictionary of dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.rooms: Rooms[str] = rooms()
        self.model: dict[str, dict[bytes, str]] = {}
        self.inside: list[Membership[str]] = []
        self.count = 0

    @rule(name=st.sampled_from("abcdef"))
    def enter(self, name: str) -> None:
        self.count += 1
        address, member = self.count.to_bytes(8, "big"), f"member {self.count}"
        others = self.model.get(name)
        if (others is None and len(self.model) == 4) or len(others or ()) == 3:
            with pytest.raises(Refusal):
                self.rooms.enter(name, address, member)
            return
        entered = self.rooms.enter(name, address, member)
        assert entered.others == (others or {})
        self.model.setdefault(name, {})[address] = member
        self.inside.append(entered.membership)

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        member = data.draw(st.sampled_from(self.inside))
        self.inside.remove(member)
        room = self.model[member.room]
        del room[member.address]
        if not room:
            del self.model[member.room]
        assert self.rooms.leave(member) == list(room.values())

    @precondition(lambda self: self.inside)
    @rule(data=st.data(), number=st.integers(1, 30))
    def relay(self, data: st.DataObject, number: int) -> None:
        sender = data.draw(st.sampled_from(self.inside))
        address = number.to_bytes(8, "big")
        got = sender.relay(address)
        expected = self.model[sender.room].get(address)
        assert isinstance(got, Gone) if expected is None else got == expected

    @invariant()
    def counts_its_rooms(self) -> None:
        assert len(self.rooms) == len(self.model)


TestModel = Model.TestCase
