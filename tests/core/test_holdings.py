from peer.core.documents import Documents
from peer.core.edits import Edit
from peer.core.frames import DIGESTS_PER_FRAME
from peer.core.holdings import Holdings
from peer.core.ids import INDEX, DocId
from tests.core.world import DOC, OTHER_DOC


def held(client: int, *updates: bytes) -> tuple[Documents, Holdings]:
    """One peer's document with these updates, and the digests of it."""
    documents = Documents(lambda: client)
    for update in updates:
        documents.open(DOC).load(update)
    return documents, Holdings(documents)


def typed(documents: Documents, edit: Edit) -> bytes:
    documents.open(DOC).edit([edit])
    (update,) = documents.open(DOC).take_local()
    return update


def test_those_who_hold_the_same_say_the_same() -> None:
    ours, our_holdings = held(1)
    first, second = typed(ours, Edit(0, 0, "ab")), typed(ours, Edit(1, 1, ""))
    our_holdings.changed(DOC)
    _, both = held(2, first, second)
    _, without_the_deletion = held(3, first)
    assert our_holdings.summary() == both.summary() != without_the_deletion.summary()
    (entry,) = next(our_holdings.lists()).entries
    assert not both.differs(DOC, entry.digest)
    assert without_the_deletion.differs(DOC, entry.digest)
    assert both.differs(OTHER_DOC, entry.digest)


def test_a_summary_follows_every_change_and_nothing_else() -> None:
    documents, holdings = held(1)
    seen = {holdings.summary()}
    for number in range(5):
        typed(documents, Edit(0, 0, "x"))
        holdings.changed(DOC)
        seen.add(holdings.summary())
        assert holdings.summary() in seen
        assert len(seen) == number + 2


def test_a_document_that_holds_nothing_counts_for_nothing() -> None:
    documents, holdings = held(1)
    documents.open(DOC)
    holdings.changed(DOC)
    assert holdings.summary() == bytes(8)
    (only,) = holdings.lists()
    assert only.entries == []
    assert only.last


def test_lists_begin_with_the_index_and_are_cut_into_frames() -> None:
    documents, holdings = held(1)
    for number in range(DIGESTS_PER_FRAME):
        documents.open(DocId(number.to_bytes(8, "little") if number else b"\xff" * 8)).edit([Edit(0, 0, "x")])
    documents.open(INDEX).index.set("key", 1)
    first, second = holdings.lists()
    assert first.entries[0].doc == INDEX
    assert [first.last, second.last] == [False, True]
    assert len(first.entries) + len(second.entries) == DIGESTS_PER_FRAME + 1
