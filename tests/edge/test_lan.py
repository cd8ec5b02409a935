"""Finding each other without a server, on this machine's own loop: no packet leaves it."""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from peer.core.announcement import Announcement, read_beacon, write_beacon
from peer.core.candidates import Endpoint
from peer.core.events import Event, MemberJoined, MemberLeft, ServerEntered, ServerLost
from peer.core.ids import ADDRESS_SIZE, room_of
from peer.core.invitation import lan_key
from peer.core.networks import Interface
from peer.core.notices import Warned
from peer.edge.lan.beacon import BEACON_PORT, Beacon
from peer.edge.lan.endpoint import parse_endpoint
from peer.edge.lan.interfaces import index_of, list_interfaces
from peer.edge.lan.mdns import Mdns
from peer.edge.lan.memory import Memory, recall, remember
from peer.edge.lan.service import Lan
from peer.edge.store import Store
from peer.errors import UsageError

LOOP = Interface("lo", 1, (("127.0.0.1", 8),), is_loopback=True, has_multicast=False)
SECRET = b"s" * 32


def only_the_loop() -> list[Interface]:
    return [LOOP]


async def until(holds: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {seconds:g} s") from None


class Person:
    """Somebody on the loop, with everything that was heard."""

    def __init__(
        self,
        secret: bytes = SECRET,
        *,
        memory: Memory = Memory(),  # noqa: B008 - frozen
        at: tuple[Endpoint, ...] = (),
        announces: bool = True,
        look: Callable[[], list[Interface]] = only_the_loop,
    ) -> None:
        self.events: list[Event] = []
        self.relayed: list[tuple[bytes, bytes]] = []
        self.kept: list[Memory] = []
        self.warned: list[Warned] = []
        self.lan = Lan(
            secret,
            memory,
            emit=self.events.append,
            on_relay=lambda address, payload: self.relayed.append((address, payload)),
            keep=self.kept.append,
            warn=self.warned.append,
            rng=random.Random(1),
            at=at,
            announces=announces,
            look=look,
        )

    def others(self) -> set[bytes]:
        """The addresses at which somebody else is, in all rooms."""
        there: set[bytes] = set()
        own: dict[bytes, bytes] = {}
        for event in self.events:
            match event:
                case ServerEntered():
                    own[room_of(event.address)] = event.address
                    there |= set(event.members)
                case MemberJoined():
                    there.add(event.address)
                case MemberLeft():
                    there.discard(event.address)
                case ServerLost():
                    there = {address for address in there if room_of(address) != event.room}
                case _:
                    raise AssertionError(event)
        return there - set(own.values())

    def rooms(self) -> set[bytes]:
        inside: set[bytes] = set()
        for event in self.events:
            if isinstance(event, ServerEntered):
                assert event.path == "lan"
                inside.add(room_of(event.address))
            elif isinstance(event, ServerLost):
                inside.discard(event.room)
        return inside


@asynccontextmanager
async def running(*people: Person) -> AsyncIterator[None]:
    async with AsyncExitStack() as exits:
        for person in people:
            exits.push_async_callback(person.lan.aclose)
            await person.lan.start()
        yield


async def test_two_people_on_one_machine_meet() -> None:
    anna, ben = Person(), Person()
    async with running(anna, ben):
        await until(lambda: len(anna.others()) == 2 and len(ben.others()) == 2, "both rooms")
        assert anna.rooms() == ben.rooms() == {b"\x01", b"\x02"}
        for address in ben.others():
            ben.lan.send_relay(address, b"hello in " + room_of(address))
        await until(lambda: len(anna.relayed) == 2, "what was sent in both rooms")
        assert {payload for _, payload in anna.relayed} == {b"hello in \x01", b"hello in \x02"}
        assert all(len(address) == ADDRESS_SIZE + 1 for address, _ in anna.relayed)
    assert not anna.warned
    assert not ben.warned


async def test_people_of_two_sessions_do_not_meet() -> None:
    anna, ben, stranger = Person(), Person(), Person(b"t" * 32)
    async with running(stranger, anna, ben):
        await until(lambda: len(anna.others()) == 2 and len(ben.others()) == 2, "those who belong together")
        assert stranger.others() == set()
        assert stranger.rooms() == {b"\x01"}


async def test_who_says_goodbye_is_left_at_once() -> None:
    anna, ben = Person(), Person()
    async with running(anna):
        async with running(ben):
            await until(lambda: len(anna.others()) == 2, "both rooms")
        await until(lambda: not anna.others() and anna.rooms() == {b"\x01"}, "the goodbye", 3.0)


async def test_four_people_are_all_together_and_stay_so_when_one_leaves() -> None:
    people = [Person() for _ in range(4)]
    async with running(*people[1:]):
        async with running(people[0]):
            await until(lambda: all(len(person.rooms()) == 4 for person in people), "every room")
        for person in people[1:]:
            await until(lambda person=person: len(person.rooms()) == 3, "the goodbye")  # type: ignore[misc]
            assert person.others()


async def test_a_person_can_say_where_another_is() -> None:
    anna = Person()
    async with running(anna):
        ben = Person(at=(Endpoint("localhost", anna.lan.port),), announces=False)
        async with running(ben):
            await until(lambda: bool(ben.others()), "the other")
            assert ben.lan.port == 0
            assert ben.lan.endpoints == []
        await until(lambda: not anna.others(), "the goodbye")


async def test_where_somebody_was_is_remembered_and_found_without_any_announcement() -> None:
    anna, ben = Person(), Person()
    async with running(anna, ben):
        await until(lambda: bool(ben.kept) and bool(ben.kept[-1].endpoints), "something to remember")
        port = anna.lan.port
    again = Person(memory=anna.kept[-1], look=list)
    later = Person(memory=ben.kept[-1], look=list)
    async with running(again, later):
        assert again.lan.port == port
        await until(lambda: bool(later.others()), "the other")
    assert anna.kept[-1].port == port


async def test_a_port_that_is_taken_is_replaced() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        anna = Person(memory=Memory(port))
        async with running(anna):
            assert anna.lan.port not in (0, port)
            await until(lambda: anna.rooms() == {b"\x01"}, "our own room")


async def test_interfaces_that_come_are_used() -> None:
    interfaces: list[Interface] = []
    anna, ben = (Person(look=lambda: list(interfaces)) for _ in range(2))
    async with running(anna, ben):
        await until(lambda: bool(anna.rooms() and ben.rooms()), "their own rooms")
        assert not anna.others()
        interfaces.append(LOOP)
        anna.lan.look_again()
        await until(lambda: bool(anna.others()), "the other")


async def test_without_any_interface_there_is_one_warning_and_no_harm() -> None:
    dead = Interface("nothing0", 99, (("203.0.113.77", 24),), ("fe80::99",))
    anna = Person(look=lambda: [dead])
    async with running(anna):
        await until(lambda: bool(anna.warned), "a warning")
    assert [warned.code for warned in anna.warned] == ["W-LAN"]
    assert "--at" in anna.warned[0].message


async def test_a_beacon_is_answered_to_whoever_asked_and_not_more_than_once_a_second() -> None:
    anna = Person()
    key = lan_key(SECRET)
    heard: list[bytes] = []
    async with running(anna):
        beacon = Beacon([LOOP], lambda data, _, answer: heard.append(data))
        try:
            stranger = Announcement(b"stranger", 9)
            for _ in range(5):
                beacon.send(write_beacon(stranger, key, os.urandom(12)))

            def ports() -> list[int]:
                said = (read_beacon(data, key) for data in heard)
                return [each.port for each in said if each is not None and each.instance != b"stranger"]

            await until(lambda: anna.lan.port in ports(), "an answer")
            beacon.send(b"rubbish")
            beacon.send(write_beacon(stranger, b"another key", os.urandom(12)))
            await asyncio.sleep(0)
            assert len(ports()) <= 1 + 4 * 2, "its own first announcements, by two ways, and one answer"
        finally:
            beacon.close()


async def test_several_programs_on_one_machine_share_the_port() -> None:
    heard: list[list[bytes]] = [[], []]
    beacons = [Beacon([LOOP], lambda data, _, __, to=to: to.append(data)) for to in heard]  # type: ignore[misc]
    try:
        assert not beacons[0].problems
        beacons[0].send(b"to everybody")
        await until(lambda: all(b"to everybody" in each for each in heard), "both")
    finally:
        for beacon in beacons:
            beacon.close()
    assert not beacons[0].works
    assert BEACON_PORT > 1024


async def test_a_service_is_found_by_mdns_and_missed_when_it_goes() -> None:
    found: list[tuple[str, int, dict[str, str | None]]] = []
    gone: list[str] = []
    finder = Mdns(lambda name, port, txt, _: found.append((name, port, dict(txt))), gone.append)
    offer = Mdns(lambda *_: None, lambda _: None)
    await finder.open([LOOP])
    try:
        await offer.open([LOOP])
        await offer.announce("0123456789abcdef", 4711, {"v": "1"}, [LOOP])
        await until(lambda: ("0123456789abcdef", 4711, {"v": "1"}) in found, "the service")
    finally:
        await offer.close()
    await until(lambda: "0123456789abcdef" in gone, "its goodbye")
    await finder.close()


def test_this_machine_has_a_loop() -> None:
    loops = [each for each in list_interfaces() if each.is_loopback]
    assert len(loops) == 1
    assert ("127.0.0.1", 8) in loops[0].ipv4
    assert index_of(loops[0].name) == loops[0].index == index_of(str(loops[0].index))
    assert index_of("no such interface") == 0


def test_what_is_remembered_is_recalled(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "session.db")
    try:
        assert recall(store) == Memory()
        memory = Memory(4711, (Endpoint("fe80::1%eth0", 9), Endpoint("10.0.0.1", 7)))
        remember(store, memory)
        assert recall(store) == memory
        for damaged in (b"{", b"[]", b'{"port": "x"}', b'{"endpoints": [1]}', b"\xff"):
            store.set_meta("lan", damaged)
            assert recall(store) == Memory()
    finally:
        store.close()
    remember(None, memory)
    assert recall(None) == Memory()


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.168.1.20:47801", "192.168.1.20", 47801),
        (" [fe80::1%eth0]:47801 ", "fe80::1%eth0", 47801),
        ("anna.local:1", "anna.local", 1),
    ],
)
def test_a_place_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text) == Endpoint(host, port)


@pytest.mark.parametrize(
    "text", ["", "host", ":1", "host:0", "host:99999", "host:x", "a@host:1", "host:1/x", "fe80::1"]
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_endpoint(text)
