"""Renames that never overwrite: two files swapped in one step, or a name taken only if it is free.

Linux has `renameat2`, macOS `renameatx_np`; Python has neither, so they are called through ctypes.
Where the kernel or the file system has no such thing, `PlainRenames` comes as near as links and
renames allow: its swap leaves the name empty for some microseconds, and a file that appears there
in the meantime stays.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

__all__ = ["KernelRenames", "PlainRenames", "Renames", "best_renames"]

_LINUX_NOREPLACE: Final = 1
_LINUX_EXCHANGE: Final = 2
_MACOS_SWAP: Final = 2
_MACOS_EXCL: Final = 4

_NOT_HERE: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
"""How kernels and file systems say that they do not know the flag."""

_Call = Callable[[int, bytes, int, bytes, int], int]


class Renames(Protocol):
    """How files change places; each place is a directory descriptor and a name in it."""

    def exchange(self, ours: int, our_name: str, theirs: int, their_name: str, aside: str) -> bool:
        """Swap two files; *aside* is a free name beside ours for one that must step aside.

        False: another program took the name while it was free.  Its file stays, ours is given up,
        and what had the name before now has the name that our file had.

        Raises:
            OSError: nothing was changed.
        """

    def move(self, source: int, name: str, target: int, new_name: str) -> None:
        """Rename, but never over something.

        Raises:
            FileExistsError: something has the new name.
            OSError: nothing was changed.
        """


class PlainRenames:
    """With the means that every POSIX system has."""

    def exchange(self, ours: int, our_name: str, theirs: int, their_name: str, aside: str) -> bool:
        """See `Renames.exchange`; the name is free for a moment."""
        os.rename(their_name, aside, src_dir_fd=theirs, dst_dir_fd=ours)
        swapped = True
        try:
            self.move(ours, our_name, theirs, their_name)
        except FileExistsError:
            swapped = False
        except OSError:
            self._put_back(ours, aside, theirs, their_name)
            raise
        os.rename(aside, our_name, src_dir_fd=ours, dst_dir_fd=ours)
        return swapped

    def move(self, source: int, name: str, target: int, new_name: str) -> None:
        """See `Renames.move`; both names exist for a moment."""
        try:
            os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NOT_HERE | {errno.EPERM, errno.EMLINK}:
                raise
            self._move_without_links(source, name, target, new_name)
        else:
            os.unlink(name, dir_fd=source)

    def _move_without_links(self, source: int, name: str, target: int, new_name: str) -> None:
        os.close(os.open(new_name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=target))
        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)

    def _put_back(self, ours: int, aside: str, theirs: int, their_name: str) -> None:
        # Whoever took the name keeps it; the copy that stepped aside is found at the next start.
        with suppress(OSError):
            self.move(ours, aside, theirs, their_name)


class KernelRenames:
    """In one step, by the kernel; what it cannot do is left to `PlainRenames`."""

    def __init__(self, call: _Call, exchange_flag: int, exclusive_flag: int) -> None:
        self._call = call
        self._exchange_flag = exchange_flag
        self._exclusive_flag = exclusive_flag
        self._plain = PlainRenames()

    def exchange(self, ours: int, our_name: str, theirs: int, their_name: str, aside: str) -> bool:
        """See `Renames.exchange`; never overtaken, unless the file system lacks the exchange."""
        if self._rename(ours, our_name, theirs, their_name, self._exchange_flag):
            return True
        return self._plain.exchange(ours, our_name, theirs, their_name, aside)

    def move(self, source: int, name: str, target: int, new_name: str) -> None:
        """See `Renames.move`."""
        if not self._rename(source, name, target, new_name, self._exclusive_flag):
            self._plain.move(source, name, target, new_name)

    def _rename(self, source: int, name: str, target: int, new_name: str, flag: int) -> bool:
        if self._call(source, os.fsencode(name), target, os.fsencode(new_name), flag) == 0:
            return True
        number = ctypes.get_errno()
        if number in _NOT_HERE:
            return False
        raise OSError(number, os.strerror(number), name, None, new_name)


def best_renames() -> Renames:
    """The best that this system offers."""
    name, exchange, exclusive = (
        ("renameatx_np", _MACOS_SWAP, _MACOS_EXCL)
        if sys.platform == "darwin"
        else ("renameat2", _LINUX_EXCHANGE, _LINUX_NOREPLACE)
    )
    try:
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError, TypeError):
        return PlainRenames()
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    function.restype = ctypes.c_int
    call: _Call = function
    return KernelRenames(call, exchange, exclusive)
