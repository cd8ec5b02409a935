"""What a session that begins puts on this machine, and how to take it back if nothing came of it.

Only what Weft made is removed, by name, and only if it still is as Weft made it; a directory goes only if it
is empty.  So whatever a person or another session put there meanwhile stays, and all that leads to it.
"""

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from peer.edge import registry
from peer.edge.database import take_lock
from peer.edge.registry import MARKER, Replica
from peer.errors import UsageError

__all__ = ["Foothold"]

_OURS = ("tmp", "trash")
"""Directories in `.weft` that a folder gets when it is opened."""


@dataclass(frozen=True, slots=True)
class Foothold:
    """What was in the place of a new replica before it was made.

    Attributes:
        folder: the shared folder, resolved.
        missing: directories that were not there, the innermost first.
        before: the notes that a new replica replaces or removes, as they were; `None` where there was none.
            One that cannot be read, or is a link, is not among them.
    """

    folder: Path
    missing: tuple[Path, ...]
    before: dict[Path, bytes | None] = field(repr=False)

    @classmethod
    def look(cls, folder: Path) -> Self:
        """Note what is there now."""
        folder = folder.resolve()
        private = (folder / MARKER).parent
        missing = tuple(each for each in (private, folder, *folder.parents) if not each.exists())
        notes = [folder / MARKER, private / ".gitignore", *registry.places_of(folder)]
        before: dict[Path, bytes | None] = {}
        for note in notes:
            with contextlib.suppress(OSError):
                if not note.is_symlink():
                    before[note] = _read(note)
        return cls(folder, missing, before)

    def take_back(self, replica: Replica) -> None:
        """Remove *replica*, which nothing has come into, and what was made in the folder for it.

        What the system refuses to remove stays: it is in nobody's way.
        """
        try:
            lock = take_lock(replica.database)
        except (UsageError, OSError):
            return  # somebody goes on with it already
        try:
            with contextlib.suppress(OSError):
                if registry.is_marked(replica):  # else somebody began something else here
                    self._restore()
            with contextlib.suppress(OSError):
                for path in sorted(replica.database.parent.iterdir()):
                    path.unlink()
                replica.database.parent.rmdir()
        finally:
            os.close(lock)

    def _restore(self) -> None:
        mark = self.folder / MARKER
        private = mark.parent
        made = {mark: _read(mark), private / ".gitignore": registry.IGNORE_ALL}  # and places are removed
        for note, content in self.before.items():
            with contextlib.suppress(OSError):
                if _read(note) == made.get(note):
                    _put_back(note, content)
        ours = [private / name for name in _OURS] if private in self.missing else []
        for path in (*ours, *self.missing):
            with contextlib.suppress(OSError):
                path.rmdir()


def _read(note: Path) -> bytes | None:
    try:
        return note.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _put_back(note: Path, content: bytes | None) -> None:
    if content is None:
        note.unlink(missing_ok=True)
    else:
        note.write_bytes(content)
