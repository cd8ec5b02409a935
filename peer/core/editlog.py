"""The edits of one text since somebody last asked, in the order in which they happened.

Whoever follows a text (its file, the cursors in it) takes them and moves its own positions along.  If
nobody takes them for long, they become one edit that replaces the whole text: still true, only coarse.
"""

from collections.abc import Callable, Iterable
from typing import Final

from peer.core.edits import Edit

__all__ = ["EDITS_KEPT", "EditLog"]

EDITS_KEPT: Final = 10_000
"""Edits kept one by one: more than one turn of the loop makes, even when a text is replayed."""


class EditLog:
    """Edits not taken yet, each with whether it came from afar."""

    def __init__(self, length: int) -> None:
        self._start_length = length
        self._entries: list[tuple[bool, Edit]] = []

    def add(self, edits: Iterable[Edit], *, remote: bool, read: Callable[[], str]) -> None:
        """Add edits; *read* gives the text as they leave it."""
        self._entries += [(remote, edit) for edit in edits]
        if len(self._entries) > EDITS_KEPT:
            self.replace(read())

    def replace(self, text: str) -> None:
        """Let one edit stand for everything since the log was last taken; *text* is what came of it."""
        remote = any(remote for remote, _ in self._entries)
        self._entries = [(remote, Edit(0, self._start_length, text))]

    def take(self, length: int) -> list[tuple[bool, Edit]]:
        """Hand over the edits and begin again with a text of *length* code points."""
        entries, self._entries = self._entries, []
        self._start_length = length
        return entries
