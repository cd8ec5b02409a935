"""One SQLite file per replica: the log of updates, snapshots, shadows, blobs and a few named values.

The log is append-only until a snapshot folds its older rows: what a snapshot holds is deleted from
the log, so history reaches back to the last snapshot of each document.  Writes are buffered in one
open transaction that `commit` ends.  If the disk refuses, every write since the last good commit is
kept in memory and the next `commit` tries them all again, so a full disk makes no hole in the log.

Commits survive a crash of the program at once (WAL); after a power cut the last ones may be missing
(`synchronous=NORMAL`), never a part of one.  One thread at a time may call a store.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from peer.core.actions import SaveShadow
from peer.core.ids import DocId
from peer.edge.database import connect, disk_errors, take_lock
from peer.errors import StorageError

__all__ = [
    "COMPACT_BYTES",
    "COMPACT_ROWS",
    "OLDER_SHADOWS",
    "OLDER_SHADOW_BYTES",
    "Store",
]

COMPACT_ROWS: Final = 4096
"""Updates of one document before a snapshot is due: loading them takes some 50 ms."""

COMPACT_BYTES: Final = 256 * 1024
"""Log bytes of one document before a snapshot is due, if the snapshot before was smaller."""

OLDER_SHADOWS: Final = 8
"""Shadows of one file beside the current one: an editor may hold a text that is several saves old."""

OLDER_SHADOW_BYTES: Final = 8 * 1024 * 1024
"""Room for those: two of the greatest text files, or eight of nearly all others."""

PENDING_BYTES: Final = 64 * 1024 * 1024
"""What is held in memory for a disk that refuses; several of the greatest files, far below any RAM."""

_SMALL: Final = 64
"""What a write without content counts in memory."""


class Store:
    """What one replica must not forget, in one file that no other process may use meanwhile."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int) -> None:
        self._path = path
        self._db = connection
        self._lock = lock
        self._pending: list[Callable[[], None]] = []
        self._pending_bytes = 0
        self._behind = False
        self._rows: dict[DocId, int] = {}
        self._bytes: dict[DocId, int] = {}
        self._snapshot_bytes: dict[DocId, int] = {}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or make the database at *path* (mode 0600, its directory 0700).

        Raises:
            AlreadyRunning: another process has it open.
            NewerFormat: a newer Weft made it.
            StorageError: the disk refuses, or the database is damaged (it is moved aside then).
        """
        with disk_errors(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = take_lock(path)
        try:
            with disk_errors(path):
                store = cls(path, connect(path), lock)
                store._count()
        except BaseException:
            os.close(lock)
            raise
        return store

    def close(self) -> None:
        """Commit what is pending, close the database and let others use it.

        Raises:
            StorageError: what was pending could not be stored; the database is closed all the same.
        """
        try:
            self.commit()
        finally:
            self._db.close()
            os.close(self._lock)

    # --- the transaction ------------------------------------------------------------------------

    def commit(self) -> None:
        """Make everything since the last commit survive a crash.

        Raises:
            StorageError: the disk refuses; all of it is kept and tried again at the next commit.
        """
        if not self._pending:
            return
        try:
            with disk_errors(self._path):
                if self._behind:
                    self._replay()
                self._db.execute("COMMIT")
        except BaseException:
            self._fall_behind()
            raise
        self._pending.clear()
        self._pending_bytes = 0
        self._behind = False

    def _write(self, size: int, change: Callable[[], None]) -> None:
        if self._behind and self._pending_bytes + size > PENDING_BYTES:
            raise StorageError(
                "The disk refuses to store changes and no more can be held in memory. "
                "Free some space, then start Weft again."
            )
        self._pending.append(change)
        self._pending_bytes += size
        if self._behind:
            return
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN")
            change()
        except sqlite3.Error:
            self._fall_behind()  # the next commit tries again, and tells whoever asked for it
        except BaseException:
            self._pending.pop()  # a mistake of the caller would fail again at every commit
            raise

    def _replay(self) -> None:
        self._count()
        self._db.execute("BEGIN")
        for change in self._pending:
            change()

    def _fall_behind(self) -> None:
        self._behind = True
        with suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _count(self) -> None:
        self._rows.clear()
        self._bytes.clear()
        logged = "SELECT doc, COUNT(*), SUM(LENGTH(data)) FROM log GROUP BY doc"
        for doc, rows, size in self._db.execute(logged):
            self._rows[DocId(doc)], self._bytes[DocId(doc)] = rows, size
        self._snapshot_bytes = {
            DocId(doc): size for doc, size in self._db.execute("SELECT doc, size FROM snapshot")
        }

    # --- the log --------------------------------------------------------------------------------

    def append(self, doc: DocId, update: bytes, author: bytes, at_unix: float) -> None:
        """Add one update to the log of *doc*; it is stored at the next `commit`."""

        def change() -> None:
            self._db.execute(
                "INSERT INTO log (doc, at, author, data) VALUES (?, ?, ?, ?)", (doc, at_unix, author, update)
            )
            self._rows[doc] = self._rows.get(doc, 0) + 1
            self._bytes[doc] = self._bytes.get(doc, 0) + len(update)

        self._write(len(update), change)

    def documents(self) -> list[DocId]:
        """Every document that has a snapshot or an update, in no particular order."""
        return list(self._snapshot_bytes.keys() | self._rows.keys())

    def updates(self, doc: DocId) -> list[bytes]:
        """What rebuilds *doc* when applied in this order: its snapshot, then the log since."""
        with disk_errors(self._path):
            snapshot = self._db.execute("SELECT state FROM snapshot WHERE doc = ?", (doc,)).fetchall()
            logged = self._db.execute("SELECT data FROM log WHERE doc = ? ORDER BY seq", (doc,)).fetchall()
        return [data for (data,) in snapshot + logged]

    def log(self, doc: DocId) -> Iterator[tuple[int, float, bytes, bytes]]:
        """Yield (sequence number, unix time, author, update) since the snapshot, oldest first."""
        query = "SELECT seq, at, author, data FROM log WHERE doc = ? AND seq > ? ORDER BY seq LIMIT 256"
        last = 0
        while True:
            with disk_errors(self._path):
                rows = self._db.execute(query, (doc, last)).fetchall()
            if not rows:
                return
            yield from rows
            last = rows[-1][0]

    def should_compact(self, doc: DocId) -> bool:
        """Whether the log of *doc* has grown enough to be worth a snapshot.

        A snapshot must at least be paid for by as many log bytes, so that the bytes written stay
        within twice the bytes logged, however large the document is.
        """
        due = max(COMPACT_BYTES, self._snapshot_bytes.get(doc, 0))
        return self._rows.get(doc, 0) >= COMPACT_ROWS or self._bytes.get(doc, 0) >= due

    def snapshot(self, doc: DocId, state: bytes) -> None:
        """Put *state*, which holds every update of *doc* appended so far, in place of its log."""

        def change() -> None:
            self._db.execute(
                "INSERT INTO snapshot (doc, size, state) VALUES (?, ?, ?)"
                " ON CONFLICT (doc) DO UPDATE SET size = excluded.size, state = excluded.state",
                (doc, len(state), state),
            )
            self._db.execute("DELETE FROM log WHERE doc = ?", (doc,))
            self._rows[doc] = self._bytes[doc] = 0
            self._snapshot_bytes[doc] = len(state)

        self._write(len(state), change)

    # --- shadows --------------------------------------------------------------------------------

    def save_shadow(self, shadow: SaveShadow) -> None:
        """Remember what the disk holds; the shadows before it are kept for late saves, up to a bound."""
        self._write(len(shadow.content), lambda: self._put_shadow(shadow))

    def _put_shadow(self, shadow: SaveShadow) -> None:
        # A write that was carried out, or a file that was only touched, confirms the newest row:
        # large contents are not written a second time.
        confirmed = self._db.execute(
            "UPDATE shadow SET intent = 0, path = ?, inode = ?, mtime_ns = ?"
            " WHERE NOT ? AND seq = (SELECT MAX(seq) FROM shadow WHERE doc = ?)"
            " AND is_binary = ? AND content = ?",
            (
                shadow.path,
                str(shadow.stamp_inode),
                str(shadow.stamp_mtime_ns),
                shadow.intent,
                shadow.doc,
                shadow.binary,
                shadow.content,
            ),
        )
        if confirmed.rowcount == 0:
            self._add_shadow(shadow)
            self._trim_shadows(shadow.doc)

    def _add_shadow(self, shadow: SaveShadow) -> None:
        self._db.execute(
            "INSERT INTO shadow (doc, path, is_binary, intent, saved, inode, mtime_ns, size, content)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                shadow.doc,
                shadow.path,
                shadow.binary,
                shadow.intent,
                not shadow.intent,  # stays when an intent is confirmed
                str(shadow.stamp_inode),  # as text: both may be above what SQLite can count to
                str(shadow.stamp_mtime_ns),
                len(shadow.content),
                shadow.content,
            ),
        )

    def _trim_shadows(self, doc: DocId) -> None:
        rows = self._db.execute("SELECT seq, intent, size FROM shadow WHERE doc = ? ORDER BY seq", (doc,))
        found = rows.fetchall()
        current = _current([bool(intent) for _, intent, _ in found])
        older = [(seq, size) for index, (seq, _, size) in enumerate(found) if index not in current]
        room = 0
        for kept, (seq, size) in enumerate(reversed(older), 1):
            room += size
            if kept > OLDER_SHADOWS or room > OLDER_SHADOW_BYTES:
                self._db.execute("DELETE FROM shadow WHERE seq = ?", (seq,))

    def forget_shadow(self, doc: DocId) -> None:
        """The file is no longer on disk: drop all its shadows."""
        self._write(_SMALL, lambda: self._run("DELETE FROM shadow WHERE doc = ?", (doc,)))

    def shadows(self) -> list[SaveShadow]:
        """Every shadow, those of one document together: older ones by age, the last, a later intent.

        Only the newest of a document can have *intent* set: an intent that something followed
        counts as an older one, since it may or may not have reached the disk.
        """
        columns = "doc, path, is_binary, intent, inode, mtime_ns, saved, content"
        query = f"SELECT {columns} FROM shadow ORDER BY doc, seq"
        with disk_errors(self._path):
            rows = self._db.execute(query).fetchall()
        by_doc: dict[bytes, list[SaveShadow]] = {}
        for doc, path, binary, intent, inode, mtime_ns, saved, content in rows:
            shadow = SaveShadow(
                DocId(doc), path, content, bool(binary), bool(intent), int(inode), int(mtime_ns), bool(saved)
            )
            by_doc.setdefault(doc, []).append(shadow)
        return [shadow for shadows in by_doc.values() for shadow in _by_age(shadows)]

    # --- blobs ----------------------------------------------------------------------------------

    def save_blob(self, digest: bytes, content: bytes) -> None:
        """Keep *content* under its *digest*; a blob that is there already stays as it is."""
        statement = "INSERT INTO blob (digest, content) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING"
        self._write(len(content), lambda: self._run(statement, (digest, content)))

    def has_blob(self, digest: bytes) -> bool:
        """Whether the blob is here."""
        return self._blob_row(digest) is not None

    def load_blob(self, digest: bytes, offset: int, length: int) -> tuple[int, bytes] | None:
        """The whole size of a blob and up to *length* of its bytes from *offset*; `None`: not here."""
        row = self._blob_row(digest)
        if row is None:
            return None
        with disk_errors(self._path), self._db.blobopen("blob", "content", row, readonly=True) as blob:
            total = len(blob)
            blob.seek(min(offset, total))
            return total, blob.read(length)

    def keep_blobs(self, digests: set[bytes]) -> None:
        """Drop every blob that is not in *digests*."""

        def change() -> None:
            rows = self._db.execute("SELECT id, digest FROM blob").fetchall()
            unused = [(row,) for row, digest in rows if digest not in digests]
            self._db.executemany("DELETE FROM blob WHERE id = ?", unused)

        self._write(_SMALL, change)

    def _blob_row(self, digest: bytes) -> int | None:
        with disk_errors(self._path):
            found = self._db.execute("SELECT id FROM blob WHERE digest = ?", (digest,)).fetchone()
        return int(found[0]) if found else None

    # --- named values ---------------------------------------------------------------------------

    def get_meta(self, key: str) -> bytes | None:
        """The value stored under *key*, if there is one."""
        with disk_errors(self._path):
            found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return bytes(found[0]) if found else None

    def set_meta(self, key: str, value: bytes) -> None:
        """Store *value* under *key* at the next `commit`."""
        statement = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
        self._write(len(value), lambda: self._run(statement, (key, value)))

    def _run(self, statement: str, values: tuple[object, ...]) -> None:
        self._db.execute(statement, values)


def _current(intents: Sequence[bool]) -> list[int]:
    """Where, among the rows of one document by age, the last shadow and a later intent are."""
    last = [index for index, intent in enumerate(intents) if not intent][-1:]
    return last + ([len(intents) - 1] if intents and intents[-1] else [])


def _by_age(shadows: list[SaveShadow]) -> list[SaveShadow]:
    current = _current([shadow.intent for shadow in shadows])
    older = [replace(shadow, intent=False) for index, shadow in enumerate(shadows) if index not in current]
    return older + [shadows[index] for index in current]
