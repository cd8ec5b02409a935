"""What a document can be made again from, if the CRDT engine fails in the middle of an update.

After a failure the engine's copy may be half changed, and reading it may never end.  So every update
that went well is kept, and from time to time they are replaced by one encoded state, taken while the
engine was known to be well: keeping this costs a reference per update and one encoding per doubling.
"""

from collections.abc import Iterator
from typing import Final

__all__ = ["Replay"]

FOLD_LEAST: Final = 64 * 1024
"""Bytes of single updates below which folding them would cost more than keeping them."""


class Replay:
    """A state and the updates after it, in the order in which they went well."""

    def __init__(self) -> None:
        self._state = b""
        self._later: list[bytes] = []
        self._later_size = 0

    def __iter__(self) -> Iterator[bytes]:
        if self._state:
            yield self._state
        yield from self._later

    @property
    def size(self) -> int:
        """Bytes held: those of the document's state right after `fold`, at most too many since."""
        return len(self._state) + self._later_size

    @property
    def is_due(self) -> bool:
        """Whether folding is worth its cost by now."""
        return self._later_size > FOLD_LEAST + 2 * len(self._state)

    def add(self, update: bytes) -> None:
        """Keep an update that went well."""
        if not self._state:
            self._state = update
            return
        self._later.append(update)
        self._later_size += len(update)

    def fold(self, state: bytes) -> None:
        """Let the whole *state* of the document stand for everything kept so far."""
        self._state = state
        self._later = []
        self._later_size = 0
