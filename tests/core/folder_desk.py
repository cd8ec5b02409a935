"""A folder's core on a desk: events are put in by hand, what is to be done is looked at."""

import random
from collections.abc import Sequence
from itertools import count
from typing import TypeVar

from peer.core.actions import Action, SaveShadow, Tell
from peer.core.contents import digest_of
from peer.core.documents import Documents
from peer.core.edits import Edit
from peer.core.events import (
    DisplacedChanged,
    FileEvent,
    FileMissing,
    FileReplaced,
    FileSeen,
    ReplaceRefused,
    ScanFinished,
    Stamp,
)
from peer.core.files import Files
from peer.core.ids import INDEX, DocId
from peer.core.layout import Blob, Entry, key_of, read_layout
from peer.core.notices import Author, FileChanged, Notice, Warned

Kind = TypeVar("Kind", bound=Action)


class Desk:
    """One side, without a disk: the test is the disk."""

    def __init__(
        self,
        *,
        read_only: bool = False,
        documents: Documents | None = None,
        scanned: bool = True,
        first_client: int = 1,
    ) -> None:
        clients = count(first_client)
        self.documents = Documents(lambda: next(clients)) if documents is None else documents
        self.documents.open(INDEX)
        self.files = Files(self.documents, "ann", random.Random(7), read_only=read_only)
        self.now = 0.0
        self.all: list[Action] = []
        if scanned:
            self.do(ScanFinished())

    # --- putting in ------------------------------------------------------------------------------------

    def do(self, event: FileEvent) -> list[Action]:
        return self._keep(self.files.handle(event, self.now))

    def _keep(self, actions: list[Action]) -> list[Action]:
        self.all += actions
        return actions

    def see(
        self,
        path: str,
        content: bytes | None,
        inode: int = 0,
        mode: int = 0o644,
        *,
        written: int = 1,
        whole: bool | None = None,
    ) -> list[Action]:
        return self.do(FileSeen(path, content, Stamp(inode, written, len(content or b""), mode, whole)))

    def displaced(
        self, path: str, content: bytes, inode: int, written: int, *, whole: bool | None = True
    ) -> list[Action]:
        stamp = Stamp(inode, written, len(content), 0o644, whole)
        return self.do(DisplacedChanged(path, content, stamp))

    def miss(self, path: str) -> list[Action]:
        return self.do(FileMissing(path))

    def wait(self, seconds: float) -> list[Action]:
        self.now += seconds
        return self._keep(self.files.tick(self.now))

    def settle(self, path: str, content: bytes | None, seconds: float = 1.0, inode: int = 0) -> list[Action]:
        """The disk shows the same for a while."""
        actions: list[Action] = []
        for _ in range(int(seconds / 0.05)):
            actions += self.miss(path) if content is None else self.see(path, content, inode)
            actions += self.wait(0.05)
        return actions

    def replaced(self, path: str, displaced: bytes | None, inode: int = 0) -> list[Action]:
        return self.do(FileReplaced(path, Stamp(inode, 2, 0, 0o644), displaced))

    def refused(self, path: str, content: bytes | None, stamped: bool = True) -> list[Action]:
        stamp = Stamp(9, 3, 0, 0o644) if stamped else None
        return self.do(ReplaceRefused(path, content, stamp))

    def changed(self, *docs: DocId, by: str = "ben") -> list[Action]:
        return self._keep(
            self.files.documents_changed(dict.fromkeys(docs, Author(by) if by else None), self.now)
        )

    # --- what others do ------------------------------------------------------------------------------

    def others_edit(self, path: str, at: int, deleted: int, inserted: str) -> list[Action]:
        doc = self.entry(path).doc
        self.documents.open(doc).edit([Edit(at, deleted, inserted)])
        return self.changed(doc)

    def others_make(self, path: str, text: str, number: int = 1, **more: str | bool | bytes) -> DocId:
        """An entry by somebody else; not told yet."""
        doc = DocId(number.to_bytes(8, "big"))
        if text:
            self.documents.open(doc).edit([Edit(0, 0, text)])
        for field, value in {"kind": "text", "by": "ben", **more, "path": path}.items():
            self.index(doc, field, value)
        return doc

    def others_make_blob(self, path: str, content: bytes, number: int = 1) -> DocId:
        return self.others_make(
            path, "", number, kind="blob", blob=str(Blob(digest_of(content), len(content)))
        )

    def index(self, doc: DocId, field: str, value: str | bool | bytes) -> None:
        self.documents.open(INDEX).index.set(key_of(doc, field), value)

    # --- looking -----------------------------------------------------------------------------------

    def folder(self) -> dict[str, Entry]:
        entries = self.documents.open(INDEX).index.entries()

        def is_edited(doc: DocId, state: bytes) -> bool:
            return not self.documents.open(doc).is_known_to(state)

        return read_layout(entries, is_edited).files

    def entry(self, path: str) -> Entry:
        return self.folder()[path]

    def text(self, path: str) -> str:
        return self.documents.open(self.entry(path).doc).text

    def shared(self, path: str, content: bytes, inode: int = 0) -> "Desk":
        """A file that is on disk and in the session."""
        self.see(path, content, inode)
        self.now += 0.2
        self.see(path, content, inode)
        return self


def only(kind: type[Kind], actions: Sequence[Action]) -> Kind:
    (found,) = [action for action in actions if isinstance(action, kind)]
    return found


def some(kind: type[Kind], actions: Sequence[Action]) -> list[Kind]:
    return [action for action in actions if isinstance(action, kind)]


def told(actions: Sequence[Action]) -> list[Notice]:
    return [action.notice for action in actions if isinstance(action, Tell)]


def changes(actions: Sequence[Action]) -> list[tuple[str, str]]:
    return [(notice.path, notice.change) for notice in told(actions) if isinstance(notice, FileChanged)]


def warnings(actions: Sequence[Action]) -> list[str]:
    return [notice.code for notice in told(actions) if isinstance(notice, Warned)]


def shadow(
    doc: DocId, path: str, content: bytes, *, binary: bool = False, intent: bool = False, inode: int = 0
) -> SaveShadow:
    return SaveShadow(doc, path, content, binary, intent, inode)
