"""Files that come, go, move and collide."""

import random

import pytest

from peer.core.actions import ForgetShadow, MoveFile, ReadFile, RemoveFile, ReplaceFile, SaveShadow
from peer.core.contents import digest_of
from peer.core.documents import Documents
from peer.core.edits import Edit
from peer.core.events import FileMoved, FileRemoved, Stamp
from peer.core.ids import INDEX
from tests.core.folder_desk import Desk, changes, only, some, warnings

STAMP = Stamp(9, 1, 1, 0o644)
LONG = b"a text that is long enough to be told from others\n"


# --- new files ------------------------------------------------------------------------------------------


def test_a_new_file_is_shared_after_it_stayed_the_same_for_a_moment() -> None:
    desk = Desk()
    assert desk.see("a.txt", b"one\n") == []
    assert desk.files.next_deadline() == 0.1
    assert desk.wait(0.1) == [ReadFile("a.txt")]
    actions = desk.see("a.txt", b"one\n", mode=0o755)
    assert changes(actions) == [("a.txt", "created")]
    assert desk.text("a.txt") == "one\n"
    assert only(SaveShadow, actions).content == b"one\n"
    assert desk.entry("a.txt").by == "ann"


def test_a_new_file_that_is_being_written_is_shared_when_it_rests() -> None:
    desk = Desk()
    for size in range(1, 5):
        desk.see("a.txt", b"x" * size)
        desk.wait(0.08)
    assert desk.folder() == {}
    desk.settle("a.txt", b"xxxx", 0.2)
    assert desk.text("a.txt") == "xxxx"


def test_a_new_file_that_grows_for_ever_is_shared_all_the_same() -> None:
    desk = Desk()
    for size in range(100):
        desk.see("a.log", b"x" * size)
        desk.wait(0.08)
    assert "a.log" in desk.folder()


def test_a_file_that_lives_for_a_moment_is_not_shared() -> None:
    desk = Desk()
    desk.see("4913", b"x")
    desk.miss("4913")
    desk.wait(1)
    assert desk.folder() == {}
    assert desk.files.next_deadline() is None


def test_an_empty_file_is_a_file() -> None:
    desk = Desk().shared("empty", b"")
    assert desk.text("empty") == ""


def test_a_file_of_others_is_written_where_nothing_is() -> None:
    desk = Desk()
    desk.others_make("run.sh", "hi\n", exec=True, eol="crlf")
    write = only(ReplaceFile, desk.changed(INDEX))
    assert write == ReplaceFile("run.sh", None, b"hi\r\n", 0o755)


def test_the_same_path_made_on_both_sides_is_two_files() -> None:
    desk = Desk()
    desk.others_make("a.txt", "theirs\n")
    desk.changed(INDEX)
    desk.refused("a.txt", b"mine\n")
    assert ReadFile("a.txt") in desk.all
    desk.see("a.txt", b"mine\n")
    desk.wait(0.2)
    actions = desk.see("a.txt", b"mine\n")
    assert sorted(desk.folder()) == ["a (ann).txt", "a.txt"]
    assert only(MoveFile, actions) == MoveFile("a.txt", "a (ann).txt", digest_of(b"mine\n"))
    desk.do(FileMoved("a.txt", "a (ann).txt", STAMP))
    assert only(ReplaceFile, desk.wait(1)).content == b"theirs\n"


def test_a_file_that_others_made_alike_is_not_shared_twice() -> None:
    desk = Desk()
    doc = desk.others_make("a.txt", "same\n")
    desk.changed(INDEX)
    desk.refused("a.txt", b"same\n")
    desk.settle("a.txt", b"same\n")
    assert [entry.doc for entry in desk.folder().values()] == [doc]
    assert some(ReplaceFile, desk.see("a.txt", b"same\n")) == []


def test_a_file_whose_text_is_not_here_yet_does_not_stand_in_the_way() -> None:
    there, desk = Desk(first_client=100), Desk()
    known = there.documents.open(there.others_make("a.txt", "theirs\n")).state_vector()
    desk.others_make("a.txt", "", since=known)
    desk.changed(INDEX)
    desk.settle("a.txt", b"mine\n")
    assert sorted(desk.folder()) == ["a (ann).txt", "a.txt"]


# --- deleted and renamed files -----------------------------------------------------------------------------


def test_a_deletion_is_believed_after_a_while() -> None:
    desk = Desk().shared("a.txt", b"one\n")
    assert desk.miss("a.txt") == []
    assert desk.wait(0.05) == [ReadFile("a.txt")]
    actions = desk.settle("a.txt", None)
    assert desk.folder() == {}
    assert ("a.txt", "deleted") in changes(actions)
    assert some(ForgetShadow, actions)
    assert desk.files._board.files == {}


def test_a_file_that_an_editor_swaps_is_not_deleted() -> None:
    desk = Desk().shared("a.txt", b"one\n", inode=4)
    desk.miss("a.txt")
    desk.wait(0.1)
    desk.see("a.txt", b"one\ntwo\n", inode=5)
    desk.wait(1)
    assert desk.text("a.txt") == "one\ntwo\n"


def test_an_edit_beats_a_delete() -> None:
    desk = Desk().shared("a.txt", b"one\n")
    desk.miss("a.txt")
    desk.others_edit("a.txt", 4, 0, "two\n")
    desk.settle("a.txt", None)
    assert desk.text("a.txt") == "one\ntwo\n"
    assert some(ReplaceFile, desk.all)[-1].expected is None


def test_a_rename_is_known_by_its_inode_and_changes_the_path_only() -> None:
    desk = Desk().shared("a.txt", LONG, inode=4)
    doc = desk.entry("a.txt").doc
    desk.miss("a.txt")
    actions = desk.see("b.txt", LONG + b"and more\n", inode=4)
    assert desk.entry("b.txt").doc == doc
    assert ("b.txt", "renamed") in changes(actions)
    assert desk.text("b.txt").endswith("and more\n")


def test_a_rename_is_known_by_its_content_when_the_new_name_shows_first() -> None:
    desk = Desk().shared("a.txt", LONG, inode=4)
    doc = desk.entry("a.txt").doc
    assert desk.see("b.txt", LONG, inode=4) == [ReadFile("a.txt")]
    desk.see("c.txt", b"another", inode=77)
    desk.miss("a.txt")
    assert desk.entry("b.txt").doc == doc


def test_a_renamed_file_is_found_among_other_new_ones() -> None:
    desk = Desk().shared("a.txt", LONG, inode=4)
    doc = desk.entry("a.txt").doc
    desk.see("other.txt", b"nothing like it", inode=77)
    desk.see("b.txt", LONG, inode=5)
    desk.miss("a.txt")
    assert desk.entry("b.txt").doc == doc


def test_a_copy_is_a_new_file() -> None:
    desk = Desk().shared("a.txt", LONG, inode=4)
    desk.see("b.txt", LONG, inode=5)
    desk.see("a.txt", LONG, inode=4)
    desk.settle("b.txt", LONG, 0.3, inode=5)
    assert desk.entry("a.txt").doc != desk.entry("b.txt").doc


@pytest.mark.parametrize(("content", "inode"), [(b"unlike the other in every way\n", 4), (b"x", 6)])
def test_a_new_file_with_a_used_inode_and_another_content_is_no_rename(content: bytes, inode: int) -> None:
    desk = Desk().shared("a.txt", LONG, inode=4).shared("s.txt", b"x", inode=8)
    known = {entry.doc for entry in desk.folder().values()}
    desk.miss("a.txt")
    desk.miss("s.txt")
    desk.see("b.txt", content, inode)
    desk.settle("b.txt", content, 0.3, inode)
    assert desk.entry("b.txt").doc not in known


def test_a_deletion_by_others_removes_the_file() -> None:
    desk = Desk().shared("a.txt", b"one\n")
    doc = desk.entry("a.txt").doc
    desk.index(doc, "gone", desk.documents.open(doc).state_vector())
    remove = only(RemoveFile, desk.changed(INDEX))
    assert remove == RemoveFile("a.txt", digest_of(b"one\n"))
    actions = desk.do(FileRemoved("a.txt"))
    assert changes(actions) == [("a.txt", "deleted")]
    assert some(ForgetShadow, actions)


def test_a_file_that_was_changed_here_outlives_its_deletion_by_others() -> None:
    desk = Desk().shared("a.txt", b"one\n")
    doc = desk.entry("a.txt").doc
    desk.index(doc, "gone", desk.documents.open(doc).state_vector())
    desk.changed(INDEX)
    desk.refused("a.txt", b"one\nmine\n")
    assert desk.text("a.txt") == "one\nmine\n"
    assert some(RemoveFile, desk.wait(1)) == []


def test_a_file_that_lives_again_while_it_is_removed_is_written_again() -> None:
    desk = Desk().shared("a.txt", b"one\n")
    doc = desk.entry("a.txt").doc
    desk.index(doc, "gone", desk.documents.open(doc).state_vector())
    desk.changed(INDEX)
    desk.documents.open(doc).edit([Edit(0, 0, "X")])
    desk.changed(doc)
    actions = desk.do(FileRemoved("a.txt"))
    assert only(ReplaceFile, actions + desk.wait(0.1)).content == b"Xone\n"


def test_a_deletion_of_a_file_that_is_nowhere_forgets_it() -> None:
    desk = Desk()
    doc = desk.others_make("a.txt", "", since=b"not a state vector")
    desk.changed(INDEX)
    desk.refused("a.txt", b"x")
    desk.index(doc, "gone", b"*")
    desk.changed(INDEX)
    assert desk.files._board.files == {}


def test_a_rename_by_others_moves_the_file() -> None:
    desk = Desk().shared("a.txt", b"one\n")
    desk.index(desk.entry("a.txt").doc, "path", "b/c.txt")
    move = only(MoveFile, desk.changed(INDEX))
    assert move == MoveFile("a.txt", "b/c.txt", digest_of(b"one\n"))
    actions = desk.do(FileMoved("a.txt", "b/c.txt", STAMP))
    assert changes(actions) == [("b/c.txt", "renamed")]
    assert only(SaveShadow, actions).path == "b/c.txt"


def test_a_move_to_where_something_is_waits_and_tries_again() -> None:
    desk = Desk().shared("a.txt", b"one\n")
    desk.index(desk.entry("a.txt").doc, "path", "b.txt")
    desk.changed(INDEX)
    assert some(MoveFile, desk.refused("b.txt", b"in the way")) == []
    assert some(MoveFile, desk.wait(0.1)) == []
    actions = desk.wait(1)
    assert some(MoveFile, actions + desk.see("a.txt", b"one\n")) != []


def test_a_move_of_a_file_that_was_changed_takes_the_change_in_first() -> None:
    desk = Desk().shared("a.txt", b"one\n")
    desk.index(desk.entry("a.txt").doc, "path", "b.txt")
    desk.changed(INDEX)
    actions = desk.refused("a.txt", b"one\nmine\n")
    assert desk.text("b.txt") == "one\nmine\n"
    assert only(MoveFile, actions).expected == digest_of(b"one\nmine\n")


def test_a_file_waits_until_another_one_left_its_place() -> None:
    desk = Desk().shared("a.txt", b"a\n").shared("b.txt", b"b\n")
    one, two = desk.entry("a.txt").doc, desk.entry("b.txt").doc
    desk.index(two, "path", "c.txt")
    desk.index(one, "path", "b.txt")
    assert [move.old for move in some(MoveFile, desk.changed(INDEX))] == ["b.txt"]
    actions = desk.do(FileMoved("b.txt", "c.txt", STAMP))
    assert only(MoveFile, actions).new == "b.txt"


def test_two_files_change_places() -> None:
    desk = Desk().shared("a.txt", b"a\n").shared("b.txt", b"b\n")
    one, two = desk.entry("a.txt").doc, desk.entry("b.txt").doc
    desk.index(one, "path", "b.txt")
    desk.index(two, "path", "a.txt")
    removed = only(RemoveFile, desk.changed(INDEX))
    desk.do(FileRemoved(removed.path))
    moves = some(MoveFile, desk.all)
    desk.do(FileMoved(moves[-1].old, moves[-1].new, STAMP))
    desk.wait(1)
    assert some(ReplaceFile, desk.all)[-1].path == moves[-1].old


# --- names ------------------------------------------------------------------------------------------------


def test_a_name_that_cannot_be_used_is_reported_once_and_the_others_go_on() -> None:
    desk = Desk()
    desk.others_make("../../etc/passwd", "x", 1)
    desk.others_make("good.txt", "y", 2)
    desk.index(desk.files._new_id(), "kind", "text")
    actions = desk.changed(INDEX)
    assert warnings(actions) == ["name"]
    assert only(ReplaceFile, actions).path == "good.txt"
    desk.others_make("good2.txt", "y", 3)
    assert warnings(desk.changed(INDEX)) == []


def test_ids_come_from_the_given_randomness_and_are_new() -> None:
    desk = Desk()
    same = [desk.files._new_id() for _ in range(3)]
    assert len(set(same)) == 3
    source = random.Random(7)
    taken = source.randbytes(8)
    documents: Documents = desk.documents
    documents.open(type(same[0])(taken))
    assert taken not in [Desk(documents=documents).files._new_id()]
