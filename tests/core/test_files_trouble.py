"""A disk that will not, a session that may only be read, and answers that nobody asked for."""

import pytest

from peer.core import filestate
from peer.core.actions import MoveFile, ReadFile, RemoveFile, ReplaceFile
from peer.core.contents import digest_of
from peer.core.events import FileMoved, FileRemoved, FileReplaced, FileTrouble, Stamp
from peer.core.ids import INDEX
from peer.core.layout import Blob
from tests.core.folder_desk import Desk, changes, only, some, warnings

STAMP = Stamp(9, 1, 1, 0o644)


@pytest.fixture
def desk() -> Desk:
    return Desk().shared("a.txt", b"one\n")


def test_a_file_that_cannot_be_written_is_held_and_tried_again_less_and_less_often(desk: Desk) -> None:
    desk.others_edit("a.txt", 0, 0, "X")
    actions = desk.do(FileTrouble("a.txt", "no space left"))
    assert changes(actions) == [("a.txt", "held")]
    assert warnings(actions) == ["file-trouble"]
    waits = []
    for _ in range(9):
        due = desk.files.next_deadline()
        assert due is not None
        waits.append(due - desk.now)
        desk.now = due
        assert ReadFile("a.txt") in desk._keep(desk.files.tick(desk.now))
        assert some(ReplaceFile, desk.all)[-1].content == b"Xone\n"
        assert changes(desk.do(FileTrouble("a.txt", "no space left"))) == []
    assert waits[:3] == pytest.approx([0.5, 1.0, 2.0])
    assert waits[-1] == pytest.approx(60.0)
    desk.wait(60)
    desk.replaced("a.txt", b"one\n")
    assert desk.files._board.files[desk.entry("a.txt").doc].failures == 0


def test_other_files_go_on_while_one_is_held(desk: Desk) -> None:
    desk.shared("b.txt", b"two\n")
    desk.others_edit("a.txt", 0, 0, "X")
    desk.do(FileTrouble("a.txt", "locked"))
    assert only(ReplaceFile, desk.others_edit("b.txt", 0, 0, "Y")).path == "b.txt"


def test_a_file_that_cannot_be_made_or_moved_is_tried_again(desk: Desk) -> None:
    doc = desk.others_make("d/b.txt", "b\n")
    desk.changed(INDEX)
    desk.do(FileTrouble("d/b.txt", "not a directory"))
    assert only(ReplaceFile, desk.wait(1)).expected is None
    desk.replaced("d/b.txt", None)
    desk.index(doc, "path", "c.txt")
    desk.now += 1
    assert only(MoveFile, desk.changed(INDEX)).new == "c.txt"
    desk.do(FileTrouble("d/b.txt", "busy"))
    assert only(MoveFile, desk.wait(1)).new == "c.txt"


def test_a_file_that_cannot_be_read_is_not_known_to_be_anything(desk: Desk) -> None:
    desk.see("new.txt", b"x")
    desk.do(FileTrouble("new.txt", "permission denied"))
    assert desk.wait(1) == []
    desk.do(FileTrouble("a.txt", "permission denied"))
    desk.wait(0.6)
    desk.see("a.txt", b"one\n")
    assert desk.text("a.txt") == "one\n"
    assert desk.files._board.files[desk.entry("a.txt").doc].failures == 0


def test_answers_that_nobody_waits_for_are_passed_over(desk: Desk) -> None:
    assert desk.do(FileReplaced("a.txt", STAMP, None)) == []
    assert desk.do(FileReplaced("b.txt", STAMP, None)) == []
    assert desk.do(FileRemoved("a.txt")) == []
    assert desk.do(FileMoved("a.txt", "b.txt", STAMP)) == []
    assert desk.refused("a.txt", b"x") == []
    assert desk.text("a.txt") == "one\n"


def test_warnings_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filestate, "WARNINGS", 2)
    for path in ("x", "y", "z", "x"):
        assert warnings(desk.see(path, None)) == ["too-large"]


# --- reading only -------------------------------------------------------------------------------------------


def reader() -> Desk:
    desk = Desk(read_only=True)
    desk.others_make("a.txt", "one\n")
    desk.changed(INDEX)
    desk.replaced("a.txt", None)
    desk.now += 1
    return desk


def test_a_reader_gets_what_others_write() -> None:
    desk = reader()
    assert only(ReplaceFile, desk.others_edit("a.txt", 4, 0, "two\n")).content == b"one\ntwo\n"


def test_what_a_reader_changes_stays_on_his_disk_and_is_never_written_over() -> None:
    desk = reader()
    assert warnings(desk.see("a.txt", b"one\nmine\n")) == ["read-only"]
    assert warnings(desk.see("a.txt", b"one\nmine\nmore\n")) == []
    assert desk.text("a.txt") == "one\n"
    assert some(ReplaceFile, desk.others_edit("a.txt", 0, 0, "X")) == []
    assert only(ReplaceFile, desk.see("a.txt", b"one\n")).content == b"Xone\n"


def test_a_file_that_a_reader_deletes_comes_back() -> None:
    desk = reader()
    desk.settle("a.txt", None)
    assert "a.txt" in desk.folder()
    assert some(ReplaceFile, desk.all)[-1] == ReplaceFile("a.txt", None, b"one\n", 0o644)


def test_a_readers_new_files_and_modes_stay_his_own() -> None:
    desk = reader()
    assert warnings(desk.see("mine.txt", b"x")) == ["read-only"]
    desk.see("a.txt", b"one\n", mode=0o755)
    assert sorted(desk.folder()) == ["a.txt"]
    assert not desk.entry("a.txt").executable


def test_a_readers_save_that_slipped_in_is_put_beside() -> None:
    desk = reader()
    desk.others_edit("a.txt", 4, 0, "two\n")
    actions = desk.replaced("a.txt", b"one\nmine\n")
    beside = f"a (yours {digest_of(b'one' + bytes([10]) + b'mine' + bytes([10])).hex()[:8]}).txt"
    assert only(ReplaceFile, actions) == ReplaceFile(beside, None, b"one\nmine\n", 0o644)
    assert desk.text("a.txt") == "one\ntwo\n"


def test_a_readers_binary_file_is_replaced_by_the_sessions() -> None:
    desk = Desk(read_only=True)
    doc = desk.others_make_blob("a.bin", b"\x00one")
    desk.changed(INDEX)
    desk.files.blob_arrived(digest_of(b"\x00one"), b"\x00one", desk.now)
    desk.replaced("a.bin", None)
    desk.now += 1
    desk.index(doc, "blob", str(Blob(digest_of(b"\x00two"), 4)))
    desk.changed(INDEX)
    actions = desk.files.blob_arrived(digest_of(b"\x00two"), b"\x00two", desk.now)
    assert only(ReplaceFile, actions).expected == digest_of(b"\x00one")
    assert some(RemoveFile, actions) == []
