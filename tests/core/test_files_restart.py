"""A folder that is opened again: what was on disk when we stopped, and what happened since."""

from dataclasses import replace

import pytest

from peer.core import files
from peer.core.actions import MoveFile, ReplaceFile, SaveShadow
from peer.core.contents import digest_of
from peer.core.events import FileMoved, ScanFinished, Stamp
from peer.core.ids import INDEX
from tests.core.folder_desk import Desk, changes, only, shadow, some

STAMP = Stamp(9, 1, 1, 0o644)
LONG = b"a text that is long enough to be told from others\n"


def again(desk: Desk, *shadows: SaveShadow) -> Desk:
    other = Desk(documents=desk.documents, scanned=False)
    other.files.start(shadows)
    return other


def test_a_folder_is_shared_as_it_is_found() -> None:
    desk = Desk(scanned=False)
    for path in ("a.txt", "b/c.txt"):
        assert desk.see(path, path.encode()) == []
    assert desk.files.next_deadline() is None
    actions = desk.do(ScanFinished())
    assert changes(actions) == [("a.txt", "created"), ("b/c.txt", "created")]


def test_nothing_is_written_or_believed_gone_before_the_scan_is_finished() -> None:
    first = Desk().shared("a.txt", b"one\n")
    desk = again(first, shadow(first.entry("a.txt").doc, "a.txt", b"one\n"))
    desk.others_make("b.txt", "new\n")
    desk.changed(INDEX)
    desk.settle("a.txt", None, 2)
    assert "a.txt" in desk.folder()
    assert some(ReplaceFile, desk.all) == []
    assert only(ReplaceFile, desk.do(ScanFinished())).path == "b.txt"


def test_a_file_edited_while_we_were_away_is_taken_against_its_shadow() -> None:
    first = Desk().shared("a.txt", b"one\ntwo\n")
    doc = first.entry("a.txt").doc
    first.others_edit("a.txt", 0, 0, "zero\n")
    desk = again(first, shadow(doc, "a.txt", b"one\ntwo\n"))
    desk.see("a.txt", b"one\nmine\ntwo\n")
    actions = desk.do(ScanFinished())
    assert desk.text("a.txt") == "zero\none\nmine\ntwo\n"
    assert only(ReplaceFile, actions).expected == digest_of(b"one\nmine\ntwo\n")


def test_either_the_shadow_or_the_intent_may_be_on_disk_after_a_crash() -> None:
    first = Desk().shared("a.txt", b"one\n")
    doc = first.entry("a.txt").doc
    first.others_edit("a.txt", 4, 0, "two\n")
    for content in (b"one\n", b"one\ntwo\n"):
        desk = again(first, shadow(doc, "a.txt", b"one\n"), shadow(doc, "a.txt", b"one\ntwo\n", intent=True))
        desk.see("a.txt", content)
        assert desk.text("a.txt") == "one\ntwo\n"
        writes = some(ReplaceFile, desk.do(ScanFinished()))
        assert [write.expected for write in writes] == ([digest_of(content)] if content == b"one\n" else [])


def test_a_shadow_that_is_no_text_is_no_version_of_one() -> None:
    first = Desk().shared("a.txt", b"one\n")
    desk = again(first, shadow(first.entry("a.txt").doc, "a.txt", b"\xff\x00"))
    desk.see("a.txt", b"one\ntwo\n")
    assert desk.text("a.txt") == "one\ntwo\n"


def test_what_was_typed_here_before_a_restart_can_be_taken_back_after_it() -> None:
    first = Desk().shared("a.txt", b"one\n")
    doc = first.entry("a.txt").doc
    first.see("a.txt", b"one\nmine\n")
    desk = again(
        first, shadow(doc, "a.txt", b"one\n"), replace(shadow(doc, "a.txt", b"one\nmine\n"), saved=True)
    )
    desk.see("a.txt", b"one\nmine\n")
    desk.do(ScanFinished())
    desk.settle("a.txt", b"one\n")
    assert desk.text("a.txt") == "one\n"


def test_a_crlf_file_is_the_same_after_a_restart() -> None:
    first = Desk().shared("a.txt", b"one\r\ntwo\r\n")
    desk = again(first, shadow(first.entry("a.txt").doc, "a.txt", b"one\r\ntwo\r\n"))
    desk.see("a.txt", b"one\r\ntwo\r\nmine\r\n")
    assert some(ReplaceFile, desk.do(ScanFinished())) == []
    assert desk.text("a.txt") == "one\ntwo\nmine\n"


def test_a_file_deleted_while_we_were_away_is_deleted() -> None:
    first = Desk().shared("a.txt", b"one\n").shared("b.txt", b"two\n")
    docs = {path: entry.doc for path, entry in first.folder().items()}
    desk = again(first, shadow(docs["a.txt"], "a.txt", b"one\n"), shadow(docs["b.txt"], "b.txt", b"two\n"))
    desk.see("b.txt", b"two\n")
    desk.do(ScanFinished())
    desk.settle("a.txt", None)
    assert sorted(desk.folder()) == ["b.txt"]


def test_a_file_deleted_while_others_wrote_into_it_comes_back() -> None:
    first = Desk().shared("a.txt", b"one\n")
    doc = first.entry("a.txt").doc
    first.others_edit("a.txt", 4, 0, "two\n")
    desk = again(first, shadow(doc, "a.txt", b"one\n"))
    desk.do(ScanFinished())
    desk.settle("a.txt", None)
    assert only(ReplaceFile, some(ReplaceFile, desk.all)).content == b"one\ntwo\n"


def test_a_file_renamed_while_we_were_away_is_renamed() -> None:
    first = Desk().shared("a.txt", LONG)
    doc = first.entry("a.txt").doc
    desk = again(first, shadow(doc, "a.txt", LONG, inode=4))
    desk.see("b.txt", LONG, inode=4)
    desk.do(ScanFinished())
    assert desk.entry("b.txt").doc == doc


def test_a_file_without_a_shadow_is_adopted_if_it_is_what_the_session_has() -> None:
    first = Desk().shared("a.txt", b"one\n")
    desk = again(first)
    desk.see("a.txt", b"one\n")
    actions = desk.do(ScanFinished())
    assert only(SaveShadow, actions).content == b"one\n"
    assert some(ReplaceFile, actions) == []
    assert len(desk.folder()) == 1


def test_a_file_without_a_shadow_that_differs_is_kept_beside_the_sessions() -> None:
    first = Desk().shared("a.txt", b"theirs\n")
    desk = again(first)
    desk.see("a.txt", b"mine\n")
    actions = desk.do(ScanFinished())
    copy = f"a (conflict {digest_of(b'mine' + chr(10).encode()).hex()[:8]}).txt"
    assert sorted(desk.folder()) == sorted(["a.txt", copy])
    assert only(MoveFile, actions).new == copy
    desk.do(FileMoved("a.txt", copy, STAMP))
    assert some(ReplaceFile, desk.all)[-1].content == b"theirs\n"


def test_of_two_files_that_were_at_one_path_the_one_being_written_is_right() -> None:
    first = Desk().shared("a.txt", b"a\n").shared("b.txt", b"b\n")
    one, two = first.entry("a.txt").doc, first.entry("b.txt").doc
    desk = again(first, shadow(one, "a.txt", b"a\n"), shadow(two, "a.txt", b"b\n", intent=True))
    desk.see("a.txt", b"b\n")
    desk.see("b.txt", b"b\n")
    desk.do(ScanFinished())
    assert desk.text("a.txt") == "a\n"
    assert {desk.documents.open(entry.doc).text for entry in desk.folder().values()} == {"a\n", "b\n"}


def test_an_older_path_of_one_file_does_not_disturb_another() -> None:
    first = Desk().shared("a.txt", b"a\n").shared("b.txt", b"b\n")
    one, two = first.entry("a.txt").doc, first.entry("b.txt").doc
    desk = again(
        first, shadow(one, "a.txt", b"a\n"), shadow(two, "a.txt", b"b\n"), shadow(two, "b.txt", b"b\n")
    )
    desk.see("a.txt", b"a\n")
    desk.see("b.txt", b"b\n")
    assert some(ReplaceFile, desk.do(ScanFinished())) == []
    assert sorted(desk.folder()) == ["a.txt", "b.txt"]


def test_one_turn_does_not_go_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk().shared("a.txt", b"one\n")
    monkeypatch.setattr(files, "ROUNDS", 1)
    desk.index(desk.entry("a.txt").doc, "path", "b.txt")
    assert only(MoveFile, desk.changed(INDEX)).new == "b.txt"
