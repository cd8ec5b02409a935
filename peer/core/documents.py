"""All documents of one session, and which of them were edited here and wait to be sent."""

from collections.abc import Callable, Iterator

from peer.core.document import Document
from peer.core.engine import merge_updates
from peer.core.ids import DocId

__all__ = ["Changed", "Document", "Documents", "merge_updates"]


class Changed(dict[DocId, None]):
    """A set of documents in the order in which they came, so that a run can be repeated."""

    def add(self, doc_id: DocId) -> None:
        """Put one in, at the end if it is new."""
        self[doc_id] = None

    def discard(self, doc_id: DocId) -> None:
        """Take one out if it is there."""
        self.pop(doc_id, None)


class Documents:
    """The documents that are open.

    Attributes:
        changed: those with local updates; whoever takes the updates takes the document out.
        on_change: called with each document that was edited here since its updates or edits were taken
            last; perhaps in the middle of a transaction, so it may note that and nothing more.
    """

    def __init__(self, client_ids: Callable[[], int]) -> None:
        """*client_ids* gives the CRDT client id of a document: one never used by an earlier run."""
        self._client_ids = client_ids
        self._documents: dict[DocId, Document] = {}
        self.changed = Changed()
        self.on_change: Callable[[DocId], None] = _nobody

    def open(self, doc_id: DocId) -> Document:
        """The document of this name, made empty if it was not open."""
        document = self._documents.get(doc_id)
        if document is None:
            document = Document(doc_id, self._client_ids(), self._note)
            self._documents[doc_id] = document
        return document

    def _note(self, doc_id: DocId) -> None:
        self.changed.add(doc_id)
        self.on_change(doc_id)

    def get(self, doc_id: DocId) -> Document | None:
        """The document of this name if it is open."""
        return self._documents.get(doc_id)

    def drop(self, doc_id: DocId) -> None:
        """Let go of a document, with the updates and edits that nobody took."""
        document = self._documents.pop(doc_id, None)
        if document is not None:
            document.close()
        self.changed.discard(doc_id)

    def ids(self) -> list[DocId]:
        """The names of the open documents, in the order in which they were opened."""
        return list(self._documents)

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._documents.values()))

    def __len__(self) -> int:
        return len(self._documents)


def _nobody(doc_id: DocId) -> None:
    """Tell nobody."""
