"""A folder that holds files already, and meets a session for the first time."""

import pytest

from peer.core.actions import Action, MoveFile, ReplaceFile, SaveShadow
from peer.core.arrivals import TEXT_PATIENCE
from peer.core.contents import digest_of
from peer.core.events import ScanFinished
from peer.core.ids import INDEX, DocId
from peer.core.layout import same_path_name
from peer.core.notices import FileChanged
from tests.core.folder_desk import Desk, only, some, told

TEXT = b"one\ntwo\n"


def aside(content: bytes) -> str:
    return same_path_name("a.txt", f"conflict {digest_of(content).hex()[:8]}")


def newcomer(text: str = TEXT.decode()) -> tuple[Desk, bytes, DocId]:
    """A desk that knows of a.txt and has not got its text, which is also returned, yet."""
    there = Desk(first_client=100)
    doc = there.others_make("a.txt", text)
    document = there.documents.open(doc)
    desk = Desk(scanned=False)
    desk.others_make("a.txt", "", since=document.state_vector())
    desk.changed(INDEX)
    return desk, document.full_state(), doc


def arrive(desk: Desk, doc: DocId, state: bytes) -> None:
    desk.documents.open(doc).apply(state)
    desk.changed(doc)


def answer(desk: Desk, content: bytes) -> None:
    """What the disk says to orders to write where there is something: no, and here it is."""
    for order in some(ReplaceFile, desk.all):
        if order.expected is None and order.path == "a.txt":
            desk.refused("a.txt", content)
    desk.all.clear()
    desk.settle("a.txt", content)


def test_a_file_whose_text_is_still_on_its_way_is_waited_for() -> None:
    desk, state, doc = newcomer()
    desk.see("a.txt", TEXT)
    desk.do(ScanFinished())
    desk.settle("a.txt", TEXT, seconds=5.0)
    assert list(desk.folder()) == ["a.txt"]
    arrive(desk, doc, state)
    answer(desk, TEXT)
    assert list(desk.folder()) == ["a.txt"], "the disk has just what the session has"
    assert some(ReplaceFile, desk.all) == []
    assert desk.files.next_deadline() is None


def test_what_differs_from_the_text_that_comes_late_is_kept_beside_it() -> None:
    desk, state, doc = newcomer()
    desk.see("a.txt", b"mine\n")
    desk.do(ScanFinished())
    desk.settle("a.txt", b"mine\n", seconds=2.0)
    arrive(desk, doc, state)
    answer(desk, b"mine\n")
    assert sorted(desk.folder()) == sorted(["a.txt", aside(b"mine\n")])


def test_a_text_that_never_comes_is_not_waited_for_for_ever() -> None:
    desk, *_ = newcomer()
    desk.see("a.txt", TEXT)
    desk.do(ScanFinished())
    desk.settle("a.txt", TEXT, seconds=TEXT_PATIENCE - 1.0)
    assert list(desk.folder()) == ["a.txt"]
    desk.settle("a.txt", TEXT, seconds=2.0)
    assert sorted(desk.folder()) == sorted(["a.txt", aside(TEXT)])


def test_a_file_that_waits_and_changes_keeps_its_place_in_line() -> None:
    desk, state, doc = newcomer()
    desk.see("a.txt", b"mine\n")
    desk.do(ScanFinished())
    desk.settle("a.txt", TEXT, seconds=2.0)
    arrive(desk, doc, state)
    answer(desk, TEXT)
    assert list(desk.folder()) == ["a.txt"]


def first_look(disk: bytes) -> tuple[Desk, list[Action]]:
    """A desk that has the whole session, and its first look at a.txt with this in it."""
    desk = Desk(scanned=False)
    desk.others_make("a.txt", TEXT.decode())
    desk.changed(INDEX)
    desk.see("a.txt", disk)
    return desk, desk.do(ScanFinished())


@pytest.mark.parametrize("disk", [b"one\n", b"two\n", b"one\nwo\n", b""])
def test_what_lacks_only_what_somebody_has_just_typed_is_an_older_version(disk: bytes) -> None:
    desk, actions = first_look(disk)
    assert only(ReplaceFile, actions).expected == digest_of(disk)
    assert only(ReplaceFile, actions).content == TEXT
    assert some(SaveShadow, actions)[0].content == disk, "known after a crash too"
    assert list(desk.folder()) == ["a.txt"]
    desk.replaced("a.txt", disk)
    desk.see("a.txt", TEXT + b"three\n")
    assert desk.text("a.txt") == "one\ntwo\nthree\n"


@pytest.mark.parametrize("disk", [b"one\ntwo\nmine\n", b"o\nto\n", b"one\n\x00"])
def test_what_holds_anything_else_is_kept_beside(disk: bytes) -> None:
    _, actions = first_look(disk)
    assert only(MoveFile, actions).new == aside(disk)


# --- who it is from --------------------------------------------------------------------------------------


def makers(desk: Desk) -> list[tuple[str, str, str]]:
    return [(one.path, one.change, one.by) for one in told(desk.all) if isinstance(one, FileChanged)]


def test_a_file_that_was_known_before_the_first_look_is_told_with_its_maker() -> None:
    desk = Desk(scanned=False)
    doc = desk.others_make("a.txt", "theirs\n")
    desk.changed(doc)
    again = Desk(documents=desk.documents, scanned=False)
    again.do(ScanFinished())
    again.replaced("a.txt", None)
    assert makers(again) == [("a.txt", "created", "ben")]


def test_a_text_that_comes_before_its_entry_is_told_with_its_maker() -> None:
    there = Desk(first_client=100)
    doc = there.others_make("a.txt", "theirs\n")
    desk = Desk(scanned=False)
    arrive(desk, doc, there.documents.open(doc).full_state())
    desk.documents.open(INDEX).apply(there.documents.open(INDEX).full_state())
    desk.changed()
    desk.do(ScanFinished())
    desk.replaced("a.txt", None)
    desk.others_edit("a.txt", 0, 0, "more ")
    desk.now += 1.0
    desk.wait(0.0)
    desk.replaced("a.txt", b"theirs\n")
    assert makers(desk) == [("a.txt", "created", "ben"), ("a.txt", "edited", "ben")]
