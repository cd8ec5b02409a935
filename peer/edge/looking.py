"""Looks at the folder and tells the core what is news in it.

A change that the watcher heard of, a sweep and the first scan all end in the same few lines: read
the file, compare it with what the core knows, report the difference.  What is missing counts as
deleted only while the folder itself is in its place.
"""

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from peer.core.events import DisplacedChanged, FileEvent, FileMissing, FileSeen, FileTrouble, ScanFinished
from peer.edge.changes import Changes
from peer.edge.ignore import Ignores, is_ignore_file
from peer.edge.known import Known
from peer.edge.safe_paths import Found, Root, read_file, sentence
from peer.edge.scan import printable, walk
from peer.edge.scratch import Leftover, Scratch, Spot, leftover_of
from peer.edge.trash import Trash
from peer.errors import Refused, StorageError

__all__ = ["Lookout"]

_RULES_LIMIT: Final = 1024 * 1024
"""Bytes of an ignore file; a larger one is something else."""

_COMPLAINTS_LIMIT: Final = 10_000
"""Things that are not shared of which we remember that people were told."""

_GONE: Final = (
    "the folder is not in its place any more (unmounted, moved or removed); nothing in it counts as "
    "deleted; bring it back and start Weft again"
)


class Lookout:
    """The eyes of one folder; all but `ignores` belongs to the folder's thread.

    *needs_sweep* is set when the rules of what is shared changed: the owner calls `sweep` then, as
    soon as nothing else waits.
    """

    def __init__(
        self,
        root: Root,
        scratch: Scratch,
        trash: Trash,
        known: Known,
        changes: Changes,
        limit: int,
        emit: Callable[[FileEvent], None],
    ) -> None:
        self._root = root
        self._scratch = scratch
        self._trash = trash
        self._known = known
        self._changes = changes
        self._limit = limit
        self._emit = emit
        self.ignores = Ignores(self._read_rules)
        self.needs_sweep = False
        self._complaints: set[tuple[str, str]] = set()
        self._is_gone = False
        self._has_recovered = False

    def read(self, path: str) -> FileEvent:
        """Answer a `ReadFile`.

        Raises:
            Refused, StorageError, OSError: it cannot be read.
        """
        try:
            with self._root.parent(path) as (directory, name):
                found = read_file(directory, name, self._limit)
        except (FileNotFoundError, NotADirectoryError):
            if not self._root.is_there():
                return FileTrouble(path, _GONE)
            self._known.forget(path)
            self.note_change(path, by_peer=False)
            return FileMissing(path)
        if not self._known.is_same(path, found):
            self.note_change(path, by_peer=False)
        self._known.note(path, found)
        return FileSeen(path, found.content, found.stamp)

    def scan(self, known: tuple[str, ...]) -> None:
        """Report everything there is, then what there is of *known* else."""
        leftovers = [] if self._has_recovered else list(self._scratch.leftovers())
        self._clear_up_all(leftovers)
        leftovers.clear()
        expected = dict.fromkeys(known)
        for directory, name, path in self._walk("", expected.__contains__, leftovers.append):
            expected.pop(path, None)
            self._report_file(directory, name, path, always=True)
        if not self._has_recovered:
            self._clear_up_all(leftovers)
        self._has_recovered = True
        for path in expected:
            self._report_anything(path)
        self._emit(ScanFinished())

    def sweep(self) -> None:
        """Report what is not as it was reported last."""
        self.needs_sweep = False
        unseen = dict.fromkeys(self._known.paths())
        for directory, name, path in self._walk("", self._known.__contains__):
            unseen.pop(path, None)
            self._report_file(directory, name, path, always=False)
        for path in unseen:
            self.look(path)

    def look(self, path: str) -> None:
        """Report what is news at *path*, be it a file, a directory or nothing any more."""
        try:
            with self._root.parent(path) as (directory, name):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                is_directory = stat.S_ISDIR(status.st_mode)
                if not is_directory:
                    self._report_file(directory, name, path, always=False)
        except (FileNotFoundError, NotADirectoryError):
            self._report_missing([path, *self._known.below(path)])
        except (StorageError, Refused, OSError) as error:
            self._complain(printable(path), _reason(error))
        else:
            self._look_inside(path, is_directory)

    def check_place(self) -> None:
        """Report when the folder is not in its place; ask for a sweep when it is again."""
        is_there = self._root.is_there()
        if not is_there and not self._is_gone:
            self._emit(FileTrouble(".", _GONE))
        if is_there and self._is_gone:
            self.needs_sweep = True
        self._is_gone = not is_there

    def note_change(self, path: str, *, by_peer: bool) -> None:
        """If *path* holds rules, they are not what they were."""
        if not is_ignore_file(path):
            return
        if by_peer:
            self.ignores.note_change_by_peer()
        else:
            self.ignores.note_change_here()
            self.needs_sweep = True

    def _look_inside(self, path: str, is_directory: bool) -> None:
        if is_directory:
            self._report_missing([path])
            for directory, name, inner in self._walk(path, self._known.__contains__):
                self._report_file(directory, name, inner, always=False)
        else:
            self._report_missing(self._known.below(path))

    def _walk(
        self,
        start: str,
        is_known: Callable[[str], bool],
        on_scratch: Callable[[Spot], None] = lambda spot: None,
    ) -> Iterator[tuple[int, str, str]]:
        return walk(self._root, start, self.ignores, is_known, self._complain, on_scratch)

    def _report_anything(self, path: str) -> None:
        try:
            self._emit(self.read(path))
        except (StorageError, Refused, OSError) as error:
            self._emit(FileTrouble(path, _reason(error)))

    def _report_file(self, directory: int, name: str, path: str, *, always: bool) -> None:
        try:
            if not always:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if self._known.is_unchanged(path, status):
                    return
            found = read_file(directory, name, self._limit)
        except FileNotFoundError:
            self._report_missing([path])
        except (OSError, StorageError) as error:
            self._complain(path, _reason(error))
        else:
            self._report_found(path, found, always)

    def _report_found(self, path: str, found: Found, always: bool) -> None:
        is_news = always or not self._known.is_same(path, found)
        self._known.note(path, found)
        if not is_news:
            return
        self._emit(FileSeen(path, found.content, found.stamp))
        if not always:
            self.note_change(path, by_peer=False)

    def _report_missing(self, paths: list[str]) -> None:
        gone = [path for path in paths if path in self._known]
        if not gone:
            return
        if not self._root.is_there():
            self.check_place()
            return
        for path in gone:
            self._known.forget(path)
            self._emit(FileMissing(path))
            self.note_change(path, by_peer=False)

    def _complain(self, path: str, reason: str) -> None:
        complaint = (path, reason)
        if complaint not in self._complaints and len(self._complaints) < _COMPLAINTS_LIMIT:
            self._complaints.add(complaint)
            self._emit(FileTrouble(path, reason))

    def _read_rules(self, path: str) -> bytes | None:
        try:
            with self._root.parent(path) as (directory, name):
                return read_file(directory, name, _RULES_LIMIT).content
        except (OSError, StorageError, Refused):
            return None

    # --- what a run that was killed left behind -------------------------------------------------------

    def _clear_up_all(self, spots: list[Spot]) -> None:
        for spot in spots:
            try:
                self._clear_up(leftover_of(spot))
            except (OSError, StorageError) as error:
                self._complain(f"{spot.directory}/{spot.name}", f"it cannot be cleared up: {_reason(error)}")

    def _clear_up(self, leftover: Leftover) -> None:
        spot, path = leftover.spot, leftover.path
        if leftover.state == "part":
            self._scratch.discard(spot)
        elif leftover.state == "back" and path is not None and self._changes.put_back(spot, path):
            self.look(path)
        else:
            self._take_in(leftover)

    def _take_in(self, leftover: Leftover) -> None:
        spot, path = leftover.spot, leftover.path or leftover.spot.name
        with self._root.directory(spot.directory) as directory:
            found = read_file(directory, spot.name, self._limit)
            kept = self._trash.keep(directory, spot.name, path)
        # An empty one is more likely a power cut's work than somebody's wish.
        if not found.content or leftover.is_known(found.content):
            return
        if leftover.path is not None and leftover.state != "seen":
            self._emit(DisplacedChanged(path, found.content))
        else:
            # What it descends from is not known any more, so it cannot be merged.
            where = f"{kept.directory}/{kept.name}"
            reason = (
                f"a program wrote into an old copy of it while Weft was not running; it is kept as {where}"
            )
            self._emit(FileTrouble(path, reason))


def _reason(error: Exception) -> str:
    return sentence(error) if isinstance(error, OSError) else str(error)
