"""Stands where a session without a folder has no files: tells which texts the others changed, by name."""

from collections.abc import Mapping

from peer.core.actions import Action, Tell
from peer.core.catalog import Catalog
from peer.core.documents import Documents
from peer.core.events import FileEvent
from peer.core.ids import INDEX, DocId
from peer.core.notices import Author, FileChanged

__all__ = ["Bare"]


class Bare:
    """The names of the texts, and what was told about them (a `session.SharedFolder`).

    A text is told of when something is in it: its name may travel faster than what it holds.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._catalog = Catalog(documents, "", lambda: INDEX)  # it is never asked to make an entry
        self._told: dict[DocId, str] = {}
        for doc in self._catalog.ids():
            self._tell(doc, None, [])

    def documents_changed(self, changed: Mapping[DocId, Author | None], now: float) -> list[Action]:
        """Tell what the peers named changed; what was done here is known here."""
        actions: list[Action] = []
        moved = self._catalog.refresh(changed)
        for doc in moved:
            self._tell(doc, changed.get(doc) or changed.get(INDEX), actions)
        for doc, by in changed.items():
            if doc not in moved:
                self._tell(doc, by, actions, edited=True)
        return actions

    def _tell(self, doc: DocId, by: Author | None, actions: list[Action], *, edited: bool = False) -> None:
        path, before = self._catalog.path_of(doc), self._told.get(doc)
        if before is None and (path is None or self._is_empty(doc)):
            return
        if path is None:
            del self._told[doc]
        else:
            self._told[doc] = path
        if by:
            actions.append(Tell(_notice(path, before, by, edited=edited)))

    def _is_empty(self, doc: DocId) -> bool:
        entry, document = self._catalog.entry(doc), self._documents.get(doc)
        return entry is not None and entry.blob is None and (document is None or document.is_empty())

    def handle(self, event: FileEvent, now: float) -> list[Action]:
        """There are no files."""
        return []

    def blob_arrived(self, digest: bytes, content: bytes, now: float) -> list[Action]:
        """There are none."""
        return []

    def missing_blobs(self) -> set[tuple[bytes, int]]:
        """None."""
        return set()

    def tick(self, now: float) -> list[Action]:
        """Nothing is ever due."""
        return []

    def next_deadline(self) -> float | None:
        """Never."""
        return None


def _notice(path: str | None, before: str | None, by: Author, *, edited: bool) -> FileChanged:
    if path is None:
        return FileChanged(before or "", "deleted", by.name, None, by.peer)
    if before is None:
        return FileChanged(path, "created", by.name, None, by.peer)
    if edited or path == before:
        return FileChanged(path, "edited", by.name, None, by.peer)
    return FileChanged(path, "renamed", by.name, before, by.peer)
