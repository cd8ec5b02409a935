"""Who is killed and starts Weft again is seen once, and two runs of one device that are alive are two."""

from peer.core.actions import OpenSeal
from peer.core.events import DirectBroken, MemberAway, MemberLeft, ServerLost
from peer.core.frames import EditFrame, Pong, PresenceFrame
from peer.core.link import DOUBT, SILENT_AFTER
from peer.core.notices import PeerJoined, PeerLeft, PeerSilent, PresenceChanged
from tests.core.test_connections import DIALLED
from tests.core.world import Guest, Host

LATER = bytes((7,)) * 8


def killed_and_back() -> tuple[Host, Guest, Guest]:
    """A peer with a direct path is killed, and met again before anybody could know."""
    host = Host()
    died = Guest(host, DIALLED).join().open_direct()
    died.say(PresenceFrame(1, "#fff", "a.md"))
    host.feed(MemberAway(died.address))
    return host, died, Guest(host, DIALLED, address=LATER, instance=b"next run").join()


def test_the_next_run_takes_the_place_of_one_that_was_killed_at_once() -> None:
    host, died, again = killed_and_back()
    assert host.knows(again)
    assert not host.knows(died)
    assert [left.reason for left in host.told(PeerLeft)] == ["restarted"]
    assert [gone.here for gone in host.told(PresenceChanged) if gone.path == "a.md"] == [True, False]
    assert host.session.presence() == []
    host.wait(DOUBT)
    assert len(host.told(PeerLeft)) == 1, "it is told once"
    host.type("typed")
    assert again.said(EditFrame)


def test_an_earlier_run_that_is_alive_after_all_is_seen_again() -> None:
    host, first, again = killed_and_back()
    first.say(Pong(1, 0), direct=True)
    assert host.knows(first)
    assert host.knows(again)
    assert len(host.told(PeerJoined)) == 3
    for _ in range(8):
        host.wait(DOUBT / 2)
        first.say(Pong(1, 0), direct=True)
        again.say(Pong(1, 0))
    assert host.knows(first), "and nobody doubts it any more"
    host.type("typed")
    assert first.said(EditFrame)


def test_an_earlier_run_that_comes_back_to_the_room_is_seen_again() -> None:
    host, first, again = killed_and_back()
    first.join()
    assert host.knows(first)
    assert host.knows(again)


def test_a_run_of_which_the_room_says_late_that_it_is_gone_is_replaced_then() -> None:
    host = Host()
    died = Guest(host, DIALLED).join().open_direct()
    again = Guest(host, DIALLED, address=LATER, instance=b"next run").join()
    assert host.knows(died), "so far they are two folders on one machine"
    host.feed(MemberLeft(died.address))
    assert not host.knows(died)
    assert host.knows(again)


def test_a_run_that_is_silent_is_replaced_though_the_room_still_has_it() -> None:
    host = Host(policy="relay")
    died = Guest(host, DIALLED).join()
    host.wait(SILENT_AFTER)
    again = Guest(host, DIALLED, address=LATER, instance=b"next run").join()
    assert not host.knows(died)
    assert host.knows(again)


def test_a_replaced_run_whose_direct_path_ends_too_is_dropped_at_once() -> None:
    host, died, again = killed_and_back()
    assert died.attempt is not None
    host.feed(DirectBroken(died.attempt, "closed"))
    host.wait(0.0)
    assert len(host.told(PeerLeft)) == 1
    host.feed(MemberLeft(LATER))
    assert host.knows(again), "the grace of the other one is another matter"


def test_two_folders_of_one_machine_stay_two_when_the_server_goes() -> None:
    host = Host()
    first = Guest(host, DIALLED).join().open_direct()
    second = Guest(host, DIALLED, address=LATER, instance=b"2nd run!").join().open_direct()
    host.feed(ServerLost("gone"))
    assert host.knows(first)
    assert host.knows(second)
    assert host.told(PeerLeft) == []


def test_a_run_that_was_dropped_though_the_room_still_has_it_is_met_again_when_it_wakes_up() -> None:
    host = Host(policy="relay")
    slept = Guest(host, DIALLED, address=b"\x90" * 8).join()
    host.wait(SILENT_AFTER)
    Guest(host, DIALLED, address=LATER, instance=b"next run").join()
    host.wait(DOUBT)
    begun = len(host.ordered(OpenSeal))
    host.wait(2.0)
    assert slept.address in [order.address for order in host.ordered(OpenSeal)[begun:]]
    assert host.knows(slept.greet())


def test_nobody_is_told_that_a_run_is_silent_of_which_they_were_told_that_it_is_gone() -> None:
    host = Host()
    died = Guest(host, DIALLED).join().open_direct()
    host.wait(SILENT_AFTER - 1.0)
    host.feed(MemberAway(died.address))
    Guest(host, DIALLED, address=LATER, instance=b"next run").join()
    host.wait(DOUBT - 0.1)
    assert len(host.told(PeerLeft)) == 1
    assert host.told(PeerSilent) == []
