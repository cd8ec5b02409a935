"""What the disk shows at one path: a file of the session, a new one, or nothing."""

from typing import Final

from peer.core.arrivals import Arrivals
from peer.core.contents import BLOB_LIMIT
from peer.core.events import Stamp
from peer.core.filestate import Board, FileState
from peer.core.intake import Intake

__all__ = ["Sights"]

MEBIBYTE: Final = 1024 * 1024


class Sights:
    """Hands what was seen to whom it concerns."""

    def __init__(self, board: Board, intake: Intake, arrivals: Arrivals) -> None:
        self._board = board
        self._intake = intake
        self._arrivals = arrivals

    def seen(self, path: str, content: bytes | None, stamp: Stamp, now: float) -> None:
        """There is a file; without *content* it is too large to be read."""
        file = self._board.at(path)
        if file is not None and file.order is not None:
            file.look_again = True
        elif content is None:
            self._too_large(path, file)
        elif file is None:
            self._arrivals.seen(path, content, stamp, now)
        else:
            self._intake.seen(file, content, stamp, now)
            self._board.touch(file)

    def missing(self, path: str, now: float) -> None:
        """There is no file."""
        file = self._board.at(path)
        if file is None:
            self._arrivals.missing(path)
        elif file.order is not None:
            file.look_again = True
        else:
            self._intake.missing(file, now)
            if file.settling is not None and not self._board.starting:
                self._arrivals.match(file, now)
            self._board.touch(file)

    def lost(self, path: str) -> None:
        """The disk would not show what is there."""
        self._arrivals.missing(path)

    def _too_large(self, path: str, file: FileState | None) -> None:
        if file is not None:
            file.held, file.seen, file.settling = True, True, None
        limit = BLOB_LIMIT // MEBIBYTE
        message = f"{path} is larger than {limit} MiB and is not shared; the others do not get it."
        self._board.warn_once("too-large", path, message)
