"""What we hold, said briefly: a digest per document, and one digest over all of them.

The one over all is kept up to date document by document, so that every heartbeat can carry it.
"""

from collections.abc import Iterator
from hashlib import blake2b

from peer.core.documents import Documents
from peer.core.frames import DIGESTS_PER_FRAME, DigestEntry, Digests
from peer.core.ids import DocId

__all__ = ["Holdings"]


class Holdings:
    """Digests of the documents of one session."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._stale = set(documents.ids())
        self._parts: dict[DocId, int] = {}
        self._sum = 0

    def changed(self, doc: DocId) -> None:
        """This document holds something else than before."""
        self._stale.add(doc)

    def summary(self) -> bytes:
        """Eight bytes over all documents, deletions included; equal for peers that hold the same."""
        for doc in self._stale:
            document = self._documents.open(doc)
            part = 0
            if not document.is_empty():
                part = int.from_bytes(blake2b(doc + document.digest(), digest_size=8).digest())
            self._sum ^= self._parts.get(doc, 0) ^ part
            self._parts[doc] = part
        self._stale.clear()
        return self._sum.to_bytes(8)

    def lists(self) -> Iterator[Digests]:
        """The digests of all documents that hold anything, the index first, cut into frames."""
        entries = [DigestEntry(each.id, each.digest()) for each in self._documents if not each.is_empty()]
        entries.sort(key=lambda entry: entry.doc)
        for start in range(0, max(len(entries), 1), DIGESTS_PER_FRAME):
            end = start + DIGESTS_PER_FRAME
            yield Digests(entries[start:end], last=end >= len(entries))

    def differs(self, doc: DocId, digest: bytes) -> bool:
        """Whether we hold something else than what has this digest."""
        document = self._documents.get(doc)
        return document is None or document.digest() != digest
