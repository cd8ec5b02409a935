"""Which folder belongs to which session, and where on this machine its database is.

A *replica* is one folder's copy of a session.  The folder holds `.weft/session.json`, which names the
session and the replica and nothing secret; `DATA/replicas/ID/` holds the replica's database and a note
of where its folder is.  The two are compared whenever a folder is opened: a folder that was moved keeps
its replica, a copy of it becomes a replica of its own, and a folder that has lost its mark and its
files is not taken for one whose files were all deleted.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from peer.edge.database import disk_errors, known_paths, peek_meta
from peer.edge.identity import data_dir
from peer.edge.store import Store
from peer.errors import StorageError, UsageError

__all__ = [
    "IGNORE_ALL",
    "MARKER",
    "FolderVanished",
    "Replica",
    "SessionRecord",
    "create",
    "enclosing",
    "find",
    "is_known",
    "is_marked",
    "load_record",
    "places_of",
    "save_record",
]

MARKER: Final = ".weft/session.json"
"""Relative to the shared folder."""

_RECORD_KEY: Final = "session"
IGNORE_ALL: Final = b"*\n"
"""Content of `.weft/.gitignore`."""
_NOTE_LIMIT: Final = 65_536
"""Bytes read of a note; a path has at most some thousand."""

_SESSION: Final = re.compile("[0-9a-f]{64}")
_REPLICA: Final = re.compile("[0-9a-f]{16}")


class FolderVanished(UsageError):
    """The folder is empty or gone though the session knows files in it; *missing* are their paths."""

    def __init__(self, folder: Path, missing: list[str], database: Path) -> None:
        super().__init__(
            f"{folder} has lost its files ({len(missing)} were here) and its mark .weft/session.json, "
            "so nothing was changed: is its disk mounted? If you removed them, join the session again with "
            f"a link; to share something new from here, first remove {database.parent}"
        )
        self.folder = folder
        self.missing = missing


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a replica must know to go on with its session; secret, stored in its database only.

    Attributes:
        session: public half of the session key W.
        secret: the room secret S.
        chain: the certificates by which this device is a member.
        role: what they make of it: `owner`, `editor` or `viewer`.
        name: what this side is called by the others.
        servers: where the session meets, best first.
        created_unix: when this replica joined.
        folder: what it was joined into.
        invite_seed: private half of the invitation key, on a side that has an invitation to show.
        invite_chain: the certificates that entitle that key.
        owner_seed: private half of W, on the owner's side.
    """

    session: bytes
    secret: bytes
    chain: tuple[bytes, ...]
    role: str
    name: str
    servers: tuple[str, ...]
    created_unix: float
    folder: str
    invite_seed: bytes | None = None
    invite_chain: tuple[bytes, ...] = ()
    owner_seed: bytes | None = None

    def __repr__(self) -> str:
        # Secrets must not reach a log by way of a careless format string.
        return f"SessionRecord(session={self.session.hex()[:8]}, role={self.role}, folder={self.folder})"


@dataclass(frozen=True, slots=True)
class Replica:
    """One folder's copy of a session.

    Attributes:
        session: the session's public key in hexadecimal.
        replica: this copy's own id, 16 hexadecimal digits.
        folder: the shared folder, resolved.
        database: its SQLite file, for `Store.open`.
        copied: the folder turned out to be a copy of another replica's: the database is new and
            knows the session, but no document yet, as after a first join.
    """

    session: str
    replica: str
    folder: Path
    database: Path
    copied: bool = False


class _Marker(msgspec.Struct, frozen=True, kw_only=True):
    schema: int = 1
    session: str
    replica: str


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    schema: int = 1
    session: str
    folder: str
    inode: str


_Note = TypeVar("_Note", _Marker, _Place)


def save_record(store: Store, record: SessionRecord) -> None:
    """Store *record* and commit it.

    Raises:
        StorageError: the disk refuses.
    """
    store.set_meta(_RECORD_KEY, msgspec.msgpack.encode(record))
    store.commit()


def load_record(store: Store) -> SessionRecord | None:
    """What the store knows of its session; `None` if it has just been made.

    Raises:
        StorageError: the record is damaged, or the disk refuses.
    """
    data = store.get_meta(_RECORD_KEY)
    try:
        return msgspec.msgpack.decode(data, type=SessionRecord) if data is not None else None
    except msgspec.MsgspecError as error:
        raise StorageError(
            f"the session stored on this machine cannot be read ({error}): join it again with a link"
        ) from error


def enclosing(path: Path) -> Path | None:
    """The shared folder that *path* is, or is inside of; looks at marks only."""
    path = path.resolve()
    return next((folder for folder in (path, *path.parents) if _read_marker(folder)), None)


def is_known(folder: Path) -> bool:
    """Whether *folder* bears the mark of a replica that this machine has; changes nothing."""
    marker = _read_marker(folder.resolve())
    return marker is not None and (_replicas() / marker.replica / "session.db").exists()


def find(folder: Path, *, lost_ok: bool = False) -> Replica | None:
    """The replica of *folder*; `None` if it belongs to no session that this machine knows.

    Args:
        folder: the shared folder.
        lost_ok: a folder that has lost everything counts as a new one (for a join by link).

    Raises:
        FolderVanished: the folder is empty or gone though a session had files in it.
        UsageError: `.weft` in the folder leads elsewhere.
        StorageError: the disk refuses.
    """
    folder = folder.resolve()
    with disk_errors(folder):
        marker = _read_marker(folder)
        if marker is None:
            return None if lost_ok else _look_for_lost(folder)
        replica = _replica(marker.session, marker.replica, folder)
        if not replica.database.exists():
            return None
        if _is_copy(folder, marker):
            return _split_off(replica)
        _write_place(replica)
        return replica


def create(folder: Path, session: bytes) -> Replica:
    """Make *folder* a new replica of *session* (public key of W); a mark that is there is replaced.

    Raises:
        UsageError: `.weft` in the folder leads elsewhere.
        StorageError: the disk refuses.
    """
    folder = folder.resolve()
    replica = _replica(session.hex(), os.urandom(8).hex(), folder)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for place in places_of(folder):
            place.unlink(missing_ok=True)
        _write_place(replica)
        _write_marker(replica)
    return replica


def is_marked(replica: Replica) -> bool:
    """Whether its folder bears the mark of this very replica."""
    marker = _read_marker(replica.folder)
    return marker is not None and (marker.session, marker.replica) == (replica.session, replica.replica)


def places_of(folder: Path) -> list[Path]:
    """The notes that say of a replica that it is in *folder* (resolved), whether it still is or not."""
    return [other / "place.json" for other, place in _places() if place.folder == str(folder)]


def _replica(session: str, replica: str, folder: Path, *, copied: bool = False) -> Replica:
    return Replica(session, replica, folder, _replicas() / replica / "session.db", copied)


# --- moved, copied, lost --------------------------------------------------------------------------


def _is_copy(folder: Path, marker: _Marker) -> bool:
    """Whether the folder that this replica belongs to is another one, and still there."""
    place = _read_note(_replicas() / marker.replica / "place.json", _Place)
    if place is None or place.folder == str(folder) or place.inode == _inode(folder):
        return False
    other = _read_marker(Path(place.folder))
    return other is not None and other.replica == marker.replica


def _split_off(origin: Replica) -> Replica | None:
    """Give a copied folder a replica of its own.

    The log and the shadows stay with the original: they tell what the original's disk holds now,
    which is not what was copied, and taking one for the other would delete what came since.
    """
    record = peek_meta(origin.database, _RECORD_KEY)
    if record is None:
        return None
    replica = _replica(origin.session, os.urandom(8).hex(), origin.folder, copied=True)
    store = Store.open(replica.database)
    try:
        store.set_meta(_RECORD_KEY, record)
    finally:
        store.close()
    _write_place(replica)
    _write_marker(replica)
    return replica


def _look_for_lost(folder: Path) -> Replica | None:
    for directory, place in _places():
        if place.folder == str(folder):
            return _recover(folder, directory.name, place)
    return None


def _recover(folder: Path, name: str, place: _Place) -> Replica | None:
    replica = _replica(place.session, name, folder)
    known = known_paths(replica.database)
    if not known:
        return None
    # The same directory with some of its files: only the mark was removed, as `git clean` does.
    if folder.is_dir() and place.inode == _inode(folder) and any((folder / path).exists() for path in known):
        _write_marker(replica)
        return replica
    raise FolderVanished(folder, known, replica.database)


# --- notes on disk --------------------------------------------------------------------------------


def _replicas() -> Path:
    return data_dir() / "replicas"


def _places() -> Iterator[tuple[Path, _Place]]:
    for path in sorted(_replicas().glob("*/place.json")):
        place = _read_note(path, _Place)
        if place is not None:
            yield path.parent, place


def _inode(folder: Path) -> str:
    return str(folder.stat().st_ino)


def _read_marker(folder: Path) -> _Marker | None:
    marker = _read_note(folder / MARKER, _Marker)
    if marker and _SESSION.fullmatch(marker.session) and _REPLICA.fullmatch(marker.replica):
        return marker
    return None


def _write_marker(replica: Replica) -> None:
    directory = replica.folder / ".weft"
    if directory.is_symlink():
        raise UsageError(f"{directory} is a link to another place: remove it, then try again")
    directory.mkdir(exist_ok=True)
    (directory / ".gitignore").write_bytes(IGNORE_ALL)
    _write_note(replica.folder / MARKER, _Marker(session=replica.session, replica=replica.replica))


def _write_place(replica: Replica) -> None:
    replica.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = _Place(session=replica.session, folder=str(replica.folder), inode=_inode(replica.folder))
    path = replica.database.with_name("place.json")
    if _read_note(path, _Place) != place:
        _write_note(path, place)


def _read_note(path: Path, kind: type[_Note]) -> _Note | None:
    """Read a small JSON file; what is missing or damaged is as good as not there."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_NOTE_LIMIT), type=kind)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _write_note(path: Path, note: _Marker | _Place) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(json.dumps(msgspec.to_builtins(note), indent=1).encode() + b"\n")
    draft.replace(path)
