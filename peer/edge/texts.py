"""Texts by name, as applications use them: positions count code points, changes are events."""

from collections.abc import Mapping
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING

from peer.core.documents import Document, Documents
from peer.core.edits import Edit
from peer.core.ids import INDEX, DocId
from peer.core.layout import Entry, key_of, read_layout
from peer.core.paths import check_path
from peer.errors import Refused, RemoteError, UsageError

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
        index.delete(key_of(doc, "gone"))
        index.set(key_of(doc, "path"), name)
        index.set(key_of(doc, "kind"), "text")
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

    def contents(self) -> dict[str, bytes]:
        """SHA-256 of each file as it would be on disk, by path."""
        found = {}
        for name, entry in self._entries().items():
            document = self._documents.get(entry.doc)
            if entry.kind == "blob" and entry.digest is not None:
                found[name] = entry.digest
            elif entry.kind == "text" and document is not None:
                text = document.text.replace("\n", "\r\n") if entry.eol == "crlf" else document.text
                found[name] = sha256(text.encode()).digest()
        return found

    def _entries(self) -> Mapping[str, Entry]:
        index = self._documents.open(INDEX).index.entries()
        return read_layout(index, self._is_edited).files

    def _is_edited(self, doc: DocId, state_vector: bytes) -> bool:
        document = self._documents.get(doc)
        try:
            return document is not None and not document.is_known_to(state_vector)
        except RemoteError:
            return True  # whoever wrote this did not know the file
