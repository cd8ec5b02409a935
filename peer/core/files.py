"""The shared folder: what the disk reports goes into the session, what the session gets goes to disk.

    sights.py    what the disk shows, for a file of the session or a new one
    arrivals.py  files that the session does not know: new ones, renamed ones
    intake.py    disk -> session: what a save means (shadows.py), when it is believed (settling.py)
    outgoing.py  session -> disk: one order at a time for each file
    outcomes.py  what became of those orders
    catalog.py   the index: which file goes where (layout.py)

Nothing that the disk holds is written over before it was taken in: every order names the content
that it may replace, and what it met instead comes back and is taken in.  What one event changes in
documents, index and shadows belongs together; the caller stores it as one.

In a session that we may only read, a file that was changed here stays as it is on disk and gets
nothing more until it is deleted, moved away or put back.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from peer.core.actions import Action, SaveBlob, SaveShadow
from peer.core.arrivals import Arrivals
from peer.core.catalog import Catalog
from peer.core.contents import BLOB_LIMIT, digest_of
from peer.core.documents import Documents
from peer.core.events import FileEvent, FileMissing, FileSeen, ScanFinished
from peer.core.filestate import Board, FileState
from peer.core.ids import INDEX, DocId
from peer.core.intake import Intake
from peer.core.notices import Author
from peer.core.outcomes import Outcomes
from peer.core.outgoing import Outgoing
from peer.core.sights import Sights

__all__ = ["BLOB_LIMIT", "Files", "Randomness"]

ROUNDS: Final = 8
"""One change of the index leads to another a few times at most: a conflict copy, a freed path."""

API: Final = Author("api")
"""Who made a change that came from an application on this side."""


class Randomness(Protocol):
    """Where new ids come from; `random.Random` is one."""

    def randbytes(self, n: int) -> bytes:
        """*n* random bytes."""
        ...


class Files:
    """The files of one shared folder.

    Args:
        documents: of the session, with everything that our own store knows.
        device: our name, for files that have to be told apart.
        randomness: for the ids of new files.
        read_only: we may not change the session.
    """

    def __init__(
        self, documents: Documents, device: str, randomness: Randomness, *, read_only: bool = False
    ) -> None:
        self._randomness = randomness
        self._documents = documents
        self._board = Board(documents, Catalog(documents, device, self._new_id), read_only=read_only)
        self._intake = Intake(self._board)
        self._outgoing = Outgoing(self._board)
        self._arrivals = Arrivals(self._board, self._intake)
        self._sights = Sights(self._board, self._intake, self._arrivals)
        self._outcomes = Outcomes(self._board, self._intake, self._sights)

    def start(self, shadows: Iterable[SaveShadow]) -> None:
        """Remember what the disk held when we stopped: for each file by age, a later intent last."""
        board = self._board
        last: dict[DocId, SaveShadow] = {}
        for shadow in shadows:
            last[shadow.doc] = shadow
            file = board.files.get(shadow.doc)
            if file is None:
                file = board.add(FileState(shadow.doc, shadow.binary, seen=False))
            file.held_before.append(shadow.content)
            if shadow.saved:
                file.saved_before.add(shadow.content)
        # An order to write somewhere is given when the file that was there has left, even if the end
        # of that was not heard of any more; so of two that claim a path, an intent is right.
        for shadow in sorted(last.values(), key=lambda shadow: not shadow.intent):
            self._place(board.files[shadow.doc], shadow)
        self._report_refused()

    def _place(self, file: FileState, shadow: SaveShadow) -> None:
        board = self._board
        if board.at(shadow.path) is not None:
            file.seen = True
            return
        board.settle_at(file, shadow.path)
        board.know_inode(file, shadow.stamp_inode)
        file.digest = shadow.content if shadow.binary else digest_of(shadow.content)
        file.raw = b"" if shadow.binary else shadow.content

    # --- the doors ---------------------------------------------------------------------------------------

    def handle(self, event: FileEvent, now: float) -> list[Action]:
        """Take one event of the disk; return what is to be done, in order."""
        if isinstance(event, FileSeen):
            self._sights.seen(event.path, event.content, event.stamp, now)
        elif isinstance(event, FileMissing):
            self._sights.missing(event.path, now)
        elif isinstance(event, ScanFinished):
            self._scan_finished(now)
        else:
            self._outcomes.handle(event, now)
        return self._finish(now)

    def documents_changed(self, changed: Mapping[DocId, Author | None], now: float) -> list[Action]:
        """Documents were changed by the peers named, or by an application here (`None`)."""
        for doc, author in changed.items():
            self._board.name(doc, author or API)
        return self._finish(now, changed, changed)

    def missing_blobs(self) -> set[tuple[bytes, int]]:
        """Digests and sizes of the contents that files wait for."""
        return set(self._board.missing.values())

    def blob_arrived(self, digest: bytes, content: bytes, now: float) -> list[Action]:
        """A content that was missing is here."""
        waiting = [doc for doc, (wanted, _) in self._board.missing.items() if wanted == digest]
        if waiting:
            self._board.emit(SaveBlob(digest, content))
            self._board.blobs[digest] = content
        return self._finish(now, waiting)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        moments = [*self._board.wake.values()]
        arrivals = self._arrivals.next_deadline()
        return min([*moments, arrivals] if arrivals is not None else moments, default=None)

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        board = self._board
        due = [doc for doc, moment in board.wake.items() if moment <= now]
        for doc in due:
            del board.wake[doc]
            file = board.files[doc]
            if file.late is not None and file.late.due <= now:
                self._outcomes.believe_late(file, file.late, now)
            elif file.late is not None:
                board.wake_at(file, file.late.due)
            if file.settling is not None or file.failures:
                self._intake.look(file)
        self._arrivals.tick(now)
        return self._finish(now, due)

    def _scan_finished(self, now: float) -> None:
        board = self._board
        board.starting = False
        for doc in board.catalog.ids():
            self._enter(doc)
        for file in list(board.files.values()):
            board.touch(file)
            if not file.seen:
                self._sights.missing(file.path or "", now)
        self._arrivals.scanned(now)

    # --- what the session holds ----------------------------------------------------------------------------

    def _finish(
        self, now: float, touched: Iterable[DocId] = (), changed: Mapping[DocId, Author | None] | None = None
    ) -> list[Action]:
        """Bring the disk to what the session has, and hand over what is to be done."""
        board = self._board
        names = changed or {}
        for doc in touched:
            board.touched[doc] = None
        for _ in range(ROUNDS):
            # First what the index says now: by an old one, files that are new would be removed.
            for doc in board.catalog.refresh(names):
                self._enter(doc)
                if INDEX in names:
                    board.name(doc, names[INDEX] or API)
                board.touched[doc] = None
            if board.freed:
                board.freed = False
                board.touched.update(board.blocked)
            if not board.touched:
                break
            pending, board.touched = board.touched, {}
            for file in [board.files[doc] for doc in pending if doc in board.files]:
                self._outgoing.steer(file, now)
        self._report_refused()
        self._drop_contents()
        return board.take_actions()

    def _drop_contents(self) -> None:
        """Keep only those binary contents in memory that a file still waits for."""
        board = self._board
        if board.blobs:
            entries = ((board.catalog.entry(file.doc), file.digest) for file in board.files.values())
            wanted = {
                entry.digest for entry, digest in entries if entry is not None and entry.digest != digest
            }
            board.blobs = {digest: content for digest, content in board.blobs.items() if digest in wanted}

    def _enter(self, doc: DocId) -> None:
        entry = self._board.catalog.entry(doc)
        if entry is not None:
            file = self._board.ensure(entry)
            if not file.by.name:
                file.by = Author(entry.by)  # until somebody changes it

    def _report_refused(self) -> None:
        for doc in sorted(self._board.catalog.refused):
            path = self._board.catalog.wanted_path(doc)
            if path is not None:
                message = f"A file that the others call {path[:100]!r} cannot be put into this folder."
                self._board.warn_once("name", path, message)

    def _new_id(self) -> DocId:
        while True:
            doc = DocId(self._randomness.randbytes(8))
            if any(doc) and self._documents.get(doc) is None:
                return doc
