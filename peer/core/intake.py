"""From the disk to the session: what a file that people changed, made or deleted means."""

from typing import Final

from peer.core.actions import ForgetShadow, ReadFile, ReplaceFile, SaveBlob
from peer.core.ages import Version
from peer.core.contents import Text, digest_of, looks_cut, read_text, take_ends, write_text
from peer.core.edits import Edit
from peer.core.events import Stamp
from peer.core.filestate import DISK, Board, FileState
from peer.core.layout import Blob, same_path_name
from peer.core.outgoing import PLAIN_MODE, keep_beside
from peer.core.settling import LOOK_SECONDS, Settling
from peer.errors import UsageError

__all__ = ["Intake", "is_executable", "is_whole"]

LATE_SECONDS: Final = 3.0
"""A displaced save is reported within this time; another save taken in meanwhile is the newer one."""

EXECUTE_BITS: Final = 0o111


class Intake:
    """Takes what the disk holds into the session."""

    def __init__(self, board: Board) -> None:
        self._board = board

    # --- looking ---------------------------------------------------------------------------------------

    def seen(self, file: FileState, content: bytes, stamp: Stamp, now: float) -> None:
        """The disk holds *content* where this file is."""
        file.seen, file.held = True, False
        self._board.know_inode(file, stamp.inode)
        digest = digest_of(content)
        self._recall(file, digest, content, now)
        if digest == file.digest:
            file.settling, file.size = None, len(content)
            self._take_mode(file, stamp)
        elif self._is_to_be_believed(file, content, stamp, now):
            file.settling = None
            self._believe(file, content, digest, stamp, now)

    def missing(self, file: FileState, now: float) -> None:
        """There is nothing on disk where this file was."""
        file.seen = True
        if file.settling is None:
            file.settling = Settling(None, now, now)
        file.settling.look(None, now)
        if file.settling.is_over(now) and not self._board.starting:
            file.settling = None
            self._believe_gone(file)
        else:
            self._board.wake_at(file, now + LOOK_SECONDS)

    def look(self, file: FileState) -> None:
        """Ask what the disk holds."""
        if file.path is not None:
            self._board.emit(ReadFile(file.path))

    def _recall(self, file: FileState, digest: bytes, content: bytes, now: float) -> None:
        """At the first look after a restart, find which of the remembered contents it is."""
        if not file.held_before:
            return
        if file.binary:
            file.digest = digest if digest in file.held_before else file.held_before[-1]
            file.held_before = []
            return
        held = content if content in file.held_before else file.held_before[-1]
        file.raw, file.digest = held, digest_of(held)
        shadows = self._board.shadows(file)
        text = self._text(file, held)
        if text is not None:
            shadows.found(text.text, now)
        if self._as_written(file) == held:
            file.known = self._board.document(file).state_vector()

    def _is_to_be_believed(self, file: FileState, content: bytes, stamp: Stamp, now: float) -> bool:
        """Whether this is a whole save, or has stayed as it is for long enough."""
        if is_whole(content, stamp, file.raw) and (file.binary or read_text(content) is not None):
            return True
        if file.settling is None:
            file.settling = Settling(content, now, now)
        file.settling.look(content, now)
        if file.settling.is_over(now):
            return True
        self._board.wake_at(file, now + LOOK_SECONDS)
        return False

    def _take_mode(self, file: FileState, stamp: Stamp) -> None:
        executable = is_executable(stamp)
        if file.executable is not None and file.executable != executable and not self._board.read_only:
            self._board.catalog.set_executable(file.doc, executable)
        file.executable = executable

    # --- believing -------------------------------------------------------------------------------------

    def _believe(self, file: FileState, content: bytes, digest: bytes, stamp: Stamp, now: float) -> None:
        if self._board.read_only:
            self._hold_back(file)
            return
        raw = read_text(content)
        if file.binary != (raw is None):
            self._change_kind(file, content, stamp)
        elif raw is None:
            self._take_blob(file, content, digest, stamp)
        elif self.take_text(file, raw, now):
            file.taken_at, file.written_ns = now, max(file.written_ns, stamp.mtime_ns)
            self._now_on_disk(file, content, digest, stamp)

    def _hold_back(self, file: FileState) -> None:
        file.held = True
        self._board.warn_once(
            "read-only",
            file.path or "",
            f"{file.path} was changed here, but you may only read this session. Your version stays on this"
            " disk and is not shared; delete or move it to get the session's version again.",
        )

    def _now_on_disk(self, file: FileState, content: bytes, digest: bytes, stamp: Stamp) -> None:
        board = self._board
        file.raw, file.digest, file.size = b"" if file.binary else content, digest, len(content)
        self._take_mode(file, stamp)
        board.save_shadow(file, digest if file.binary else content, intent=False, stamp=stamp)
        board.tell(file.path or "", "edited", DISK)
        if not file.binary and self._as_written(file) == content:
            file.known = board.document(file).state_vector()

    # --- texts -----------------------------------------------------------------------------------------

    def take_text(
        self,
        file: FileState,
        raw: str,
        now: float,
        against: Version | None = None,
        *,
        late: bool = False,
        displaced: bool = False,
    ) -> bool:
        """Make in the document what a save, *raw*, changed in the version that it came from.

        Returns:
            Whether the document could take it; if not, the file stays as it is on disk.
        """
        board = self._board
        shadows = board.shadows(file)
        text = take_ends(raw, self._present(file))
        edits = shadows.take_in(text.text, now, against, late=late, displaced=displaced)
        try:
            board.edit(file, edits)
        except UsageError as error:
            file.held = True
            board.warn_once(
                "refused", file.path or "", f"{file.path} is not shared as it is on disk: {error}"
            )
            return False
        entry = board.catalog.entry(file.doc)
        if entry is not None and entry.crlf != text.crlf:
            board.catalog.set_crlf(file.doc, text.crlf)
        return True

    def take_displaced(
        self, file: FileState, content: bytes, stamp: Stamp | None, now: float, *, newest: bool
    ) -> None:
        """Take in a save that our last writing displaced; an empty one says nothing.

        Unless it is known to be the *newest*, what it lacks is not believed soon after another save.
        """
        file.late = None
        raw = read_text(content)
        if raw is None:
            self.keep_content(file, content)
        elif raw and file.shadows is not None:
            standing = file.shadows.last
            late = not newest and now - file.taken_at < LATE_SECONDS
            if self.take_text(file, raw, now, displaced_version(file, stamp), late=late, displaced=True):
                if stamp is not None:
                    self._board.note_displaced(file, stamp.inode, file.shadows.last)
                self._board.tell(file.path or "", "edited", DISK)
                # Its editor goes on from it, perhaps after we were started again.
                self._board.save_shadow(file, content, intent=False)
                self._board.save_shadow(file, file.raw, intent=False)
            file.shadows.stands(standing, now)

    def _present(self, file: FileState) -> Text:
        entry = self._board.catalog.entry(file.doc)
        return Text(self._board.document(file).text, entry is not None and entry.crlf)

    def _as_written(self, file: FileState) -> bytes:
        """What the file would hold if it were written now."""
        return write_text(self._present(file))

    def _text(self, file: FileState, content: bytes) -> Text | None:
        raw = read_text(content)
        return None if raw is None else take_ends(raw, self._present(file))

    # --- binary files ----------------------------------------------------------------------------------

    def _take_blob(self, file: FileState, content: bytes, digest: bytes, stamp: Stamp) -> None:
        board = self._board
        entry = board.catalog.entry(file.doc)
        blob = Blob(digest, len(content))
        board.emit(SaveBlob(digest, content))
        if entry is None or entry.blob is None:
            # Deleted by somebody who knew another content: with this one it lives.
            board.catalog.set_blob(file.doc, blob)
        elif entry.blob.digest != digest:
            if file.digest is not None and entry.blob.digest != file.digest:
                keep_beside(board.catalog, entry, entry.blob)
            board.catalog.set_blob(file.doc, blob.after(entry.blob))
        file.known = digest
        self._now_on_disk(file, content, digest, stamp)

    # --- kinds, new files, gone files ------------------------------------------------------------------

    def _change_kind(self, file: FileState, content: bytes, stamp: Stamp) -> None:
        """A text became binary, or the other way round: another file with the same path.

        Whoever edits the old one meanwhile brings it back, beside the new one.
        """
        board = self._board
        path, entry = file.path or "", board.catalog.entry(file.doc)
        wanted = entry.path if entry is not None else path
        board.catalog.bury(file.doc, self._knowledge(file) or b"")
        board.emit(ForgetShadow(file.doc))
        board.leave(file)
        file.digest = None
        self.share(wanted, path, content, stamp, change="edited")

    def share(self, wanted: str, path: str, content: bytes, stamp: Stamp, *, change: str = "created") -> None:
        """Put a file, which is on disk at *path*, into the session under the name *wanted*."""
        board = self._board
        raw = read_text(content)
        doc = board.catalog.new_id()
        digest = digest_of(content)
        file = FileState(doc, raw is None, path, digest, size=len(content), inode=stamp.inode)
        file.executable = is_executable(stamp)
        if raw is None:
            board.emit(SaveBlob(digest, content))
            blob = Blob(digest, len(content))
            board.catalog.add(doc, wanted, blob=blob, executable=file.executable, crlf=False)
            file.known = digest
        else:
            text = take_ends(raw, None)
            document = board.documents.open(doc)
            if text.text:
                document.edit([Edit(0, 0, text.text)])
            file.raw, file.known = content, document.state_vector()
            board.catalog.add(
                doc, wanted, blob=None, executable=file.executable, crlf=text.crlf, since=file.known
            )
        board.add(file)
        board.save_shadow(file, digest if file.binary else content, intent=False, stamp=stamp)
        board.tell(path, change, DISK)

    def adopt(self, file: FileState, content: bytes, digest: bytes, stamp: Stamp, now: float) -> None:
        """The disk holds already what the session has for this file."""
        file.raw, file.digest, file.size = b"" if file.binary else content, digest, len(content)
        file.executable, file.failures = is_executable(stamp), 0
        self._board.know_inode(file, stamp.inode)
        file.known = digest if file.binary else self._board.document(file).state_vector()
        if not file.binary:
            shadows = self._board.shadows(file)
            shadows.stands(shadows.mark(), now)
        self._board.save_shadow(file, digest if file.binary else content, intent=False, stamp=stamp)

    def keep_content(self, file: FileState, content: bytes) -> None:
        """Our writing took the place of a content that cannot be merged: put it beside the file."""
        board, digest, path = self._board, digest_of(content), file.path
        entry = board.catalog.entry(file.doc)
        if not content or path is None:
            return
        if board.read_only or entry is None:
            beside = same_path_name(path, f"yours {digest.hex()[:8]}")
            board.emit(ReplaceFile(beside, None, content, PLAIN_MODE))
            return
        board.emit(SaveBlob(digest, content))
        board.blobs[digest] = content
        keep_beside(board.catalog, entry, Blob(digest, len(content)))

    def _knowledge(self, file: FileState) -> bytes | None:
        """What its people knew of a file; `None` if there is more in the session than they saw."""
        if file.known is None and not file.binary and self._as_written(file) == file.raw:
            return self._board.document(file).state_vector()
        return file.digest if file.binary else file.known

    def _believe_gone(self, file: FileState) -> None:
        board = self._board
        path, known = file.path or "", self._knowledge(file)
        board.leave(file)
        file.digest, file.raw, file.executable, file.held = None, b"", None, False
        board.emit(ForgetShadow(file.doc))
        if not board.read_only and known is not None:
            board.catalog.bury(file.doc, known)
            board.tell(path, "deleted", DISK)


def is_whole(content: bytes, stamp: Stamp | None, before: bytes) -> bool:
    """Whether a file that held *before* was not read in the middle of a save.

    An emptied one is never whole: some editors empty a file, close it, and open it again to write.
    """
    if stamp is None or stamp.whole is None:
        return bool(content) and not looks_cut(content, before)
    return bool(content) and stamp.whole


def displaced_version(file: FileState, stamp: Stamp | None) -> Version | None:
    """What a displaced file held before it was written to: its own version, or that of the last one."""
    versions = file.displaced_from
    found = versions.get(stamp.inode) if stamp is not None else None
    return found or next(reversed(versions.values()), None)


def is_executable(stamp: Stamp) -> bool:
    """Whether a file may be executed by anybody."""
    return bool(stamp.mode & EXECUTE_BITS)
