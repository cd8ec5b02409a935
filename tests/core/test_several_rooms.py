"""Two members who share several rooms: one link, the best way, and another when that is gone."""

from peer.core.actions import CloseSeal, OpenSeal
from peer.core.detour import DETOUR_AFTER
from peer.core.events import (
    LeaveRequested,
    MemberJoined,
    MemberLeft,
    SealBroken,
    Sealed,
    ServerEntered,
    ServerLost,
)
from peer.core.frames import Bye, EditFrame, Ping, Pong, Summary
from peer.core.greeting import REFUSED_FOR, SEAL_DELAYS
from peer.core.ids import room_of
from peer.core.link import DOUBT, GRACE, PING_EVERY, SILENT_AFTER
from peer.core.notices import PeerJoined, PeerLeft, PeerPath, PeerSilent, ServerState, Warned
from peer.core.rooms import PROBE_EVERY
from tests.core.world import ADDRESS, BINDING, Guest, Host, device

LAN = b"\x02"
OTHER_LAN = b"\x03"


def enter(host: Host, room: bytes) -> None:
    host.feed(ServerEntered(room + ADDRESS, (), path="lan"))


def also(guest: Guest, room: bytes, last: int | None = None) -> Guest:
    """The same member in another room."""
    return Guest(guest.host, guest.number, address=room + bytes((last or guest.number,)) * 8)


def paths(host: Host) -> list[str]:
    return [told.path for told in host.told(PeerPath)]


def in_both() -> tuple[Host, Guest, Guest]:
    """A host and a guest who share the server's room and one on the local network."""
    host = Host(policy="relay")
    guest = Guest(host).join()
    enter(host, LAN)
    return host, guest, also(guest, LAN).join()


def test_content_moves_to_the_room_of_a_peer() -> None:
    host, far, near = in_both()
    assert paths(host) == ["relay", "lan"]
    assert len(host.told(PeerJoined)) == 1
    assert near.said(Summary)
    host.type("typed")
    assert near.said(EditFrame)
    assert not far.said(EditFrame)


def test_content_stays_there_when_the_server_is_reached_later() -> None:
    host = Host(policy="relay")
    enter(host, LAN)
    near = Guest(host, address=LAN + b"\x02" * 8).join()
    Guest(host).join()
    assert paths(host) == ["lan"]
    host.type("typed")
    assert near.said(EditFrame)


def test_the_server_goes_on_when_the_room_of_a_peer_is_gone() -> None:
    host, far, _ = in_both()
    host.feed(ServerLost("its owner left", LAN))
    assert paths(host) == ["relay", "lan", "relay"]
    assert [state.state for state in host.told(ServerState)] == ["connected"], "it was not the server"
    host.type("typed")
    assert far.said(EditFrame)


def test_the_loss_of_the_server_is_not_noticed_on_a_local_network() -> None:
    host, _, near = in_both()
    host.feed(ServerLost("the internet is gone"))
    assert paths(host) == ["relay", "lan"]
    host.type("typed")
    assert near.said(EditFrame)
    assert host.knows(near)


def test_without_any_room_the_peer_is_given_up_after_a_while() -> None:
    host, _, near = in_both()
    host.feed(ServerLost("gone"), ServerLost("gone too", LAN))
    assert host.knows(near), "it may come back"
    host.wait(GRACE + 0.1)
    assert [left.reason for left in host.told(PeerLeft)] == ["silent"]


def test_no_content_through_the_server_does_not_mean_none_through_a_peer() -> None:
    host = Host(policy="direct")
    far = Guest(host).join()
    host.type("typed")
    assert not far.said(EditFrame)
    enter(host, LAN)
    near = also(far, LAN).join()
    assert paths(host) == ["lan"]
    assert near.said(Summary)
    host.type("more")
    host.wait(0.1)
    assert near.said(EditFrame)


def test_who_leaves_one_room_is_asked_in_the_other() -> None:
    host, far, near = in_both()
    host.feed(MemberLeft(near.address))
    assert paths(host) == ["relay", "lan", "relay"]
    assert far.said(Ping)
    far.say(Ping(1, 0, bytes(8)))
    host.wait(DOUBT + 0.1)
    assert host.knows(far)


def test_who_leaves_one_room_and_says_nothing_in_the_other_has_left() -> None:
    host, _, near = in_both()
    host.feed(MemberLeft(near.address))
    host.wait(DOUBT + 0.1)
    assert [left.reason for left in host.told(PeerLeft)] == ["left"]


def test_a_room_that_carries_nothing_any_more_is_left_for_one_that_does() -> None:
    host, far, _ = in_both()
    answered = 0
    while host.now < 100 + SILENT_AFTER + 2 * PING_EVERY:
        host.wait(0.5)
        pings = far.said(Ping)
        for ping in pings[answered:]:
            far.say(Pong(ping.number, 0))
        answered = len(pings)
    assert answered, "when the best way was silent, the other was asked"
    assert paths(host) == ["relay", "lan", "relay"]
    assert not host.told(PeerSilent)
    host.type("typed")
    assert far.said(EditFrame)


def test_while_no_room_answers_nothing_is_moved() -> None:
    host, _, _ = in_both()
    host.wait(SILENT_AFTER + 2 * PING_EVERY)
    assert len(host.told(PeerSilent)) == 1
    assert paths(host) == ["relay", "lan"]


def test_a_broken_seal_in_one_room_leaves_the_other() -> None:
    host, far, near = in_both()
    host.feed(SealBroken(near.address, "altered"))
    assert paths(host) == ["relay", "lan", "relay"]
    assert host.knows(far)


def test_while_tls_begins_again_in_one_room_content_goes_through_the_other() -> None:
    host, far, near = in_both()
    near.seal()
    host.type("typed")
    assert paths(host) == ["relay", "lan", "relay"]
    assert far.said(EditFrame)
    near.prove()
    near.say(near.hello())
    assert paths(host)[-1] == "lan"


def test_tls_that_begins_again_where_there_is_no_other_room_moves_nothing() -> None:
    host = Host(policy="relay")
    guest = Guest(host).join()
    guest.greet()
    assert paths(host) == ["relay"]
    assert len(host.told(PeerJoined)) == 1


def test_a_new_address_in_a_room_replaces_the_one_before() -> None:
    host, _, near = in_both()
    again = also(near, LAN, 5).join()
    assert CloseSeal(near.address) in host.orders
    host.type("typed")
    assert again.said(EditFrame)
    assert not near.said(EditFrame)


def test_goodbye_is_said_in_every_room() -> None:
    host, far, near = in_both()
    host.feed(LeaveRequested())
    assert far.said(Bye)
    assert near.said(Bye)


def test_who_breaks_the_protocol_is_cut_off_in_every_room() -> None:
    host, far, near = in_both()
    near.say(Ping(1, 10**6, bytes(8)))
    assert [warned.code for warned in host.told(Warned)] == ["W-CUT-OFF"]
    assert {CloseSeal(far.address), CloseSeal(near.address)} <= set(host.ordered(CloseSeal))
    before = len(host.ordered(OpenSeal))
    host.wait(max(SEAL_DELAYS))
    assert len(host.ordered(OpenSeal)) == before
    assert host.now < 100 + REFUSED_FOR


def test_a_third_room_is_another_spare() -> None:
    host, _, near = in_both()
    enter(host, OTHER_LAN)
    third = also(near, OTHER_LAN).join()
    host.feed(ServerLost("gone", LAN))
    assert paths(host) == ["relay", "lan"], "the same word, so nothing is said"
    host.type("typed")
    assert third.said(EditFrame)
    host.feed(ServerLost("gone"), ServerLost("gone", OTHER_LAN))
    host.wait(GRACE + 0.1)
    assert not host.knows(third)


def test_nobody_is_met_in_a_room_that_we_are_not_in() -> None:
    host = Host()
    address = LAN + b"\x02" * 8
    host.feed(MemberJoined(address))
    host.feed(Sealed(address, device(2), BINDING))
    assert host.ordered(CloseSeal) == [CloseSeal(address)]
    assert host.ordered(OpenSeal) == []


def test_who_is_greeted_in_one_room_stays_so_when_another_is_entered() -> None:
    host = Host(policy="relay")
    guest = Guest(host)
    host.feed(MemberJoined(guest.address))
    guest.seal()
    guest.prove()
    enter(host, LAN)
    guest.say(guest.hello())
    assert host.knows(guest)


def test_who_was_being_met_when_a_room_is_entered_anew_is_met_anew() -> None:
    host = Host()
    guest = Guest(host, address=b"\xf0" * 8)
    host.feed(MemberJoined(guest.address))
    host.feed(ServerEntered(ADDRESS, (guest.address,)))
    assert host.ordered(OpenSeal) == 2 * [OpenSeal(guest.address, initiator=True)]


# --- late edits -------------------------------------------------------------------------------------------


def in_three(policy: str = "relay") -> tuple[Host, Guest, Guest, Guest]:
    """A host and a guest who share the server's room and two on the local network, the second one a spare."""
    host = Host(policy=policy)
    far = Guest(host).join()
    enter(host, LAN)
    near = also(far, LAN).join()
    enter(host, OTHER_LAN)
    third = also(far, OTHER_LAN).join()
    far.answers = near.answers = third.answers = False
    return host, far, near, third


def test_an_edit_that_the_room_of_a_peer_does_not_acknowledge_goes_over_the_relay_after_a_second() -> None:
    host, far, near = in_both()
    host.type("typed")
    host.wait(DETOUR_AFTER - 0.01)
    assert not far.said(EditFrame)
    host.wait(0.01)
    assert far.said(EditFrame) == near.said(EditFrame)
    host.type("more")
    assert len(far.said(EditFrame)) == 2, "what follows goes both ways at once"
    assert far.said(EditFrame) == near.said(EditFrame)
    near.acknowledge(all_of_it=True)
    host.type("on time")
    host.wait(DETOUR_AFTER - 0.01)
    assert len(far.said(EditFrame)) == 2
    assert paths(host) == ["relay", "lan"]


def test_an_edit_that_is_acknowledged_in_the_room_of_a_peer_takes_no_detour() -> None:
    host, far, near = in_both()
    host.type("typed")
    near.acknowledge(all_of_it=True)
    host.wait(1.9)
    assert not far.said(EditFrame)
    assert len(far.said(Ping)) == 1, "nor is anything doubted"


def test_no_edit_takes_a_detour_over_a_relay_that_may_not_carry_it() -> None:
    host = Host(policy="direct")
    far = Guest(host).join()
    enter(host, LAN)
    near = also(far, LAN).join()
    host.type("typed")
    host.wait(DETOUR_AFTER + 1.0)
    assert near.said(EditFrame)
    assert not far.said(EditFrame)


def test_when_the_next_best_room_is_silent_too_late_edits_go_where_an_answer_comes_from() -> None:
    host, far, near, third = in_three()
    host.wait(0.5)
    for text in ("one", "two"):
        host.type(text)
    host.wait(DETOUR_AFTER)
    assert third.said(EditFrame) == near.said(EditFrame)
    assert not far.said(EditFrame)
    far.say(Pong(2, 0))
    assert far.said(EditFrame) == near.said(EditFrame), "all of them, in order"
    third.say(Pong(2, 0))
    host.type("three")
    assert len(far.said(EditFrame)) == 3, "it is not left for another that answers later"
    assert len(third.said(EditFrame)) == 2


def test_a_room_that_is_silent_while_edits_are_late_is_left_early() -> None:
    host, far, _, third = in_three()
    host.wait(0.5)
    host.type("typed")
    host.wait(DETOUR_AFTER)
    asked = len(far.said(Ping))
    host.wait(PROBE_EVERY)
    assert len(far.said(Ping)) == asked + 1
    far.say(Pong(3, 0))
    host.wait(DOUBT - DETOUR_AFTER - PROBE_EVERY - 0.51)
    assert paths(host) == ["relay", "lan"]
    host.wait(0.52)
    assert paths(host) == ["relay", "lan", "relay"]
    assert far.said(Summary)
    assert host.wakes() > 0.0
    host.type("more")
    assert len(far.said(EditFrame)) == 2
    assert len(third.said(EditFrame)) == 1


def test_while_nobody_answers_in_any_room_late_edits_wait_where_they_are() -> None:
    host, far, _ = in_both()
    host.wait(0.5)
    host.type("typed")
    host.wait(DOUBT + 2.0)
    assert paths(host) == ["relay", "lan"]
    assert len(far.said(EditFrame)) == 1


def test_a_better_room_that_answers_again_has_its_place_back() -> None:
    host, far, near = in_both()
    host.wait(0.5)
    host.type("typed")
    for _ in range(8):
        host.wait(0.5)
        far.say(Pong(99, 0))
    assert paths(host)[-1] == "relay"
    for _ in range(10):
        host.wait(0.5)
        far.say(Pong(99, 0))
    assert paths(host)[-1] == "relay", "it is silent"
    near.say(Pong(99, 0))
    host.wait(PING_EVERY)
    assert paths(host)[-1] == "lan"


def test_late_edits_of_a_direct_path_go_through_the_room_of_a_peer_where_the_relay_may_not() -> None:
    host = Host(policy="direct")
    far = Guest(host, 2).join()
    enter(host, LAN)
    near = also(far, LAN).join()
    far.open_direct()
    far.attempt = None
    host.type("typed")
    host.wait(DETOUR_AFTER)
    assert near.said(EditFrame)
    assert not far.said(EditFrame)


def test_late_edits_of_a_direct_path_go_through_the_room_of_a_peer_where_there_is_no_server() -> None:
    host = Host(enters=False)
    enter(host, LAN)
    near = Guest(host, address=LAN + b"\x02" * 8).join().open_direct()
    near.attempt = None
    host.type("typed")
    host.wait(DETOUR_AFTER)
    assert near.said(EditFrame)


def test_a_direct_path_that_dies_with_its_local_network_is_left_for_the_server() -> None:
    host = Host()
    far = Guest(host).join()
    enter(host, LAN)
    near = also(far, LAN).join()
    far.open_direct()
    host.wait(1.0)
    far.attempt = None
    near.heard.clear()
    host.type("typed")
    for _ in range(8):
        host.wait(0.5)
        far.say(Pong(99, 0))
    assert paths(host)[-1] == "relay"
    host.type("more")
    assert len(far.said(EditFrame)) == 2


def test_the_room_of_an_address_is_what_stands_before_it() -> None:
    assert room_of(ADDRESS) == b""
    assert room_of(LAN + ADDRESS) == LAN


def test_a_room_is_not_left_early_for_one_that_may_not_carry_contents() -> None:
    host = Host(policy="lan")
    far = Guest(host, policy="lan").join()
    enter(host, LAN)
    near = also(far, LAN).join()
    near.acknowledges = False
    host.type("typed")
    for _ in range(8):
        host.wait(0.5)
        far.say(Pong(99, 0))
    assert [state.path for state in host.session.peers()] == ["lan"]
    host.type("more")
    assert near.said(EditFrame)
    host.wait(SILENT_AFTER)
