"""Texts by name, as applications use them: positions count code points, changes are events."""

from collections.abc import Callable, Mapping
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final

from peer.core.contents import Text as Content
from peer.core.contents import write_text
from peer.core.documents import Document, Documents
from peer.core.edits import Edit
from peer.core.ids import INDEX, DocId
from peer.core.layout import Entry, key_of, read_layout
from peer.core.paths import check_path
from peer.errors import Refused, RemoteError, UsageError

if TYPE_CHECKING:
    import pycrdt

__all__ = ["NAME_TRIES", "Text", "Texts"]

NAME_TRIES: Final = 1000
"""How often one name may be made: each time after it was deleted needs a document of its own."""


class Text:
    """One shared text.

    Attributes:
        name: its name when it was opened; in a folder session, the path of its file.
    """

    def __init__(self, name: str, document: Document, texts: "Texts") -> None:
        self.name = name
        self._document = document
        self._texts = texts

    def __str__(self) -> str:
        return self._document.text

    def __len__(self) -> int:
        return self._document.length

    def __repr__(self) -> str:
        return f"Text({self.name!r}, {len(self)} characters)"

    @property
    def doc(self) -> "pycrdt.Doc[pycrdt.Text]":
        """The CRDT document itself; its text is the root `text` and counts UTF-8 bytes.

        Ask for it again each time: after an update that the library cannot take it is another object.
        While a transaction is open on it, the whole session stands still, so end it before awaiting.
        """
        self._texts.lend(self._document)
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
        """Delete *deleted* code points at *at* and insert *inserted* there.

        Raises:
            UsageError: the positions are outside the text, we may only read this session, or a
                transaction of `doc` is open.
        """
        self._texts.check_writable()
        self._document.edit([Edit(at, deleted, inserted)])
        self._texts.edited(self._document.id)


class Texts:
    """The texts of one session by name.

    Args:
        documents: of the session.
        edited: called after each change that is made through a `Text`.
        read_only: we may not change the session.
    """

    def __init__(
        self,
        documents: Documents,
        edited: Callable[[DocId], None] = lambda _: None,
        *,
        read_only: bool = False,
    ) -> None:
        self._documents = documents
        self._read_only = read_only
        self._lent: dict[DocId, Document] = {}
        self.edited = edited

    def open(self, name: str) -> Text:
        """The text called *name*, made if there is none.

        Raises:
            UsageError: the name cannot be a path inside a folder, or is a binary file, or there is none
                and we may only read this session.
        """
        try:
            check_path(name)
        except Refused as error:
            raise UsageError(str(error)) from error
        entry = self._entries().get(name)
        if entry is not None and entry.blob is not None:
            raise UsageError(f"{name} is a binary file and has no text")
        doc = self._make(name) if entry is None else entry.doc
        return Text(name, self._documents.open(doc), self)

    def check_writable(self) -> None:
        """Raise `UsageError` where nothing may be changed."""
        if self._read_only:
            raise UsageError("you may only read this session")

    def _make(self, name: str) -> DocId:
        self.check_writable()
        index = self._documents.open(INDEX).index
        living = {entry.doc for entry in self._entries().values()}
        for doc in map(_id_of, [name] * NAME_TRIES, range(NAME_TRIES)):
            path = index.entries().get(key_of(doc, "path"))
            if path is None:
                # the path comes last: without it there is no entry
                index.set(key_of(doc, "kind"), "text")
                index.set(key_of(doc, "path"), name)
                self.edited(INDEX)
                return doc
            if path == name and doc in living:
                return doc  # another file has this path, and this one is shown beside it
        raise UsageError(f"{name} was deleted and made again {NAME_TRIES} times; give it another name")

    def names(self) -> list[str]:
        """The names of all texts, sorted."""
        return sorted(name for name, entry in self._entries().items() if entry.blob is None)

    def count(self) -> int:
        """How many files of any kind there are."""
        return len(self._entries())

    def size(self) -> int:
        """UTF-8 bytes of all texts."""
        documents = (self._documents.get(e.doc) for e in self._entries().values() if e.blob is None)
        return sum(len(document.text.encode()) for document in documents if document is not None)

    def contents(self) -> dict[str, bytes]:
        """SHA-256 of each file as it would be on disk, by path."""
        found = {}
        for name, entry in self._entries().items():
            document = self._documents.get(entry.doc)
            if entry.blob is not None:
                found[name] = entry.blob.digest
            elif document is not None:
                found[name] = sha256(write_text(Content(document.text, entry.crlf))).digest()
        return found

    # --- documents in the hands of the application --------------------------------------------------

    def lend(self, document: Document) -> None:
        """The application has the CRDT document itself from now on."""
        self._lent[document.id] = document

    def is_held(self) -> bool:
        """Whether the application is in the middle of a transaction."""
        return any(document.has_open_transaction for document in self._lent.values())

    # --- the index ------------------------------------------------------------------------------------

    def _entries(self) -> Mapping[str, Entry]:
        index = self._documents.open(INDEX).index.entries()
        return read_layout(index, self._is_edited).files

    def _is_edited(self, doc: DocId, state_vector: bytes) -> bool:
        document = self._documents.get(doc)
        try:
            return document is not None and not document.is_known_to(state_vector)
        except RemoteError:
            return True  # whoever wrote this did not know the file


def _id_of(name: str, number: int) -> DocId:
    """The same on two sides that make a name at once, and another one after it was deleted."""
    made = b"%d/%s" % (number, name.encode())
    return DocId(blake2b(made, digest_size=8, person=b"weft text").digest())
