"""What is known of each file on disk, and the board on which all files of one folder stand.

    nothing on disk --WRITE--> on disk --WRITE--> ...      orders: at most one under way per file
                               on disk --MOVE---> on disk
                               on disk --REMOVE-> forgotten

While a file is settling (`settling.py`) or held, no order is given for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from typing import Final

from peer.core.actions import Action, SaveShadow, Tell
from peer.core.ages import Version
from peer.core.catalog import Catalog
from peer.core.contents import Text, read_text, take_ends
from peer.core.documents import Document, Documents
from peer.core.edits import Edit
from peer.core.events import Stamp
from peer.core.ids import DocId
from peer.core.layout import Entry
from peer.core.notices import Author, FileChanged, Warned
from peer.core.settling import Settling
from peer.core.shadows import Shadows

__all__ = ["DISK", "NOBODY", "Board", "Deed", "FileState", "Late", "Order"]

NOBODY: Final = Author("")
"""Who made a file of which nobody has said so."""

DISK: Final = Author("disk")
"""Who made a change that came from this side's folder."""

WARNINGS: Final = 10_000
"""Things warned of that are remembered, so that each is said once; beyond that all are forgotten."""


DISPLACED_LIMIT: Final = 16
"""Displaced files of which we know what they held: half a second of the quickest writing."""


class Deed(Enum):
    """What the disk was asked to do."""

    WRITE = auto()
    MOVE = auto()
    REMOVE = auto()


@dataclass(slots=True)
class Order:
    """One change to the disk that is under way.

    Attributes:
        path: where the file is to be; for `REMOVE`, where it is.
        expected: digest of what must be there.
        digest: of the new content.
        raw: new content of a text file.
        version: which version of the text that is.
        known: what the session held when the order was given.
    """

    deed: Deed
    path: str
    expected: bytes | None
    digest: bytes = b""
    raw: bytes = b""
    version: Version | None = None
    known: bytes | None = None
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Late:
    """A save that our writing took the place of, and when it is believed as it is."""

    content: bytes
    stamp: Stamp | None
    due: float


@dataclass(slots=True)
class FileState:
    """One file of the session on this side's disk.

    Attributes:
        path: where it is, or is being put; `None`: nowhere.
        digest: of what the disk holds as far as is known; `None`: no file.
        raw: what the disk holds, of a text file.
        inode: of the file; zero when not known.
        executable: as on disk; `None` when not known.
        held_before: contents (texts) or digests (binary) that the disk may hold after a
            restart, oldest first.
        saved_before: those of them that saves on this side brought, so that what was new in them is ours.
        known: what of the file its people could see on disk; `None` when not known.
        displaced_from: the versions that our last writings took the place of, by the inode that held each.
        displaced_raw: the bytes of the last of them.
        displaced: digest of what was really displaced, when that was something else.
        late: a displaced save that may not be whole yet.
        taken_at: when a save was last taken in.
        written_ns: when the newest save that was taken in was written, by the file system's clock.
        by: who changed it last.
    """

    doc: DocId
    binary: bool
    path: str | None = None
    digest: bytes | None = None
    raw: bytes = b""
    size: int = 0
    inode: int = 0
    executable: bool | None = None
    held_before: list[bytes] = field(default_factory=list)
    saved_before: set[bytes] = field(default_factory=set)
    seen: bool = True
    known: bytes | None = None
    shadows: Shadows | None = None
    displaced_from: dict[int, Version] = field(default_factory=dict)
    displaced_raw: bytes = b""
    displaced: bytes | None = None
    late: Late | None = None
    order: Order | None = None
    settling: Settling | None = None
    look_again: bool = False
    held: bool = False
    failures: int = 0
    pause_until: float = 0.0
    taken_at: float = -inf
    written_ns: int = 0
    by: Author = NOBODY


class Board:
    """All files of one folder and what is being done about them.

    Attributes:
        starting: until the first scan is finished; nothing is written and nothing believed gone.
        blobs: binary contents that wait to be written.
        missing: contents that files wait for, with their sizes.
        wake: when a file must be looked at again.
        touched: files to be compared with the session in this turn.
        blocked: files that wait until another one leaves their path.
    """

    def __init__(self, documents: Documents, catalog: Catalog, *, read_only: bool) -> None:
        self.documents = documents
        self.catalog = catalog
        self.read_only = read_only
        self.starting = True
        self.files: dict[DocId, FileState] = {}
        self.blobs: dict[bytes, bytes] = {}
        self.missing: dict[DocId, tuple[bytes, int]] = {}
        self.wake: dict[DocId, float] = {}
        self.blocked: dict[DocId, None] = {}
        self.touched: dict[DocId, None] = {}
        self.freed = False
        self._at: dict[str, FileState] = {}
        self._inodes: dict[int, DocId] = {}
        self._actions: list[Action] = []
        self._warned: set[tuple[str, str]] = set()

    # --- what is to be done ----------------------------------------------------------------------------

    def emit(self, action: Action) -> None:
        """Add to what is to be done."""
        self._actions.append(action)

    def take_actions(self) -> list[Action]:
        """Hand over what is to be done."""
        actions, self._actions = self._actions, []
        return actions

    def tell(self, path: str, change: str, by: Author, old_path: str | None = None) -> None:
        """Tell people that a file changed."""
        self.emit(Tell(FileChanged(path, change, by.name, old_path, by.peer)))

    def warn_once(self, code: str, path: str, message: str) -> None:
        """Warn people of something about a file, unless that was said before."""
        if (code, path) not in self._warned:
            if len(self._warned) >= WARNINGS:
                self._warned.clear()
            self._warned.add((code, path))
            self.emit(Tell(Warned(code, message, path)))

    # --- files and places ------------------------------------------------------------------------------

    def at(self, path: str) -> FileState | None:
        """The file that is at *path*, or is being put there."""
        return self._at.get(path)

    def by_inode(self, inode: int) -> FileState | None:
        """The file that had this inode when it was last seen."""
        doc = self._inodes.get(inode)
        file = self.files.get(doc) if doc is not None else None
        return file if file is not None and file.inode == inode else None

    def know_inode(self, file: FileState, inode: int) -> None:
        """The file has this inode."""
        file.inode = inode
        if inode:
            self._inodes[inode] = file.doc

    def missing_files(self) -> Iterator[FileState]:
        """Files that are not on disk any more, which is not believed yet."""
        files = (self.files[doc] for doc in self.wake)
        return (file for file in files if file.settling is not None and file.settling.content is None)

    def name(self, doc: DocId, by: Author) -> None:
        """Remember who changed a file last."""
        if doc in self.files:
            self.files[doc].by = by

    def add(self, file: FileState) -> FileState:
        """Put a file on the board."""
        self.files[file.doc] = file
        self.know_inode(file, file.inode)
        if file.path is not None:
            self._at[file.path] = file
        return file

    def ensure(self, entry: Entry) -> FileState:
        """The file of an entry."""
        file = self.files.get(entry.doc)
        return file if file is not None else self.add(FileState(entry.doc, entry.blob is not None))

    def drop(self, file: FileState) -> None:
        """Take a file off the board: it is neither in the session nor on disk."""
        self.leave(file)
        self.files.pop(file.doc, None)
        self.missing.pop(file.doc, None)
        self.wake.pop(file.doc, None)
        self._inodes.pop(file.inode, None)
        self.blocked.pop(file.doc, None)

    def touch(self, file: FileState) -> None:
        """Something about this file changed: compare it with the session before the turn is over."""
        self.touched[file.doc] = None

    def claim(self, file: FileState, path: str) -> None:
        """The file is being put at *path*."""
        self._at[path] = file

    def settle_at(self, file: FileState, path: str) -> None:
        """The file is at *path* and nowhere else."""
        self.leave(file)
        file.path = path
        self._at[path] = file

    def unclaim(self, file: FileState, path: str) -> None:
        """The file is not being put at *path* any more."""
        if path != file.path and self._at.get(path) is file:
            del self._at[path]
            self.freed = True

    def leave(self, file: FileState) -> None:
        """The file is nowhere on disk."""
        for path in {file.path, file.order.path if file.order is not None else None}:
            if path is not None and self._at.get(path) is file:
                del self._at[path]
                self.freed = True
        file.path = None

    def wake_at(self, file: FileState, moment: float) -> None:
        """Look at this file again at *moment* at the latest."""
        self.wake[file.doc] = min(moment, self.wake.get(file.doc, moment))

    def note_displaced(self, file: FileState, inode: int, version: Version) -> None:
        """The inode, which has no name any more, holds this version."""
        file.displaced_from.pop(inode, None)
        file.displaced_from[inode] = version
        if len(file.displaced_from) > DISPLACED_LIMIT:
            del file.displaced_from[next(iter(file.displaced_from))]

    # --- texts -----------------------------------------------------------------------------------------

    def document(self, file: FileState) -> Document:
        """The text's document."""
        return self.documents.open(file.doc)

    def shadows(self, file: FileState) -> Shadows:
        """The history of a text file, told of everything that happened to the text."""
        document = self.document(file)
        if file.shadows is None:
            document.take_edits()
            held = self._held_before(file)
            file.shadows = Shadows.restore(held or [(document.text, False)], document.text)
            file.held_before = []
            file.saved_before = set()
            return file.shadows
        file.shadows.note([edit for _, edit in document.take_edits()])
        # The log of a document may begin anew; what it does not tell is found by comparison.
        file.shadows.follow(document.text)
        return file.shadows

    def _held_before(self, file: FileState) -> list[tuple[str, bool]]:
        entry = self.catalog.entry(file.doc)
        crlf = entry is not None and entry.crlf
        held = []
        for content in file.held_before:
            text = read_text(content)
            if text is not None:
                plain = take_ends(text, Text("", crlf=True)).text if crlf else text
                held.append((plain, content in file.saved_before))
        return held

    def edit(self, file: FileState, edits: list[Edit]) -> None:
        """Make edits, which the shadows know already, in the document.

        Raises:
            UsageError: the document cannot take them.
        """
        if edits:
            document = self.document(file)
            document.edit(edits)
            document.take_edits()

    def save_shadow(
        self, file: FileState, content: bytes, *, intent: bool, stamp: Stamp | None = None
    ) -> None:
        """Remember what the disk holds, or is about to hold: a text, or a binary file's digest."""
        path = file.order.path if intent and file.order is not None else file.path
        self.emit(
            SaveShadow(
                file.doc,
                path or "",
                content,
                file.binary,
                intent,
                stamp.inode if stamp is not None else file.inode,
                stamp.mtime_ns if stamp is not None else 0,
            )
        )
