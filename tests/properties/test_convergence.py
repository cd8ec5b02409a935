"""Three replicas, any order, repetition and loss: equal copies, and every character exactly once.

Equal copies are not enough: copies that lost everything are equal too.  So what was typed is counted.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import pycrdt
from hypothesis import given
from hypothesis import strategies as st

from peer.core.documents import Document, Documents, merge_updates
from peer.core.edits import Edit, apply_edits
from peer.core.ids import DocId

ALPHABET = "aé日😀"
BLOCKS = (0x61, 0xE0, 0x4E00, 0x1F300)
"""Where characters of one, two, three and four bytes begin."""


@dataclass
class Replica:
    """A document, what was sent to it and has not arrived, and a plain text that follows its edits."""

    document: Document
    inbox: list[bytes] = field(default_factory=list)
    follower: str = ""

    def follow(self) -> None:
        """Take the edits since last time; following them must give the text."""
        edits = self.document.take_edits()
        self.follower = apply_edits(self.follower, [edit for _, edit in edits])
        text = self.document.text
        assert self.follower == text == str(self.document.doc.get("text", type=pycrdt.Text))
        assert self.document.length == len(text)


def replicas() -> list[Replica]:
    return [
        Replica(Documents(partial(int, client)).open(DocId(b"together"))) for client in (11, 2**40, 2**53 - 1)
    ]


CLIENTS = (11, 2**40, 2**53 - 1)
fraction = st.floats(0, 1)
who = st.integers(0, 2)
typing = st.tuples(st.just("type"), who, fraction, st.text(ALPHABET, min_size=1, max_size=4))
deleting = st.tuples(st.just("delete"), who, fraction, st.integers(1, 4))
pasting = st.tuples(st.just("application"), who, fraction, st.text(ALPHABET, min_size=1, max_size=4))
arriving = st.tuples(st.just("arrive"), who, fraction, st.sampled_from(["once", "twice", "lost", "merged"]))
asking = st.tuples(st.just("ask"), who, fraction, who)
Step = tuple[str, int, float, object]


def place(replica: Replica, at: float) -> int:
    return round(at * replica.document.length)


def send(members: list[Replica], sender: Replica) -> None:
    """Put what the sender made into the inboxes of the others."""
    for update in sender.document.take_local():
        for other in members:
            if other is not sender:
                other.inbox.append(update)


def receive(replica: Replica, at: float, how: object) -> None:
    """Let something from the inbox arrive: one update, in any order, or all of them merged."""
    if not replica.inbox:
        return
    if how == "merged":
        update, replica.inbox = merge_updates(replica.inbox), []
    else:
        update = replica.inbox.pop(round(at * (len(replica.inbox) - 1)))
    for _ in range({"once": 1, "merged": 1, "twice": 2, "lost": 0}[str(how)]):
        before = replica.document.text
        edits = replica.document.apply(update, sender_clients=CLIENTS)
        assert apply_edits(before, edits) == replica.document.text


def ask(replica: Replica, other: Replica) -> None:
    """Anti-entropy: take what the other has and we lack."""
    replica.document.apply(other.document.updates_since(replica.document.state_vector()))


def type_text(replica: Replica, at: float, text: str, *, application: bool) -> None:
    index = place(replica, at)
    if application:
        size = len(replica.document.text[:index].encode())
        replica.document.doc.get("text", type=pycrdt.Text).insert(size, text)
    else:
        replica.document.edit([Edit(index, 0, text)])


def heal(members: list[Replica]) -> None:
    """Compare state vectors until nobody lacks anything, and check that nothing else is left to do."""
    for replica in members:
        replica.document.take_local()
    for _ in range(2):
        for replica in members:
            for other in members:
                if other is not replica:
                    ask(replica, other)
    for replica in members:
        replica.follow()
        assert not replica.document.has_pending()
        assert replica.document.is_up_to_date(members[0].document.state_vector())
    assert len({replica.document.text for replica in members}) == 1
    assert len({replica.document.digest() for replica in members}) == 1


@given(st.lists(typing | pasting | arriving | asking, max_size=40))
def test_every_typed_character_is_in_every_copy_exactly_once(steps: list[Step]) -> None:
    members = replicas()
    typed: Counter[str] = Counter()
    for kind, number, at, what in steps:
        replica = members[number]
        if kind in ("type", "application"):
            type_text(replica, at, str(what), application=kind == "application")
            typed.update(str(what))
            send(members, replica)
        elif kind == "arrive":
            receive(replica, at, what)
        elif what != number:
            ask(replica, members[int(str(what))])
        replica.follow()
    heal(members)
    assert Counter(members[0].document.text) == typed


@given(st.lists(typing | deleting | deleting | arriving | asking, max_size=40))
def test_characters_vanish_only_where_somebody_deleted_them(steps: list[Step]) -> None:
    members = replicas()
    typed: set[str] = set()
    deleted: set[str] = set()
    for kind, number, at, what in steps:
        replica = members[number]
        if kind == "type":
            # characters that nobody else ever types, each as wide as the one that was drawn
            text = "".join(
                chr(BLOCKS[ALPHABET.index(c)] + 0x100 * (c != "a") + len(typed) + i)
                for i, c in enumerate(str(what))
            )
            type_text(replica, at, text, application=False)
            typed.update(text)
            send(members, replica)
        elif kind == "delete":
            start = place(replica, at)
            gone = replica.document.text[start : start + int(str(what))]
            replica.document.edit([Edit(start, len(gone), "")])
            deleted.update(gone)
            send(members, replica)
        elif kind == "arrive":
            receive(replica, at, what)
        elif what != number:
            ask(replica, members[int(str(what))])
        replica.follow()
    heal(members)
    text = members[0].document.text
    assert set(text) == typed - deleted
    assert len(text) == len(set(text))


@given(
    st.lists(st.tuples(who, st.sampled_from(["a", "b", "c"]), st.integers(0, 9) | st.none()), max_size=30),
    st.lists(st.tuples(who, who), max_size=10),
)
def test_the_entries_of_three_indexes_become_equal(
    changes: list[tuple[int, str, int | None]], questions: list[tuple[int, int]]
) -> None:
    indexes = [Documents(partial(int, client)).open(DocId(bytes(8))) for client in CLIENTS]
    for number, (who_changes, key, value) in enumerate(changes):
        index = indexes[who_changes].index
        index.delete(key) if value is None else index.set(key, value)
        if number < len(questions):
            asker, asked = (indexes[who_asks] for who_asks in questions[number])
            asker.apply(asked.updates_since(asker.state_vector()))
    for _ in range(2):
        for asker in indexes:
            for asked in indexes:
                asker.apply(asked.updates_since(asker.state_vector()))
    entries = [dict(document.index.entries()) for document in indexes]
    assert entries[0] == entries[1] == entries[2]
    assert len({document.digest() for document in indexes}) == 1
    for document in indexes:
        root = document.doc.get("files", type=pycrdt.Map)
        assert dict(document.index.entries()) == root.to_py()
