"""Which rooms of a local network a member enters, leaves, and comes back to."""

import itertools
import random

import pytest

from peer.core.candidates import (
    CANDIDATES_LIMIT,
    ENDPOINTS_LIMIT,
    FIRST_WAIT,
    FORGET_AFTER,
    LONGEST_WAIT,
    REMEMBERED,
    ROOMS_LIMIT,
    Candidates,
    Endpoint,
    EnterRoom,
    Event,
    Heard,
    LeaveRoom,
    Named,
    NetworkChanged,
    Order,
    Remember,
    RoomEnded,
    RoomEntered,
    Tick,
    Withdrawn,
)

OWN = b"m" * 8
HERE = Endpoint("10.0.0.1", 1)
THERE = Endpoint("fe80::1%eth0", 2)


def name(number: int) -> bytes:
    return bytes((number,)) * 8


def place(number: int) -> Endpoint:
    return Endpoint(f"10.0.1.{number}", 1000 + number)


class Net:
    """Candidates, and what they ordered."""

    def __init__(self) -> None:
        self.candidates = Candidates(OWN, lambda longest: longest)
        self.now = 0.0
        self.open: dict[int, tuple[Endpoint, ...]] = {}

    def feed(self, *events: Event) -> list[Order]:
        orders = [order for event in events for order in self.candidates.handle(event, self.now)]
        for order in orders:
            match order:
                case EnterRoom():
                    assert order.number not in self.open
                    self.open[order.number] = order.endpoints
                case LeaveRoom():
                    del self.open[order.number]
                case Remember():
                    assert len(order.endpoints) <= REMEMBERED
        return orders

    def hear(self, number: int) -> int:
        """Hear of a server and enter its room; return the room's number."""
        (order,) = self.feed(Heard(name(number), place(number)))
        assert isinstance(order, EnterRoom)
        self.feed(RoomEntered(order.number, name(number)))
        return order.number

    def fail(self, number: int) -> None:
        del self.open[number]
        self.feed(RoomEnded(number))

    def wait(self) -> list[Order]:
        """Let time pass until something is due."""
        deadline = self.candidates.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        return self.feed(Tick())


@pytest.fixture
def net() -> Net:
    return Net()


def test_a_server_that_is_heard_is_entered_at_once(net: Net) -> None:
    assert net.feed(Heard(name(1), HERE)) == [EnterRoom(2, (HERE,))]
    assert net.feed(Heard(name(1), THERE)) == []
    assert net.feed(RoomEntered(2, name(1))) == [Remember((THERE, HERE))]
    assert net.candidates.next_deadline() is None


def test_we_do_not_enter_our_own_room_as_a_guest(net: Net) -> None:
    assert net.feed(Heard(OWN, HERE)) == []
    assert net.feed(Named(HERE, lasting=True)) == [EnterRoom(2, (HERE,))]
    assert net.feed(RoomEntered(2, OWN)) == [LeaveRoom(2)]
    assert net.candidates.next_deadline() is None


def test_one_server_under_two_addresses_is_entered_once(net: Net) -> None:
    net.feed(Named(HERE, lasting=True), Heard(name(1), THERE))
    assert net.open == {2: (HERE,), 3: (THERE,)}
    net.feed(RoomEntered(3, name(1)))
    assert net.feed(RoomEntered(2, name(1))) == [LeaveRoom(2), Remember((HERE, THERE))]
    net.fail(3)
    assert net.wait() == [EnterRoom(4, (THERE, HERE))]


def test_of_two_tries_at_one_server_the_one_that_answers_stays(net: Net) -> None:
    net.feed(Named(HERE), Heard(name(1), THERE))
    assert LeaveRoom(3) in net.feed(RoomEntered(2, name(1)))
    assert net.open == {2: (HERE,)}


def test_an_address_that_turns_out_to_be_announced_is_not_tried_twice(net: Net) -> None:
    assert net.feed(Named(HERE), Heard(name(1), HERE), Named(HERE)) == [EnterRoom(2, (HERE,))]


def test_a_server_without_a_name_is_stayed_with_if_a_person_named_it(net: Net) -> None:
    net.feed(Named(HERE, lasting=True))
    assert net.feed(RoomEntered(2, b"")) == [Remember((HERE,))]
    net.fail(2)
    assert net.wait() == [EnterRoom(3, (HERE,))]


def test_what_was_remembered_is_tried_once_and_again_when_the_network_changes(net: Net) -> None:
    net.feed(Named(HERE))
    net.fail(2)
    assert net.candidates.next_deadline() is None
    assert net.feed(NetworkChanged()) == [EnterRoom(3, (HERE,))]


def test_what_was_remembered_and_failed_is_tried_again_when_it_is_heard(net: Net) -> None:
    net.feed(Named(HERE))
    net.fail(2)
    assert net.feed(Heard(name(1), HERE)) == []
    assert net.wait() == [EnterRoom(3, (HERE,))]
    assert net.now == FIRST_WAIT


def test_waits_grow_and_have_an_end(net: Net) -> None:
    net.feed(Heard(name(1), HERE))
    waits = []
    for number in range(2, 12):
        net.fail(number)
        before = net.now
        net.feed(Heard(name(1), HERE))  # it is still announced, which alone changes nothing
        net.wait()
        waits.append(net.now - before)
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert waits[-1] == LONGEST_WAIT


def test_a_new_address_is_worth_a_try_soon(net: Net) -> None:
    net.feed(Heard(name(1), HERE))
    for number in range(2, 6):
        net.fail(number)
        net.wait()
    net.fail(6)
    now = net.now
    net.feed(Heard(name(1), THERE))
    assert net.wait() == [EnterRoom(7, (THERE, HERE))]
    assert net.now - now == FIRST_WAIT


def test_a_server_that_says_goodbye_is_left(net: Net) -> None:
    number = net.hear(1)
    assert net.feed(Withdrawn(name(1))) == [LeaveRoom(number)]
    assert net.feed(Withdrawn(name(1)), RoomEnded(number), RoomEntered(number, name(1))) == []
    assert net.candidates.next_deadline() is None


def test_a_server_that_says_goodbye_while_we_wait_for_it_is_not_tried_again(net: Net) -> None:
    net.feed(Heard(name(1), HERE))
    net.fail(2)
    assert net.feed(Withdrawn(name(1))) == []
    assert net.candidates.next_deadline() is None


def test_a_server_that_a_person_named_is_tried_again_after_its_goodbye(net: Net) -> None:
    net.feed(Named(HERE, lasting=True), RoomEntered(2, name(1)))
    assert net.feed(Withdrawn(name(1))) == [LeaveRoom(2), EnterRoom(3, (HERE,))]


def test_a_server_that_is_not_heard_any_more_is_forgotten(net: Net) -> None:
    net.feed(Heard(name(1), HERE))
    net.now = FORGET_AFTER + 1
    net.fail(2)
    assert net.candidates.next_deadline() is None


def test_a_room_we_are_in_is_not_left_because_its_server_is_not_heard(net: Net) -> None:
    net.hear(1)
    net.now = 10 * FORGET_AFTER
    assert net.feed(Tick()) == []


def test_no_more_rooms_are_entered_than_there_is_use_for(net: Net) -> None:
    for number in range(1, ROOMS_LIMIT + 1):
        net.hear(number)
    assert net.feed(Heard(name(9), place(9))) == []
    assert len(net.open) == ROOMS_LIMIT


def test_a_smaller_name_takes_the_place_of_the_largest_when_it_has_answered(net: Net) -> None:
    numbers = [net.hear(number) for number in (7, 8, 9)]
    assert net.feed(Heard(name(1), place(1))) == [EnterRoom(5, (place(1),))]
    assert net.feed(RoomEntered(5, name(1)))[-1] == LeaveRoom(numbers[-1])


def test_a_server_that_does_not_answer_gives_its_place_away(net: Net) -> None:
    for number in (1, 2, 3, 4):
        net.feed(Heard(name(number), place(number)))
    for room in (3, 4):
        net.feed(RoomEntered(room, name(room - 1)))
    assert len(net.open) == ROOMS_LIMIT
    for _ in range(3):
        silent = next(number for number, known in net.open.items() if known == (place(1),))
        net.fail(silent)
        net.feed(Heard(name(4), place(4)))
        if (place(1),) not in net.open.values() and len(net.open) < ROOMS_LIMIT:
            net.wait()
    assert (place(4),) in net.open.values()


def test_what_a_person_named_keeps_its_place(net: Net) -> None:
    net.feed(Named(HERE, lasting=True), RoomEntered(2, name(200)))
    for number in range(1, ROOMS_LIMIT):
        net.hear(number)
    assert net.feed(Heard(name(ROOMS_LIMIT), place(9))) == []
    assert 2 in net.open


def test_everything_is_bounded(net: Net) -> None:
    for number in range(2 * CANDIDATES_LIMIT):
        net.feed(Heard(number.to_bytes(8, "big"), place(1)))
        net.feed(Heard(bytes(8), place(number)))
    net.feed(Named(Endpoint("10.9.9.9", 9)))
    assert len(net.open) == ROOMS_LIMIT
    net.fail(2)
    orders = net.wait()
    assert all(isinstance(order, EnterRoom) and len(order.endpoints) <= ENDPOINTS_LIMIT for order in orders)


def test_what_was_reached_again_need_not_be_remembered_again(net: Net) -> None:
    number = net.hear(1)
    net.fail(number)
    (order,) = net.wait()
    assert isinstance(order, EnterRoom)
    assert net.feed(RoomEntered(order.number, name(1))) == []


def test_numbers_come_round_and_never_name_two_rooms(net: Net) -> None:
    net.hear(1)
    net.feed(Heard(name(2), place(2)))
    for _ in range(600):
        room = next(number for number, known in net.open.items() if known == (place(2),))
        net.fail(room)
        net.feed(Heard(name(2), place(2)))
        net.wait()
    assert all(2 <= number <= 255 for number in net.open)


def test_a_number_in_use_is_passed_over(net: Net) -> None:
    stays = net.hear(1)
    net.feed(Heard(name(2), place(2)))
    for _ in range(254):
        room = next(number for number, known in net.open.items() if known == (place(2),))
        net.fail(room)
        net.feed(Heard(name(2), place(2)))
        net.wait()
    assert sorted(net.open)[0] == stays


@pytest.mark.parametrize("members", range(2, 12))
def test_any_two_members_end_up_in_one_room(members: int) -> None:
    seed = members
    rng = random.Random(seed)
    print(f"seed {seed}")
    names = [rng.randbytes(8) for _ in range(members)]
    everybody = {own: Candidates(own, lambda longest: rng.uniform(0, longest)) for own in names}
    rooms: dict[bytes, set[bytes]] = {own: {own} for own in names}
    numbers: dict[tuple[bytes, int], bytes] = {}

    def feed(own: bytes, event: Event) -> None:
        for order in everybody[own].handle(event, 0.0):
            if isinstance(order, EnterRoom):
                numbers[own, order.number] = names[order.endpoints[0].port]
                feed(own, RoomEntered(order.number, numbers[own, order.number]))
            elif isinstance(order, LeaveRoom):
                rooms[numbers.pop((own, order.number))].discard(own)
        for (who, _), host in numbers.items():
            rooms[host].add(who)

    pairs = list(itertools.permutations(range(members), 2))
    rng.shuffle(pairs)
    for hearer, heard in pairs:
        feed(names[hearer], Heard(names[heard], Endpoint("10.0.0.1", heard)))
    for one, other in itertools.combinations(names, 2):
        assert any(one in inside and other in inside for inside in rooms.values())
    assert max([who for who, _ in numbers].count(own) for own in names) <= ROOMS_LIMIT


def test_of_two_members_it_is_enough_that_one_hears_the_other() -> None:
    for own, other in ((name(1), name(2)), (name(2), name(1))):
        hearer = Candidates(own, lambda longest: longest)
        assert hearer.handle(Heard(other, HERE), 0.0) == [EnterRoom(2, (HERE,))]
