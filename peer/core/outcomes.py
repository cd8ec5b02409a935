"""What became of the orders that were given to the disk."""

from typing import Final, assert_never

from peer.core.actions import ForgetShadow, ReadFile
from peer.core.contents import digest_of, read_text
from peer.core.events import (
    DisplacedChanged,
    FileMoved,
    FileRemoved,
    FileReplaced,
    FileTrouble,
    ReplaceRefused,
    Stamp,
)
from peer.core.filestate import Board, Deed, FileState, Late
from peer.core.intake import Intake, is_whole
from peer.core.outgoing import PACE_SECONDS
from peer.core.sights import Sights

__all__ = ["Outcomes"]

RETRY_SECONDS: Final = 0.5
RETRY_LIMIT_SECONDS: Final = 60.0
"""After trouble with the disk a file rests; twice as long each time, up to this."""

LATE_SECONDS: Final = 2.0
"""A displaced content that looks cut off is believed after this: by then the disk has looked twice."""

Outcome = FileReplaced | DisplacedChanged | ReplaceRefused | FileRemoved | FileMoved | FileTrouble


class Outcomes:
    """Takes the disk's answers to orders."""

    def __init__(self, board: Board, intake: Intake, sights: Sights) -> None:
        self._board = board
        self._intake = intake
        self._sights = sights

    def handle(self, event: Outcome, now: float) -> None:
        """Take one answer."""
        match event:
            case FileReplaced():
                self._replaced(event, now)
            case DisplacedChanged():
                self._displaced_changed(event, now)
            case ReplaceRefused():
                self._refused(event, now)
            case FileRemoved():
                self._removed(event)
            case FileMoved():
                self._moved(event)
            case FileTrouble():
                self._trouble(event, now)
            case _:
                assert_never(event)

    def _replaced(self, event: FileReplaced, now: float) -> None:
        file = self._ordered(event.path, Deed.WRITE)
        if file is None or file.order is None:
            return
        board, order, shadows = self._board, file.order, file.shadows
        created = order.expected is None
        raw, inode = file.raw, event.was.inode if event.was is not None else file.inode
        file.order, file.digest, file.size = None, order.digest, len(order.raw)
        file.raw, file.known = (b"" if file.binary else order.raw), order.known
        file.executable, file.failures = order.executable, 0
        board.know_inode(file, event.stamp.inode)
        file.pause_until = now + PACE_SECONDS
        board.settle_at(file, event.path)
        if shadows is not None and order.version is not None:
            board.note_displaced(file, inode, shadows.last)
            shadows.stands(order.version, now)
            file.displaced_raw = raw
        board.save_shadow(file, order.digest if file.binary else order.raw, intent=False, stamp=event.stamp)
        board.tell(event.path, "created" if created else "edited", file.by)
        if event.displaced is not None and digest_of(event.displaced) != order.expected:
            # what was reported before this was on disk before it: nothing newer was taken in yet
            self._slipped_in(file, event.displaced, event.was, now, newest=True)
        self._done(file)

    def _displaced_changed(self, event: DisplacedChanged, now: float) -> None:
        file = self._board.at(event.path)
        if file is not None and self._is_news(file, digest_of(event.content)):
            newest = event.stamp is not None and event.stamp.mtime_ns >= file.written_ns
            self._slipped_in(file, event.content, event.stamp, now, newest=newest)
            self._board.touch(file)

    def believe_late(self, file: FileState, late: Late, now: float) -> None:
        """Nothing more came of a displaced save: take it as it is."""
        newest = late.stamp is not None and late.stamp.mtime_ns >= file.written_ns
        self._intake.take_displaced(file, late.content, late.stamp, now, newest=newest)

    def _is_news(self, file: FileState, digest: bytes) -> bool:
        return digest != file.digest and (digest != file.displaced or file.late is not None)

    def _slipped_in(
        self, file: FileState, content: bytes, stamp: Stamp | None, now: float, *, newest: bool
    ) -> None:
        """A save came just before our writing took its place: it is taken in all the same."""
        file.displaced = digest_of(content)
        if self._board.read_only or file.binary:
            self._intake.keep_content(file, content)
        elif read_text(content) is None or not is_whole(content, stamp, file.displaced_raw):
            # Its writer may be in the middle; if it goes on, we are told of that.
            file.late = Late(content, stamp, now + LATE_SECONDS)
            self._board.wake_at(file, file.late.due)
        else:
            file.written_ns = max(file.written_ns, stamp.mtime_ns if stamp is not None else 0)
            self._intake.take_displaced(file, content, stamp, now, newest=newest)

    def _refused(self, event: ReplaceRefused, now: float) -> None:
        file = self._ordered(event.path, *Deed)
        if file is None or file.order is None:
            return
        order, path = file.order, file.path
        self._cancel(file)
        if order.expected is None or event.path != path:
            # Something is where nothing should be.  Whether it may be shared is not ours to decide:
            # a look reports it only if it may.
            self._rest(file, now)
            self._board.emit(ReadFile(event.path))
        elif event.stamp is None:
            self._sights.missing(event.path, now)
        else:
            self._sights.seen(event.path, event.content, event.stamp, now)
        self._done(file)

    def _removed(self, event: FileRemoved) -> None:
        file = self._ordered(event.path, Deed.REMOVE)
        if file is None:
            return
        board = self._board
        board.leave(file)
        board.touch(file)
        file.order, file.digest, file.raw, file.executable = None, None, b"", None
        board.emit(ForgetShadow(file.doc))
        if board.catalog.entry(file.doc) is None:
            board.tell(event.path, "deleted", file.by)
            board.drop(file)

    def _moved(self, event: FileMoved) -> None:
        file = self._ordered(event.old, Deed.MOVE)
        if file is None:
            return
        board = self._board
        board.settle_at(file, event.new)
        file.order, file.failures = None, 0
        board.know_inode(file, event.stamp.inode)
        board.save_shadow(
            file, file.digest or b"" if file.binary else file.raw, intent=False, stamp=event.stamp
        )
        board.tell(event.new, "renamed", file.by, event.old)
        self._done(file)

    def _trouble(self, event: FileTrouble, now: float) -> None:
        board, file = self._board, self._board.at(event.path)
        board.warn_once("file-trouble", event.path, f"{event.path} could not be used: {event.reason}")
        if file is None:
            self._sights.lost(event.path)
            return
        if not file.failures:
            board.tell(event.path, "held", file.by)
        self._cancel(file)
        self._rest(file, now)

    def _cancel(self, file: FileState) -> None:
        """The order under way will not be carried out."""
        order = file.order
        if order is not None and order.expected is None:
            self._board.leave(file)
        elif order is not None:
            self._board.unclaim(file, order.path)
        file.order = None

    def _rest(self, file: FileState, now: float) -> None:
        """Leave a file alone for a while, longer each time."""
        file.pause_until = now + min(RETRY_SECONDS * 2.0**file.failures, RETRY_LIMIT_SECONDS)
        file.failures += 1
        self._board.wake_at(file, file.pause_until)

    def _ordered(self, path: str, *deeds: Deed) -> FileState | None:
        file = self._board.at(path)
        return file if file is not None and file.order is not None and file.order.deed in deeds else None

    def _done(self, file: FileState) -> None:
        """An order is done: look at what was not looked at meanwhile, and go on."""
        if file.look_again:
            file.look_again = False
            self._intake.look(file)
        self._board.touch(file)
