"""Files of ours that are not yet, or no longer, where they belong: `.weft/tmp`.

Their names say what would have to be done with them if the program died now:

    part-…   being written: worthless
    full-…   complete, and changing places with the file it is named after: one of the two holds
             what an editor may have saved a moment ago
    seen-…   displaced, and known to the core as far as the digest in the name says: what was
             written into it since is worth keeping, and worth telling people
    back-…   taken from its place for a moment: to be put back

Nothing here is flushed to the disk one by one (`fsync`): a file is replaced up to twenty times a
second while people type, and the texts are safe in the session's log, which is flushed.  A power cut
may cost the copy in the folder, not the text.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from peer.core.paths import SCRATCH_PREFIX
from peer.edge.safe_paths import PRIVATE_DIRECTORY, Root
from peer.errors import StorageError

__all__ = [
    "SCRATCH_DIRECTORY",
    "Draft",
    "Leftover",
    "Scratch",
    "Spot",
    "file_name_of",
    "leftover_of",
    "number_of",
    "open_private_directory",
    "path_of",
]

SCRATCH_DIRECTORY: Final = f"{PRIVATE_DIRECTORY}/tmp"

_QUOTED_LIMIT: Final = 200
"""Bytes of a path that fit in one name beside our own marks."""

_NUMBER_DIGITS: Final = 8
"""Of the number, drawn by lot, that keeps two files for one path apart."""

_KEPT_ATTRIBUTES: Final = ("user.", "system.posix_acl")
"""Extended attributes of a file that its next version inherits; the others follow from its place."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A directory inside the folder and a name in it."""

    directory: str
    name: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A complete file that waits to take its place."""

    directory: int
    """Descriptor of the directory it lies in, open as long as the target's is."""
    spot: Spot
    status: os.stat_result

    @property
    def name(self) -> str:
        """In its directory."""
        return self.spot.name

    @property
    def aside(self) -> str:
        """A free name for a file that must leave its place for a moment."""
        return self.spot.name.replace("full-", "back-", 1)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A scratch file of an earlier run; *path* is `None` when it was too long for the name."""

    spot: Spot
    state: str
    path: str | None
    digest: str
    """Of a `seen` one: the beginning, in hexadecimal, of what the core knows."""

    def is_known(self, content: bytes) -> bool:
        """Whether the core knows this content already."""
        return self.state == "seen" and sha256(content).hexdigest().startswith(self.digest)


def open_private_directory(root: Root, name: str) -> int:
    """Make `.weft/NAME`, readable by this person only, and open it.

    Raises:
        StorageError: it can neither be found nor made.
    """
    try:
        for path in (PRIVATE_DIRECTORY, f"{PRIVATE_DIRECTORY}/{name}"):
            above, _, last = path.rpartition("/")
            with root.directory(above) as fd, suppress(FileExistsError):
                os.mkdir(last, 0o700, dir_fd=fd)
        with root.directory(f"{PRIVATE_DIRECTORY}/{name}") as fd:
            return os.dup(fd)
    except OSError as error:
        where = root.path / PRIVATE_DIRECTORY / name
        raise StorageError(f"Weft needs the directory {where}, which cannot be made: {error}") from error


def file_name_of(path: str) -> str:
    """A name for one file that says what *path* was; `path_of` is the way back."""
    quoted = path.replace("%", "%25").replace("/", "%2F").replace("~", "%7E")
    if len(quoted.encode()) <= _QUOTED_LIMIT:
        return quoted
    return "~" + quoted.encode()[-_QUOTED_LIMIT:].decode(errors="ignore")


def path_of(file_name: str) -> str | None:
    """The path in a name of `file_name_of`; `None` when it was too long to be kept whole."""
    if file_name.startswith("~"):
        return None
    return file_name.replace("%7E", "~").replace("%2F", "/").replace("%25", "%")


def leftover_of(spot: Spot) -> Leftover:
    """Read what is to be done with a scratch file of an earlier run from its name."""
    state, _, rest = spot.name.removeprefix(SCRATCH_PREFIX).partition("-")
    number, _, file_name = rest.partition("-")
    path = path_of(file_name)
    if path and spot.directory and spot.directory != SCRATCH_DIRECTORY:
        path = f"{spot.directory}/{path}"
    return Leftover(spot, state, path, number[_NUMBER_DIGITS:])


def number_of(name: str) -> str:
    """What stays the same in the name of a scratch file whatever becomes of it."""
    number = name.removeprefix(SCRATCH_PREFIX).partition("-")[2].partition("-")[0]
    return number[:_NUMBER_DIGITS]


class Scratch:
    """The place for drafts and displaced copies.

    Raises:
        StorageError: `.weft/tmp` cannot be made.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self.fd = open_private_directory(root, "tmp")
        self._device = os.fstat(self.fd).st_dev

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self.fd)

    def is_elsewhere(self, directory: int) -> bool:
        """Whether *directory* is on another file system, so that a draft must lie beside its target."""
        return os.fstat(directory).st_dev != self._device

    def write(
        self, target: int, path: str, content: bytes, mode: int, like: int | None, beside: bool
    ) -> Draft:
        """Write a draft for *path*, whose directory is open as *target*.

        Args:
            mode: permission bits; exact if there is a file to be *like*, else subject to the umask.
            like: descriptor of the file that the draft will take the place of.
            beside: put the draft into the target's directory.

        Raises:
            StorageError: `.weft/tmp` is gone.
            OSError: disk full, and the like; no draft is left.
        """
        directory, spot = self._spot(target, path, beside)
        part = spot.name.replace("full-", "part-", 1)
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=directory)
        except FileNotFoundError as error:
            raise StorageError(f"{SCRATCH_DIRECTORY} was removed; stop Weft and start it again") from error
        try:
            status = _fill(fd, content, mode, like, os.fstat(target))
            os.rename(part, spot.name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            os.unlink(part, dir_fd=directory)
            raise
        finally:
            os.close(fd)
        return Draft(directory, spot, status)

    def discard(self, spot: Spot) -> None:
        """Remove a scratch file, if it is still there."""
        with suppress(OSError, StorageError), self._root.directory(spot.directory) as fd:
            os.unlink(spot.name, dir_fd=fd)

    def mark_seen(self, spot: Spot, digest: bytes) -> Spot:
        """Note in the name that the core knows the content with this digest; return the new place."""
        if not spot.name.removeprefix(SCRATCH_PREFIX).startswith("full-"):
            return spot
        _, number, rest = spot.name.removeprefix(SCRATCH_PREFIX).split("-", 2)
        prefix = SCRATCH_PREFIX if spot.name.startswith(SCRATCH_PREFIX) else ""
        new = Spot(spot.directory, f"{prefix}seen-{number}{digest[:8].hex()}-{rest}")
        with suppress(OSError, StorageError), self._root.directory(spot.directory) as fd:
            os.rename(spot.name, new.name, src_dir_fd=fd, dst_dir_fd=fd)
        return new

    def spot_for(self, path: str, state: str, beside: bool) -> Spot:
        """A free place for a file that belongs to *path*."""
        above, _, name = path.rpartition("/")
        number = os.urandom(_NUMBER_DIGITS // 2).hex()
        if beside:
            return Spot(above, f"{SCRATCH_PREFIX}{state}-{number}-{file_name_of(name)}")
        return Spot(SCRATCH_DIRECTORY, f"{state}-{number}-{file_name_of(path)}")

    def leftovers(self) -> Iterator[Spot]:
        """What an earlier run left in `.weft/tmp`."""
        for name in sorted(os.listdir(self.fd)):
            yield Spot(SCRATCH_DIRECTORY, name)

    def _spot(self, target: int, path: str, beside: bool) -> tuple[int, Spot]:
        return (target if beside else self.fd), self.spot_for(path, "full", beside)


def _fill(fd: int, content: bytes, mode: int, like: int | None, directory: os.stat_result) -> os.stat_result:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    if like is not None:
        status = os.fstat(like)
        _give(fd, status.st_uid, status.st_gid)
        _copy_attributes(like, fd)
        os.fchmod(fd, mode)
    elif directory.st_mode & stat.S_ISGID:
        _give(fd, -1, directory.st_gid)
    return os.fstat(fd)


def _give(fd: int, user: int, group: int) -> None:
    mine = os.fstat(fd)
    for wanted, is_so in (((user, -1), user in (-1, mine.st_uid)), ((-1, group), group == mine.st_gid)):
        if not is_so:
            with suppress(PermissionError):
                os.fchown(fd, *wanted)


def _copy_attributes(source: int, target: int) -> None:
    if sys.platform != "linux":
        return
    with suppress(OSError):
        for name in os.listxattr(source):
            if name.startswith(_KEPT_ATTRIBUTES):
                os.setxattr(target, name, os.getxattr(source, name))
