"""The index as the folder sees it: entries, places, and what peers may write without doing harm."""

from itertools import count

import pytest

from peer.core.catalog import Catalog
from peer.core.document import Document
from peer.core.documents import Documents
from peer.core.edits import Edit
from peer.core.guard import VALUE_LIMIT
from peer.core.ids import INDEX, DocId
from peer.core.index import Scalar
from peer.core.layout import UNCONDITIONAL, Blob, Entry, key_of

DOC = DocId(bytes(7) + b"1")
OTHER = DocId(bytes(7) + b"2")


@pytest.fixture
def documents() -> Documents:
    clients = count(1)
    return Documents(lambda: next(clients))


def put(documents: Documents, doc: DocId, **fields: Scalar) -> None:
    for field, value in fields.items():
        documents.open(INDEX).index.set(key_of(doc, field), value)


def catalog_of(documents: Documents) -> Catalog:
    return Catalog(documents, "ann", lambda: DOC)


def entry_of(catalog: Catalog, doc: DocId) -> Entry:
    entry = catalog.entry(doc)
    assert entry is not None
    return entry


def test_what_is_in_the_index_already_is_known_at_once(documents: Documents) -> None:
    put(documents, DOC, kind="text", path="a.txt")
    catalog = catalog_of(documents)
    assert catalog.ids() == [DOC]
    assert catalog.at("a.txt") == DOC
    assert catalog.path_of(DOC) == "a.txt"
    assert catalog.refresh() == []


def test_only_files_that_changed_are_told(documents: Documents) -> None:
    catalog = catalog_of(documents)
    catalog.add(DOC, "a.txt", blob=None, executable=True, crlf=True, since=b"\x00")
    catalog.add(OTHER, "b.bin", blob=Blob(bytes(32), 1), executable=False, crlf=False)
    assert catalog.refresh() == [DOC, OTHER]
    entry = entry_of(catalog, DOC)
    assert (entry.executable, entry.crlf, entry.since, entry.by) == (True, True, b"\x00", "ann")
    put(documents, DOC, kind="text")
    documents.open(INDEX).index.set("settings/x", 1)
    assert catalog.refresh() == []
    catalog.rename(OTHER, "a.txt")
    assert catalog.refresh() == [OTHER]
    assert catalog.path_of(OTHER) == "a (ann).txt"
    catalog.bury(DOC, b"\x00")
    assert catalog.refresh() == [DOC, OTHER]
    assert catalog.path_of(OTHER) == "a.txt"


def test_an_entry_that_cannot_be_used_is_refused_and_its_name_known(documents: Documents) -> None:
    put(documents, DOC, kind="text", path="../up")
    put(documents, OTHER, kind="text")
    catalog = catalog_of(documents)
    assert catalog.refused == {DOC, OTHER}
    assert (catalog.wanted_path(DOC), catalog.wanted_path(OTHER)) == ("../up", None)
    put(documents, DOC, path="up")
    assert catalog.refresh() == [DOC]
    assert catalog.refused == {OTHER}


def test_a_text_has_arrived_when_what_it_was_made_with_is_here(documents: Documents) -> None:
    put(documents, DOC, kind="text", path="a", since=b"\x01\x63\x02")
    put(documents, OTHER, kind="text", path="b", since=b"not a state vector")
    catalog = catalog_of(documents)
    assert not catalog.has_arrived(entry_of(catalog, DOC))
    documents.open(DOC)
    documents.open(OTHER)
    assert not catalog.has_arrived(entry_of(catalog, DOC))
    assert catalog.has_arrived(entry_of(catalog, OTHER))


def test_an_empty_text_has_arrived_when_its_file_is_known(documents: Documents) -> None:
    put(documents, DOC, kind="text", path="a", since=Document(DOC, 7, lambda _: None).state_vector())
    catalog = catalog_of(documents)
    assert catalog.has_arrived(entry_of(catalog, DOC)), "nobody sends a document that holds nothing"


def test_a_deleted_file_lives_again_when_its_text_goes_on(documents: Documents) -> None:
    document = documents.open(DOC)
    document.edit([Edit(0, 0, "one")])
    put(documents, DOC, kind="text", path="a", gone=document.state_vector())
    put(documents, OTHER, kind="text", path="b", gone=b"\x00")
    catalog = catalog_of(documents)
    assert catalog.ids() == []
    document.edit([Edit(0, 0, "two")])
    assert catalog.refresh([DOC, DocId(bytes(8))]) == [DOC]
    documents.open(OTHER)
    assert catalog.refresh([OTHER]) == []


def test_a_deletion_that_cannot_be_read_deletes_nothing(documents: Documents) -> None:
    documents.open(DOC)
    put(documents, DOC, kind="text", path="a", gone=b"not a state vector")
    assert catalog_of(documents).ids() == [DOC]


def test_what_is_too_long_to_be_said_is_left_out(documents: Documents) -> None:
    catalog = catalog_of(documents)
    catalog.add(DOC, "a", blob=None, executable=False, crlf=False, since=bytes(VALUE_LIMIT + 1))
    catalog.refresh()
    assert entry_of(catalog, DOC).since == b""
    catalog.bury(DOC, bytes(VALUE_LIMIT + 1))
    assert documents.open(INDEX).index.entries()[key_of(DOC, "gone")] == UNCONDITIONAL
    assert catalog.refresh() == [DOC]
    assert catalog.entry(DOC) is None
