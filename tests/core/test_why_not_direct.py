"""Why two people have no direct path, or none at all, in words that are true of the path that they have."""

import pytest

from peer.core.events import Event, NetworkChanged, TurnKnown, TurnReached, TurnRefused
from peer.core.link import SILENT_AFTER
from peer.core.pathways import NO_PATH_AFTER
from tests.core.test_connections import DIALLED, DIALS
from tests.core.test_pathways import alive, troubles
from tests.core.world import Guest, Host


def test_people_are_told_that_turn_answered_and_refused() -> None:
    host = Host(policy="turn")
    host.feed(TurnKnown(("udp", "tcp")), TurnRefused(401))
    guest = Guest(host, DIALS).join()
    alive(host, guest, NO_PATH_AFTER)
    (message,) = troubles(host)
    assert "refuses its credential (error 401)" in message
    assert "no TURN server answers" not in message


@pytest.mark.parametrize(
    "after", [TurnReached("udp"), TurnKnown(("udp",)), NetworkChanged(b"elsewhere")], ids=str
)
def test_a_refusal_is_forgotten_when_turn_works_or_all_is_new(after: Event) -> None:
    host = Host(policy="turn")
    host.feed(TurnKnown(("udp",)), TurnRefused(401), after)
    guest = Guest(host, DIALS).join()
    alive(host, guest, NO_PATH_AFTER)
    assert "refuses its" not in troubles(host)[0]


def test_the_reason_for_a_path_over_turn_is_not_that_nothing_answered() -> None:
    host = Host()
    Guest(host, DIALLED).join().open_direct("turn")
    (state,) = host.session.peers()
    assert (state.path, state.chosen) == ("turn", "")
    assert state.why_not_direct == "the two networks let no direct path through so far"


def test_who_chose_turn_is_told_that_as_the_reason() -> None:
    host = Host(policy="turn")
    guest = Guest(host, DIALLED).join()
    assert host.session.peers()[0].why_not_direct == "nothing answered yet"
    guest.open_direct("turn")
    (state,) = host.session.peers()
    assert state.why_not_direct == state.chosen == "--path turn was chosen here"


@pytest.mark.parametrize(("path", "words"), [("turn", "the TURN server"), ("direct", "the direct path")])
def test_a_path_that_fell_silent_is_named(path: str, words: str) -> None:
    host = Host()
    guest = Guest(host, DIALLED).join().open_direct(path)
    alive(host, guest, SILENT_AFTER + 5.0)
    (state,) = host.session.peers()
    assert (state.path, state.why_not_direct) == ("relay", f"nothing came through {words} any more")
