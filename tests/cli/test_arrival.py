"""What people read in the first seconds of a session: each line true, short, and there once."""

import dataclasses
from pathlib import Path

import pytest

from peer.cli.render import Setting
from peer.cli.wording import wrap
from peer.core.notices import FileChanged, PeerJoined, SyncDone, Warned
from tests.cli.fake_session import LINK, FakeSession
from tests.cli.test_render import Screen

NARROW = Setting("share", "notes/", columns=lambda: 50)
JOIN = Setting("join", "notes/")
WAITING = "notes/  waiting for somebody who has its files …"


def came(path: str, by: str = "anna", change: str = "created") -> FileChanged:
    return FileChanged(path, change, by)


def joining(files: int = 0, **options: object) -> tuple[Screen, FakeSession]:
    """A screen on which somebody has just joined a session that will have so many files."""
    screen, session = Screen(JOIN), FakeSession(**options)  # type: ignore[arg-type]
    session.files, session.text_bytes, session.role = files, files * 100, "editor"
    screen.view.started(session)
    return screen, session


def test_one_who_joins_is_live_only_when_the_first_comparison_is_done() -> None:
    screen, session = joining()
    screen.tell(PeerJoined("1", "anna", "owner"))
    session.files, session.text_bytes = 2, 12
    screen.tell(SyncDone("1", "anna", 3, 370, 23.0))
    shown = screen.lines()
    assert shown[:3] == [
        WAITING,
        "anna (owner) is here",
        "✓ notes/ is live: 2 files, 12 bytes.   from anna in 23 ms",
    ]
    assert shown[-1] == "Ctrl-C leaves (files stay).   weft status   weft stop"
    assert LINK not in " ".join(shown)


def test_one_who_is_alone_is_not_told_that_anything_is_live() -> None:
    screen, _ = joining()
    screen.now += 60.0
    screen.view.flush()
    assert not [line for line in screen.lines() if "live" in line]


def test_a_folder_that_was_joined_before_is_live_again_after_the_comparison() -> None:
    screen, _ = joining(14, resumed=True)
    screen.tell(SyncDone("1", "anna", 0, 0, 3.0), SyncDone("2", "ben", 0, 0, 3.0))
    shown = screen.lines()
    assert shown[0] == "notes/  14 files, 1 kB  (continued)"
    assert shown[2:] == ["✓ notes/ is live again: 14 files, 1 kB."]


def test_a_folder_that_was_joined_and_into_which_nothing_has_come_still_waits() -> None:
    screen, _ = joining(0, resumed=True)
    assert screen.lines() == [WAITING]


def test_one_who_leaves_before_anything_has_come_is_told_whether_anything_is_left(tmp_path: Path) -> None:
    for marked in (False, True):
        screen, session = joining(folder=tmp_path)
        if marked:
            (tmp_path / ".weft").mkdir()
            (tmp_path / ".weft" / "session.json").touch()
        screen.view.leaving(session)
        screen.view.ended({})
        back = f"to go on:  weft join {tmp_path}/"
        nothing = "nothing is left here; to try again:  weft join LINK"
        assert screen.lines()[1:] == [
            "leaving: nothing had come yet",
            "left after 0.0 s.",
            back if marked else nothing,
        ]


def test_one_who_may_only_read_is_told_so() -> None:
    screen, session = joining()
    session.files, session.role = 1, "viewer"
    screen.tell(SyncDone("1", "anna", 3, 370, 23.0))
    assert screen.lines()[1].startswith("✓ notes/ is live: 1 file, 0 bytes, as viewer.")


def test_the_files_of_the_first_look_are_told_as_one_number() -> None:
    screen, session = joining()
    screen.tell(came("0.md"))
    session.files = 2
    screen.tell(SyncDone("1", "anna", 3, 370, 23.0), came("1.md"), came("logo.png"))
    assert [line for line in screen.lines() if "added" in line] == ["anna added logo.png"]


def test_what_is_changed_or_made_again_after_the_first_look_is_told() -> None:
    screen, session = joining()
    session.files = 2
    screen.tell(SyncDone("1", "anna", 3, 370, 23.0), came("0.md", change="edited"))
    screen.now += 1.0
    screen.tell(came("1.md", change="deleted"))
    screen.now += 1.0
    screen.tell(came("1.md"))
    shown = screen.lines()
    assert shown[-3:] == ["anna changed 0.md", "anna removed 1.md", "anna added 1.md"]


def test_what_one_adds_while_waiting_is_told() -> None:
    screen, _ = joining()
    screen.tell(came("mine.md", by="disk"))
    assert screen.lines()[-1] == "you added mine.md"


def test_a_peer_without_files_is_believed_after_a_while_only() -> None:
    screen, session = joining()
    screen.tell(PeerJoined("1", "chen", "editor"), SyncDone("1", "chen", 0, 0, 3.0))
    assert screen.view.patience() == pytest.approx(5.0)
    screen.now += 4.9
    screen.view.flush()
    session.files = 1
    screen.tell(SyncDone("2", "anna", 2, 200, 3.0))
    screen.now += 9.0
    screen.view.flush()
    live = [line for line in screen.lines() if "live" in line]
    assert live == ["✓ notes/ is live: 1 file, 0 bytes.   from anna in 3 ms"]
    screen, _ = joining()
    screen.tell(PeerJoined("1", "chen", "editor"), SyncDone("1", "chen", 0, 0, 3.0))
    screen.now += 5.0
    screen.view.flush()
    assert screen.lines()[2] == "✓ notes/ is live: nobody here has files in it yet."


def test_a_comparison_that_brought_nothing_is_not_told() -> None:
    screen = Screen()
    screen.tell(SyncDone("1", "ben", 0, 0, 3.0), SyncDone("1", "ben", 2, 400, 3.0))
    assert screen.lines() == ["up to date with ben: 400 bytes in 3 ms"]


def test_one_who_shares_is_told_once_which_files_there_are(tmp_path: Path) -> None:
    screen = Screen()
    screen.view.started(FakeSession(folder=tmp_path))
    screen.tell(came("0.md", by="disk"), came("new.md", by="disk"))
    assert screen.lines()[-1] == "you added new.md"
    again = Screen()
    again.view.started(FakeSession(folder=tmp_path, resumed=True))
    again.tell(came("0.md", by="disk"))
    assert again.lines()[-1] == "you added 0.md"


def test_who_was_here_first_did_not_join() -> None:
    joined, _ = joining(2, resumed=True)
    joined.tell(PeerJoined("1", "anna", "owner"), SyncDone("1", "anna", 0, 0, 3.0))
    joined.now += 60.0
    joined.tell(PeerJoined("2", "chen", "viewer"), PeerJoined("3", "dora", "editor"))
    shown = joined.lines()
    assert "anna (owner) is here" in shown
    assert shown[-2:] == ["chen joined as viewer", "dora joined"]
    shared = Screen()
    shared.view.started(FakeSession(resumed=True))
    shared.tell(PeerJoined("2", "chen", "editor"))
    assert shared.lines()[-1] == "chen is here"


def test_one_who_was_told_what_to_do_when_alone_is_not_told_again() -> None:
    screen, _ = joining()
    screen.tell(Warned("W-ALONE", "nobody of this session was found"))
    screen.now += 9.0
    screen.view.flush()
    assert len([line for line in screen.lines() if "nobody" in line]) == 1


def test_nothing_but_the_command_to_copy_is_wider_than_the_terminal(tmp_path: Path) -> None:
    for command in ("share", "join"):
        screen, session = Screen(dataclasses.replace(NARROW, command=command)), FakeSession()
        session.link = f"weft:{'A' * 100}"
        screen.view.opening()
        screen.view.started(session)
        screen.tell(PeerJoined("1", "anna", "owner"), SyncDone("1", "anna", 3, 370, 23.0))
        screen.view.warning("W-ALONE", "nobody of this session was found on this network yet; " * 3)
        screen.view.close()
        for line in screen.stream.getvalue().decode().splitlines():
            assert len(line) <= 50 or "weft join weft:AAA" in line


def test_a_line_is_broken_at_spaces_and_colours_take_no_room() -> None:
    assert wrap("  one two  three", 9, indent=4) == ["  one two", "    three"]
    red = "\x1b[1;31mone\x1b[0m two three"
    assert wrap(red, 7, indent=0) == ["\x1b[1;31mone\x1b[0m two", "three"]
    assert wrap("x" * 20, 9, indent=2) == ["x" * 20]
    assert wrap("a " + "x" * 20, 9, indent=2) == ["a", "  " + "x" * 20]
    assert wrap("陳大文 陳大文", 8, indent=0) == ["陳大文", "陳大文"]


def test_one_who_leaves_is_told_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my notes"
    folder.mkdir()
    for place, command in ((tmp_path, "weft share 'my notes/'"), (folder, "weft share")):
        monkeypatch.chdir(place)
        screen = Screen()
        screen.view.started(FakeSession(folder=folder))
        screen.view.ended({})
        assert screen.lines()[-1] == f"to go on:  {command}"


def test_what_the_terminal_shows_of_ctrl_c_is_written_over_in_a_terminal_only() -> None:
    for setting, start in (
        (NARROW, b"\r  leaving"),
        (dataclasses.replace(NARROW, columns=lambda: 0), b"  leaving"),
    ):
        screen = Screen(setting)
        screen.view.leaving(FakeSession())
        screen.view.close()
        assert screen.stream.getvalue().startswith(start)
