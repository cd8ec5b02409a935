"""What a session without a folder tells about its texts."""

from peer.core.actions import Action, Tell
from peer.core.bare import Bare
from peer.core.documents import Documents
from peer.core.edits import Edit
from peer.core.events import ScanFinished
from peer.core.ids import INDEX, DocId
from peer.core.layout import UNCONDITIONAL, key_of
from peer.core.notices import Author, FileChanged

ONE, TWO = DocId(b"text one"), DocId(b"text two")
NOW = 100.0


class Side:
    """Documents without a folder, changed as if by Ben."""

    def __init__(self) -> None:
        self.documents = Documents(lambda: 7)
        self.index = self.documents.open(INDEX).index
        self.bare = Bare(self.documents)

    def put(self, doc: DocId, path: str, kind: str = "text") -> None:
        self.index.set(key_of(doc, "kind"), kind)
        self.index.set(key_of(doc, "path"), path)

    def type(self, doc: DocId, text: str) -> None:
        self.documents.open(doc).edit([Edit(0, 0, text)])

    def told(self, *docs: DocId, by: str = "ben") -> list[FileChanged]:
        return notices(self.bare.documents_changed(dict.fromkeys(docs, Author(by) if by else None), NOW))


def notices(actions: list[Action]) -> list[FileChanged]:
    return [
        order.notice for order in actions if isinstance(order, Tell) and isinstance(order.notice, FileChanged)
    ]


def test_a_text_is_created_edited_renamed_and_deleted() -> None:
    side = Side()
    side.put(ONE, "a.md")
    side.type(ONE, "hello")
    assert side.told(INDEX, ONE) == [FileChanged("a.md", "created", "ben")]
    side.type(ONE, "hello")
    assert side.told(ONE) == [FileChanged("a.md", "edited", "ben")]
    side.put(ONE, "b.md")
    assert side.told(INDEX) == [FileChanged("b.md", "renamed", "ben", "a.md")]
    side.index.set(key_of(ONE, "gone"), UNCONDITIONAL)
    assert side.told(INDEX) == [FileChanged("b.md", "deleted", "ben")]
    assert side.told(ONE) == []


def test_a_name_that_is_here_before_its_text_is_told_of_with_the_text() -> None:
    side = Side()
    side.put(ONE, "a.md")
    assert side.told(INDEX) == []
    side.type(ONE, "hello")
    assert side.told(ONE) == [FileChanged("a.md", "created", "ben")]


def test_a_text_that_is_here_before_its_name_is_told_of_with_the_name() -> None:
    side = Side()
    side.type(ONE, "hello")
    assert side.told(ONE) == []
    side.put(ONE, "a.md")
    assert side.told(INDEX) == [FileChanged("a.md", "created", "ben")]


def test_a_change_of_how_a_file_is_written_is_an_edit() -> None:
    side = Side()
    side.put(ONE, "a.md")
    side.type(ONE, "hello")
    side.told(INDEX, ONE)
    side.index.set(key_of(ONE, "eol"), "crlf")
    assert side.told(INDEX) == [FileChanged("a.md", "edited", "ben")]


def test_what_was_done_here_is_not_told() -> None:
    side = Side()
    side.put(ONE, "a.md")
    side.type(ONE, "hello")
    assert side.told(INDEX, ONE, by="") == []
    side.type(ONE, "hello")
    assert side.told(ONE) == [FileChanged("a.md", "edited", "ben")]


def test_what_was_there_before_the_session_began_is_not_new() -> None:
    side = Side()
    side.put(ONE, "a.md")
    side.type(ONE, "hello")
    side.bare = Bare(side.documents)
    side.type(ONE, "hello")
    assert side.told(ONE) == [FileChanged("a.md", "edited", "ben")]


def test_a_binary_file_has_no_text_to_wait_for() -> None:
    side = Side()
    side.index.set(key_of(TWO, "blob"), f"{'0' * 64} 12")
    side.put(TWO, "picture.png", "blob")
    assert side.told(INDEX) == [FileChanged("picture.png", "created", "ben")]


def test_there_are_no_files_and_nothing_is_ever_due() -> None:
    bare = Side().bare
    assert bare.handle(ScanFinished(), NOW) == []
    assert bare.blob_arrived(b"d" * 32, b"", NOW) == []
    assert bare.tick(NOW) == []
    assert bare.missing_blobs() == set()
    assert bare.next_deadline() is None
