import pytest

from peer.core.actions import (
    AddCandidates,
    AskArrived,
    CheckServer,
    CloseDirect,
    DialDirect,
    SendPiece,
    SendRelay,
)
from peer.core.carrier import ASK_EVERY
from peer.core.detour import DETOUR_AFTER
from peer.core.dialing import IMPROVE_FIRST, REDIAL_EVERY
from peer.core.events import (
    CandidatesFound,
    DirectArrived,
    DirectBroken,
    DirectOpened,
    LeaveRequested,
    MemberAway,
    MemberJoined,
    NetworkChanged,
    OfferMade,
    SealBroken,
    ServerEntered,
    ServerLost,
    TurnKnown,
    TurnReached,
)
from peer.core.frames import Ack, Answer, Candidates, EditFrame, Offer, PathSeen, Ping, Pong, Redial
from peer.core.ids import Attempt
from peer.core.ladder import Rung
from peer.core.link import DOUBT, GRACE, OVERLAP
from peer.core.notices import PeerPath, Trouble
from peer.core.outage import CHECK_EVERY, QUIET_AFTER
from peer.core.pathways import CHECK_SECONDS, NO_PATH_AFTER, RENEW_AFTER, WORD_PATIENCE
from peer.core.pieces import Lane
from peer.core.policy import agreed_path
from tests.core.test_connections import DIALLED, DIALS, both_ways, paths
from tests.core.world import ADDRESS, DOC, Guest, Host


def alive(host: Host, guest: Guest, seconds: float) -> None:
    """Let time pass in which the guest says over the relay that it is there."""
    for _ in range(round(seconds * 2)):
        host.wait(0.5)
        guest.say(Pong(1, 0))


# --- one word for one path --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "word"),
    [
        ("lan", "lan", "lan"),
        ("lan", "direct", "direct"),
        ("direct", "lan", "direct"),
        ("direct", "direct", "direct"),
        ("turn", "lan", "turn"),
        ("direct", "turn", "turn"),
    ],
)
def test_both_sides_name_a_path_with_the_same_word(ours: str, theirs: str, word: str) -> None:
    assert agreed_path(ours, theirs) == agreed_path(theirs, ours) == word


@both_ways
def test_people_are_told_the_word_that_both_agree_on_and_no_other(number: int) -> None:
    host = Host()
    guest = Guest(host, number).join().open_direct("lan", they_say=None)
    assert guest.said(PathSeen) == [PathSeen("lan")]
    assert paths(host) == ["relay"]
    guest.say(PathSeen("turn"), direct=True)
    assert paths(host) == ["relay", "turn"]
    assert host.session.peers()[0].path == "turn"


def test_our_word_stands_when_the_other_side_says_none_or_none_that_there_is() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct("lan", they_say=None)
    guest.say(PathSeen("pigeon"), direct=True)
    guest.say(PathSeen("turn"))
    assert paths(host) == ["relay"]
    host.wait(WORD_PATIENCE)
    assert paths(host) == ["relay", "lan"]


@pytest.mark.parametrize("they_say", ["turn", "direct"])
def test_a_path_over_turn_is_improved_on_later_whoever_sees_that_it_is_one(they_say: str) -> None:
    host = Host()
    guest = (
        Guest(host, DIALLED).join().open_direct("direct" if they_say == "turn" else "turn", they_say=they_say)
    )
    for _ in range(int(IMPROVE_FIRST)):
        host.wait(1.0)
        guest.say(Pong(1, 0), direct=True)
    assert len(host.ordered(DialDirect)) == 2
    assert host.ordered(DialDirect)[-1].means.turn == ()
    guest.open_direct("lan")
    assert paths(host) == ["relay", "turn", "lan"]
    for _ in range(400):
        host.wait(1.0)
        guest.say(Pong(1, 0), direct=True)
    assert len(host.ordered(DialDirect)) == 2, "there is nothing better"


# --- one path in place of another -------------------------------------------------------------------------


def test_a_path_that_was_replaced_listens_for_a_moment_more() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct("turn")
    first, old = guest.attempt, guest._direct
    host.wait(1.0)
    host.feed(NetworkChanged(b"another"))
    guest.open_direct("direct")
    second, new = guest.attempt, guest._direct
    assert first is not None
    assert first != second
    assert host.session.peers()[0].path == "direct"
    guest.attempt, guest._direct = first, old
    guest.say(EditFrame(DOC, guest.typed("late")), Lane.EDITS, direct=True)
    assert host.text() == "late"
    guest.attempt, guest._direct = second, new
    assert CloseDirect(first) not in host.orders
    host.wait(OVERLAP)
    assert CloseDirect(first) in host.orders
    assert paths(host) == ["relay", "turn", "direct"]


@pytest.mark.parametrize("how", ["it closes", "another comes"])
def test_a_path_that_was_replaced_may_end_before_its_time(how: str) -> None:
    host = Host()
    guest = Guest(host, DIALS).join().open_direct("turn")
    first = guest.attempt
    assert first is not None
    host.wait(1.0)
    guest.open_direct("direct", beside=True)
    if how == "it closes":
        host.feed(DirectBroken(first, "closed"))
        expected = ["relay", "turn", "direct"]
    else:
        host.wait(1.0)
        guest.open_direct("lan", beside=True)
        expected = ["relay", "turn", "direct", "lan"]
    assert CloseDirect(first) in host.orders
    assert paths(host) == expected
    host.wait(1.0)
    assert paths(host) == expected


def test_a_peer_whose_only_path_is_one_that_was_replaced_is_away_and_then_gone() -> None:
    host = Host()
    guest = Guest(host, DIALS).join().open_direct("turn")
    host.wait(1.0)
    guest.open_direct("direct", beside=True)
    assert guest.attempt is not None
    host.feed(ServerLost("gone"), DirectBroken(guest.attempt, "closed"))
    assert host.session.peers()[0].path is None
    host.wait(GRACE)
    assert not host.knows(guest)


def test_leaving_closes_a_path_that_was_replaced_too() -> None:
    host = Host()
    guest = Guest(host, DIALS).join().open_direct("turn")
    first = guest.attempt
    host.wait(1.0)
    guest.open_direct("direct", beside=True)
    host.feed(LeaveRequested())
    assert first is not None
    assert CloseDirect(first, drain=True) in host.orders


# --- addresses and servers --------------------------------------------------------------------------------


def test_addresses_travel_both_ways_while_a_try_is_under_way() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    (dial,) = host.ordered(DialDirect)
    host.feed(OfferMade(dial.attempt, "offer"), CandidatesFound(dial.attempt, ("here",)))
    assert guest.said(Candidates) == [Candidates(dial.attempt, ["here"], last=False)]
    guest.say(Candidates(dial.attempt, ["there"], last=True))
    assert host.ordered(AddCandidates) == [AddCandidates(dial.attempt, ("there",), last=True)]


def test_turn_is_asked_when_there_is_a_server_and_what_worked_comes_first() -> None:
    host = Host()
    host.feed(TurnKnown(("udp", "tls")), NetworkChanged(b"here"), TurnReached("tls"))
    Guest(host, DIALLED).join()
    assert [rung.kind for rung in host.ordered(DialDirect)[-1].means.turn] == ["tls", "udp"]


def test_who_wants_turn_alone_shows_nothing_else() -> None:
    host = Host(policy="turn")
    host.feed(TurnKnown(("udp",)))
    Guest(host, DIALLED).join()
    (dial,) = host.ordered(DialDirect)
    assert (dial.means.host, dial.means.stun, dial.means.turn) == (False, False, (Rung("udp", 0.0),))


# --- another network --------------------------------------------------------------------------------------


def test_a_path_that_does_not_answer_after_a_change_of_network_is_given_up_soon() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.wait(1.0)
    guest.heard.clear()
    host.feed(NetworkChanged(b"another"))
    assert guest.said(Ping), "it is asked whether it is there"
    assert len(host.ordered(DialDirect)) == 2, "and a new one is looked for meanwhile"
    host.wait(1.0)
    guest.say(Pong(1, 0))
    host.wait(CHECK_SECONDS - 1.1)
    assert paths(host) == ["relay", "direct"]
    host.wait(0.1)
    assert paths(host) == ["relay", "direct", "relay"]


def test_a_path_that_answers_after_a_change_of_network_stays() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.wait(1.0)
    host.feed(NetworkChanged(b"another", woke=True))
    host.wait(1.0)
    guest.say(Pong(1, 0), direct=True)
    host.wait(CHECK_SECONDS)
    assert paths(host) == ["relay", "direct"]


def test_a_path_that_is_all_there_is_gets_the_usual_time_to_answer() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.feed(ServerLost("gone"))
    host.feed(NetworkChanged(b"another"))
    host.wait(CHECK_SECONDS + 1.0)
    assert host.knows(guest)
    dials = len(host.ordered(DialDirect))
    host.feed(ServerEntered(ADDRESS, ()))
    guest.join()
    assert paths(host) == ["relay", "direct", "relay"], "with a relay, its time is up"
    host.wait(1.0)
    assert len(host.ordered(DialDirect)) > dials


def test_a_relay_that_is_back_in_time_lets_a_doubted_path_be_dialled_again() -> None:
    host = Host()
    guest = Guest(host, DIALS).join().open_direct()
    host.feed(ServerLost("gone"), NetworkChanged(b"another"), ServerEntered(ADDRESS, ()))
    guest.heard.clear()
    guest.join()
    assert guest.said(Redial) == [Redial()]
    assert paths(host) == ["relay", "direct"]


def test_who_is_asked_to_dials_again() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.wait(1.0)
    guest.say(Redial())
    assert len(host.ordered(DialDirect)) == 2


# --- late edits -------------------------------------------------------------------------------------------


def relayed(host: Host) -> int:
    return len(host.ordered(SendRelay))


@both_ways
def test_an_edit_that_the_path_does_not_acknowledge_goes_over_the_relay_after_a_second(number: int) -> None:
    host = Host()
    guest = Guest(host, number).join().open_direct()
    host.wait(0.5)
    guest.attempt = None  # what the host sends there is swallowed from now on
    host.type("typed")
    assert guest.said(EditFrame) == []
    host.wait(DETOUR_AFTER - 0.01)
    assert guest.said(EditFrame) == []
    host.wait(0.01)
    assert len(guest.said(EditFrame)) == 1
    host.type("more")
    assert len(guest.said(EditFrame)) == 2, "what follows goes both ways at once"
    assert paths(host)[-1] == "direct"


@pytest.mark.parametrize("by_sctp", [False, True])
def test_an_edit_that_is_acknowledged_takes_no_detour(by_sctp: bool) -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    assert guest.attempt is not None
    host.type("typed")
    if by_sctp:
        host.wait(ASK_EVERY)
        assert host.ordered(AskArrived) == [AskArrived(guest.attempt)]
        host.feed(DirectArrived(guest.attempt, len(host.ordered(SendPiece))))
    else:
        guest.acknowledge(all_of_it=True)
    before, asked = relayed(host), len(host.ordered(AskArrived))
    host.wait(1.9 - ASK_EVERY)
    assert relayed(host) == before
    assert len(host.ordered(AskArrived)) == asked


def test_a_path_that_has_not_delivered_is_asked_again_until_it_is_given_up() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    attempt, guest.attempt = guest.attempt, None
    assert attempt is not None
    host.type("typed")
    host.feed(DirectArrived(attempt, 1), DirectArrived(Attempt(99), 10**6))
    host.wait(DETOUR_AFTER)
    assert len(guest.said(EditFrame)) == 1
    assert len(host.ordered(AskArrived)) == 3
    alive(host, guest, DOUBT)
    assert paths(host)[-1] == "relay"
    asked = len(host.ordered(AskArrived))
    alive(host, guest, 2.0)
    assert len(host.ordered(AskArrived)) == asked


@pytest.mark.parametrize("policy", ["direct", "lan", "turn"])
def test_no_edit_takes_a_detour_over_a_relay_that_may_not_carry_it(policy: str) -> None:
    host = Host(policy=policy)
    guest = Guest(host, DIALLED).join().open_direct()
    guest.attempt = None
    host.type("typed")
    host.wait(DETOUR_AFTER + 1.0)
    assert guest.said(EditFrame) == []


def test_a_long_way_has_more_time_to_acknowledge() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    guest.answers = False
    guest.open_direct()
    host.wait(1.0)
    guest.say(Pong(1, 0), direct=True)
    assert host.session.peers()[0].rtt_ms == 1000.0
    guest.attempt = None
    host.type("typed")
    host.wait(2.3)
    assert guest.said(EditFrame) == []
    host.wait(0.11)
    assert len(guest.said(EditFrame)) == 1


def test_a_detour_waits_for_room_on_the_relay() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    guest.attempt, guest.acknowledges = None, False
    for number in range(200):
        host.type("x", at=number)
        host.wait(0.003)
    host.wait(DETOUR_AFTER)
    first = len(guest.said(EditFrame))
    assert first == 64, "as many as the window of a relay"
    guest.acknowledge(all_of_it=True)
    assert len(guest.said(EditFrame)) == 128


def test_a_path_that_owes_an_acknowledgement_and_is_silent_is_given_up_early() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.wait(1.0)
    guest.attempt = None
    host.type("typed")
    alive(host, guest, DOUBT - 1.5)
    assert paths(host)[-1] == "direct"
    alive(host, guest, 1.0)
    assert paths(host) == ["relay", "direct", "relay"]


@both_ways
def test_what_comes_over_two_paths_is_taken_once(number: int) -> None:
    host = Host()
    guest = Guest(host, number).join().open_direct()
    edit = EditFrame(DOC, guest.typed("once"))
    guest.say(edit, Lane.EDITS)
    host.orders.clear()
    guest.say(edit, Lane.EDITS, direct=True)
    assert host.text() == "once"
    assert [type(order).__name__ for order in host.orders] == [], "nor is it logged again"


def test_a_few_edits_on_a_direct_path_cost_no_acknowledgement_of_ours() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.wait(0.1)
    guest.heard.clear()
    guest.say(EditFrame(DOC, guest.typed("x")), Lane.EDITS, direct=True)
    host.wait(1.0)
    assert guest.said(Ack) == []


# --- no path ----------------------------------------------------------------------------------------------


def troubles(host: Host) -> list[str]:
    return [told.message for told in host.told(Trouble)]


def test_people_are_told_once_when_no_path_that_they_allow_is_found() -> None:
    host = Host(policy="direct")
    guest = Guest(host, DIALLED).join()
    alive(host, guest, NO_PATH_AFTER - 0.5)
    assert troubles(host) == []
    alive(host, guest, 30.0)
    (message,) = troubles(host)
    assert "no path to guest" in message
    assert host.told(Trouble)[0].code == "E-NO-PATH"
    guest.open_direct()
    assert guest.attempt is not None
    host.feed(DirectBroken(guest.attempt, "the cable was cut"))
    alive(host, guest, 30.0)
    assert "the cable was cut" in troubles(host)[1]


def test_people_are_told_at_once_when_no_path_is_allowed() -> None:
    host = Host(policy="direct")
    Guest(host, DIALLED, policy="relay").join()
    assert "nothing is both" in troubles(host)[0]


def test_people_are_told_how_far_we_came_with_turn() -> None:
    host = Host(policy="turn")
    host.feed(TurnKnown(("udp", "tcp")))
    guest = Guest(host, DIALS).join()
    alive(host, guest, NO_PATH_AFTER)
    assert "tried UDP, TCP" in troubles(host)[0]


def test_a_path_in_time_is_no_trouble() -> None:
    host = Host(policy="direct")
    guest = Guest(host, DIALLED).join()
    alive(host, guest, 5.0)
    guest.open_direct()
    for _ in range(20):
        host.wait(1.0)
        guest.say(Pong(1, 0), direct=True)
    assert troubles(host) == []
    assert [told.path for told in host.told(PeerPath)] == ["direct"]


def test_what_is_said_of_a_try_that_is_over_changes_nothing() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    (dial,) = host.ordered(DialDirect)
    host.feed(DirectOpened(dial.attempt, "direct"))
    assert paths(host) == ["relay"], "it was not even answered"
    guest.say(Answer(99, "answer"))
    guest.say(Offer(1, "offer"))
    host.feed(SealBroken(b"nobody's", "broken"))
    assert paths(host) == ["relay"]


def test_a_word_for_a_path_that_was_replaced_is_not_told_to_people() -> None:
    host = Host()
    guest = Guest(host, DIALS).join().open_direct("direct")
    first, old = guest.attempt, guest._direct
    host.wait(1.0)
    guest.open_direct("lan", beside=True)
    guest.attempt, guest._direct = first, old
    guest.say(PathSeen("turn"), direct=True)
    assert paths(host) == ["relay", "direct", "lan"]


@pytest.mark.parametrize("direct", [True, False])
def test_a_change_of_network_dials_whether_there_is_a_direct_path_or_not(direct: bool) -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    if direct:
        guest.open_direct()
    host.wait(1.0)
    host.feed(NetworkChanged(b"another"))
    assert len(host.ordered(DialDirect)) == 2


# --- everybody is silent ----------------------------------------------------------------------------------


def test_a_direct_path_is_not_given_up_for_a_relay_that_is_silent_too() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.wait(1.0)
    guest.heard.clear()
    host.wait(10.0)
    assert paths(host) == ["relay", "direct"]
    relayed = [frame for frame in guest.said(Ping) if frame]
    assert len(relayed) > 10, "the relay is asked too"
    guest.say(Pong(1, 0), direct=True)
    host.wait(1.0)
    assert host.session.peers()[0].path == "direct"


def test_when_everybody_is_silent_the_server_is_asked_for_a_sign_of_life() -> None:
    host = Host(policy="relay")
    guest = Guest(host).join()
    host.wait(QUIET_AFTER - 0.1)
    assert host.ordered(CheckServer) == []
    host.wait(0.1)
    assert len(host.ordered(CheckServer)) == 1
    host.wait(2 * CHECK_EVERY)
    assert len(host.ordered(CheckServer)) == 3
    guest.say(Pong(1, 0))
    asked = len(host.ordered(CheckServer))
    host.wait(1.0)
    assert len(host.ordered(CheckServer)) == asked


def test_an_edit_that_is_late_has_the_server_asked_at_once() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.wait(0.5)
    guest.attempt = None
    host.type("typed")
    host.wait(DETOUR_AFTER)
    assert host.ordered(CheckServer) == [CheckServer()]


def test_edits_that_went_with_a_relay_go_over_the_next_one_too() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.wait(0.5)
    guest.attempt = None
    host.type("typed")
    host.wait(DETOUR_AFTER)
    assert len(guest.said(EditFrame)) == 1
    host.feed(ServerLost("gone"), ServerEntered(ADDRESS, ()))
    guest.join()
    assert len(guest.said(EditFrame)) == 2


def test_another_path_is_looked_for_as_soon_as_one_is_silent_and_owes_something() -> None:
    host = Host(policy="direct")
    guest = Guest(host, DIALLED).join().open_direct()
    host.wait(0.1)
    guest.say(Pong(1, 0), direct=True)
    guest.attempt = None
    host.type("typed")
    host.wait(RENEW_AFTER - 0.1)
    assert len(host.ordered(DialDirect)) == 1
    host.wait(0.1)
    assert len(host.ordered(DialDirect)) == 2
    host.wait(1.0)
    assert len(host.ordered(DialDirect)) == 2, "once"


def test_who_comes_back_without_a_path_that_is_allowed_is_told_of_again() -> None:
    host = Host(policy="direct")
    guest = Guest(host, DIALS).join()
    host.feed(MemberAway(guest.address))
    host.feed(MemberJoined(guest.address))
    guest.greet()
    alive(host, guest, NO_PATH_AFTER + 1)
    assert len(troubles(host)) == 1


def test_attack_asking_to_be_dialled_all_the_time_costs_one_try_now_and_then() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    for _ in range(100):
        guest.say(Redial())
        host.wait(0.05)
    assert len(host.ordered(DialDirect)) <= 1 + 5.0 / REDIAL_EVERY + 1
