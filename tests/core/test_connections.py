from dataclasses import replace

import pytest

from peer.core.actions import AcceptAnswer, AcceptOffer, CloseDirect, CloseSeal, DialDirect, OpenSeal, Stop
from peer.core.certificates import Role
from peer.core.connections import LINKS_LIMIT
from peer.core.dialing import CONNECT_TIMEOUT, OFFER_EVERY
from peer.core.events import (
    AnswerMade,
    DirectBroken,
    DirectLossyArrived,
    DirectOpened,
    DirectPieceArrived,
    LeaveRequested,
    MemberJoined,
    MemberLeft,
    OfferMade,
    SealBroken,
    ServerEntered,
    ServerLost,
)
from peer.core.frames import Answer, Bye, EditFrame, Hello, NoDirect, Offer, Ping, Pong, Summary
from peer.core.greeting import REFUSED_FOR
from peer.core.ids import Attempt, DocId
from peer.core.link import DEAD_AFTER, DOUBT, GRACE, PING_EVERY, SILENT_AFTER
from peer.core.notices import PeerJoined, PeerLeft, PeerPath, PeerSilent, ServerState, Warned
from peer.core.pathways import STOOD
from peer.core.pieces import RELAY_WINDOW
from peer.errors import Refused
from tests.core.world import ADDRESS, DOC, Guest, Host, device, member

HIGH = b"\xf0" * 8


def dialler_of(host: Host) -> tuple[int, int]:
    """A guest's number that the host dials, and one that dials the host."""
    numbers = range(2, 40)
    dialled = next(number for number in numbers if host.setup.me[:32] < device(number))
    dials = next(number for number in numbers if host.setup.me[:32] > device(number))
    return dialled, dials


def who_dials() -> list[int]:
    return list(dialler_of(Host()))


DIALLED, DIALS = who_dials()
both_ways = pytest.mark.parametrize("number", [DIALLED, DIALS], ids=["we dial", "they dial"])


def reasons(host: Host) -> list[str]:
    return [left.reason for left in host.told(PeerLeft)]


def paths(host: Host) -> list[str]:
    return [told.path for told in host.told(PeerPath)]


# --- moving ------------------------------------------------------------------------------------------------


@both_ways
def test_content_moves_to_the_direct_path_when_it_opens(number: int) -> None:
    host = Host()
    guest = Guest(host, number).join().open_direct()
    assert paths(host) == ["relay", "direct"]
    assert isinstance(guest.said(Summary)[-1], Summary)
    guest.heard.clear()
    host.type("typed")
    assert guest.said(EditFrame)
    assert host.session.peers()[0].address == "10.0.0.1"


@both_ways
def test_content_falls_back_when_the_direct_path_dies(number: int) -> None:
    host = Host()
    guest = Guest(host, number).join().open_direct()
    assert guest.attempt is not None
    host.feed(DirectBroken(guest.attempt, "closed"))
    assert paths(host) == ["relay", "direct", "relay"]
    assert CloseDirect(guest.attempt) in host.orders
    assert len(guest.said(Summary)) == 2
    assert [no.reason for no in guest.said(NoDirect)] == ([] if number == DIALLED else ["closed"])
    host.type("typed")
    assert guest.said(EditFrame)


def test_what_was_typed_before_a_move_still_goes_out_where_it_was_queued() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    guest.acknowledges = False
    docs = [DocId(number.to_bytes(8)) for number in range(1, RELAY_WINDOW.pieces + 10)]
    for doc in docs:
        host.type("x", doc)
    sent = len(guest.said(EditFrame))
    assert sent == RELAY_WINDOW.pieces
    guest.open_direct()
    guest.acknowledge(all_of_it=True)
    assert len(guest.said(EditFrame)) > sent


def test_a_direct_path_that_goes_quiet_is_given_up_while_the_relay_still_speaks() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    for _ in range(4):
        host.wait(1.8)
        guest.say(Ping(1, 0, bytes(8)))
    assert paths(host) == ["relay", "direct", "relay"]
    assert host.told(PeerSilent) == []
    assert len(host.ordered(DialDirect)) == 2, "it had stood, so it is dialled again at once"


def test_the_other_sides_word_that_the_path_is_over_ends_it_here_too() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    assert guest.attempt is not None
    guest.say(NoDirect(guest.attempt, "nothing came through"))
    assert paths(host) == ["relay", "direct", "relay"]
    host.type("typed")
    assert guest.said(EditFrame)


def test_a_new_offer_replaces_the_path_that_stood() -> None:
    host = Host()
    guest = Guest(host, DIALS).join().open_direct()
    first = guest.attempt
    host.wait(1.0)
    guest.open_direct("turn")
    assert paths(host) == ["relay", "direct", "relay", "turn"]
    assert first is not None
    assert CloseDirect(first) in host.orders
    assert host.session.peers()[0].path == "turn"


def test_an_offer_from_who_should_not_dial_changes_nothing() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    guest.say(Offer(1, "offer"))
    assert host.session.peers()[0].path == "direct"
    assert host.ordered(AcceptOffer) == []


def test_a_flood_of_offers_is_answered_only_now_and_then() -> None:
    host = Host()
    guest = Guest(host, DIALS).join()
    guest.say_all([Offer(number, "offer") for number in range(100)])
    assert len(host.ordered(AcceptOffer)) == 1
    assert guest.said(NoDirect)[-1] == NoDirect(99, "offered again too soon")
    host.wait(OFFER_EVERY)
    guest.say(Offer(100, "offer"))
    assert len(host.ordered(AcceptOffer)) == 2


@pytest.mark.parametrize("stood", [True, False])
def test_a_path_that_stood_is_dialled_again_at_once_and_one_that_did_not_in_its_turn(stood: bool) -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    if stood:
        host.wait(2.0)
        guest.say(Pong(1, 0), direct=True)
        host.wait(STOOD - 2.0)
    assert guest.attempt is not None
    host.feed(DirectBroken(guest.attempt, "closed"))
    assert len(host.ordered(DialDirect)) == (2 if stood else 1)


def test_a_direct_path_opens_even_while_the_relay_begins_again() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    (dialled,) = host.ordered(DialDirect)
    host.feed(OfferMade(dialled.attempt, "offer"))
    guest.say(Answer(dialled.attempt, "answer"))
    guest.seal()
    host.feed(DirectOpened(dialled.attempt, "direct"))
    assert host.session.peers()[0].path == "direct"


def test_a_try_that_takes_too_long_lets_the_relay_carry_everything() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    for _ in range(16):
        host.wait(1.0)
        guest.say(Pong(1, 0))
    assert len(host.ordered(CloseDirect)) == 1
    assert CONNECT_TIMEOUT == 15.0
    assert paths(host) == ["relay"]


def test_what_belongs_to_a_try_that_is_over_is_dropped() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    stale = Attempt(99)
    host.feed(
        OfferMade(stale, "sdp"),
        AnswerMade(stale, "sdp"),
        DirectOpened(stale, "direct"),
        DirectBroken(stale, "closed"),
        DirectPieceArrived(stale, b"\x00x"),
        DirectLossyArrived(stale, b"x"),
    )
    (dialled,) = host.ordered(DialDirect)
    host.feed(DirectOpened(dialled.attempt, "direct"), DirectPieceArrived(dialled.attempt, b"\x00x"))
    assert guest.said(Offer) == []
    guest.say(Answer(5, "sdp"))
    assert host.ordered(AcceptAnswer) == []
    assert host.session.peers()[0].path == "relay"


@pytest.mark.parametrize("side", ["we", "they"])
def test_who_wants_only_the_relay_never_dials(side: str) -> None:
    host = Host(policy="relay" if side == "we" else "auto")
    Guest(host, DIALLED, policy="relay" if side == "they" else "auto").join()
    host.wait(5.0)
    assert host.ordered(DialDirect) == []


def test_who_wants_only_a_direct_path_says_nothing_of_the_texts_before_it_stands() -> None:
    host = Host(policy="direct")
    guest = Guest(host, DIALLED).join()
    host.type("typed")
    assert guest.said(EditFrame) == []
    assert host.session.peers()[0].path is None
    assert host.session.peers()[0].waiting == 1
    guest.open_direct()
    host.wait(1.0)
    assert host.session.peers()[0].waiting == 0
    assert paths(host) == ["direct"]


# --- losing ------------------------------------------------------------------------------------------------


def test_without_the_server_those_with_a_direct_path_go_on_and_others_are_given_up() -> None:
    host = Host()
    direct = Guest(host, DIALLED).join().open_direct()
    relayed = Guest(host, DIALS).join()
    host.feed(ServerLost("gone"))
    assert host.told(ServerState)[-1] == ServerState("lost", "gone")
    host.type("typed")
    assert direct.said(EditFrame)
    assert host.knows(relayed), "it may be back in a moment"
    for _ in range(8):
        host.wait(GRACE / 8)
        direct.say(Ping(1, 0, bytes(8)), direct=True)
    assert host.knows(direct)
    assert not host.knows(relayed)
    assert reasons(host) == ["silent"]
    host.feed(ServerEntered(ADDRESS, (), "welcome"))
    assert host.told(ServerState)[-1] == ServerState("connected", "welcome")


@both_ways
def test_a_peer_that_comes_back_to_the_room_gets_its_relay_again(number: int) -> None:
    host = Host()
    guest = Guest(host, number).join().open_direct()
    host.feed(ServerLost("gone"), ServerEntered(ADDRESS, ()))
    guest.join()
    assert len(host.told(PeerJoined)) == 1
    assert guest.attempt is not None
    host.feed(DirectBroken(guest.attempt, "closed"))
    assert host.knows(guest)
    assert host.session.peers()[0].path == "relay"


def test_a_peer_that_is_back_before_its_old_address_is_gone_changes_carriers() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join()
    old = guest.address
    guest.address = HIGH
    summaries = len(guest.said(Summary))
    guest.join()
    assert CloseSeal(old) in host.orders
    assert len(guest.said(Summary)) == summaries + 1
    host.feed(MemberLeft(old))
    assert host.knows(guest)


def test_who_left_the_room_is_gone_unless_its_direct_path_says_otherwise() -> None:
    host = Host()
    relayed = Guest(host, DIALS).join()
    host.feed(MemberLeft(relayed.address))
    host.wait(GRACE)
    assert reasons(host) == ["silent"]
    alive = Guest(host, DIALLED).join().open_direct()
    silent = Guest(host, DIALLED + 20).join()
    if host.setup.me < silent.id:
        silent.open_direct()
    host.feed(MemberLeft(alive.address))
    assert isinstance(alive.heard[-1][1], Ping)
    alive.say(Pong(1, 0), direct=True)
    host.wait(DOUBT)
    assert host.knows(alive)
    host.feed(MemberLeft(silent.address))
    host.wait(GRACE)
    assert not host.knows(silent)


def test_a_doubted_path_that_stays_silent_is_given_up() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.feed(MemberLeft(guest.address))
    host.wait(DOUBT - 0.1)
    assert host.knows(guest)
    host.wait(0.1)
    assert reasons(host) == ["left"]


def test_a_silent_peer_is_told_of_then_given_up_then_tried_again() -> None:
    host = Host(policy="relay")
    guest = Guest(host, address=HIGH).join()
    host.wait(SILENT_AFTER)
    (silent,) = host.told(PeerSilent)
    assert silent.seconds == SILENT_AFTER
    assert host.session.peers()[0].silent
    host.wait(DEAD_AFTER - SILENT_AFTER)
    assert reasons(host) == ["silent"]
    host.wait(0.5)
    assert host.ordered(OpenSeal)[-1].address == guest.address


def test_a_peer_that_speaks_again_is_not_silent_any_more() -> None:
    host = Host(policy="relay")
    guest = Guest(host).join()
    host.wait(SILENT_AFTER)
    guest.say(Pong(1, 0))
    assert not host.session.peers()[0].silent
    assert paths(host) == ["relay", "relay"]
    host.wait(SILENT_AFTER - 0.1)
    assert len(host.told(PeerSilent)) == 1
    host.wait(0.1)
    assert len(host.told(PeerSilent)) == 2


def test_a_silent_peer_without_content_speaks_again_without_a_path() -> None:
    host = Host(policy="direct")
    guest = Guest(host, DIALS).join()
    host.wait(SILENT_AFTER)
    guest.say(Pong(1, 0))
    assert paths(host) == []
    assert not host.session.peers()[0].silent


def test_heartbeats_go_out_every_two_seconds() -> None:
    host = Host(policy="relay")
    guest = Guest(host).join()
    for _ in range(5):
        host.wait(PING_EVERY)
        guest.say(Pong(len(guest.said(Ping)), 0))
    assert len(guest.said(Ping)) == 6
    assert host.session.peers()[0].rtt_ms == 0.0


def test_a_peer_without_any_carrier_is_not_pinged_and_dies_in_time() -> None:
    host = Host(policy="relay")
    guest = Guest(host).join()
    guest.seal()
    host.wait(DEAD_AFTER)
    assert reasons(host) == ["silent"]


def test_a_sealed_link_that_breaks_is_made_again_and_nobody_has_left() -> None:
    host = Host(policy="relay")
    guest = Guest(host, address=HIGH).join()
    host.feed(SealBroken(HIGH, "disturbed"))
    host.wait(0.5)
    assert host.ordered(OpenSeal)[-1].address == guest.address
    guest.greet()
    host.type("typed")
    assert guest.said(EditFrame)
    assert len(host.told(PeerJoined)) == 1
    assert reasons(host) == []


def test_who_says_goodbye_is_gone_at_once() -> None:
    host = Host()
    guest = Guest(host).join()
    guest.say(Bye("left"))
    assert reasons(host) == ["bye"]
    assert host.told(Warned) == []
    host.wait(30.0)
    assert not host.knows(guest)


def test_who_loses_its_last_path_is_given_up_after_the_grace() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.feed(ServerLost("gone"))
    assert guest.attempt is not None
    host.feed(DirectBroken(guest.attempt, "closed"))
    assert host.knows(guest)
    host.wait(GRACE)
    assert reasons(host) == ["silent"]
    assert not host.knows(guest)


# --- refusing ----------------------------------------------------------------------------------------------


def test_who_breaks_the_protocol_is_told_why_and_has_to_wait() -> None:
    host = Host(policy="relay")
    guest = Guest(host, address=HIGH, role=Role.VIEWER).join()
    guest.say(EditFrame(DOC, guest.typed("x")))
    assert guest.said(Bye)[0].reason.startswith("refused: guest 2 may only read")
    assert reasons(host) == ["refused"]
    assert [warning.code for warning in host.told(Warned)] == ["W-CUT-OFF"]
    hellos = len(guest.said(Hello))
    host.wait(REFUSED_FOR - 1.0)
    guest.greet()
    assert len(guest.said(Hello)) == hellos
    assert len(host.ordered(OpenSeal)) == 1
    host.wait(1.0)
    assert len(host.ordered(OpenSeal)) == 2
    guest.greet()
    assert host.knows(guest)


def test_a_run_of_our_own_device_is_refused_alone() -> None:
    host = Host(policy="relay")
    bad = Guest(host, 1, instance=b"run-bad!", address=HIGH, role=Role.VIEWER).join()
    bad.say(EditFrame(DOC, bad.typed("x")))
    assert not host.knows(bad)
    bad.greet()
    assert not host.knows(bad)
    assert "a moment ago" in host.told(Warned)[-1].message
    good = Guest(host, 1, instance=b"run-good", address=b"\xf1" * 8).join()
    assert host.knows(good)


def test_who_refuses_us_is_asked_again_later_and_a_person_is_told_why() -> None:
    host = Host(policy="relay")
    guest = Guest(host, address=HIGH).join()
    guest.say(Bye("refused: an update was malformed"))
    assert reasons(host) == ["refused"]
    assert "guest 2 ended the link: refused: an update was malformed" in host.told(Warned)[0].message
    host.feed(SealBroken(HIGH, "closed by the other side"))
    host.wait(REFUSED_FOR - 0.1)
    assert len(host.ordered(OpenSeal)) == 1
    host.wait(0.1)
    assert len(host.ordered(OpenSeal)) == 2


def test_a_member_that_is_refused_is_not_met_again_and_again() -> None:
    host = Host(policy="relay")
    guest = Guest(host, 3, address=HIGH, client=1).join()
    host.wait(60.0)
    assert guest.said(Bye)
    assert len(host.ordered(OpenSeal)) == 1


@pytest.mark.parametrize("whose", ["ours", "another's"])
def test_nobody_gets_in_with_the_client_id_of_somebody_else(whose: str) -> None:
    host = Host()
    Guest(host, 2).join()
    client = host.setup.client if whose == "ours" else host.guests[0].client
    with pytest.raises(Refused, match="claims to write with the id of somebody else"):
        host.session._connections._admit(replace(member(3), client=client))
    again = Guest(host, 2, address=b"\x04" * 8).join()
    assert host.knows(again), "the same peer may come back with its own"


def test_so_many_peers_and_no_more() -> None:
    host = Host(policy="relay")
    crowd = [Guest(host, number) for number in range(2, LINKS_LIMIT + 3)]
    for guest in crowd:
        guest.join()
    assert len(host.session.peers()) == LINKS_LIMIT
    assert "peers here already" in crowd[-1].said(Bye)[0].reason


# --- leaving -----------------------------------------------------------------------------------------------


def test_leaving_says_goodbye_on_every_carrier_and_closes_it_after_that() -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.type("last words")
    actions = host.feed(LeaveRequested())
    assert guest.said(Bye) == [Bye("left"), Bye("left")]
    assert guest.attempt is not None
    closing = [CloseDirect(guest.attempt, drain=True), CloseSeal(guest.address)]
    assert [action for action in actions if isinstance(action, CloseDirect | CloseSeal)] == closing
    assert actions[-1] == Stop()
    host.feed(LeaveRequested())
    assert len(guest.said(Bye)) == 2
    host.wait(60.0)
    assert host.told(PeerLeft) == []


def test_one_who_joins_the_room_is_met_there() -> None:
    host = Host()
    host.feed(MemberJoined(HIGH))
    assert host.ordered(OpenSeal) == [OpenSeal(HIGH, initiator=True)]
