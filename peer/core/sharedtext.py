"""The text of one document in code points: reading it, typing into it, and following what others type."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

from peer.core.editlog import EditLog
from peer.core.edits import Edit
from peer.core.guard import UPDATE_LIMIT
from peer.core.textpositions import Step, TextPositions, utf8_length
from peer.errors import UsageError

__all__ = ["EngineText", "SharedText", "batches", "check_edits"]

INSERT_LIMIT: Final = UPDATE_LIMIT - 64 * 1024
"""Bytes inserted by one edit, so that its update stays below what peers accept."""
EDITS_PER_TRANSACTION: Final = 64
"""The engine slows down with the number of edits in one transaction."""


class EngineText(Protocol):
    """The engine's text, which counts bytes."""

    def insert(self, index: int, value: str) -> None:
        """Insert *value* at byte *index*."""
        ...

    def __delitem__(self, key: slice) -> None: ...

    def __str__(self) -> str: ...


class SharedText:
    """One text: read here, changed through its document."""

    def __init__(self) -> None:
        self._root: EngineText
        self._text: str | None = ""
        self._positions = TextPositions("")
        self._arrived: list[Edit] = []
        self._log = EditLog(0)

    @property
    def length(self) -> int:
        """Code points."""
        return self._positions.length

    def read(self) -> str:
        """The whole text; costs its length after a change, nothing if asked again."""
        if self._text is None:
            mirrored = self._positions.text()
            self._text = str(self._root) if mirrored is None else mirrored
        return self._text

    def attach(self, root: EngineText) -> None:
        """Work on this text of the engine from now on; edits not taken yet stay as they are."""
        self._root = root
        self._text = str(root)
        self._positions = TextPositions(self._text)
        self._arrived = []

    def begin_log(self) -> None:
        """Forget the edits not taken yet: the log begins with the text as it is."""
        self._arrived = []
        self._log.take(self.length)

    def coarsen_log(self) -> None:
        """Let one edit stand for all not taken yet, because some of them did not come to be."""
        self._log.replace(self.read())

    def take_edits(self) -> list[tuple[bool, Edit]]:
        """Hand over the edits since this was last asked, each with whether it came from afar."""
        return self._log.take(self.length)

    def type_in(self, edits: Sequence[Edit]) -> None:
        """Carry out checked edits; a transaction is open."""
        for edit in edits:
            start, deleted = self._positions.splice(edit, self._root.__str__)
            if deleted:
                del self._root[start : start + deleted]
            if edit.inserted:
                self._root.insert(start, edit.inserted)
        self._text = None

    def log_typed(self, edits: Sequence[Edit]) -> None:
        """Log edits of our own after their transaction."""
        self._log.add(edits, remote=False, read=self.read)

    def absorb(self, delta: Iterable[Step], size: int, after: Callable[[], str], *, remote: bool) -> None:
        """Take over a change that was made from afar, or by an application on the engine's text.

        *size* is the length in bytes and *after* gives the text, both as the change left them.
        """
        edits = self._positions.absorb(delta, size, after)
        self._text = None
        if remote:
            self._arrived += edits
        else:
            self._log.add(edits, remote=False, read=after)

    def settle(self) -> list[Edit]:
        """Log what arrived from afar and went well, and return it."""
        arrived, self._arrived = self._arrived, []
        self._log.add(arrived, remote=True, read=self.read)
        return arrived


def check_edits(edits: Iterable[Edit], length: int) -> int:
    """Refuse edits that a text of *length* code points cannot take, or that peers would refuse.

    Returns how many bytes they insert.

    Raises:
        UsageError: an edit is outside the text, too long, or not valid Unicode.
    """
    total = 0
    for edit in edits:
        if edit.at < 0 or edit.deleted < 0 or edit.at + edit.deleted > length:
            raise UsageError(
                f"An edit deletes {edit.deleted} characters at {edit.at} of a text that has {length}."
            )
        length += len(edit.inserted) - edit.deleted
        try:
            size = utf8_length(edit.inserted)
        except UnicodeEncodeError as error:
            raise UsageError("An edit inserts half a character, which cannot be sent.") from error
        if size > INSERT_LIMIT:
            raise UsageError(f"An edit inserts {size} bytes; the most at once is {INSERT_LIMIT}.")
        total += size
    return total


def batches(edits: Sequence[Edit]) -> Iterator[Sequence[Edit]]:
    """Divide edits into what one transaction should hold."""
    if len(edits) == 1:
        yield edits
        return
    batch: list[Edit] = []
    size = 0
    for edit in edits:
        inserted = utf8_length(edit.inserted)
        if len(batch) == EDITS_PER_TRANSACTION or size + inserted > INSERT_LIMIT:
            yield batch
            batch, size = [], 0
        batch.append(edit)
        size += inserted
    if batch:
        yield batch
