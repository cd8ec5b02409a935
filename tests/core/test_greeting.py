import pytest

from peer.core.actions import CloseSeal, OpenSeal
from peer.core.events import (
    MemberJoined,
    MemberLeft,
    RelayPieceArrived,
    SealBroken,
    Sealed,
    ServerEntered,
    ServerLost,
)
from peer.core.frames import Ack, Bye, Digests, Hello, Ping, Proof
from peer.core.greeting import (
    APPROACHES_LIMIT,
    GREETING_TIMEOUT,
    NAME_LIMIT,
    REFUSED_FOR,
    REFUSED_LIMIT,
    SEAL_DELAYS,
    Greeting,
)
from peer.core.ids import DeviceKey, peer_id
from peer.core.notices import PeerJoined, Warned
from tests.core.world import ADDRESS, BINDING, Guest, Host, certificates, device, proof, setup

LOW, HIGH = b"\x01" * 8, b"\xf0" * 8


def warnings(host: Host) -> list[str]:
    return [warning.message for warning in host.told(Warned)]


@pytest.mark.parametrize("address", [LOW, HIGH])
def test_two_that_prove_the_secret_and_say_who_they_are_are_linked(address: bytes) -> None:
    host = Host()
    guest = Guest(host, address=address)
    guest.join()
    first = [type(frame) for _, frame in guest.heard[:3]]
    assert first == [Proof, Hello, Digests]
    assert guest.said(Proof) == [proof(BINDING, initiator=address == HIGH)]
    assert host.told(PeerJoined) == [PeerJoined(host.session.peers()[0].id, "guest 2", "editor")]
    assert host.knows(guest)


def test_the_side_with_the_smaller_address_begins() -> None:
    host = Host()
    host.feed(MemberJoined(LOW), MemberJoined(HIGH), MemberJoined(ADDRESS))
    assert host.ordered(OpenSeal) == [OpenSeal(HIGH, initiator=True)]
    late = Host(enters=False)
    late.feed(ServerEntered(LOW, (ADDRESS, HIGH)))
    assert [order.address for order in late.ordered(OpenSeal)] == [ADDRESS, HIGH]


def test_who_broke_is_tried_again_ever_more_rarely() -> None:
    host = Host()
    host.feed(MemberJoined(HIGH))
    for delay in (*SEAL_DELAYS, SEAL_DELAYS[-1]):
        tries = len(host.ordered(OpenSeal))
        host.feed(SealBroken(HIGH, "disturbed"))
        host.wait(delay - 0.01)
        assert len(host.ordered(OpenSeal)) == tries
        host.wait(0.01)
        assert len(host.ordered(OpenSeal)) == tries + 1


def test_the_other_side_is_left_to_begin_again() -> None:
    host = Host()
    host.feed(SealBroken(LOW, "disturbed"))
    assert host.ordered(CloseSeal) == [CloseSeal(LOW)]
    host.wait(60.0)
    assert host.ordered(OpenSeal) == []


def test_who_does_not_say_who_it_is_in_time_is_given_up() -> None:
    host = Host()
    guest = Guest(host, address=LOW)
    guest.seal()
    host.wait(GREETING_TIMEOUT - 0.1)
    assert warnings(host) == []
    host.wait(0.1)
    assert host.ordered(CloseSeal) == [CloseSeal(LOW)]
    assert "within 10 seconds" in warnings(host)[0]
    guest.prove()
    assert guest.said(Hello) == []


def test_who_leaves_before_it_is_known_is_forgotten() -> None:
    host = Host()
    guest = Guest(host, address=LOW)
    guest.seal()
    host.feed(MemberLeft(LOW))
    assert host.ordered(CloseSeal) == [CloseSeal(LOW)]
    host.feed(MemberLeft(LOW), MemberLeft(HIGH))
    assert len(host.ordered(CloseSeal)) == 1
    guest.prove()
    assert guest.said(Hello) == []


def test_without_a_server_there_is_nobody_to_greet() -> None:
    host = Host()
    host.feed(MemberJoined(HIGH), MemberJoined(LOW))
    host.feed(ServerLost("gone"))
    assert {order.address for order in host.ordered(CloseSeal)} == {LOW, HIGH}
    host.wait(60.0)
    assert len(host.ordered(OpenSeal)) == 1


def test_a_piece_from_nowhere_is_nothing() -> None:
    host = Host()
    host.feed(RelayPieceArrived(HIGH, b"\x00x"), MemberJoined(HIGH), RelayPieceArrived(HIGH, b"\x00x"))
    assert warnings(host) == []


def test_a_wrong_proof_is_told_nothing() -> None:
    host = Host()
    guest = Guest(host)
    guest.secret = b"guessed" * 4
    guest.join()
    assert [type(frame) for _, frame in guest.heard] == [Proof]
    assert host.ordered(CloseSeal) == [CloseSeal(guest.address)]
    assert "does not hold the session's secret" in warnings(host)[0]


def test_a_hello_without_a_proof_is_told_nothing() -> None:
    host = Host()
    guest = Guest(host)
    guest.seal()
    guest.say(guest.hello())
    assert [type(frame) for _, frame in guest.heard] == [Proof]


def test_only_the_control_lane_is_open_to_strangers() -> None:
    host = Host()
    for number, lane in ((2, 0x02), (3, 0x04)):
        stranger = Guest(host, number)
        stranger.seal()
        host.feed(stranger.carried(bytes((lane | 0x01,)) + bytes(1000)))
        stranger.prove()
        assert stranger.said(Hello) == []
    assert len(warnings(host)) == 2


def test_what_says_nothing_new_is_passed_over_while_greeting() -> None:
    host = Host()
    guest = Guest(host)
    guest.seal()
    guest.say(Ack(0))
    guest.prove()
    guest.say(Ack(0))
    guest.say(guest.hello())
    assert host.knows(guest)


def test_nothing_but_a_hello_follows_a_proof() -> None:
    host = Host()
    guest = Guest(host)
    guest.seal()
    guest.prove()
    guest.say(Ping(1, 0, bytes(8)))
    assert guest.said(Bye) == [Bye("refused: the other side spoke before it said who it is")]
    assert not host.knows(guest)


def test_who_will_not_talk_to_us_says_why() -> None:
    host = Host()
    guest = Guest(host)
    guest.seal()
    guest.prove()
    guest.say(Bye("refused: its certificate has run out"))
    assert warnings(host) == ["the other side will not talk to us: refused: its certificate has run out"]


def test_an_older_protocol_is_told_who_must_update() -> None:
    host = Host()
    guest = Guest(host)
    guest.seal()
    guest.prove()
    guest.say(guest.hello(protocol=0))
    assert "must be updated there" in warnings(host)[0]
    assert not host.knows(guest)


@pytest.mark.parametrize("what", ["other device", "expired"])
def test_a_hello_is_believed_only_with_its_certificates(what: str) -> None:
    host = Host()
    guest = Guest(host)
    guest.chain = certificates(3) if what == "other device" else certificates(2, until=99)
    guest.join()
    assert not host.knows(guest)
    assert "certificate" in warnings(host)[0]
    assert guest.said(Bye)[0].reason.startswith("refused: its certificate")


def test_our_own_face_is_refused() -> None:
    host = Host()
    mirror = Guest(host, 1, instance=host.setup.me[32:], address=LOW)
    mirror.join()
    assert warnings(host) == ["the server showed us our own face"]


def test_our_other_folder_is_somebody_else() -> None:
    host = Host()
    other = Guest(host, 1, instance=b"another!", address=LOW)
    other.join()
    assert host.knows(other)


def test_a_long_name_is_cut_to_what_the_others_take() -> None:
    host = Host()
    object.__setattr__(host.setup, "name", "n" * 1000)
    guest = Guest(host).join()
    assert guest.said(Hello)[0].name == "n" * NAME_LIMIT
    assert host.knows(guest)


def test_a_second_handshake_with_the_same_address_begins_the_greeting_again() -> None:
    host = Host()
    guest = Guest(host).join()
    guest.greet()
    assert len(guest.said(Hello)) == 2
    assert host.knows(guest)
    assert len(host.told(PeerJoined)) == 1


def test_so_many_addresses_and_no_more() -> None:
    host = Host()
    addresses = [b"\xff" + number.to_bytes(7) for number in range(APPROACHES_LIMIT + 1)]
    for address in addresses:
        host.feed(MemberJoined(address))
    assert len(host.ordered(OpenSeal)) == APPROACHES_LIMIT
    host.feed(Sealed(addresses[-1], device(9), BINDING))
    assert host.ordered(CloseSeal) == [CloseSeal(addresses[-1])]
    host.feed(SealBroken(addresses[-1], "disturbed"))
    host.feed(MemberJoined(addresses[0]))
    assert len(host.ordered(OpenSeal)) == APPROACHES_LIMIT + 1, "one that is known can come again"


def greeting() -> tuple[Greeting, list[object]]:
    orders: list[object] = []
    new = Greeting(setup(1), orders.append, lambda member: None)
    new.entered(ADDRESS, (), 100.0)
    return new, orders


def test_who_is_refused_is_not_told_a_word_until_its_time_is_over() -> None:
    new, orders = greeting()
    new.refuse(peer_id(device(2), b"any run!"), 100.0)
    new.sealed(LOW, device(2), BINDING, 101.0)
    assert orders == [CloseSeal(LOW)]
    assert new.next_deadline() is None
    new.joined(HIGH, 101.0)
    new.sealed(HIGH, device(2), BINDING, 101.0)
    assert orders[1:] == [OpenSeal(HIGH, initiator=True), CloseSeal(HIGH)]
    assert new.next_deadline() == 100.0 + REFUSED_FOR
    orders.clear()
    new.sealed(LOW, device(2), BINDING, 100.0 + REFUSED_FOR)
    assert orders, "it may speak again"


def test_only_so_many_are_remembered_as_refused() -> None:
    new, orders = greeting()
    for number in range(REFUSED_LIMIT + 1):
        new.refuse(peer_id(DeviceKey(number.to_bytes(32)), b"any run!"), 100.0)
    new.sealed(LOW, DeviceKey(bytes(32)), BINDING, 101.0)
    assert orders[-1] != CloseSeal(LOW), "the oldest is forgotten"
    new.sealed(LOW, DeviceKey((1).to_bytes(32)), BINDING, 101.0)
    assert orders[-1] == CloseSeal(LOW)
