"""Carries out replacing, removing and moving one file, so that no save in between is lost.

Each looks first whether the disk still holds what the core expects, then does its one rename, then
looks at what it took away: another program may have saved between the two.  What was taken away is
reported, put back or kept; it is never thrown away unseen.
"""

import errno
import os
import stat
from collections.abc import Callable
from hashlib import sha256

from peer.core.actions import MoveFile, RemoveFile, ReplaceFile
from peer.core.events import DisplacedChanged, FileEvent, FileMoved, FileRemoved, FileReplaced, ReplaceRefused
from peer.edge.displaced import Displaced
from peer.edge.exchange import Renames
from peer.edge.known import Known
from peer.edge.safe_paths import Found, Root, open_file, read_file, stamp_of
from peer.edge.scratch import Draft, Scratch, Spot
from peer.edge.trash import Trash
from peer.errors import StorageError

__all__ = ["Changes", "mode_after"]

_EXECUTABLE = 0o111


def mode_after(present: int, wanted: int) -> int:
    """The permission bits of a file that had *present*, when others see it as *wanted*.

    Only whether it can be executed travels; who may read it is this machine's affair.
    """
    kept = present & 0o777 & ~_EXECUTABLE
    return kept | (kept & 0o444) >> 2 if wanted & _EXECUTABLE else kept


def _digest(found: Found | None) -> bytes | None:
    if found is None:
        return None
    # A file too large to be read is never what the core expects, nor is it no file.
    return b"" if found.content is None else sha256(found.content).digest()


def _refused(path: str, found: Found | None) -> ReplaceRefused:
    return ReplaceRefused(path, found.content if found else None, found.stamp if found else None)


class Changes:
    """The three changes of one folder; each returns what to report.

    All raise `StorageError` or `Refused` with a sentence, or the `OSError` of the disk, when the
    change cannot be made; nothing was changed then.
    """

    def __init__(
        self,
        root: Root,
        scratch: Scratch,
        trash: Trash,
        displaced: Displaced,
        known: Known,
        renames: Renames,
        limit: int,
    ) -> None:
        self._root = root
        self._scratch = scratch
        self._trash = trash
        self._displaced = displaced
        self._known = known
        self._renames = renames
        self._limit = limit

    def replace(self, action: ReplaceFile) -> list[FileEvent]:
        """Put new content in a file's place, or make the file."""
        try:
            with self._root.parent(action.path, create=action.expected is None) as (directory, name):
                present = self._look(directory, name)
                if _digest(present) != action.expected:
                    return [self._refuse(action.path, present)]
                if present is None:
                    return self._create(directory, name, action)
                return self._swap(directory, name, action, present)
        except FileNotFoundError:
            return [self._refuse(action.path, None)]

    def remove(self, action: RemoveFile) -> list[FileEvent]:
        """Take a file away into the trash."""
        try:
            with self._root.parent(action.path) as (directory, name):
                present = self._look(directory, name)
                if present is None or _digest(present) != action.expected:
                    return [self._refuse(action.path, present)]
                events = self._take_away(directory, name, action)
        except (FileNotFoundError, NotADirectoryError):
            return [self._refuse(action.path, None)]
        self._root.remove_empty_parents(action.path)
        return events

    def move(self, action: MoveFile) -> list[FileEvent]:
        """Give a file another name."""
        try:
            with self._root.parent(action.old) as (source, name):
                present = self._look(source, name)
                if present is None or _digest(present) != action.expected:
                    return [self._refuse(action.old, present)]
                with self._root.parent(action.new, create=True) as (target, new_name):
                    events = self._rename(source, name, target, new_name, action)
        except FileNotFoundError:
            self._root.remove_empty_parents(action.new)
            return [self._refuse(action.old, None)]
        except OSError as error:
            if error.errno != errno.EXDEV or present is None or present.content is None:
                raise
            return self._move_to_other_disk(action, present.content, present.stamp.mode)
        self._root.remove_empty_parents(action.old)
        return events

    def put_back(self, spot: Spot, path: str) -> bool:
        """Give a left-over file its name again, unless that is taken."""
        try:
            with (
                self._root.directory(spot.directory) as source,
                self._root.parent(path, create=True) as (target, name),
            ):
                self._renames.move(source, spot.name, target, name)
        except (OSError, StorageError):
            return False
        return True

    # --- replacing ------------------------------------------------------------------------------------

    def _create(self, directory: int, name: str, action: ReplaceFile) -> list[FileEvent]:
        mode = action.mode & 0o777 | stat.S_IRUSR | stat.S_IWUSR

        def take_name(draft: Draft) -> bool:
            self._renames.move(draft.directory, draft.name, directory, name)
            return True

        try:
            draft, _ = self._place(directory, action, mode, None, take_name)
        except FileExistsError:
            return [self._refuse(action.path, self._look(directory, name))]
        return [self._replaced(action, draft, None)]

    def _swap(self, directory: int, name: str, action: ReplaceFile, present: Found) -> list[FileEvent]:
        _check_replaceable(directory, name, present.status)
        mode = mode_after(present.status.st_mode, action.mode)

        def swap(draft: Draft) -> bool:
            return self._renames.exchange(draft.directory, draft.name, directory, name, draft.aside)

        with open_file(directory, name) as like:
            draft, swapped = self._place(directory, action, mode, like, swap)
        if not swapped:
            return self._overtaken(directory, name, action, draft)
        found = self._taken(draft)
        if found is None or found.content is None:
            return self._undo(directory, name, action, draft, found)
        self._displaced.add(action.path, draft.spot, found, is_news=_digest(found) != action.expected)
        return [self._replaced(action, draft, found)]

    def _place(
        self,
        directory: int,
        action: ReplaceFile,
        mode: int,
        like: int | None,
        rename: Callable[[Draft], bool],
    ) -> tuple[Draft, bool]:
        for beside in (self._scratch.is_elsewhere(directory), True):
            draft = self._scratch.write(directory, action.path, action.content, mode, like, beside)
            try:
                return draft, rename(draft)
            except OSError as error:
                self._scratch.discard(draft.spot)
                # A part of the folder can be mounted from elsewhere on the same file system.
                if error.errno != errno.EXDEV or beside:
                    raise
        raise AssertionError  # the second turn returns or raises

    def _replaced(self, action: ReplaceFile, draft: Draft, displaced: Found | None) -> FileEvent:
        self._known.note(action.path, Found(action.content, draft.status))
        stamp = stamp_of(draft.status)
        if displaced is None:
            return FileReplaced(action.path, stamp, None)
        return FileReplaced(action.path, stamp, displaced.content, displaced.stamp)

    def _taken(self, draft: Draft) -> Found | None:
        try:
            return read_file(draft.directory, draft.name, self._limit)
        except StorageError:
            return None  # a link or a directory took the name in the last moment

    def _undo(
        self, directory: int, name: str, action: ReplaceFile, draft: Draft, found: Found | None
    ) -> list[FileEvent]:
        self._renames.exchange(draft.directory, draft.name, directory, name, draft.aside)
        ours = read_file(draft.directory, draft.name, self._limit)
        events: list[FileEvent] = []
        is_news = ours.content != action.content
        if is_news and ours.content is not None:
            events.append(DisplacedChanged(action.path, ours.content, ours.stamp))
        self._displaced.add(action.path, draft.spot, ours, is_news=is_news)
        if found is None:
            raise StorageError("something that is not a file took its name a moment ago")
        return [*events, self._refuse(action.path, found)]

    def _overtaken(self, directory: int, name: str, action: ReplaceFile, draft: Draft) -> list[FileEvent]:
        events: list[FileEvent] = []
        old = read_file(draft.directory, draft.name, self._limit)
        is_news = _digest(old) != action.expected
        if is_news and old.content is not None:
            events.append(DisplacedChanged(action.path, old.content, old.stamp))
        self._displaced.add(action.path, draft.spot, old, is_news=is_news)
        return [*events, self._refuse(action.path, self._look(directory, name))]

    # --- removing -------------------------------------------------------------------------------------

    def _take_away(self, directory: int, name: str, action: RemoveFile) -> list[FileEvent]:
        elsewhere = self._scratch.is_elsewhere(directory)
        spot = self._scratch.spot_for(action.path, "back", elsewhere)
        away = directory if elsewhere else self._scratch.fd
        os.rename(name, spot.name, src_dir_fd=directory, dst_dir_fd=away)
        try:
            taken = read_file(away, spot.name, self._limit)
        except StorageError:
            self._renames.move(away, spot.name, directory, name)
            raise
        if _digest(taken) != action.expected:
            return self._give_back(directory, name, away, spot, action, taken)
        self._known.forget(action.path)
        kept = self._trash.keep(away, spot.name, action.path)
        self._displaced.add(action.path, kept, taken, is_news=False)
        return [FileRemoved(action.path)]

    def _give_back(
        self, directory: int, name: str, away: int, spot: Spot, action: RemoveFile, taken: Found
    ) -> list[FileEvent]:
        try:
            self._renames.move(away, spot.name, directory, name)
        except FileExistsError:
            self._displaced.add(action.path, spot, taken, is_news=True)
            refused = self._refuse(action.path, self._look(directory, name))
            if taken.content is None:
                return [refused]
            return [DisplacedChanged(action.path, taken.content, taken.stamp), refused]
        return [self._refuse(action.path, taken)]

    # --- moving ---------------------------------------------------------------------------------------

    def _rename(
        self, source: int, name: str, target: int, new_name: str, action: MoveFile
    ) -> list[FileEvent]:
        try:
            self._rename_freely(source, name, target, new_name)
        except FileExistsError:
            return [self._refuse(action.new, self._look(target, new_name))]
        moved = read_file(target, new_name, self._limit)
        if _digest(moved) != action.expected and self._move_back(source, name, target, new_name):
            return [self._refuse(action.old, moved)]
        self._known.forget(action.old)
        if _digest(moved) == action.expected:
            self._known.note(action.new, moved)
        return [FileMoved(action.old, action.new, moved.stamp)]

    def _rename_freely(self, source: int, name: str, target: int, new_name: str) -> None:
        try:
            self._renames.move(source, name, target, new_name)
        except FileExistsError:
            # `a.txt` to `A.txt` where case does not count: both names lead to the same file.
            old = os.stat(name, dir_fd=source, follow_symlinks=False)
            new = os.stat(new_name, dir_fd=target, follow_symlinks=False)
            if not os.path.samestat(old, new) or old.st_nlink > 1:
                raise
            os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)

    def _move_back(self, source: int, name: str, target: int, new_name: str) -> bool:
        try:
            self._renames.move(target, new_name, source, name)
        except OSError:
            return False  # it stays under the new name, where the watcher sees it
        return True

    def _move_to_other_disk(self, action: MoveFile, content: bytes, mode: int) -> list[FileEvent]:
        events = self.replace(ReplaceFile(action.new, None, content, mode))
        if not isinstance(events[-1], FileReplaced):
            return events
        removal = self.remove(RemoveFile(action.old, action.expected))
        if isinstance(removal[-1], FileRemoved):
            return [FileMoved(action.old, action.new, events[-1].stamp)]
        self._known.forget(action.new)  # so that the watcher reports the copy as a file of its own
        return removal

    # --- looking --------------------------------------------------------------------------------------

    def _look(self, directory: int, name: str) -> Found | None:
        try:
            return read_file(directory, name, self._limit)
        except FileNotFoundError:
            return None

    def _refuse(self, path: str, found: Found | None) -> FileEvent:
        if found is None:
            self._known.forget(path)
        else:
            self._known.note(path, found)
        return _refused(path, found)


def _check_replaceable(directory: int, name: str, status: os.stat_result) -> None:
    if status.st_nlink > 1:
        raise StorageError(
            "it has several names (hard links), which replacing it would part; "
            "make it a file of its own: copy it and rename the copy over it"
        )
    is_allowed = os.access(name, os.W_OK, dir_fd=directory, follow_symlinks=False)
    if not is_allowed:
        os.stat(name, dir_fd=directory, follow_symlinks=False)  # or it was removed in this moment
    if not status.st_mode & 0o222 or not is_allowed:
        raise StorageError("it is read-only here; make it writable (`chmod u+w`) to get what others write")
