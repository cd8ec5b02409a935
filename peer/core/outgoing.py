"""From the session to the disk: one order at a time for each file that is not as the session has it."""

from typing import Final

from peer.core.actions import ForgetShadow, MoveFile, RemoveFile, ReplaceFile
from peer.core.catalog import Catalog
from peer.core.contents import Text, digest_of, write_text
from peer.core.filestate import Board, Deed, FileState, Order
from peer.core.ids import DocId
from peer.core.layout import Blob, Entry, same_path_name

__all__ = ["PACE_SECONDS", "PLAIN_MODE", "Outgoing", "keep_beside"]

PACE_SECONDS: Final = 0.04
"""Between two writings of one file: a busy typist does not make hundreds of them a second, and a
save still shows on the other side within a blink.  The first after a pause is not delayed."""

PLAIN_MODE: Final = 0o644
EXECUTABLE_MODE: Final = 0o755


def keep_beside(catalog: Catalog, entry: Entry, blob: Blob) -> DocId:
    """Make an entry for a content that lost its place to another one.

    Everybody who notices makes the same entry, because its id is made of the file's and the content.
    """
    doc = DocId(digest_of(entry.doc + blob.digest)[:8])
    if catalog.entry(doc) is None:
        path = same_path_name(entry.path, f"conflict {blob.digest.hex()[:8]}")
        catalog.add(doc, path, blob=blob, executable=entry.executable, crlf=False)
    return doc


class Outgoing:
    """Brings the disk to what the session has."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def steer(self, file: FileState, now: float) -> None:
        """Give the next order for this file, if one is due and none is under way."""
        board = self._board
        board.blocked.pop(file.doc, None)
        if board.starting or file.order is not None or file.settling is not None or file.held:
            return
        if now < file.pause_until:
            board.wake_at(file, file.pause_until)
            return
        entry = board.catalog.entry(file.doc)
        target = board.catalog.path_of(file.doc)
        if entry is None or target is None:
            self._remove(file)
        elif board.catalog.has_arrived(entry):
            self._bring(file, entry, target, now)

    def _bring(self, file: FileState, entry: Entry, target: str, now: float) -> None:
        if file.path != target and not self._is_free(file, target):
            return
        if file.path is not None and file.path != target:
            self._move(file, target)
        elif entry.blob is not None:
            self._write_blob(file, entry, entry.blob, target)
        else:
            self._write_text(file, entry, target, now)

    # --- places ----------------------------------------------------------------------------------------

    def _is_free(self, file: FileState, target: str) -> bool:
        """Whether nothing of ours is at *target*; else the file waits, or leaves a circle of waiting."""
        other = self._board.at(target)
        if other is None:
            return True
        self._board.blocked[file.doc] = None
        if file.path is not None and self._goes_in_circle(file):
            self._order(file, Order(Deed.REMOVE, file.path, file.digest))
        return False

    def _goes_in_circle(self, file: FileState) -> bool:
        """Whether the files that wait for each other's path wait for this one's too."""
        passed: set[DocId] = set()
        other: FileState | None = file
        while other is not None and other.doc not in passed:
            if other.order is not None:
                return False
            passed.add(other.doc)
            target = self._board.catalog.path_of(other.doc)
            other = self._board.at(target) if target is not None else None
        return other is file and len(passed) > 1

    def _move(self, file: FileState, target: str) -> None:
        self._order(file, Order(Deed.MOVE, target, file.digest))

    def _remove(self, file: FileState) -> None:
        if file.path is None:
            self._board.drop(file)
        else:
            self._order(file, Order(Deed.REMOVE, file.path, file.digest))

    # --- contents --------------------------------------------------------------------------------------

    def _write_text(self, file: FileState, entry: Entry, target: str, now: float) -> None:
        shadows = self._board.shadows(file)
        document = self._board.document(file)
        raw = write_text(Text(document.text, entry.crlf))
        digest = digest_of(raw)
        version = shadows.mark()
        if digest == file.digest and not self._mode_differs(file, entry):
            if shadows.last != version:
                shadows.stands(version, now)
            file.known, file.failures = document.state_vector(), 0
            return
        self._order(
            file,
            Order(
                Deed.WRITE,
                target,
                file.digest,
                digest,
                raw,
                version,
                document.state_vector(),
                entry.executable,
            ),
        )

    def _write_blob(self, file: FileState, entry: Entry, blob: Blob, target: str) -> None:
        board = self._board
        board.missing.pop(file.doc, None)
        if file.digest == blob.digest and not self._mode_differs(file, entry):
            file.known, file.failures = blob.digest, 0
            return
        if file.digest not in (None, blob.digest) and not blob.follows(file.digest or b""):
            self._set_aside(file, entry)
        content = board.blobs.get(blob.digest)
        if content is None:
            board.missing[file.doc] = (blob.digest, blob.size)
            return
        if file.path is None and not self._is_free(file, target):
            return
        self._order(
            file,
            Order(
                Deed.WRITE,
                target,
                file.digest,
                blob.digest,
                content,
                known=blob.digest,
                executable=entry.executable,
            ),
        )

    def _set_aside(self, file: FileState, entry: Entry) -> None:
        """Somebody replaced what is on disk without having seen it: it becomes a file of its own."""
        digest, path = file.digest, file.path
        if digest is None or path is None or self._board.read_only:
            return
        doc = keep_beside(self._board.catalog, entry, Blob(digest, file.size))
        if doc in self._board.files:
            return
        aside = FileState(doc, binary=True, digest=digest, size=file.size, inode=file.inode)
        aside.executable, aside.known = file.executable, digest
        self._board.leave(file)
        file.digest, file.executable = None, None
        self._board.add(aside)
        self._board.settle_at(aside, path)
        self._board.emit(ForgetShadow(file.doc))
        self._board.save_shadow(aside, digest, intent=False)

    def _mode_differs(self, file: FileState, entry: Entry) -> bool:
        return file.executable is not None and file.executable != entry.executable

    # --- orders ----------------------------------------------------------------------------------------

    def _order(self, file: FileState, order: Order) -> None:
        board = self._board
        file.order = order
        if order.deed is Deed.WRITE:
            file.path = order.path
            board.claim(file, order.path)
            board.save_shadow(file, order.digest if file.binary else order.raw, intent=True)
            mode = EXECUTABLE_MODE if order.executable else PLAIN_MODE
            board.emit(ReplaceFile(order.path, order.expected, order.raw, mode))
            return
        assert order.expected is not None, "only what is on disk can be moved or removed"
        if order.deed is Deed.MOVE:
            assert file.path is not None
            board.claim(file, order.path)
            board.emit(MoveFile(file.path, order.path, order.expected))
        else:
            board.emit(RemoveFile(order.path, order.expected))
