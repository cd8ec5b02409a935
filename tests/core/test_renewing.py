"""When another path is looked for beside one that has gone silent, and when it is left in peace."""

from peer.core.actions import DialDirect
from peer.core.dialing import REDIAL_EVERY
from peer.core.events import DirectArrived
from peer.core.frames import PathSeen, Pong
from peer.core.ids import Attempt
from tests.core.test_connections import DIALLED
from tests.core.world import Guest, Host


def late_edit() -> tuple[Host, Guest, Attempt]:
    """An edit on a direct path that nothing acknowledges."""
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct()
    host.wait(0.1)
    guest.say(Pong(1, 0), direct=True)
    assert guest.attempt is not None
    host.feed(DirectArrived(guest.attempt, 0))
    guest.acknowledges = False
    host.type("typed")
    return host, guest, guest.attempt


def test_a_try_for_another_path_is_not_ended_by_the_next_sign_of_life() -> None:
    host, guest, _ = late_edit()
    for _ in range(5):  # what we send is lost, what they send is not
        host.wait(2.0)
        guest.say(PathSeen("direct"), direct=True)
    tries = len(host.ordered(DialDirect)) - 1
    assert 1 <= tries <= 10.0 / REDIAL_EVERY


def test_no_other_path_is_looked_for_while_a_slow_one_delivers() -> None:
    host, guest, attempt = late_edit()
    for step in range(20):
        host.type(str(step))
        host.wait(0.5)
        host.feed(DirectArrived(attempt, step + 1))
        if step % 4 == 0:
            guest.say(PathSeen("direct"), direct=True)
    assert len(host.ordered(DialDirect)) == 1
