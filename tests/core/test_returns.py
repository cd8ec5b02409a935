"""Back after a while: a peer that nothing led to is kept, and what both sides did meanwhile is told."""

from peer.core.actions import DialDirect, OpenSeal
from peer.core.certificates import Role
from peer.core.events import (
    DirectOpened,
    MemberAway,
    MemberJoined,
    OfferMade,
    ServerEntered,
    ServerLost,
)
from peer.core.frames import Answer, Digests, EditFrame, Missed, Ping, PresenceFrame, Summary
from peer.core.link import DEAD_AFTER, GRACE, SILENT_AFTER
from peer.core.notices import PeerJoined, PeerLeft, PeerSilent, PresenceChanged, Returned, Trouble
from peer.core.returns import ABSENT_LIMIT, TOLD_EVERY
from tests.core.test_connections import DIALLED
from tests.core.world import ADDRESS, Guest, Host


def joined(policy: str = "relay", number: int = 2) -> tuple[Host, Guest]:
    """A host and a guest who hold the same."""
    host = Host(policy=policy)
    guest = Guest(host, number).join()
    guest.say(Digests([], last=True))
    guest.say(PresenceFrame(1, "#1", "a.md"))
    return host, guest


def in_step(host: Host, guest: Guest) -> None:
    """The guest holds what the host holds."""
    guest.say(Summary(host.session._sync.summary()))


# --- the grace --------------------------------------------------------------------------------------------


def test_a_server_that_restarts_takes_nobody_away() -> None:
    host, guest = joined()
    host.feed(ServerLost("gone"))
    host.type("while away")
    host.wait(2.0)
    host.feed(ServerEntered(ADDRESS, ()))
    guest.address = bytes((9,)) * 8
    guest.join()
    assert len(host.told(PeerJoined)) == 1
    assert host.told(PeerLeft) == []
    assert host.told(PeerSilent) == []
    assert guest.said(Summary), "both sides compare what they hold"
    host.type("typed")
    assert guest.said(EditFrame)


def test_the_presence_of_who_is_away_says_so_until_it_is_back_or_gone() -> None:
    host, guest = joined()
    host.feed(MemberAway(guest.address), MemberAway(guest.address))
    assert [told.away for told in host.told(PresenceChanged)] == [False, True]
    assert host.session.presence()[0].away
    host.feed(MemberJoined(guest.address))
    guest.greet()
    assert [told.away for told in host.told(PresenceChanged)] == [False, True, False]
    assert len(guest.said(PresenceFrame)) == 2, "it is told ours again"
    host.feed(MemberAway(guest.address))
    host.wait(GRACE)
    assert host.told(PresenceChanged)[-1].here is False
    assert [left.reason for left in host.told(PeerLeft)] == ["silent"]


def test_who_never_said_where_it_is_goes_and_comes_without_a_word() -> None:
    host = Host(policy="relay")
    guest = Guest(host).join()
    host.feed(MemberAway(guest.address), MemberJoined(guest.address))
    guest.greet()
    assert host.told(PresenceChanged) == []


def test_a_member_that_is_back_on_a_new_connection_is_greeted_anew_under_its_old_address() -> None:
    host = Host(policy="relay")
    guest = Guest(host, address=b"\xf0" * 8).join()
    opened = len(host.ordered(OpenSeal))
    host.feed(MemberJoined(guest.address))
    assert len(host.ordered(OpenSeal)) == opened + 1
    guest.greet()
    host.type("typed")
    assert guest.said(EditFrame)
    assert len(host.told(PeerJoined)) == 1


def test_a_direct_path_that_opens_in_time_brings_a_peer_back() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    guest.attempt = host.ordered(DialDirect)[-1].attempt
    host.feed(OfferMade(guest.attempt, "offer"))
    guest.say(Answer(guest.attempt, "answer"))
    host.feed(ServerLost("gone"))
    assert host.session.peers()[0].path is None
    host.feed(DirectOpened(guest.attempt, "direct", "10.0.0.1"))
    assert host.session.peers()[0].path == "direct"
    host.wait(SILENT_AFTER - 1.0)
    assert host.knows(guest)


def test_who_starts_weft_again_is_not_kept_as_who_it_was() -> None:
    host, guest = joined()
    host.feed(MemberAway(guest.address))
    again = Guest(host, address=bytes((7,)) * 8, instance=b"next run").join()
    assert [left.reason for left in host.told(PeerLeft)] == ["restarted"]
    assert host.knows(again)
    assert not host.knows(guest)


# --- what is told -----------------------------------------------------------------------------------------


def test_both_numbers_are_told_once_when_everything_is_here() -> None:
    host, guest = joined()
    host.feed(ServerLost("gone"))
    for number in range(12):
        host.wait(0.5)
        host.type("x", at=number)
    host.wait(47 * 60)
    host.feed(ServerEntered(ADDRESS, ()))
    guest.join()
    (missed,) = guest.said(Missed)
    assert missed.edits == 12
    assert 47 * 60_000 <= missed.milliseconds <= 48 * 60_000
    guest.say(Missed(missed.milliseconds, 3))
    assert host.told(Returned) == [], "what it made is not here yet"
    guest.say(Digests([], last=True))
    (told,) = host.told(Returned)
    assert (told.name, told.sent, told.received) == ("guest 2", 12, 3)
    assert told.away_s >= 47 * 60
    guest.say(Missed(missed.milliseconds, 3))
    assert len(host.told(Returned)) == 1


def test_a_return_within_the_grace_is_told_only_if_people_had_noticed() -> None:
    host, guest = joined()
    for seconds, times in ((2.0, 0), (SILENT_AFTER + 1, 1)):
        host.feed(MemberAway(guest.address))
        host.wait(seconds)
        host.feed(MemberJoined(guest.address))
        guest.greet()
        guest.say(Missed(1, 0))
        in_step(host, guest)
        assert len(host.told(Returned)) == times


def test_what_was_typed_into_a_silence_that_nobody_had_noticed_counts() -> None:
    host, guest = joined()
    host.wait(1.0)
    host.type("a")
    host.wait(DEAD_AFTER)
    assert not host.knows(guest)
    host.type("b")
    guest.address = bytes((9,)) * 8
    guest.join()
    assert guest.said(Missed)[-1].edits == 2


def test_a_machine_that_slept_learns_from_the_others_how_long_it_was() -> None:
    host, guest = joined()
    host.type("x")
    guest.say(Missed(2_820_000, 5))
    in_step(host, guest)
    (told,) = host.told(Returned)
    assert (told.away_s, told.sent, told.received) == (2820.0, 1, 5)
    assert len(guest.said(Missed)) == 1


def test_attack_a_peer_that_was_away_all_the_time_is_told_of_now_and_then_only() -> None:
    host, guest = joined()
    for _ in range(20):
        guest.say(Missed(60_000, 1))
        in_step(host, guest)
    assert len(host.told(Returned)) == len(guest.said(Missed)) == 1
    for _ in range(8):
        host.wait(TOLD_EVERY / 7)
        in_step(host, guest)
    guest.say(Missed(60_000, 1))
    in_step(host, guest)
    assert len(host.told(Returned)) == 2


def test_absences_without_end_are_forgotten_the_oldest_first() -> None:
    host = Host(policy="relay")
    returns = host.session._returns
    for number in range(ABSENT_LIMIT + 5):
        guest = Guest(host, instance=number.to_bytes(8), address=number.to_bytes(8)).join()
        host.feed(MemberAway(guest.address))
        host.guests.clear()
    assert len(returns._absent) == ABSENT_LIMIT


def test_an_old_moment_counts_from_the_first_that_is_remembered() -> None:
    host, _ = joined()
    returns = host.session._returns
    for number in range(1, 6000):
        returns.counted(number, 100.0 + number)
    assert returns._count_at(0.0) == 6000 - 4096
    assert returns._count_at(200.5) == 6000 - 4096
    assert returns._count_at(5000.0) == 4900


def test_a_viewer_that_is_back_has_nothing_to_wait_for() -> None:
    host = Host(policy="relay")
    guest = Guest(host, role=Role.VIEWER).join()
    host.feed(MemberAway(guest.address))
    host.wait(SILENT_AFTER + 1)
    host.feed(MemberJoined(guest.address))
    guest.greet()
    guest.say(Missed(8000, 0))
    assert len(host.told(Returned)) == 1


def test_who_is_back_without_a_path_that_both_allow_is_told_of_that() -> None:
    host = Host(policy="direct")
    guest = Guest(host, number=DIALLED, policy="direct").join()
    host.feed(MemberAway(guest.address), MemberJoined(guest.address))
    guest.greet()
    for _ in range(40):
        host.wait(1.0)
        guest.say(Ping(1, 0, bytes(8)))
    assert [trouble.code for trouble in host.told(Trouble)] == ["E-NO-PATH"]
