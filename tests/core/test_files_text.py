"""Text files between disk and session: saves, echoes, settling, and what meets in between."""

import pytest

from peer.core.actions import ForgetShadow, ReadFile, ReplaceFile, SaveShadow
from peer.core.contents import digest_of
from peer.core.edits import Edit
from peer.core.events import DisplacedChanged
from peer.core.filestate import DISPLACED_LIMIT
from peer.core.ids import INDEX
from peer.core.outgoing import PACE_SECONDS
from peer.core.settling import MISSING_SECONDS, SETTLE_SECONDS, Settling
from tests.core.folder_desk import Desk, changes, only, some, warnings


@pytest.fixture
def desk() -> Desk:
    return Desk().shared("a.txt", b"one\ntwo\n")


def test_a_save_becomes_edits_and_a_shadow_in_one_batch(desk: Desk) -> None:
    actions = desk.see("a.txt", b"one\n2\ntwo\n")
    assert desk.text("a.txt") == "one\n2\ntwo\n"
    assert only(SaveShadow, actions).content == b"one\n2\ntwo\n"
    assert changes(actions) == [("a.txt", "edited")]
    assert some(ReplaceFile, actions) == []


def test_an_echo_is_no_event(desk: Desk) -> None:
    assert desk.see("a.txt", b"one\ntwo\n") == []


def test_an_edit_of_others_is_written_at_once_when_the_disk_holds_the_shadow(desk: Desk) -> None:
    actions = desk.others_edit("a.txt", 4, 0, "X")
    write = only(ReplaceFile, actions)
    assert write == ReplaceFile("a.txt", digest_of(b"one\ntwo\n"), b"one\nXtwo\n", 0o644)
    assert only(SaveShadow, actions).intent
    assert actions.index(only(SaveShadow, actions)) < actions.index(write)
    done = desk.replaced("a.txt", b"one\ntwo\n", inode=5)
    assert not only(SaveShadow, done).intent
    assert changes(done) == [("a.txt", "edited")]


def test_an_edit_that_changes_nothing_writes_nothing(desk: Desk) -> None:
    doc = desk.entry("a.txt").doc
    desk.documents.open(doc).edit([Edit(0, 0, "x")])
    desk.documents.open(doc).edit([Edit(0, 1, "")])
    assert desk.changed(doc) == []
    assert desk.changed(doc) == []


def test_edits_during_a_writing_wait_for_it_and_for_the_pace(desk: Desk) -> None:
    desk.others_edit("a.txt", 0, 0, "X")
    assert some(ReplaceFile, desk.others_edit("a.txt", 0, 0, "Y")) == []
    assert some(ReplaceFile, desk.replaced("a.txt", b"one\ntwo\n")) == []
    due = desk.files.next_deadline()
    assert due == desk.now + PACE_SECONDS
    assert some(ReplaceFile, desk.wait(PACE_SECONDS / 2)) == []
    assert only(ReplaceFile, desk.wait(PACE_SECONDS)).content == b"YXone\ntwo\n"


def test_an_application_edits_a_text(desk: Desk) -> None:
    desk.documents.open(desk.entry("a.txt").doc).edit([Edit(0, 0, "X")])
    desk.changed(desk.entry("a.txt").doc, by="")
    desk.replaced("a.txt", b"one\ntwo\n")
    assert "api" in {file.by.name for file in desk.files._board.files.values()}


def test_a_save_that_slipped_in_before_a_writing_is_taken_in_and_written_again(desk: Desk) -> None:
    desk.others_edit("a.txt", 8, 0, "theirs\n")
    actions = desk.replaced("a.txt", b"one\nmine\ntwo\n")
    assert desk.text("a.txt") == "one\nmine\ntwo\ntheirs\n"
    assert [one.content for one in some(SaveShadow, actions)][-1] == b"one\ntwo\ntheirs\n"
    assert only(ReplaceFile, desk.wait(1)).content == b"one\nmine\ntwo\ntheirs\n"


def test_a_writer_that_goes_on_in_the_displaced_file_is_heard(desk: Desk) -> None:
    desk.others_edit("a.txt", 8, 0, "theirs\n")
    desk.replaced("a.txt", b"")
    desk.do(DisplacedChanged("a.txt", b"one\nmine\ntwo\n"))
    assert desk.text("a.txt") == "one\nmine\ntwo\ntheirs\n"
    desk.do(DisplacedChanged("a.txt", b"one\nmine\ntwo\n"))
    desk.do(DisplacedChanged("gone.txt", b"x"))
    assert desk.text("a.txt").count("mine") == 1


def test_a_displaced_file_that_looks_cut_is_believed_after_a_while(desk: Desk) -> None:
    desk.others_edit("a.txt", 8, 0, "theirs\n")
    desk.replaced("a.txt", b"two\nX")
    assert "one" in desk.text("a.txt")
    desk.wait(1)
    assert "one" in desk.text("a.txt")
    desk.wait(2)
    assert desk.text("a.txt") == "two\nXtheirs\n"


def test_an_emptied_displaced_file_says_nothing(desk: Desk) -> None:
    desk.others_edit("a.txt", 8, 0, "theirs\n")
    desk.replaced("a.txt", b"")
    desk.wait(3)
    assert desk.text("a.txt") == "one\ntwo\ntheirs\n"


def test_a_displaced_save_that_a_later_one_has_overtaken_deletes_nothing(desk: Desk) -> None:
    desk.others_edit("a.txt", 8, 0, "theirs\n")
    desk.replaced("a.txt", b"one\ntwo\n")
    desk.see("a.txt", b"one\ntwo\nfirst\nsecond\n")
    desk.do(DisplacedChanged("a.txt", b"one\ntwo\nfirst\n"))
    assert sorted(desk.text("a.txt").split()) == ["first", "one", "second", "theirs", "two"]


def test_a_displaced_save_that_is_the_newest_may_delete(desk: Desk) -> None:
    desk.see("a.txt", b"one\ntwo\nfirst\n", inode=1, written=5)
    desk.others_edit("a.txt", 0, 0, "theirs\n")
    desk.replaced("a.txt", b"one\ntwo\nfirst\n", inode=2)
    desk.displaced("a.txt", b"one\nfirst\n", inode=1, written=6)
    assert desk.text("a.txt") == "theirs\none\nfirst\n"


def test_a_displaced_file_is_read_as_a_change_of_what_that_very_file_held(desk: Desk) -> None:
    desk.see("a.txt", b"one\ntwo\n", inode=1)
    for number, letter in enumerate("XYZ"):
        desk.others_edit("a.txt", 0, 0, f"{letter}\n")
        desk.replaced("a.txt", desk.text("a.txt").partition("\n")[2].encode(), inode=2 + number)
        desk.wait(1)
    desk.displaced("a.txt", b"X\ntwo\n", inode=2, written=9)
    assert desk.text("a.txt") == "Z\nY\nX\ntwo\n"
    desk.displaced("a.txt", b"X\ntwo\nmore\n", inode=2, written=10)
    assert desk.text("a.txt") == "Z\nY\nX\ntwo\nmore\n"


def test_of_the_files_that_were_displaced_only_the_last_are_remembered(desk: Desk) -> None:
    for number in range(DISPLACED_LIMIT + 3):
        desk.others_edit("a.txt", 0, 0, "X")
        desk.replaced("a.txt", None, inode=100 + number)
        desk.wait(1)
    (file,) = desk.files._board.files.values()
    assert list(file.displaced_from) == list(range(102, 102 + DISPLACED_LIMIT))


def test_a_shorter_file_that_nobody_has_open_is_whole(desk: Desk) -> None:
    desk.see("a.txt", b"two\nX", whole=True)
    assert desk.text("a.txt") == "two\nX"


def test_a_file_that_is_being_written_is_believed_when_it_stays_the_same(desk: Desk) -> None:
    desk.see("a.txt", b"one\ntwo\nhal", whole=False)
    assert desk.text("a.txt") == "one\ntwo\n"
    desk.wait(0.05)
    desk.see("a.txt", b"one\ntwo\nhalf a line\n", whole=True)
    assert desk.text("a.txt") == "one\ntwo\nhalf a line\n"


def test_a_displaced_save_that_is_finished_later_is_taken_in_once(desk: Desk) -> None:
    desk.see("a.txt", b"one\ntwo\n", inode=1)
    desk.others_edit("a.txt", 8, 0, "theirs\n")
    desk.replaced("a.txt", b"one\ntwo\n", inode=2)
    desk.displaced("a.txt", b"one\nmine\ntwo\n", inode=1, written=7, whole=False)
    assert "mine" not in desk.text("a.txt")
    for _ in range(2):
        desk.displaced("a.txt", b"one\nmine\ntwo\n", inode=1, written=7)
        assert desk.text("a.txt") == "one\nmine\ntwo\ntheirs\n"


def test_what_shows_during_a_writing_is_looked_at_afterwards(desk: Desk) -> None:
    desk.others_edit("a.txt", 0, 0, "X")
    assert desk.see("a.txt", b"something else") == []
    assert ReadFile("a.txt") in desk.replaced("a.txt", b"one\ntwo\n")
    desk.others_edit("a.txt", 0, 0, "Y")
    desk.wait(1)
    assert desk.miss("a.txt") == []
    assert ReadFile("a.txt") in desk.replaced("a.txt", b"Xone\ntwo\n")


def test_a_refused_writing_takes_in_what_is_there(desk: Desk) -> None:
    desk.others_edit("a.txt", 8, 0, "theirs\n")
    actions = desk.refused("a.txt", b"one\nmine\ntwo\n")
    assert desk.text("a.txt") == "one\nmine\ntwo\ntheirs\n"
    assert only(ReplaceFile, actions).expected == digest_of(b"one\nmine\ntwo\n")
    assert desk.refused("b.txt", b"") == []


def test_a_refused_writing_of_a_file_that_is_gone_waits_before_it_believes_that(desk: Desk) -> None:
    desk.others_edit("a.txt", 8, 0, "theirs\n")
    assert some(ReplaceFile, desk.refused("a.txt", None, stamped=False)) == []
    desk.settle("a.txt", None, 1)
    assert "a.txt" in desk.folder()
    assert only(ReplaceFile, desk.all[-1:]).expected is None


@pytest.mark.parametrize("content", [b"", b"one\nt", b"on", b"XX"])
def test_a_file_that_looks_cut_is_not_believed_at_once(desk: Desk, content: bytes) -> None:
    assert some(SaveShadow, desk.see("a.txt", content)) == []
    assert desk.text("a.txt") == "one\ntwo\n"
    assert some(ReadFile, desk.wait(0.05)) == [ReadFile("a.txt")]
    desk.see("a.txt", b"one\ntwo\nthree\n")
    assert desk.text("a.txt") == "one\ntwo\nthree\n"


def test_a_file_that_stays_cut_is_believed(desk: Desk) -> None:
    desk.settle("a.txt", b"on")
    assert desk.text("a.txt") == "on"
    desk.settle("a.txt", b"")
    assert desk.text("a.txt") == ""


def test_nothing_is_written_while_a_file_settles(desk: Desk) -> None:
    desk.see("a.txt", b"")
    assert some(ReplaceFile, desk.others_edit("a.txt", 0, 0, "X")) == []
    assert only(ReplaceFile, desk.see("a.txt", b"one\ntwo\n")).content == b"Xone\ntwo\n"


def test_a_file_that_changes_all_the_time_is_believed_in_the_end() -> None:
    settling = Settling(b"a", 0.0, 0.0)
    for number in range(1, 100):
        settling.look(b"a" * number, number * 0.1)
        assert settling.is_over(number * 0.1) is (number * 0.1 >= SETTLE_SECONDS)
    assert settling.is_over(SETTLE_SECONDS)


def test_a_missing_file_is_believed_after_its_own_time() -> None:
    settling = Settling(None, 0.0, 0.0)
    assert not settling.is_over(MISSING_SECONDS / 2)
    assert settling.is_over(MISSING_SECONDS)


def test_a_stale_editor_does_not_delete_what_others_wrote(desk: Desk) -> None:
    desk.others_edit("a.txt", 8, 0, "theirs\n")
    desk.replaced("a.txt", b"one\ntwo\n")
    desk.wait(5)
    actions = desk.see("a.txt", b"one\ntwo\nmine\n")
    actions += desk.settle("a.txt", b"one\ntwo\nmine\n")
    assert desk.text("a.txt").split() == ["one", "two", "mine", "theirs"]
    assert some(ReplaceFile, actions)[0].content == desk.text("a.txt").encode()


def test_a_crlf_file_stays_crlf() -> None:
    desk = Desk().shared("a.txt", b"one\r\ntwo\r\n")
    assert desk.text("a.txt") == "one\ntwo\n"
    assert desk.entry("a.txt").crlf
    write = only(ReplaceFile, desk.others_edit("a.txt", 4, 0, "X\n"))
    assert write.content == b"one\r\nX\r\ntwo\r\n"
    desk.replaced("a.txt", b"one\r\ntwo\r\n")
    desk.see("a.txt", b"one\r\nX\r\ntwo\r\nbare\n")
    assert only(ReplaceFile, desk.wait(1)).content == b"one\r\nX\r\ntwo\r\nbare\r\n"


def test_a_file_whose_line_ends_are_converted_changes_its_mark_and_not_its_text() -> None:
    desk = Desk().shared("a.txt", b"one\ntwo\n")
    desk.see("a.txt", b"one\r\ntwo\r\n")
    assert desk.entry("a.txt").crlf
    assert desk.text("a.txt") == "one\ntwo\n"
    desk.settle("a.txt", b"one\ntwo\n")
    assert not desk.entry("a.txt").crlf


def test_single_carriage_returns_and_a_byte_order_mark_are_kept() -> None:
    content = "\ufeffa\rb\r\nc\n".encode()
    desk = Desk().shared("a.txt", content)
    assert desk.text("a.txt") == content.decode()


def test_the_executable_bit_travels_both_ways(desk: Desk) -> None:
    desk.see("a.txt", b"one\ntwo\n", mode=0o755)
    assert desk.entry("a.txt").executable
    desk.index(desk.entry("a.txt").doc, "exec", False)
    write = only(ReplaceFile, desk.changed(INDEX))
    assert (write.mode, write.content) == (0o644, b"one\ntwo\n")
    desk.replaced("a.txt", b"one\ntwo\n")
    assert not desk.entry("a.txt").executable


def test_a_text_that_the_document_cannot_hold_stays_as_it_is_on_disk(desk: Desk) -> None:
    document = desk.documents.open(desk.entry("a.txt").doc)
    with document.doc.transaction():
        actions = desk.see("a.txt", b"one\nmine\ntwo\n")
    assert "refused" in warnings(actions)
    assert some(ReplaceFile, actions + desk.wait(1)) == []
    assert desk.text("a.txt") == "one\ntwo\n"


def test_a_displaced_save_that_the_document_cannot_hold_changes_nothing(desk: Desk) -> None:
    desk.others_edit("a.txt", 8, 0, "theirs\n")
    with desk.documents.open(desk.entry("a.txt").doc).doc.transaction():
        actions = desk.replaced("a.txt", b"one\nmine\ntwo\n")
    assert "refused" in warnings(actions)
    assert desk.text("a.txt") == "one\ntwo\ntheirs\n"


def test_a_new_text_that_arrives_piece_by_piece_is_written_when_it_is_here() -> None:
    there, here = Desk(first_client=100), Desk()
    doc = there.others_make("b.txt", "hello\n")
    document = there.documents.open(doc)
    update = document.full_state()
    here.others_make("b.txt", "", since=document.state_vector())
    assert some(ReplaceFile, here.changed(INDEX)) == []
    here.documents.open(doc).apply(update)
    write = only(ReplaceFile, here.changed(doc))
    assert (write.expected, write.content) == (None, b"hello\n")
    assert changes(here.replaced("b.txt", None)) == [("b.txt", "created")]
    assert some(ForgetShadow, here.all) == []


def test_a_new_file_that_becomes_executable_before_it_is_shared_is_shared_so() -> None:
    desk = Desk()
    desk.see("run.sh", b"#!/bin/sh\n")
    desk.see("run.sh", b"#!/bin/sh\n", mode=0o755)
    desk.now += 0.2
    desk.see("run.sh", b"#!/bin/sh\n", mode=0o755)
    assert desk.entry("run.sh").executable
