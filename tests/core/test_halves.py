"""Letters that take two UTF-16 units, which nobody may cut in two."""

import random

import pytest

from peer.core.document import Document
from peer.core.edits import Edit
from peer.core.guard import check_update
from peer.core.halves import MANY, Halves
from peer.core.ids import DocId
from peer.core.schema import Kind
from peer.core.varints import encode_varint
from peer.errors import Refused

DOC = DocId(b"emojis!!")
BEFORE, AFTER = 0x80, 0x40


def v(*numbers: int) -> bytes:
    return b"".join(encode_varint(number) for number in numbers)


def typed(text: str, client: int = 1) -> Document:
    document = Document(DOC, client, lambda _: None)
    document.edit([Edit(0, 0, text)])
    return document


def insertion(after: int | None, before: int | None, *, client: int = 2, of: int = 1) -> bytes:
    """An X beside these clocks of *of*."""
    info = 0x04 | (BEFORE if after is not None else 0) | (AFTER if before is not None else 0)
    places = b"".join(v(of, clock) for clock in (after, before) if clock is not None)
    return v(1, 1, client, 0) + bytes((info,)) + places + v(1) + b"X" + v(0)


def deletion(start: int, count: int, of: int = 1) -> bytes:
    return v(0, 1, of, 1, start, count)


def copy_of(document: Document, client: int = 9) -> Document:
    copy = Document(DOC, client, lambda _: None)
    copy.apply(document.full_state())
    return copy


CUTS = {
    "an insertion between its halves": insertion(1, 2),
    "an insertion after its first half": insertion(1, None),
    "an insertion before its second half": insertion(None, 2),
    "a deletion of its first half": deletion(1, 1),
    "a deletion of its second half": deletion(2, 1),
    "work that begins with its second half": v(1, 1, 1, 2) + b"\x84" + v(1, 1, 2) + b"??" + v(0),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=list(CUTS))
@pytest.mark.parametrize("source", ["typed here", "by an application", "from a peer", "loaded"])
def test_a_letter_is_not_cut_in_two(cut: bytes, source: str) -> None:
    """The engine would show one thing here, and another to whoever gets the document from us."""
    document = typed("a😀b")
    if source == "by an application":
        document = Document(DOC, 1, lambda _: None)
        document.doc.get("text", type=type(document._engine.root)).insert(0, "a😀b")
    elif source == "from a peer":
        document = copy_of(document)
    elif source == "loaded":
        state, document = document.full_state(), Document(DOC, 9, lambda _: None)
        document.load(state)
    before = document.digest()
    with pytest.raises(Refused, match="cuts a letter in two"):
        document.apply(cut, sender_clients=(1, 2))
    document.apply(cut)
    assert document.text == "a😀b"
    assert document.digest() == before
    assert copy_of(document, 11).text == "a😀b"


@pytest.mark.parametrize(
    ("update", "after"),
    [
        (insertion(0, 1), "aX😀b"),
        (insertion(2, 3), "a😀Xb"),
        (deletion(1, 2), "ab"),
        (deletion(0, 1), "😀b"),
        (insertion(0, 1, of=3), "a😀b"),
    ],
)
def test_beside_a_letter_everything_is_as_ever(update: bytes, after: str) -> None:
    document = copy_of(typed("a😀b"))
    document.apply(update)
    assert document.text == after
    assert copy_of(document, 11).text == after


def test_a_letter_and_its_cut_may_come_in_one_update() -> None:
    state = typed("a😀b").full_state()
    both = v(2) + insertion(1, 2)[1:-1] + state[1:]
    document = Document(DOC, 9, lambda _: None)
    with pytest.raises(Refused):
        document.apply(both, sender_clients=(1, 2))
    assert document.text == ""
    document.apply(both)
    assert document.text == "a😀b"


def test_who_had_a_cut_before_the_letter_is_not_blamed_and_passes_the_rest_on() -> None:
    """Nobody could know, so all but the cut is taken from them."""
    victim = Document(DOC, 9, lambda _: None)
    victim.apply(insertion(1, 2), sender_clients=(2,))
    victim.apply(typed("a😀b").full_state())
    victim.edit([Edit(0, 0, "mine ")])
    newcomer = Document(DOC, 11, lambda _: None)
    newcomer.apply(victim.full_state())
    assert newcomer.text == "mine a😀b"
    assert newcomer.digest() != victim.digest()


def test_what_else_is_deleted_with_half_a_letter_is_deleted() -> None:
    document = copy_of(typed("ab😀cd😀e"))
    document.apply(v(0, 1, 1, 3, 0, 3, 3, 3, 8, 1))
    assert document.text == "😀😀"
    assert copy_of(document, 11).text == document.text


def test_copies_that_show_different_texts_have_different_digests() -> None:
    """Who tells two people different things for the same clocks cannot be stopped, but is noticed."""
    one, two = (copy_of(typed(text), 9) for text in ("what I said", "what I sa1d"))
    assert one.state_vector() == two.state_vector()
    assert one.digest() != two.digest()


def test_halves_are_found_in_any_text() -> None:
    update = typed("é😀日🎉🎉x\U0010ffff").full_state()
    assert check_update(update, Kind.TEXT).halves == {1: [2, 5, 7, 10]}
    assert check_update(typed("é日x").full_state(), Kind.TEXT).halves == {}


@pytest.mark.parametrize("batch", [1, 7, MANY * 2])
def test_halves_are_known_in_whatever_order_they_come(batch: int) -> None:
    rng = random.Random(batch)
    clocks = rng.sample(range(100_000), MANY * 6)
    halves = Halves()
    assert not halves
    for start in range(0, len(clocks), batch):
        halves.add({5: sorted(clocks[start : start + batch])})
        halves.add({5: sorted(clocks[start : start + batch])})
    assert halves
    known = set(clocks)
    assert all(halves.splits(5, clock) is (clock in known) for clock in range(100_001))
    assert not halves.splits(6, clocks[0])
    assert len(halves._clocks[5]) == len(known)
