"""Texts by name, as applications use them: positions count code points, changes are events."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

from peer.core.documents import Document, Documents
from peer.core.edits import Edit
from peer.core.ids import INDEX, DocId
from peer.core.layout import Entry, layout
from peer.core.paths import check_path
from peer.errors import Refused, UsageError

if TYPE_CHECKING:
    import pycrdt

__all__ = ["Text", "Texts"]


class Text:
    """One shared text.

    Attributes:
        name: its name when it was opened; in a folder session, the path of its file.
    """

    def __init__(self, name: str, document: Document) -> None:
        self.name = name
        self._document = document

    def __str__(self) -> str:
        return self._document.text

    def __len__(self) -> int:
        return self._document.length

    @property
    def doc(self) -> "pycrdt.Doc[pycrdt.Text]":
        """The CRDT document itself; its text is the root `text` and counts UTF-8 bytes."""
        return self._document.doc

    def insert(self, at: int, text: str) -> None:
        """Insert before code point *at*."""
        self.edit(at, 0, text)

    def delete(self, at: int, count: int) -> None:
        """Delete *count* code points from *at*."""
        self.edit(at, count, "")

    def append(self, text: str) -> None:
        """Insert at the end."""
        self.edit(self._document.length, 0, text)

    def edit(self, at: int, deleted: int, inserted: str) -> None:
        """Delete *deleted* code points at *at* and insert there.

        Raises:
            UsageError: the positions are outside the text.
        """
        self._document.edit([Edit(at, deleted, inserted)])


class Texts:
    """The texts of one session by name."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def open(self, name: str) -> Text:
        """The text called *name*, made if there is none.

        Raises:
            UsageError: the name cannot be a path inside a folder, or is a binary file.
        """
        try:
            check_path(name)
        except Refused as error:
            raise UsageError(str(error)) from error
        entry = self._entries().get(name)
        if entry is not None and entry.kind != "text":
            raise UsageError(f"{name} is a binary file and has no text")
        doc = self._make(name) if entry is None else entry.doc
        return Text(name, self._documents.open(doc))

    def _make(self, name: str) -> DocId:
        # the id comes from the name, so that two sides that make it at once make the same text
        doc = DocId(blake2b(name.encode(), digest_size=8, person=b"weft text").digest())
        index = self._documents.open(INDEX).index
        index.set(f"{doc.hex()}/path", name)
        index.set(f"{doc.hex()}/kind", "text")
        return doc

    def names(self) -> list[str]:
        """The names of all texts, sorted."""
        return sorted(name for name, entry in self._entries().items() if entry.kind == "text")

    def count(self) -> int:
        """How many files of any kind there are."""
        return len(self._entries())

    def size(self) -> int:
        """UTF-8 bytes of all texts."""
        documents = (self._documents.get(e.doc) for e in self._entries().values() if e.kind == "text")
        return sum(len(document.text.encode()) for document in documents if document is not None)

    def _entries(self) -> Mapping[str, Entry]:
        return layout(self._documents).entries
