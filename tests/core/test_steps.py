"""The steps on the way to a peer, how long each took, and pings that people ask for."""

import pytest

from peer.core.events import DirectBroken, MemberJoined, PingWanted, ServerEntered, ServerLost
from peer.core.frames import Ping, Pong
from peer.core.notices import ConnectStage, PeerPath, PeerPong
from peer.core.pathways import WORD_PATIENCE
from peer.core.questions import OPEN_AT_ONCE
from peer.core.steps import REMEMBERED
from tests.core.test_connections import DIALLED
from tests.core.world import ADDRESS, Guest, Host


def stages(host: Host) -> list[tuple[str, str, bool, float]]:
    return [(told.stage, told.name, told.ok, told.took_ms) for told in host.told(ConnectStage)]


def short(guest: Guest) -> str:
    return guest.id[:4].hex() + guest.id[-4:].hex()


def test_each_step_to_a_peer_is_told_with_its_own_time() -> None:
    host = Host(enters=False)
    host.wait(0.3)
    host.feed(ServerEntered(ADDRESS, (ADDRESS,)))
    host.wait(0.2)
    guest = Guest(host, DIALLED)
    host.feed(MemberJoined(guest.address))
    host.wait(0.1)
    guest.greet()
    name = f"guest {DIALLED}"
    assert stages(host) == [
        ("server", "", True, 300.0),
        ("found", name, True, 200.0),
        ("sealed", name, True, 100.0),
    ]


def test_the_way_back_to_a_server_is_counted_from_its_loss_and_not_from_the_second_word_of_it() -> None:
    host = Host()
    host.wait(1.0)
    host.feed(ServerLost("gone"))
    host.wait(1.0)
    host.feed(ServerLost("still gone"))
    host.wait(1.0)
    host.feed(ServerEntered(ADDRESS, ()))
    assert stages(host)[-1] == ("server", "", True, 2000.0)
    host.feed(ServerEntered(ADDRESS, ()))
    assert len(stages(host)) == 2, "nothing was waited for"


def test_a_peer_whose_coming_was_forgotten_is_counted_from_the_beginning() -> None:
    host = Host()
    host.wait(1.0)
    guest = Guest(host, DIALLED)
    host.feed(MemberJoined(guest.address))
    for number in range(REMEMBERED):
        host.feed(MemberJoined(number.to_bytes(8)))
    guest.greet()
    assert [took for stage, _, _, took in stages(host) if stage == "sealed"] == [1000.0]


def test_a_direct_path_that_fails_is_told_once_until_one_has_worked() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    assert guest.attempt is not None
    host.feed(DirectBroken(guest.attempt, "closed"))
    assert [stage for stage in stages(host) if not stage[2]] == [], "it had worked"
    for _ in range(3):
        host.wait(16.0)
        guest.say(Ping(1, 0, bytes(8)))
    failed = [stage for stage in host.told(ConnectStage) if not stage.ok]
    assert len(failed) <= 1


def test_the_round_trip_is_known_when_a_path_is_told() -> None:
    host = Host()
    Guest(host, DIALLED).join().open_direct()
    assert [(told.path, told.rtt_ms) for told in host.told(PeerPath)] == [("relay", 0.0), ("direct", 0.0)]


def test_a_path_whose_ping_stays_unanswered_is_told_without_a_round_trip() -> None:
    host = Host()
    guest = Guest(host, DIALLED)
    guest.answers = False
    guest.join()
    assert host.told(PeerPath) == []
    host.wait(WORD_PATIENCE + 0.01)
    assert [(told.path, told.rtt_ms) for told in host.told(PeerPath)] == [("relay", None)]


def test_a_ping_that_a_person_asked_for_is_answered_with_path_address_and_time() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.feed(PingWanted(short(guest), 7))
    asked = guest.said(Ping)[-1]
    host.now += 0.25
    guest.say(Pong(asked.number, 0), direct=True)
    name = f"guest {DIALLED}"
    assert host.told(PeerPong) == [PeerPong(short(guest), name, "direct", "10.0.0.1", 250.0, 7)]


def test_of_many_open_questions_the_oldest_are_forgotten_and_nobody_is_asked_who_is_not_there() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    host.feed(PingWanted("nobody", 1))
    before = len(guest.said(Ping))
    for number in range(OPEN_AT_ONCE + 1):
        host.feed(PingWanted(short(guest), number))
    asked = guest.said(Ping)[before:]
    assert len(asked) == OPEN_AT_ONCE + 1
    for ping in asked:
        guest.say(Pong(ping.number, 0))
    assert [told.number for told in host.told(PeerPong)] == list(range(1, OPEN_AT_ONCE + 1))


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ("relay", "auto", "--path relay was chosen here"),
        ("auto", "relay", "--path relay was chosen on the other side"),
        ("lan", "turn", "--path lan here and --path turn on the other side have no path in common"),
    ],
)
def test_who_forbids_a_direct_path_is_named(ours: str, theirs: str, why: str) -> None:
    host = Host(policy=ours)
    Guest(host, DIALLED, policy=theirs).join()
    assert [each.why_not_direct for each in host.session.peers()] == [why]


def test_somebody_in_a_room_on_the_local_network_is_found_without_a_server() -> None:
    host = Host(enters=False)
    host.wait(0.3)
    guest = Guest(host, DIALLED, address=b"\x02" + bytes((DIALLED,)) * 8)
    host.feed(ServerEntered(b"\x02" + ADDRESS, (guest.address,), path="lan"))
    host.wait(0.1)
    guest.greet()
    assert stages(host) == [
        ("found", f"guest {DIALLED}", True, 300.0),
        ("sealed", f"guest {DIALLED}", True, 100.0),
    ]
