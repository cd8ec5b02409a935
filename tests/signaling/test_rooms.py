"""Rooms decide who gets a frame and who hears of whom."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signaling.errors import Refusal
from signaling.messages import CloseCode
from signaling.rooms import Gone, Membership, News, Right, Rooms


def rooms(
    room_limit: int = 4, member_limit: int = 3, away_limit: int = 9, room_away_limit: int = 3
) -> Rooms[str]:
    return Rooms(
        room_limit=room_limit,
        member_limit=member_limit,
        away_limit=away_limit,
        room_away_limit=room_away_limit,
    )


def right(name: str) -> Right:
    return Right(b"token of " + name.encode(), b"key of " + name.encode())


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


# --- coming back --------------------------------------------------------------------------------------------


def test_who_loses_its_connection_is_away_and_gets_its_address_back() -> None:
    both = rooms()
    ann = both.enter("r", b"a", "ann").membership
    ben = both.enter("r", b"b", "ben", right("ben")).membership
    assert both.lose(ben, 10.0) == [News("away", b"b", ["ann"])]
    assert both.lose(ben, 10.0) == []
    assert ann.relay(b"b") == Gone(None), "everybody was told"
    place = both.find("r", b"token of ben")
    assert place is ben
    entered = both.resume(place, "ben again", b"next")
    assert (entered.membership.address, entered.others, entered.superseded) == (b"b", {b"a": "ann"}, None)
    assert entered.membership.right == Right(b"next", b"key of ben")
    assert ann.relay(b"b") == "ben again"
    assert both.leave(ben) == [], "the old connection has nothing more to say"
    assert both.find("r", b"token of ben") is None, "a token is good once"
    assert both.find("r", b"next") is entered.membership


def test_a_connection_that_seems_to_live_is_superseded() -> None:
    both = rooms(room_limit=1, member_limit=1)
    ben = both.enter("r", b"b", "ben", right("ben")).membership
    entered = both.resume(ben, "ben again", b"next")
    assert entered.superseded == "ben"
    assert both.lose(ben, 1.0) == []
    assert len(both) == 1


def test_a_token_is_good_in_its_own_room_only() -> None:
    both = rooms()
    both.enter("r", b"b", "ben", right("ben"))
    assert both.find("other", b"token of ben") is None
    assert both.find("r", b"token of cy") is None


def test_who_has_no_right_to_come_back_leaves_when_it_is_lost() -> None:
    both = rooms()
    ann = both.enter("r", b"a", "ann").membership
    ben = both.enter("r", b"b", "ben").membership
    assert both.lose(ben, 1.0) == [News("left", b"b", ["ann"])]
    assert ann.relay(b"b") == Gone("left")


def test_who_is_away_for_too_long_is_gone() -> None:
    both = rooms()
    both.enter("r", b"a", "ann")
    ben = both.enter("r", b"b", "ben", right("ben")).membership
    cy = both.enter("r", b"c", "cy", right("cy")).membership
    both.lose(ben, 10.0)
    both.lose(cy, 20.0)
    assert both.expire(129.9, 120.0) == []
    assert both.expire(130.0, 120.0) == [News("left", b"b", ["ann"])]
    assert both.find("r", b"token of ben") is None
    assert both.find("r", b"token of cy") is cy


def test_a_room_whose_members_are_all_away_is_kept_but_does_not_count() -> None:
    one = rooms(room_limit=1)
    ben = one.enter("r", b"b", "ben", right("ben")).membership
    one.lose(ben, 1.0)
    assert len(one) == 0
    one.enter("other", b"c", "cy")
    with pytest.raises(Refusal) as refused:
        one.resume(ben, "ben again", b"next")
    assert refused.value.code == CloseCode.NO_MORE_ROOMS
    with pytest.raises(Refusal):
        one.enter("r", b"d", "dan")
    assert one.expire(200.0, 120.0) == [News("left", b"b", [])]
    assert "r" not in one._rooms


def test_who_comes_back_to_a_room_that_was_filled_meanwhile_waits() -> None:
    full = rooms(member_limit=1)
    ben = full.enter("r", b"b", "ben", right("ben")).membership
    full.lose(ben, 1.0)
    cy = full.enter("r", b"c", "cy").membership
    with pytest.raises(Refusal) as refused:
        full.resume(ben, "ben again", b"next")
    assert refused.value.code == CloseCode.ROOM_FULL
    full.leave(cy)
    assert full.resume(ben, "ben again", b"next").others == {}


def test_attack_coming_and_breaking_off_keeps_a_bounded_number_of_places_in_a_room() -> None:
    busy = rooms(member_limit=9)
    busy.enter("r", b"a", "ann")
    for number in range(100):
        name = f"{number}"
        news = busy.lose(busy.enter("r", name.encode(), name, right(name)).membership, float(number))
        assert news[0] == News("away", name.encode(), ["ann"])
        gone = [News("left", f"{number - 3}".encode(), ["ann"])] if number >= 3 else []
        assert news[1:] == gone, "the one who is away longest goes"
    assert len(busy._away) == len(busy._rights) == len(busy._rooms["r"].away) == 3


def test_attack_breaking_off_in_many_rooms_keeps_a_bounded_number_of_places() -> None:
    busy = rooms()
    for number in range(100):
        name = f"{number}"
        busy.lose(busy.enter(name, name.encode(), name, right(name)).membership, float(number))
    assert len(busy._away) == len(busy._rights) == len(busy._rooms) == 9
    assert busy.find("0", b"token of 0") is None
    assert busy.find("99", b"token of 99") is not None


class Model(RuleBasedStateMachine):
    """Rooms against the simplest thing that could be right: a dictionary of dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.rooms: Rooms[str] = rooms()
        self.model: dict[str, dict[bytes, str]] = {}
        self.inside: list[Membership[str]] = []
        self.away: list[Membership[str]] = []
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
        entered = self.rooms.enter(name, address, member, right(member))
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

    @precondition(lambda self: self.inside and len(self.away) < 3)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        member = data.draw(st.sampled_from(self.inside))
        self.inside.remove(member)
        self.away.append(member)
        room = self.model[member.room]
        del room[member.address]
        if not room:
            del self.model[member.room]
        assert self.rooms.lose(member, 1.0) == [News("away", member.address, list(room.values()))]

    @precondition(lambda self: self.away)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        self.count += 1
        member, name = data.draw(st.sampled_from(self.away)), f"member {self.count}"
        assert member.right is not None
        assert self.rooms.find(member.room, member.right.token) is member
        others = self.model.get(member.room)
        if (others is None and len(self.model) == 4) or len(others or ()) == 3:
            with pytest.raises(Refusal):
                self.rooms.resume(member, name, name.encode())
            return
        entered = self.rooms.resume(member, name, name.encode())
        assert entered.others == (others or {})
        self.away.remove(member)
        self.inside.append(entered.membership)
        self.model.setdefault(member.room, {})[member.address] = name

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
        assert len(self.rooms._rooms) == len({*self.model, *(member.room for member in self.away)})
        assert len(self.rooms._rights) == len(self.inside) + len(self.away)


TestModel = Model.TestCase
