from typing import Any

import pytest

from peer.core.events import PresenceSet
from peer.core.frames import CURSOR_LIMIT, PresenceFrame
from peer.core.notices import PresenceChanged
from peer.core.presence import COLORS, EXPIRES, PATH_BYTES, RATE, REPEAT, Presence, color_of
from peer.errors import UsageError
from tests.core.world import member, peer


class Watched:
    """A presence and all that it sent and told."""

    def __init__(self) -> None:
        self.sent: list[PresenceFrame] = []
        self.told: list[PresenceChanged] = []
        self.presence = Presence("#000000", broadcast=self.sent.append, tell=self.told.append)


def test_a_change_is_sent_at_once_and_the_next_one_at_the_rate() -> None:
    watched = Watched()
    watched.presence.set(PresenceSet(path="a.md"), 100.0)
    watched.presence.set(PresenceSet(cursor=(1, 2)), 100.001)
    assert [frame.path for frame in watched.sent] == ["a.md"]
    assert watched.presence.next_deadline() == 100.0 + 1 / RATE
    watched.presence.tick(100.0 + 1 / RATE)
    assert watched.sent[-1].cursor == (1, 2)
    assert watched.sent[-1].path == "a.md"
    assert watched.sent[-1].clock == 2


def test_every_field_can_be_set_alone() -> None:
    watched = Watched()
    watched.presence.set(PresenceSet(typing=True), 100.0)
    watched.presence.set(PresenceSet(idle=True), 200.0)
    assert watched.presence.snapshot() == PresenceFrame(2, "#000000", None, None, True, True)


def test_silence_is_repeated() -> None:
    watched = Watched()
    watched.presence.tick(100.0)
    watched.presence.tick(100.0 + REPEAT - 0.1)
    assert len(watched.sent) == 1
    watched.presence.tick(100.0 + REPEAT)
    assert len(watched.sent) == 2


def test_an_older_state_is_dropped_but_counts_as_life() -> None:
    watched = Watched()
    watched.presence.heard(member(), PresenceFrame(5, "#1", "new"), 100.0)
    watched.presence.heard(member(), PresenceFrame(4, "#1", "old"), 120.0)
    assert [told.path for told in watched.told] == ["new"]
    watched.presence.tick(100.0 + EXPIRES)
    assert len(watched.presence.now_here()) == 1


def test_who_is_silent_is_not_here_any_more() -> None:
    watched = Watched()
    watched.presence.heard(member(), PresenceFrame(5, "#1", "a"), 100.0)
    watched.presence.tick(100.0)
    assert watched.presence.next_deadline() == 110.0
    watched.presence.tick(100.0 + EXPIRES)
    assert [told.here for told in watched.told] == [True, False]
    assert watched.presence.now_here() == []


def test_a_peer_that_goes_is_told_of_once() -> None:
    watched = Watched()
    watched.presence.heard(member(), PresenceFrame(5, "#1", "a"), 100.0)
    watched.presence.gone(member())
    watched.presence.gone(member())
    assert [told.here for told in watched.told] == [True, False]


def test_a_colour_is_the_same_on_every_screen() -> None:
    assert color_of(peer(3)) == color_of(peer(3)) in COLORS


def test_a_long_path_is_told_by_its_end() -> None:
    watched = Watched()
    watched.presence.set(PresenceSet(path="日" * 1000), 100.0)
    path = watched.presence.snapshot().path
    assert path == "日" * (PATH_BYTES // 3)


def test_life_without_news_is_life() -> None:
    watched = Watched()
    for second in range(0, 100, 10):
        watched.presence.heard(member(), PresenceFrame(5, "#1", "a"), 100.0 + second)
        watched.presence.tick(100.0 + second)
    assert [told.here for told in watched.told] == [True]


def test_a_path_and_a_cursor_can_be_taken_back() -> None:
    watched = Watched()
    watched.presence.set(PresenceSet(path="a.md", cursor=(1, 2)), 100.0)
    watched.presence.set(PresenceSet(cursor=None), 101.0)
    assert (watched.sent[-1].path, watched.sent[-1].cursor) == ("a.md", None)
    watched.presence.set(PresenceSet(cursor=(1, 2)), 102.0)
    watched.presence.set(PresenceSet(path=None), 103.0)
    assert (watched.sent[-1].path, watched.sent[-1].cursor) == (None, None)


def test_a_cursor_does_not_go_along_into_another_file() -> None:
    watched = Watched()
    watched.presence.set(PresenceSet(path="a.md", cursor=(1, 2)), 100.0)
    watched.presence.set(PresenceSet(path="a.md"), 101.0)
    assert watched.sent[-1].cursor == (1, 2)
    watched.presence.set(PresenceSet(path="b.md"), 102.0)
    assert watched.sent[-1].cursor is None
    watched.presence.set(PresenceSet(path="c.md", cursor=(3, 4)), 103.0)
    assert watched.sent[-1].cursor == (3, 4)


@pytest.mark.parametrize(
    "cursor", [(-1, 0), (0, -1), (0, CURSOR_LIMIT + 1), (0,), (0, 1, 2), (0.5, 1), (True, 1), ("a", "b")]
)
def test_a_cursor_that_cannot_be_is_refused_here(cursor: Any) -> None:
    with pytest.raises(UsageError, match="two positions"):
        PresenceSet(cursor=cursor)
