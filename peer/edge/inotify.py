"""Changes in a folder as Linux tells them: at once, each directory by name, ignored ones not at all.

inotify says when a writer closes a file, so a file is read when it is whole and not while it is
being saved; that is worth more here than any waiting time (inotify(7)).
"""

import ctypes
import errno
import os
import select
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from peer.edge.change_source import Change, Kind, SourceFailed
from peer.edge.safe_paths import Root
from peer.edge.scratch import SCRATCH_DIRECTORY
from peer.errors import StorageError

__all__ = ["InotifySource"]

_MODIFY: Final = 0x2
_ATTRIB: Final = 0x4
_CLOSE_WRITE: Final = 0x8
_MOVED_FROM: Final = 0x40
_MOVED_TO: Final = 0x80
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_DELETE_SELF: Final = 0x400
_MOVE_SELF: Final = 0x800
_UNMOUNT: Final = 0x2000
_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_IS_DIRECTORY: Final = 0x40000000

_IN_DIRECTORY: Final = (
    _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
)
_ONLY_DIRECTORIES_NO_LINKS: Final = 0x01000000 | 0x02000000

_HEAD: Final = struct.Struct("iIII")
_BUFFER_BYTES: Final = 64 * 1024
"""Some hundreds of events at a time; the kernel holds 16,384 of them for us."""

_LIMIT_REACHED: Final = (
    "the system lets no more directories be watched, so this folder is polled, which is slower; to raise "
    "the limit: sudo sysctl fs.inotify.max_user_watches=524288"
)
_INSTANCES_REACHED: Final = (
    "the system lets no more programs watch folders, so this folder is polled, which is slower; to raise "
    "the limit: sudo sysctl fs.inotify.max_user_instances=1024"
)


class InotifySource:
    """Hears of everything that happens in a folder, at any depth.

    *is_of_interest* takes a path and whether it is a directory; directories it is not interested in
    are not watched.

    Raises:
        SourceFailed: the system has no inotify, or no more of it for us.
    """

    def __init__(self, root: Root, is_of_interest: Callable[[str, bool], bool]) -> None:
        self._root = root
        self._is_of_interest = is_of_interest
        self._paths: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self._library = ctypes.CDLL(None, use_errno=True)
        self._fd = self._open()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        for fd in (self._fd, self._wake_read):
            self._poll.register(fd, select.POLLIN)
        try:
            self._adopt("")
            self._add(SCRATCH_DIRECTORY, _CLOSE_WRITE)
        except SourceFailed:
            self.close()
            raise

    def _open(self) -> int:
        try:
            fd: int = self._library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        except AttributeError as error:
            raise SourceFailed("this system has no inotify, so the folder is polled") from error
        if fd < 0:
            raise SourceFailed(_INSTANCES_REACHED)
        return fd

    def changes(self, patience: float) -> list[Change]:
        """See `ChangeSource.changes`."""
        self._poll.poll(max(0.0, patience) * 1000)
        try:
            data = os.read(self._fd, _BUFFER_BYTES)
        except BlockingIOError:
            return []
        found: list[Change] = []
        offset = 0
        while offset < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, offset)
            offset += _HEAD.size
            name = data[offset : offset + length].rstrip(b"\0")
            offset += length
            found += self._understand(watch, mask, os.fsdecode(name))
        return found

    def stop(self) -> None:
        """See `ChangeSource.stop`."""
        with suppress(OSError):
            os.write(self._wake_write, b"!")

    def close(self) -> None:
        """See `ChangeSource.close`."""
        for fd in (self._fd, self._wake_read, self._wake_write):
            os.close(fd)

    def _understand(self, watch: int, mask: int, name: str) -> list[Change]:
        if mask & _OVERFLOW:
            self._adopt("")
            return [Change(Kind.UNKNOWN)]
        directory = self._paths.get(watch)
        if directory is None:
            return []
        return (
            self._understand_inside(directory, mask, name) if name else self._understand_own(directory, mask)
        )

    def _understand_inside(self, directory: str, mask: int, name: str) -> list[Change]:
        if directory == SCRATCH_DIRECTORY:
            return [Change(Kind.DISPLACED, name)]
        path = f"{directory}/{name}" if directory else name
        if not self._is_of_interest(path, bool(mask & _IS_DIRECTORY)):
            return []
        if mask & _IS_DIRECTORY:
            return self._follow(path, mask)
        return [Change(Kind.WHOLE if mask & (_CLOSE_WRITE | _MOVED_TO) else Kind.GOING_ON, path)]

    def _understand_own(self, directory: str, mask: int) -> list[Change]:
        if mask & _IGNORED:
            self._drop(directory)
        if directory == "" and mask & (_DELETE_SELF | _MOVE_SELF | _UNMOUNT):
            return [Change(Kind.OWN_PLACE)]
        return []

    def _follow(self, path: str, mask: int) -> list[Change]:
        if mask & (_MOVED_FROM | _DELETE):
            self._abandon(path)
        if mask & (_CREATE | _MOVED_TO | _ATTRIB):
            self._adopt(path)
        return [Change(Kind.GOING_ON, path)]

    def _adopt(self, start: str) -> None:
        """Watch *start* and all directories in it; each is watched before it is listed."""
        waiting = [start]
        while waiting:
            path = waiting.pop()
            if self._add(path):
                waiting += self._directories_in(path)

    def _add(self, path: str, mask: int = _IN_DIRECTORY) -> bool:
        where = os.fsencode(self._root.path / path)
        flags = ctypes.c_uint32(mask | _ONLY_DIRECTORIES_NO_LINKS)
        watch: int = self._library.inotify_add_watch(self._fd, where, flags)
        if watch < 0:
            if ctypes.get_errno() == errno.ENOSPC:
                raise SourceFailed(_LIMIT_REACHED)
            return False
        self._drop(self._paths.get(watch))
        self._drop(path)
        self._paths[watch] = path
        self._watches[path] = watch
        return True

    def _directories_in(self, path: str) -> list[str]:
        found: list[str] = []
        with suppress(OSError, StorageError), self._root.directory(path) as fd, os.scandir(fd) as entries:
            for entry in entries:
                inner = f"{path}/{entry.name}" if path else entry.name
                if entry.is_dir(follow_symlinks=False) and self._is_of_interest(inner, True):
                    found.append(inner)
        return found

    def _abandon(self, path: str) -> None:
        """Stop watching what was moved away or removed; its directories would report a false path."""
        for inner in [known for known in self._watches if known == path or known.startswith(path + "/")]:
            self._library.inotify_rm_watch(self._fd, self._watches[inner])
            self._drop(inner)

    def _drop(self, path: str | None) -> None:
        if path in self._watches:
            self._paths.pop(self._watches.pop(path), None)
