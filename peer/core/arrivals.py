"""Files on disk that the session does not know: new ones, and old ones under a new name.

A new file is shared after it has stayed the same for a moment, because editors make files that live
for a few milliseconds.  Before that it is compared with files that are missing: the same inode, or
the same content, is a rename, and then only the path changes.

Where the session has a file for that path whose text is still on its way, the one on disk waits for it:
it may be the same.
"""

from dataclasses import dataclass
from typing import Final

from peer.core.actions import ReadFile
from peer.core.contents import Text, digest_of, write_text
from peer.core.events import Stamp
from peer.core.filestate import DISK, Board, FileState
from peer.core.intake import Intake
from peer.core.layout import Entry, same_path_name
from peer.core.textdiff import common_ends

__all__ = ["NEW_SECONDS", "TEXT_PATIENCE", "Arrivals"]

NEW_SECONDS: Final = 0.1
"""A new file is shared after staying the same for this long."""

NEW_LIMIT_SECONDS: Final = 5.0
"""A new file that grows all the time is shared after this; what comes later are edits."""

TEXT_PATIENCE: Final = 30.0
"""A file waits so long for a text that may be the same; perhaps nobody who is here has that."""

TEXT_LOOK_SECONDS: Final = 1.0
"""Between two looks at a file that waits."""

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
    resumed: bool = False
    """Whether it was there before the session was looked at, so that it may be an old copy."""


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
            before = arrival
            arrival = _Arrival(path, content, digest, stamp, now, now, now + NEW_SECONDS)
            if before is not None:
                arrival.started, arrival.resumed = before.started, before.resumed
            self._waiting[path] = arrival
        arrival.stamp = stamp  # the same content, but perhaps executable now
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
            arrival.started, arrival.resumed = now, True
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
            self._settle(arrival, now)
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

    def _settle(self, arrival: _Arrival, now: float) -> None:
        """Share a new file; where the session has one for this path, only if it holds something else."""
        board = self._board
        doc = board.catalog.at(arrival.path)
        file = board.files.get(doc) if doc is not None else None
        entry = board.catalog.entry(file.doc) if file is not None and file.path is None else None
        if file is None or entry is None:
            self._share(arrival, arrival.path)
        elif self._may_be_the_same(entry, arrival, now):
            arrival.due = now + TEXT_LOOK_SECONDS
        elif not self._adopt(file, entry, arrival, now):
            mark = f"conflict {arrival.digest.hex()[:8]}"
            self._share(arrival, same_path_name(arrival.path, mark) if arrival.resumed else arrival.path)

    def _may_be_the_same(self, entry: Entry, arrival: _Arrival, now: float) -> bool:
        """Whether to wait for the session's text before saying what this is."""
        soon = now - arrival.started < TEXT_PATIENCE
        return arrival.resumed and soon and not self._board.catalog.has_arrived(entry)

    def _share(self, arrival: _Arrival, wanted: str) -> None:
        del self._waiting[arrival.path]
        self._intake.share(wanted, arrival.path, arrival.content, arrival.stamp)

    def _adopt(self, file: FileState, entry: Entry, arrival: _Arrival, now: float) -> bool:
        """Whether the disk holds what the session wanted to put there, or an old copy of it."""
        board = self._board
        if not board.catalog.has_arrived(entry):
            return False
        if entry.blob is not None:
            same, older = entry.blob.digest == arrival.digest, False
        else:
            present = write_text(Text(board.document(file).text, entry.crlf))
            same = present == arrival.content
            older = arrival.resumed and _is_older(arrival.content, present)
        if same or older:
            del self._waiting[arrival.path]
            board.settle_at(file, arrival.path)
            board.touch(file)
        if same:
            self._intake.adopt(file, arrival.content, arrival.digest, arrival.stamp, now)
        elif older:
            self._go_on_from(file, arrival, now)
        return same or older

    def _go_on_from(self, file: FileState, arrival: _Arrival, now: float) -> None:
        """The disk held this when it was last seen, as after a restart."""
        file.raw, file.digest, file.held_before = arrival.content, arrival.digest, [arrival.content]
        self._board.save_shadow(file, arrival.content, intent=False, stamp=arrival.stamp)
        self._intake.seen(file, arrival.content, arrival.stamp, now)

    def _warn_unshared(self, path: str) -> None:
        self._board.warn_once(
            "read-only", path, f"{path} stays on this disk: you may only read this session."
        )


def _is_older(content: bytes, present: bytes) -> bool:
    """Whether *present* is *content* and one run more, as when somebody has just typed there."""
    return len(content) < len(present) and common_ends(content, present) >= len(content)
