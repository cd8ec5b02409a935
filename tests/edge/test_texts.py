"""Texts by name, and the documents behind them."""

from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.core.documents import Documents
from peer.core.edits import Edit
from peer.core.ids import INDEX, DocId
from peer.core.layout import UNCONDITIONAL, key_of
from peer.edge import texts as texts_module
from peer.edge.texts import Texts
from peer.errors import UsageError


@dataclass
class Side:
    """The texts of one side; `Side.learn` is the network."""

    client: int
    documents: Documents = field(init=False)
    texts: Texts = field(init=False)
    edited: list[DocId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.documents = Documents(lambda: self.client)
        self.texts = Texts(self.documents, self.edited.append)

    def learn(self, other: "Side") -> None:
        for document in other.documents:
            mine = self.documents.open(document.id)
            mine.apply(document.updates_since(mine.state_vector()))

    def delete(self, name: str) -> None:
        doc = next(e.doc for path, e in self.texts._entries().items() if path == name)
        document = self.documents.open(doc)
        self.documents.open(INDEX).index.set(key_of(doc, "gone"), document.state_vector())

    def put(self, doc: DocId, **fields: str | bytes | bool) -> None:
        for key, value in fields.items():
            self.documents.open(INDEX).index.set(key_of(doc, key), value)


@pytest.fixture
def side() -> Side:
    return Side(1)


def test_positions_count_code_points(side: Side) -> None:
    text = side.texts.open("notes.md")
    text.insert(0, "日本😀é")
    text.insert(2, "!")
    text.delete(3, 1)
    text.append(".")
    text.edit(0, 1, "X")
    assert str(text) == "X本!é."
    assert len(text) == 5
    assert repr(text) == "Text('notes.md', 5 characters)"


@pytest.mark.parametrize(("at", "deleted"), [(6, 0), (-1, 0), (0, 6), (5, 1)])
def test_what_is_outside_the_text_is_refused_and_changes_nothing(side: Side, at: int, deleted: int) -> None:
    text = side.texts.open("notes.md")
    text.insert(0, "hello")
    with pytest.raises(UsageError):
        text.edit(at, deleted, "x")
    assert str(text) == "hello"


def test_the_document_is_the_one_of_the_crdt_library(side: Side) -> None:
    text = side.texts.open("notes.md")
    text.insert(0, "hello")
    text.doc["text"] += " world"
    assert str(text) == "hello world"


def test_opening_twice_is_the_same_text(side: Side) -> None:
    side.texts.open("notes.md").insert(0, "hello")
    assert str(side.texts.open("notes.md")) == "hello"
    assert side.texts.names() == ["notes.md"]
    assert side.texts.count() == 1
    assert side.texts.size() == 5


@given(st.lists(st.tuples(st.sampled_from(["a.md", "b/é.md", "日"]), st.sampled_from("aé日😀")), max_size=12))
def test_two_sides_that_make_the_same_names_at_once_have_one_text_each(made: list[tuple[str, str]]) -> None:
    one, two = Side(1), Side(2)
    for number, (name, letter) in enumerate(made):
        (one, two)[number % 2].texts.open(name).append(letter)
    one.learn(two)
    two.learn(one)
    assert one.texts.names() == two.texts.names() == sorted({name for name, _ in made})
    for name in one.texts.names():
        assert str(one.texts.open(name)) == str(two.texts.open(name))
        assert sorted(str(one.texts.open(name))) == sorted(letter for other, letter in made if other == name)


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../b", "a//b", ".git/config", ".weft/x", "a\\b", "nul", "x\n", "e\u0301"],
)
def test_a_name_that_could_not_be_a_file_is_refused(side: Side, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        side.texts.open(name)
    assert side.texts.count() == 0


def test_a_binary_file_has_no_text(side: Side) -> None:
    side.put(DocId(b"picture!"), kind="blob", blob=f"{'0' * 64} 12", path="a.png")
    with pytest.raises(UsageError, match="binary"):
        side.texts.open("a.png")
    assert side.texts.names() == []
    assert side.texts.count() == 1
    assert side.texts.contents() == {"a.png": bytes(32)}


def test_a_file_of_the_session_is_opened_by_its_path(side: Side) -> None:
    doc = DocId(b"a file!!")
    side.put(doc, kind="text", path="src/main.py")
    side.documents.open(doc).edit([Edit(0, 0, "print()")])
    assert str(side.texts.open("src/main.py")) == "print()"


def test_a_name_that_was_deleted_is_made_again_empty(side: Side) -> None:
    side.texts.open("notes.md").insert(0, "old")
    side.delete("notes.md")
    assert side.texts.names() == []
    again = side.texts.open("notes.md")
    assert str(again) == ""
    again.insert(0, "new")
    assert str(side.texts.open("notes.md")) == "new"


def test_two_sides_that_make_a_deleted_name_again_have_one_text(side: Side) -> None:
    other = Side(2)
    side.texts.open("notes.md").insert(0, "old")
    side.delete("notes.md")
    other.learn(side)
    side.texts.open("notes.md").append("a")
    other.texts.open("notes.md").append("b")
    side.learn(other)
    other.learn(side)
    assert side.texts.names() == ["notes.md"]
    assert str(side.texts.open("notes.md")) == str(other.texts.open("notes.md"))
    assert sorted(str(side.texts.open("notes.md"))) == ["a", "b"]


def test_a_deleted_text_that_somebody_still_edits_comes_back_as_it_was(side: Side) -> None:
    text = side.texts.open("notes.md")
    text.insert(0, "old")
    side.delete("notes.md")
    text.append("er")
    assert str(side.texts.open("notes.md")) == "older"


def test_a_name_whose_text_was_renamed_away_is_a_new_text(side: Side) -> None:
    first = side.texts.open("a.md")
    first.insert(0, "first")
    doc = next(iter(side.texts._entries().values())).doc
    side.put(doc, path="b.md")
    assert str(side.texts.open("a.md")) == ""
    assert str(side.texts.open("b.md")) == "first"
    assert side.texts.names() == ["a.md", "b.md"]


def test_a_text_beside_another_file_of_its_name_is_opened_again_as_the_same(side: Side) -> None:
    side.put(DocId(b"\x01" * 8), kind="text", path="Notes.md")
    mine = side.texts.open("notes.md")
    mine.insert(0, "mine")
    assert str(side.texts.open("notes.md")) == "mine"
    assert side.texts.count() == 2


def test_a_name_cannot_be_made_for_ever(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_module, "NAME_TRIES", 3)
    for _ in range(3):
        side.texts.open("notes.md").insert(0, "x")
        side.delete("notes.md")
    with pytest.raises(UsageError, match="another name"):
        side.texts.open("notes.md")


def test_who_may_only_read_makes_and_changes_nothing(side: Side) -> None:
    side.texts.open("notes.md").insert(0, "theirs")
    texts = Texts(side.documents, read_only=True)
    text = texts.open("notes.md")
    assert str(text) == "theirs"
    with pytest.raises(UsageError, match="only read"):
        text.append("mine")
    with pytest.raises(UsageError, match="only read"):
        texts.open("other.md")
    assert str(text) == "theirs"


def test_every_change_is_told(side: Side) -> None:
    text = side.texts.open("notes.md")
    assert side.edited == [INDEX]
    text.append("x")
    assert len(side.edited) == 2


def test_an_open_transaction_of_a_document_that_was_handed_out_is_seen(side: Side) -> None:
    text = side.texts.open("notes.md")
    side.texts.open("other.md").append("x")
    assert not side.texts.is_held()
    with text.doc.transaction():
        assert side.texts.is_held()
        with pytest.raises(UsageError, match="transaction"):
            text.append("x")
    assert not side.texts.is_held()


def test_contents_are_as_they_would_be_on_disk(side: Side) -> None:
    doc = DocId(b"windows!")
    side.put(doc, kind="text", path="a.txt", eol="crlf")
    side.documents.open(doc).edit([Edit(0, 0, "日\nb\n")])
    side.texts.open("b.txt").insert(0, "b\n")
    side.put(DocId(b"not here"), kind="text", path="c.txt")
    assert side.texts.contents() == {
        "a.txt": sha256("日\r\nb\r\n".encode()).digest(),
        "b.txt": sha256(b"b\n").digest(),
    }


def test_a_deletion_that_cannot_be_read_deletes_nothing(side: Side) -> None:
    doc = DocId(b"survivor")
    side.put(doc, kind="text", path="a.md", gone=b"\xff\xff\xff")
    side.documents.open(doc).edit([Edit(0, 0, "x")])
    assert side.texts.names() == ["a.md"]
    side.put(doc, gone=UNCONDITIONAL)
    assert side.texts.names() == []
