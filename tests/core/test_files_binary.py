"""Binary files: carried whole, the last writer wins, and the loser is kept beside."""

import pytest

from peer.core.actions import ForgetShadow, MoveFile, RemoveFile, ReplaceFile, SaveBlob, SaveShadow
from peer.core.contents import TEXT_LIMIT, digest_of
from peer.core.edits import Edit
from peer.core.events import DisplacedChanged, FileMoved, FileRemoved, ScanFinished, Stamp
from peer.core.ids import INDEX, DocId
from peer.core.layout import Blob
from tests.core.folder_desk import Desk, changes, only, shadow, some, warnings

ONE, TWO, THREE = b"\x00one", b"\x00two", b"\x00three"
STAMP = Stamp(9, 1, 1, 0o644)


@pytest.fixture
def desk() -> Desk:
    return Desk().shared("a.bin", ONE)


def conflict(content: bytes) -> str:
    return f"a (conflict {digest_of(content).hex()[:8]}).bin"


def others_put(desk: Desk, content: bytes, *replaced: bytes) -> None:
    entry = desk.entry("a.bin")
    blob = Blob(digest_of(content), len(content), tuple(digest_of(one).hex()[:16] for one in replaced))
    desk.index(entry.doc, "blob", str(blob))


def test_a_binary_file_is_saved_and_named_by_its_digest(desk: Desk) -> None:
    assert only(SaveBlob, some(SaveBlob, desk.all)).content == ONE
    assert desk.entry("a.bin").digest == digest_of(ONE)
    assert only(SaveShadow, some(SaveShadow, desk.all)).content == digest_of(ONE)


def test_a_large_text_is_carried_whole() -> None:
    desk = Desk().shared("big.txt", b"x" * (TEXT_LIMIT + 1))
    assert desk.entry("big.txt").kind == "blob"


def test_a_change_here_is_the_sessions_at_once(desk: Desk) -> None:
    actions = desk.see("a.bin", TWO)
    blob = desk.entry("a.bin").blob
    assert blob == Blob(digest_of(TWO), len(TWO), (digest_of(ONE).hex()[:16],))
    assert only(SaveBlob, actions).digest == digest_of(TWO)
    assert desk.see("a.bin", TWO) == []


def test_an_emptied_binary_file_settles_first(desk: Desk) -> None:
    assert some(SaveBlob, desk.see("a.bin", b"")) == []


def test_a_change_by_others_is_fetched_and_written(desk: Desk) -> None:
    others_put(desk, TWO, ONE)
    assert some(ReplaceFile, desk.changed(INDEX)) == []
    assert desk.files.missing_blobs() == {(digest_of(TWO), len(TWO))}
    assert desk.files.blob_arrived(b"another", b"", desk.now) == []
    actions = desk.files.blob_arrived(digest_of(TWO), TWO, desk.now)
    assert only(SaveBlob, actions).content == TWO
    assert only(ReplaceFile, actions) == ReplaceFile("a.bin", digest_of(ONE), TWO, 0o644)
    assert desk.files.missing_blobs() == set()
    desk.replaced("a.bin", ONE)
    assert desk.files._board.blobs == {}
    assert some(ReplaceFile, desk.wait(1)) == []


def test_a_file_of_others_is_written_when_its_content_is_here() -> None:
    desk = Desk()
    desk.others_make_blob("a.bin", ONE)
    desk.changed(INDEX)
    desk.files.blob_arrived(digest_of(ONE), ONE, desk.now)
    assert changes(desk.replaced("a.bin", None)) == [("a.bin", "created")]


def test_a_change_by_one_who_had_not_seen_ours_keeps_ours_beside(desk: Desk) -> None:
    desk.see("a.bin", TWO)
    others_put(desk, THREE, ONE)
    actions = desk.changed(INDEX)
    assert sorted(desk.folder()) == sorted(["a.bin", conflict(TWO)])
    assert desk.folder()[conflict(TWO)].digest == digest_of(TWO)
    assert only(MoveFile, actions) == MoveFile("a.bin", conflict(TWO), digest_of(TWO))
    assert only(ForgetShadow, actions).doc == desk.entry("a.bin").doc
    desk.files.blob_arrived(digest_of(THREE), THREE, desk.now)
    desk.do(FileMoved("a.bin", conflict(TWO), STAMP))
    write = some(ReplaceFile, desk.all + desk.wait(1))[-1]
    assert (write.path, write.content, write.expected) == ("a.bin", THREE, None)


def test_a_loser_leaves_its_path_though_the_winner_is_here_already(desk: Desk) -> None:
    desk.see("a.bin", TWO)
    desk.others_make_blob("c.bin", THREE, 1)
    desk.changed(INDEX)
    desk.files.blob_arrived(digest_of(THREE), THREE, desk.now)
    others_put(desk, THREE, ONE)
    actions = desk.changed(INDEX)
    assert some(ReplaceFile, actions) == []
    assert only(MoveFile, actions).new == conflict(TWO)
    assert only(ReplaceFile, desk.do(FileMoved("a.bin", conflict(TWO), STAMP))).path == "a.bin"


def test_everybody_makes_the_same_copy_of_a_loser(desk: Desk) -> None:
    other = Desk().shared("x", b"x")
    for side in (desk, other):
        doc = side.others_make_blob("c.bin", TWO, 5)
        side.files.blob_arrived(digest_of(TWO), TWO, 0.0)
        side.changed(INDEX)
        side.files.blob_arrived(digest_of(TWO), TWO, 0.0)
        side.replaced("c.bin", None)
        side.index(doc, "blob", str(Blob(digest_of(THREE), len(THREE))))
        side.now += 1
        side.changed(INDEX)
    copies = [[e.doc for path, e in side.folder().items() if "conflict" in path] for side in (desk, other)]
    assert copies[0] == copies[1] != []


def test_a_copy_that_is_here_already_is_not_made_again(desk: Desk) -> None:
    desk.see("a.bin", TWO)
    others_put(desk, THREE, ONE)
    desk.changed(INDEX)
    desk.do(FileMoved("a.bin", conflict(TWO), STAMP))
    desk.files.blob_arrived(digest_of(THREE), THREE, desk.now)
    desk.wait(1)
    desk.replaced("a.bin", None)
    desk.see("a.bin", TWO)
    others_put(desk, ONE)
    desk.changed(INDEX)
    assert len(desk.folder()) == 2


def test_a_change_here_while_another_is_on_its_way_keeps_the_other_beside(desk: Desk) -> None:
    others_put(desk, TWO, ONE)
    desk.changed(INDEX)
    desk.see("a.bin", THREE)
    assert desk.entry("a.bin").digest == digest_of(THREE)
    assert desk.folder()[conflict(TWO)].digest == digest_of(TWO)
    assert (digest_of(TWO), len(TWO)) in desk.files.missing_blobs()


def test_what_others_have_already_is_only_remembered(desk: Desk) -> None:
    others_put(desk, TWO, ONE)
    desk.changed(INDEX)
    desk.see("a.bin", TWO)
    assert len(desk.folder()) == 1
    assert desk.files.missing_blobs() == set()


def test_a_file_of_others_waits_until_its_path_is_left() -> None:
    desk = Desk().shared("x.bin", ONE).shared("y.bin", TWO)
    doc = desk.entry("x.bin").doc
    other = desk.others_make_blob("x.bin", THREE, 1)
    desk.index(doc, "path", "z.bin")
    desk.changed(INDEX)
    assert other == desk.entry("x.bin").doc
    assert some(ReplaceFile, desk.files.blob_arrived(digest_of(THREE), THREE, desk.now)) == []
    desk.do(FileMoved("x.bin", "z.bin", STAMP))
    assert some(ReplaceFile, desk.files.blob_arrived(digest_of(THREE), THREE, desk.now) + desk.all)


def test_a_loser_whose_copy_is_shared_already_is_only_replaced(desk: Desk) -> None:
    desk.see("a.bin", TWO)
    copy = DocId(digest_of(desk.entry("a.bin").doc + digest_of(TWO))[:8])
    desk.index(copy, "kind", "blob")
    desk.index(copy, "blob", str(Blob(digest_of(TWO), len(TWO))))
    desk.index(copy, "path", "kept.bin")
    desk.changed(INDEX)
    others_put(desk, THREE, ONE)
    desk.changed(INDEX)
    assert sorted(desk.folder()) == ["a.bin", "kept.bin"]
    actions = desk.files.blob_arrived(digest_of(THREE), THREE, desk.now)
    assert only(ReplaceFile, actions).expected == digest_of(TWO)


def test_a_displaced_binary_save_becomes_a_file_of_its_own(desk: Desk) -> None:
    others_put(desk, TWO, ONE)
    desk.changed(INDEX)
    desk.files.blob_arrived(digest_of(TWO), TWO, desk.now)
    actions = desk.replaced("a.bin", THREE)
    assert only(SaveBlob, actions).content == THREE
    assert some(ReplaceFile, actions)[-1] == ReplaceFile(conflict(THREE), None, THREE, 0o644)
    assert desk.do(DisplacedChanged("a.bin", b"")) == []


def test_a_binary_save_that_displaced_a_text_becomes_a_file_of_its_own() -> None:
    desk = Desk().shared("a.bin", b"text\n")
    desk.others_edit("a.bin", 0, 0, "X")
    desk.replaced("a.bin", THREE + b"more")
    desk.wait(3)
    assert desk.folder()[conflict(THREE + b"more")].digest == digest_of(THREE + b"more")
    assert desk.text("a.bin") == "Xtext\n"


def test_a_text_that_becomes_binary_is_another_file_in_its_place() -> None:
    desk = Desk().shared("a.bin", b"text\n")
    old = desk.entry("a.bin").doc
    desk.settle("a.bin", ONE + b"longer than before")
    entry = desk.entry("a.bin")
    assert (entry.kind, entry.doc != old) == ("blob", True)
    assert len(desk.folder()) == 1
    assert old in {one.doc for one in some(ForgetShadow, desk.all)}


def test_a_text_that_becomes_binary_while_others_edit_it_lives_on_beside() -> None:
    desk = Desk().shared("a.bin", b"text\n")
    old = desk.entry("a.bin").doc
    desk.see("a.bin", ONE + b"longer than before")
    desk.documents.open(old).edit([Edit(0, 0, "X")])
    desk.settle("a.bin", ONE + b"longer than before")
    kinds = {entry.kind for entry in desk.folder().values()}
    assert kinds == {"text", "blob"}


def test_a_binary_file_that_becomes_a_text_is_merged_from_then_on(desk: Desk) -> None:
    desk.see("a.bin", b"plain\n")
    assert desk.text("a.bin") == "plain\n"


def test_a_deleted_binary_file_is_gone_and_a_changed_one_lives(desk: Desk) -> None:
    entry = desk.entry("a.bin")
    desk.index(entry.doc, "gone", digest_of(ONE))
    assert only(RemoveFile, desk.changed(INDEX)).expected == digest_of(ONE)
    desk.refused("a.bin", TWO)
    assert desk.entry("a.bin").digest == digest_of(TWO)


def test_a_binary_file_deleted_here_is_deleted(desk: Desk) -> None:
    desk.settle("a.bin", None)
    assert desk.folder() == {}


def test_a_binary_file_is_known_again_after_a_restart(desk: Desk) -> None:
    doc = desk.entry("a.bin").doc
    for content, known in ((ONE, True), (TWO, False)):
        other = Desk(documents=desk.documents, scanned=False)
        other.files.start([shadow(doc, "a.bin", digest_of(ONE), binary=True)])
        other.see("a.bin", content)
        assert (some(SaveBlob, other.do(ScanFinished()) + other.all) == []) is known


def test_a_binary_file_without_a_shadow_is_adopted(desk: Desk) -> None:
    other = Desk(documents=desk.documents, scanned=False)
    other.see("a.bin", ONE)
    other.do(ScanFinished())
    assert len(other.folder()) == 1


def test_a_renamed_binary_file_keeps_its_entry(desk: Desk) -> None:
    doc = desk.entry("a.bin").doc
    desk.shared("b.bin", ONE + bytes(40), inode=6)
    renamed = desk.entry("b.bin").doc
    desk.miss("b.bin")
    desk.see("c.bin", ONE + bytes(40), inode=7)
    assert desk.entry("c.bin").doc == renamed != doc
    desk.index(renamed, "path", "d.bin")
    desk.changed(INDEX)
    actions = desk.do(FileMoved("c.bin", "d.bin", STAMP))
    assert only(SaveShadow, actions).binary


def test_a_binary_file_and_a_changed_inode_are_no_rename(desk: Desk) -> None:
    desk.shared("b.bin", ONE + bytes(40), inode=6)
    desk.miss("b.bin")
    desk.see("c.bin", TWO + bytes(50), inode=6)
    desk.wait(0.2)
    desk.see("c.bin", TWO + bytes(50), inode=6)
    assert "c.bin" in desk.folder()


def test_a_file_too_large_is_named_once_and_left_alone(desk: Desk) -> None:
    assert warnings(desk.see("huge.bin", None)) == ["too-large"]
    assert warnings(desk.see("huge.bin", None)) == []
    desk.see("a.bin", None)
    others_put(desk, TWO, ONE)
    desk.changed(INDEX)
    assert some(ReplaceFile, desk.files.blob_arrived(digest_of(TWO), TWO, desk.now)) == []
    desk.see("a.bin", THREE)
    assert desk.entry("a.bin").digest == digest_of(THREE)


def test_two_files_that_wait_for_one_content_both_get_it() -> None:
    desk = Desk()
    desk.others_make_blob("a.bin", ONE, 1)
    desk.others_make_blob("b.bin", ONE, 2)
    desk.changed(INDEX)
    actions = desk.files.blob_arrived(digest_of(ONE), ONE, desk.now)
    assert {write.path for write in some(ReplaceFile, actions)} == {"a.bin", "b.bin"}


def test_the_mode_of_a_binary_file_travels(desk: Desk) -> None:
    desk.see("a.bin", ONE, mode=0o755)
    assert desk.entry("a.bin").executable
    desk.index(desk.entry("a.bin").doc, "exec", False)
    desk.changed(INDEX)
    assert desk.files.missing_blobs() == {(digest_of(ONE), len(ONE))}
    actions = desk.files.blob_arrived(digest_of(ONE), ONE, desk.now)
    assert only(ReplaceFile, actions).mode == 0o644


def test_a_binary_file_removed_for_others_is_forgotten(desk: Desk) -> None:
    desk.index(desk.entry("a.bin").doc, "gone", digest_of(ONE))
    desk.changed(INDEX)
    desk.do(FileRemoved("a.bin"))
    assert desk.files._board.files == {}
