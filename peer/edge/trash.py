"""What was removed at a peer's word, kept for a while: `.weft/trash`.

The names begin with the time of removal, so the oldest come first in any listing and go first when
there is too much.
"""

import errno
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from peer.edge.safe_paths import PRIVATE_DIRECTORY, Root, open_file
from peer.edge.scratch import Spot, file_name_of, open_private_directory

__all__ = ["TRASH_BYTES_LIMIT", "TRASH_DIRECTORY", "TRASH_FILES_LIMIT", "Trash"]

TRASH_DIRECTORY: Final = f"{PRIVATE_DIRECTORY}/trash"

TRASH_FILES_LIMIT: Final = 1_000
"""Enough for an afternoon's accidents, few enough to be looked through."""

TRASH_BYTES_LIMIT: Final = 256 * 1024 * 1024
"""Sixteen files of the largest size that is shared."""

_COPY_BYTES: Final = 1024 * 1024


class Trash:
    """The removed files of one folder.

    Args:
        root: the folder.
        wall_clock: seconds since 1970, for the names.

    Raises:
        StorageError: `.weft/trash` cannot be made.
    """

    def __init__(self, root: Root, wall_clock: Callable[[], float] = time.time) -> None:
        self.fd = open_private_directory(root, "trash")
        self._wall_clock = wall_clock
        self._count = 0
        names = sorted(os.listdir(self.fd))
        self._kept = deque(
            (name, os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_size) for name in names
        )
        self._bytes = sum(size for _, size in self._kept)
        self._prune()

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self.fd)

    def keep(self, directory: int, name: str, path: str) -> Spot:
        """Move the file *name* in *directory* here; *path* is where it belonged.

        Raises:
            OSError: it is still where it was.
        """
        kept = self._name_for(path)
        try:
            os.rename(name, kept, src_dir_fd=directory, dst_dir_fd=self.fd)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(directory, name, kept)
            os.unlink(name, dir_fd=directory)
        return self._note(kept)

    def _copy(self, directory: int, name: str, kept: str) -> None:
        target = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        with open(target, "wb") as copy, open_file(directory, name) as source:
            while piece := os.read(source, _COPY_BYTES):
                copy.write(piece)

    def _name_for(self, path: str) -> str:
        self._count += 1
        moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(self._wall_clock()))
        return f"{moment}-{self._count:06d}-{os.urandom(2).hex()}-{file_name_of(path)}"

    def _note(self, name: str) -> Spot:
        size = os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_size
        self._kept.append((name, size))
        self._bytes += size
        self._prune()
        return Spot(TRASH_DIRECTORY, name)

    def _prune(self) -> None:
        while len(self._kept) > TRASH_FILES_LIMIT or self._bytes > TRASH_BYTES_LIMIT:
            name, size = self._kept.popleft()
            self._bytes -= size
            try:
                os.unlink(name, dir_fd=self.fd)
            except FileNotFoundError:
                continue  # the person emptied the trash
