"""Whether some program has a file open for writing, as Linux can tell: by asking for a read lease.

A read lease is granted only on a file that nobody has open for writing; while it is held, whoever wants
to open the file for writing waits (fcntl(2), F_SETLEASE).  So what is read under a lease is whole.  It is
held for the moment of one reading.  Other systems, and some network disks, have no such thing.
"""

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["read_lease"]


@contextmanager
def read_lease(fd: int) -> Iterator[bool | None]:
    """Hold a read lease on *fd* for as long as the block lasts.

    Yields:
        true: nobody has the file open for writing, and nobody gets it meanwhile; false: somebody
        has; `None`: this cannot be told here.
    """
    granted = _ask(fd)
    try:
        yield granted
    finally:
        if granted:
            with suppress(OSError):
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _ask(fd: int) -> bool | None:
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        # The default signal for a lease that somebody breaks would end the program.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
