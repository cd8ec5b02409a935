"""What the people of a session are doing, from what was told about them."""

import dataclasses

from peer.core.notices import FileChanged, PeerJoined, PeerLeft, PeerPath, PeerSilent
from peer.core.session import PeerState
from peer.edge.activity import AWAY_SECONDS, EDITING_SECONDS, IDLE_SECONDS, REMEMBERED, Activity

BEN = PeerState(
    id="1",
    name="ben",
    role="editor",
    path="direct",
    address="10.0.0.1:5",
    rtt_ms=2.0,
    silent=False,
    sent_bytes=1,
    received_bytes=2,
    file=None,
    waiting=0,
    typing=False,
    idle=False,
    why_not_direct="",
)


def joined(name: str = "ben", peer: str = "1") -> Activity:
    activity = Activity()
    activity.notice(PeerJoined(peer, name, "editor"), 100.0)
    return activity


def state(activity: Activity, now: float, peer: PeerState = BEN) -> object:
    return activity.rows([peer], now)[0]["state"]


def test_who_changes_a_file_is_editing_it_then_here_then_idle() -> None:
    activity = joined()
    assert state(activity, 101.0) == "here"
    activity.notice(FileChanged("todo.md", "edited", "ben", None, "1"), 200.0)
    assert state(activity, 200.0 + EDITING_SECONDS - 0.1) == "editing"
    assert state(activity, 200.0 + EDITING_SECONDS) == "here"
    assert state(activity, 200.0 + IDLE_SECONDS) == "idle"
    row = activity.rows([BEN], 200.0 + IDLE_SECONDS)[0]
    assert (row["file"], row["idle_s"]) == ("todo.md", IDLE_SECONDS)


def test_who_never_changed_anything_is_idle_in_the_end() -> None:
    assert state(joined(), 100.0 + IDLE_SECONDS) == "idle"


def test_presence_says_it_better_than_files() -> None:
    activity = joined()
    activity.notice(FileChanged("todo.md", "edited", "ben", None, "1"), 100.0)
    typing = dataclasses.replace(BEN, typing=True, file="plan.md")
    row = activity.rows([typing], 500.0)[0]
    assert (row["state"], row["file"]) == ("editing", "plan.md")
    assert state(activity, 130.0, dataclasses.replace(BEN, idle=True)) == "idle"


def test_silence_is_told_with_when_somebody_was_last_heard() -> None:
    activity = joined()
    activity.notice(PeerSilent("1", "ben", 6.5), 200.0)
    row = activity.rows([dataclasses.replace(BEN, silent=True)], 201.0)[0]
    assert (row["state"], row["heard_s"]) == ("silent", 7.5)
    activity.notice(PeerPath("1", "ben", "direct", None, 1.0), 202.0)
    assert activity.rows([BEN], 203.0)[0]["heard_s"] is None


def test_who_vanished_stays_in_the_table_with_the_edits_that_wait_until_they_are_back() -> None:
    activity = joined()
    activity.notice(PeerSilent("1", "ben", 6.5), 200.0)
    activity.notice(PeerLeft("1", "ben", "silent"), 208.5)
    for _ in range(3):
        activity.notice(FileChanged("a.md", "edited", "disk"), 210.0)
    (row,) = activity.rows([], 213.5)
    assert (row["name"], row["state"], row["heard_s"], row["waiting"]) == ("ben", "away", 20.0, 3)
    assert activity.rows([], 194.0 + AWAY_SECONDS) == []
    activity.notice(PeerJoined("2", "ben", "editor"), 220.0)
    assert len(activity.rows([], 221.0)) == 1, "somebody else may have that name"
    activity.notice(PeerJoined("1", "ben", "editor"), 220.0)
    assert activity.rows([], 221.0) == []


def test_another_run_of_the_same_device_is_the_one_who_vanished() -> None:
    activity = joined(peer="aaaaaaaa00000001")
    activity.notice(PeerLeft("aaaaaaaa00000001", "ben", "silent"), 208.5)
    activity.notice(PeerJoined("aaaaaaaa00000002", "ben", "editor"), 220.0)
    assert activity.rows([], 221.0) == []


def test_two_people_of_one_name_are_not_taken_for_each_other() -> None:
    activity, other = joined(), dataclasses.replace(BEN, id="2")
    activity.notice(PeerJoined("2", "ben", "editor"), 100.0)
    activity.notice(FileChanged("todo.md", "edited", "ben", None, "2"), 200.0)
    activity.notice(FileChanged("old.md", "created", "ben"), 200.0)
    rows = activity.rows([BEN, other], 201.0)
    assert [(row["state"], row["file"]) for row in rows] == [("here", None), ("editing", "todo.md")]
    activity.notice(PeerLeft("2", "ben", "silent"), 202.0)
    rows = activity.rows([BEN], 203.0)
    assert [(row["id"], row["state"]) for row in rows] == [("1", "here"), ("2", "away")]


def test_who_said_goodbye_is_gone() -> None:
    activity = joined()
    activity.notice(PeerLeft("1", "ben", "bye"), 200.0)
    assert activity.rows([], 201.0) == []


def test_not_more_is_remembered_than_a_room_holds() -> None:
    activity = Activity()
    for number in range(REMEMBERED * 2):
        activity.notice(PeerJoined(str(number), f"guest {number}", "editor"), 1.0)
        activity.notice(PeerLeft(str(number), f"guest {number}", "silent"), 2.0)
    assert len(activity.rows([], 3.0)) == REMEMBERED
    assert activity.counts["peer.joined"] == 2 * REMEMBERED
