"""Files on disk that the session does not know: new ones, and old ones under a new name.

A new file is shared after it has stayed the same for a moment, because editors make files that live
for a few milliseconds.  Before that it is compared with files that are missing: the same inode, or
the same content, is a rename, and then only the path changes.
"""

from dataclasses import dataclass
from typing import Final

from peer.core.actions import ReadFile
from peer.core.contents import Text, digest_of, write_text
from peer.core.events import Stamp
from peer.core.filestate import DISK, Board, FileState
from peer.core.intake import Intake
from peer.core.layout import same_path_name
from peer.core.textdiff import common_ends

__all__ = ["NEW_SECONDS", "Arrivals"]

NEW_SECONDS: Final = 0.1
"""A new file is shared after staying the same for this long."""

NEW_LIMIT_SECONDS: Final = 5.0
"""A new file that grows all the time is shared after this; what comes later are edits."""

SMALL: Final = 16
"""Bytes below which equal contents say nothing: many files are empty or hold one line."""


@dataclass(slots=True)
class _Arrival:
    path: str
    content: bytes
    digest: bytes
    stamp: Stamp
    since: float
    started: float
    due: float


class Arrivals:
    """The files on disk that have no entry yet."""

    def __init__(self, board: Board, intake: Intake) -> None:
        self._board = board
        self._intake = intake
        self._waiting: dict[str, _Arrival] = {}

    def seen(self, path: str, content: bytes, stamp: Stamp, now: float) -> None:
        """A file that no entry has is on disk."""
        if self._board.read_only:
            self._warn_unshared(path)
            return
        digest = digest_of(content)
        arrival = self._waiting.get(path)
        if arrival is None or arrival.digest != digest:
            started = arrival.started if arrival is not None else now
            arrival = _Arrival(path, content, digest, stamp, now, started, now + NEW_SECONDS)
            self._waiting[path] = arrival
        if not self._board.starting:
            self._decide(arrival, now)

    def missing(self, path: str) -> None:
        """It is gone again."""
        self._waiting.pop(path, None)

    def match(self, file: FileState, now: float) -> bool:
        """Whether a file that is missing came under another name; then it goes on there."""
        for arrival in list(self._waiting.values()):
            if self._is_same(file, arrival):
                self._rename(file, arrival, now)
                return True
        return False

    def scanned(self, now: float) -> None:
        """The first scan is finished: share what was found."""
        for arrival in list(self._waiting.values()):
            self._decide(arrival, now, at_once=True)

    def tick(self, now: float) -> None:
        """Look again at what is due."""
        for arrival in list(self._waiting.values()):
            if arrival.due <= now:
                arrival.due = now + NEW_SECONDS
                self._board.emit(ReadFile(arrival.path))

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        if self._board.starting:
            return None
        return min((arrival.due for arrival in self._waiting.values()), default=None)

    # --- what a new file is ------------------------------------------------------------------------------

    def _decide(self, arrival: _Arrival, now: float, *, at_once: bool = False) -> None:
        settled = now - arrival.since >= NEW_SECONDS or now - arrival.started >= NEW_LIMIT_SECONDS
        gone = next((file for file in self._board.missing_files() if self._is_same(file, arrival)), None)
        if gone is not None:
            self._rename(gone, arrival, now)
        elif settled or at_once:
            del self._waiting[arrival.path]
            self._share(arrival, resumed=at_once, now=now)
        elif old := self._board.by_inode(arrival.stamp.inode):
            self._intake.look(old)

    def _is_same(self, file: FileState, arrival: _Arrival) -> bool:
        if file.digest == arrival.digest:
            return arrival.stamp.inode == file.inode or len(arrival.content) >= SMALL
        if not file.inode or arrival.stamp.inode != file.inode:
            return False
        # An inode is used again at once by some file systems, so the content must be related too.
        return not file.binary and 2 * common_ends(file.raw, arrival.content) >= len(file.raw)

    def _rename(self, file: FileState, arrival: _Arrival, now: float) -> None:
        board = self._board
        old = file.path or ""
        del self._waiting[arrival.path]
        file.settling = None
        board.settle_at(file, arrival.path)
        board.catalog.rename(file.doc, arrival.path)
        board.save_shadow(
            file, file.digest or b"" if file.binary else file.raw, intent=False, stamp=arrival.stamp
        )
        board.tell(arrival.path, "renamed", DISK, old)
        self._intake.seen(file, arrival.content, arrival.stamp, now)

    def _share(self, arrival: _Arrival, *, resumed: bool, now: float) -> None:
        """Share a new file; where the session has one for this path, only if it holds something else."""
        board = self._board
        doc = board.catalog.at(arrival.path)
        file = board.files.get(doc) if doc is not None else None
        wanted = arrival.path
        if file is not None and file.path is None:
            if self._adopt(file, arrival, now):
                return
            if resumed:
                wanted = same_path_name(arrival.path, f"conflict {arrival.digest.hex()[:8]}")
        self._intake.share(wanted, arrival.path, arrival.content, arrival.stamp)

    def _adopt(self, file: FileState, arrival: _Arrival, now: float) -> bool:
        """Whether the disk holds what the session wanted to put there; then that is done."""
        board = self._board
        entry = board.catalog.entry(file.doc)
        if entry is None or not board.catalog.has_arrived(entry):
            return False
        if entry.blob is not None:
            same = entry.blob.digest == arrival.digest
        else:
            same = write_text(Text(board.document(file).text, entry.crlf)) == arrival.content
        if same:
            board.settle_at(file, arrival.path)
            board.touch(file)
            self._intake.adopt(file, arrival.content, arrival.digest, arrival.stamp, now)
        return same

    def _warn_unshared(self, path: str) -> None:
        self._board.warn_once(
            "read-only", path, f"{path} stays on this disk: you may only read this session."
        )
