"""A folder that is opened once, and everything in it reached from there without following links.

Each access walks from the folder's descriptor, one part of the path at a time, and refuses links
on the way (`openat` with `O_NOFOLLOW`).  So a directory that is swapped for a link between two calls
leads to an error, never out of the folder.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peer.core.events import Stamp
from peer.core.paths import check_path
from peer.edge.leases import read_lease
from peer.errors import StorageError

__all__ = [
    "PRIVATE_DIRECTORY",
    "Found",
    "Key",
    "Root",
    "key_of",
    "open_file",
    "read_file",
    "sentence",
    "stamp_of",
]

PRIVATE_DIRECTORY: Final = ".weft"

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_CALM_READS: Final = 3
"""How often a file that changes while it is read is read again before we take it as it is."""

_SENTENCES: Final = {
    errno.ENOSPC: "the disk is full; make room, then save the file again",
    errno.EDQUOT: "your quota on this disk is used up; make room, then save the file again",
    errno.EROFS: "the disk can only be read; mount it writable",
    errno.EACCES: "Weft is not allowed to do this; check the permissions of the file and its directory",
    errno.EPERM: "Weft is not allowed to do this; check the owner and the permissions of the file",
    errno.EISDIR: "a directory of this name is in the way",
    errno.ENOTDIR: "a file is in the way where a directory is needed",
    errno.EEXIST: "something else has this name",
    errno.ENAMETOOLONG: "this file system has no room for a name that long",
    errno.EMFILE: "Weft has too many files open; raise the limit (`ulimit -n`)",
    errno.EIO: "the disk reports an error; check it and its cable",
    errno.ESTALE: "the network disk lost this file; look whether it is still mounted",
}

Key = tuple[int, int, int, int, int]
"""Inode, both times, size and mode: as long as it stays, and is not too young, so did the content."""


def sentence(error: OSError) -> str:
    """What went wrong, for people."""
    return _SENTENCES.get(error.errno or 0, f"the disk says: {error.strerror or error}")


def stamp_of(status: os.stat_result, whole: bool | None = None) -> Stamp:
    """The part of *status* that the core wants to know, and whether the file was whole."""
    mode = stat.S_IMODE(status.st_mode) & 0o777
    return Stamp(status.st_ino, status.st_mtime_ns, status.st_size, mode, whole)


def key_of(status: os.stat_result) -> Key:
    """The part of *status* that changes whenever the file does."""
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_mode)


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file as it was read; *content* is `None` when it is larger than the limit.

    *whole*: whether nobody had it open for writing then; `None` where that cannot be told.
    """

    content: bytes | None
    status: os.stat_result
    whole: bool | None = None

    @property
    def stamp(self) -> Stamp:
        """What the core wants to know of it."""
        return stamp_of(self.status, self.whole)


class Root:
    """The shared folder, held open.

    Raises:
        StorageError: there is no such directory, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"the folder {path} cannot be opened: {sentence(error)}") from error
        self._identity = os.fstat(self.fd)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self.fd)

    def is_there(self) -> bool:
        """Whether the folder is still in its place and still has its `.weft`.

        If not, it was unmounted, moved away or is being removed as a whole, and what is missing in
        it was not deleted by anybody who meant the files.
        """
        try:
            os.stat(PRIVATE_DIRECTORY, dir_fd=self.fd, follow_symlinks=False)
            return os.path.samestat(os.stat(self.path), self._identity)
        except OSError:
            return False

    @contextmanager
    def directory(self, path: str, *, create: bool = False) -> Iterator[int]:
        """Open the directory *path* (empty: the folder itself) for as long as the block lasts.

        Raises:
            FileNotFoundError, NotADirectoryError: it is not there.
            StorageError: a link is on the way.
        """
        fd = os.dup(self.fd)
        try:
            for part in path.split("/") if path else ():
                fd, above = _step(fd, part, create), fd
                os.close(above)
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def parent(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Open the directory that *path* is in; yield it and the name in it.

        Raises:
            Refused: the name is one that is never used.
            FileNotFoundError, NotADirectoryError, StorageError: as for `directory`.
        """
        check_path(path)
        above, _, name = path.rpartition("/")
        with self.directory(above, create=create) as fd:
            yield fd, name

    def remove_empty_parents(self, path: str) -> None:
        """Remove the directories above *path* that hold nothing, deepest first."""
        with suppress(OSError, StorageError):
            while path := path.rpartition("/")[0]:
                with self.parent(path) as (fd, name):
                    os.rmdir(name, dir_fd=fd)


@contextmanager
def open_file(directory: int, name: str) -> Iterator[int]:
    """Open a regular file for reading, for as long as the block lasts.

    Raises:
        FileNotFoundError: there is none.
        StorageError: what is there is not a regular file.
        OSError: it cannot be opened.
    """
    try:
        fd = os.open(name, _FILE_FLAGS, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise _not_regular(directory, name) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _not_regular(directory, name)
        yield fd
    finally:
        os.close(fd)


def read_file(directory: int, name: str, limit: int) -> Found:
    """Read a regular file whole, unless it has more than *limit* bytes.

    Raises:
        FileNotFoundError, StorageError, OSError: as for `open_file`.
    """
    with open_file(directory, name) as fd, read_lease(fd) as whole:
        return _read_calmly(fd, limit, whole)


def _read_calmly(fd: int, limit: int, whole: bool | None) -> Found:
    for _ in range(_CALM_READS):
        before = os.fstat(fd)
        content = _read_from_start(fd, limit)
        status = os.fstat(fd)
        if whole or key_of(before) == key_of(status):
            break
    return Found(content, status, whole)


def _read_from_start(fd: int, limit: int) -> bytes | None:
    pieces: list[bytes] = []
    size = 0
    while size <= limit:
        piece = os.pread(fd, limit + 1 - size, size)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
    return None


def _step(directory: int, part: str, create: bool) -> int:
    try:
        return os.open(part, _DIRECTORY_FLAGS, dir_fd=directory)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(directory, part):
            raise _not_regular(directory, part) from error
        raise
    with suppress(FileExistsError):
        os.mkdir(part, 0o777, dir_fd=directory)
    return os.open(part, _DIRECTORY_FLAGS, dir_fd=directory)


def _is_link(directory: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _not_regular(directory: int, name: str) -> StorageError:
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except OSError as error:
        return StorageError(sentence(error))
    if stat.S_ISLNK(mode):
        return StorageError("it is, or lies behind, a symbolic link; links are not followed")
    if stat.S_ISDIR(mode):
        return StorageError("a directory of this name is in the way")
    return StorageError("it is not a regular file but a pipe, a socket or a device")
