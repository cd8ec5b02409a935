"""The index as the folder sees it: which files live, where they go, and the changes we make to it."""

from collections.abc import Callable, Iterable

from peer.core.documents import Documents
from peer.core.guard import VALUE_LIMIT, check_state_vector
from peer.core.ids import INDEX, DocId
from peer.core.index import Index, Scalar
from peer.core.layout import UNCONDITIONAL, Blob, Entry, doc_of, is_living, key_of, lay_out, read_entry
from peer.errors import RemoteError

__all__ = ["Catalog"]


class Catalog:
    """All entries of the index.

    Args:
        documents: where the index and the texts are.
        device: our name, for the entries that we make.
        new_id: gives a name that no document has.

    Attributes:
        refused: files whose entries cannot be used.
    """

    def __init__(self, documents: Documents, device: str, new_id: Callable[[], DocId]) -> None:
        self._documents = documents
        self._device = device
        self.new_id = new_id
        self.refused: set[DocId] = set()
        self._entries: dict[DocId, Entry] = {}
        self._living: dict[DocId, Entry] = {}
        self._paths: dict[DocId, str] = {}
        self._places: dict[str, DocId] = {}
        self._index.take_changed_keys()
        self._read(filter(None, map(doc_of, self._index.entries())))
        self._lay_out()

    # --- asking --------------------------------------------------------------------------------------

    def entry(self, doc: DocId) -> Entry | None:
        """The entry of a file that lives."""
        return self._living.get(doc)

    def path_of(self, doc: DocId) -> str | None:
        """Where a file that lives goes."""
        return self._paths.get(doc)

    def at(self, path: str) -> DocId | None:
        """Which file goes to *path*."""
        return self._places.get(path)

    def ids(self) -> list[DocId]:
        """All files that live, in an order that does not change."""
        return sorted(self._living)

    def wanted_path(self, doc: DocId) -> str | None:
        """The path in an entry that cannot be used, for people."""
        path = self._index.entries().get(key_of(doc, "path"))
        return path if isinstance(path, str) else None

    def has_arrived(self, entry: Entry) -> bool:
        """Whether the text that the file was made with is here."""
        if not entry.since:
            return True
        document = self._documents.get(entry.doc)
        try:
            if document is None:  # nobody sends what is empty
                return not check_state_vector(entry.since)
            return document.is_up_to_date(entry.since)
        except RemoteError:
            return document is not None

    # --- following -----------------------------------------------------------------------------------

    def refresh(self, edited: Iterable[DocId] = ()) -> list[DocId]:
        """Take over what changed in the index, and what edits of the texts of deleted files change.

        Returns:
            The files that began or ceased to live, moved, or changed otherwise.
        """
        changed = set(filter(None, map(doc_of, self._index.take_changed_keys())))
        changed |= {doc for doc in edited if doc in self._entries and self._entries[doc].gone is not None}
        if not changed:
            return []
        before, paths = dict(self._living), self._paths
        self._read(changed)
        if any(before.get(doc) != self._living.get(doc) for doc in changed):
            self._lay_out()
        moved = {doc for doc in {*paths, *self._paths} if paths.get(doc) != self._paths.get(doc)}
        return sorted(moved | {doc for doc in changed if before.get(doc) != self._living.get(doc)})

    def _read(self, docs: Iterable[DocId]) -> None:
        for doc in docs:
            entry = read_entry(doc, self._index.entries())
            self._entries.pop(doc, None)
            self._living.pop(doc, None)
            self.refused.discard(doc)
            if entry is None:
                self.refused.add(doc)
                continue
            self._entries[doc] = entry
            if is_living(entry, self._is_edited):
                self._living[doc] = entry

    def _is_edited(self, doc: DocId, state_vector: bytes) -> bool:
        document = self._documents.get(doc)
        if document is None:
            return False
        try:
            known = check_state_vector(state_vector)
        except RemoteError:
            return True  # whoever wrote this did not know the file
        present = check_state_vector(document.state_vector())
        return any(clock > known.get(client, 0) for client, clock in present.items())

    def _lay_out(self) -> None:
        self._paths = lay_out(self._living.values())
        self._places = {path: doc for doc, path in self._paths.items()}

    # --- changing ------------------------------------------------------------------------------------

    def add(
        self, doc: DocId, path: str, *, blob: Blob | None, executable: bool, crlf: bool, since: bytes = b""
    ) -> None:
        """Make an entry; whoever has less than *since* of its text has not got the file yet."""
        self._set(doc, "kind", "text" if blob is None else "blob")
        self._set(doc, "by", self._device)
        if blob is not None:
            self.set_blob(doc, blob)
        if executable:
            self.set_executable(doc, True)
        if crlf:
            self.set_crlf(doc, True)
        if since and len(since) <= VALUE_LIMIT:
            self._set(doc, "since", since)
        # The path comes last: without it there is no entry, so nobody sees half of one.
        self.rename(doc, path)

    def rename(self, doc: DocId, path: str) -> None:
        """Its people want the file there from now on."""
        self._set(doc, "path", path)

    def set_blob(self, doc: DocId, blob: Blob) -> None:
        """A binary file holds something else."""
        self._set(doc, "blob", str(blob))

    def set_executable(self, doc: DocId, executable: bool) -> None:
        """The file may, or may no longer, be executed."""
        self._set(doc, "exec", executable)

    def set_crlf(self, doc: DocId, crlf: bool) -> None:
        """The lines of the file end in CR LF, or no longer do; true at once for `entry`."""
        self._set(doc, "eol", "crlf" if crlf else "")
        self._read((doc,))

    def bury(self, doc: DocId, known: bytes) -> None:
        """Delete a file, of which this state vector or digest was known."""
        self._set(doc, "gone", known if len(known) <= VALUE_LIMIT else UNCONDITIONAL)

    # --- the index -----------------------------------------------------------------------------------

    @property
    def _index(self) -> Index:
        return self._documents.open(INDEX).index

    def _set(self, doc: DocId, field: str, value: Scalar) -> None:
        self._index.set(key_of(doc, field), value)
