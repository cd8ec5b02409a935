"""Opening the SQLite file of a replica: one process at a time, the right schema, damage moved aside.

The lock is a file beside the database that is locked by the system for as long as the process
lives, so it needs no cleaning up after a crash.  It is never deleted: a second process could then
lock a new file of the same name.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from peer.errors import StorageError, UsageError

__all__ = [
    "AlreadyRunning",
    "NewerFormat",
    "connect",
    "disk_errors",
    "known_paths",
    "peek_meta",
    "take_lock",
]

SCHEMA_VERSION: Final = 1

CHECK_BYTES: Final = 64 * 1024 * 1024
"""Databases up to this size are checked when opened: about a tenth of a second at the most."""

WAL_BYTES: Final = 16 * 1024 * 1024
"""The write-ahead log is cut back to this after it was longer."""

BUSY_SECONDS: Final = 5.0
"""How long a look from outside (`peek_meta`) waits for a writer; a commit takes far less."""

_TABLES = """
BEGIN;
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    doc BLOB NOT NULL, at REAL NOT NULL, author BLOB NOT NULL, data BLOB NOT NULL);
CREATE INDEX log_by_doc ON log (doc, seq);
CREATE TABLE snapshot (doc BLOB PRIMARY KEY, size INTEGER NOT NULL, state BLOB NOT NULL);
CREATE TABLE shadow (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    doc BLOB NOT NULL, path TEXT NOT NULL, is_binary INTEGER NOT NULL, intent INTEGER NOT NULL,
    saved INTEGER NOT NULL, inode TEXT NOT NULL, mtime_ns TEXT NOT NULL,
    size INTEGER NOT NULL, content BLOB NOT NULL);
CREATE INDEX shadow_by_doc ON shadow (doc, seq);
CREATE TABLE blob (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, content BLOB NOT NULL);
PRAGMA user_version = 1;
COMMIT;
"""


class AlreadyRunning(UsageError):
    """Another process uses this replica; *pid* is its number, if it could be read."""

    def __init__(self, pid: int | None) -> None:
        who = f" (process {pid})" if pid else ""
        super().__init__(f"the session of this folder is already running{who}")
        self.pid = pid


class NewerFormat(StorageError):
    """The database was made by a newer Weft."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into a `StorageError` that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}. {_advice(str(error))}") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}. {_advice(str(error))}") from error


def _advice(reason: str) -> str:
    reason = reason.lower()
    if "full" in reason or "no space" in reason or "quota" in reason:
        return "Free some space on that disk; what could not be stored is kept in memory meanwhile."
    if "readonly" in reason or "read-only" in reason or "permission" in reason:
        return "Make that place writable for you, or set WEFT_DATA_DIR to another one."
    if "malformed" in reason or "not a database" in reason:
        return "The database is damaged; stop Weft and start it again: it will be moved aside."
    return "Check the disk, then start Weft again."


def take_lock(path: Path) -> int:
    """Lock the replica whose database is *path*; closing the descriptor gives it back.

    Raises:
        AlreadyRunning: another process holds it (or this one, in another place).
        OSError: the lock file cannot be made.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        pid = os.pread(lock, 20, 0)
        os.close(lock)
        raise AlreadyRunning(int(pid) if pid.isdigit() else None) from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def connect(path: Path) -> sqlite3.Connection:
    """Open the database at *path* or make it; the caller holds its lock.

    Raises:
        NewerFormat: a newer Weft made it.
        StorageError: it is damaged, and has been moved aside.
        sqlite3.Error, OSError: the disk refuses.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = _plain(path)
    try:
        if _is_sound(connection, path):
            _prepare(connection, path)
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    aside = _move_aside(path)
    raise StorageError(
        f"The database of this folder was damaged and has been moved to {aside}. "
        "The files in the folder are as they were. To go on, join the session again into a new folder."
    )


def _plain(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False, cached_statements=64
    )


def _is_sound(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file can be read as a database; other failures of the disk are raised."""
    check = "PRAGMA quick_check(1)" if path.stat().st_size <= CHECK_BYTES else "PRAGMA schema_version"
    try:
        found = connection.execute(check).fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        return False
    return found == "ok" or isinstance(found, int)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise NewerFormat(f"{path} was made by a newer Weft. Update Weft on this machine.")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    if version == 0:
        connection.executescript(_TABLES)


def _move_aside(path: Path) -> Path:
    mark = f"damaged-{time.time_ns() // 1_000_000}"
    for suffix in ("-wal", "-shm", ""):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{path}.{mark}{suffix}")
    return Path(f"{path}.{mark}")


# --- a look from outside, without the lock --------------------------------------------------------


def peek_meta(path: Path, key: str) -> bytes | None:
    """Read one named value of a database that another process may have open."""
    rows = _peek(path, "SELECT value FROM meta WHERE key = ?", (key,))
    value = rows[0][0] if rows else None
    return value if isinstance(value, bytes) else None


def known_paths(path: Path) -> list[str]:
    """The paths of all files that the replica has seen on disk, sorted."""
    rows = _peek(path, "SELECT DISTINCT path FROM shadow ORDER BY path", ())
    return [str(name) for (name,) in rows]


def _peek(path: Path, query: str, values: tuple[str, ...]) -> list[tuple[bytes | str]]:
    if not path.exists():
        return []
    with disk_errors(path), closing(_plain(path)) as connection:
        return connection.execute(query, values).fetchall()
