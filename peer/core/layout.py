"""The entries of the index, and where in the folder each of them goes, the same on every peer.

An entry is several keys of the index, all beginning with the file's id: a file is its id, not its
path, so two people who create one path at once make two entries and keep both files.  The keys:

    ID/path   where its people want it
    ID/kind   "text" or "blob"
    ID/exec   true if it may be executed
    ID/eol    "crlf" if its lines end in CR LF (text)
    ID/by     name of the device that made it
    ID/since  state vector without which its text is not here yet (text)
    ID/blob   SHA-256, size, and the beginnings of the digests it replaced, newest first (blob)
    ID/gone   what the one who deleted it knew of it: a state vector, or the digest

An entry whose text or digest has moved on from what its deleter knew lives: an edit beats a delete.
Peers write the index, so nothing in here is trusted: an entry that cannot be used is left out.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from peer.core.contents import BLOB_LIMIT
from peer.core.ids import DocId
from peer.core.index import Scalar
from peer.core.paths import fold, is_shareable

__all__ = [
    "ANCESTORS",
    "UNCONDITIONAL",
    "Blob",
    "Entry",
    "Layout",
    "blob_digests",
    "doc_of",
    "is_living",
    "key_of",
    "lay_out",
    "read_entry",
    "read_layout",
    "same_path_name",
]

ANCESTORS: Final = 8
"""Digests that a blob's entry says it replaced: more changes than that are not made at one time."""

ANCESTOR_DIGITS: Final = 16
"""Hexadecimal digits of each: enough that two never meet by chance."""

NAME_LETTERS: Final = 40
"""Letters of a device's name in a file's name."""

PLACES_KEPT: Final = 1 << 16
"""Paths whose folds are remembered: every change of the index lays out all files again."""

TRIES: Final = 100
"""Numbered names tried for a path that many want, before the id is used."""

UNCONDITIONAL: Final = b"*"
"""Deleted whatever anybody wrote: what the deleter knew was too much to be said."""

_KEY: Final = re.compile("([0-9a-f]{16})/")
_BLOB: Final = re.compile(r"([0-9a-f]{64}) ([0-9]{1,12})((?: [0-9a-f]{16}){0,8})")
_UNNAMEABLE: Final = re.compile(r"[^\w .+-]")


@dataclass(frozen=True, slots=True)
class Blob:
    """What a binary file holds."""

    digest: bytes
    size: int
    replaced: tuple[str, ...] = ()
    """Beginnings of the digests that it took the place of, newest first."""

    def follows(self, digest: bytes) -> bool:
        """Whether its writer had seen *digest*."""
        return digest.hex()[:ANCESTOR_DIGITS] in self.replaced

    def after(self, before: "Blob") -> "Blob":
        """This blob, put in the place of *before*."""
        replaced = (before.digest.hex()[:ANCESTOR_DIGITS], *before.replaced)
        return Blob(self.digest, self.size, replaced[:ANCESTORS])

    def __str__(self) -> str:
        return " ".join((self.digest.hex(), str(self.size), *self.replaced))


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the session.

    Attributes:
        blob: what it holds; `None` for a text.
        gone: `None` unless it was deleted.
    """

    doc: DocId
    path: str
    blob: Blob | None
    executable: bool
    crlf: bool
    by: str
    since: bytes
    gone: bytes | None

    @property
    def kind(self) -> str:
        """`text` or `blob`."""
        return "text" if self.blob is None else "blob"

    @property
    def digest(self) -> bytes | None:
        """SHA-256 of a binary file."""
        return None if self.blob is None else self.blob.digest

    @property
    def eol(self) -> str:
        """`crlf` or nothing."""
        return "crlf" if self.crlf else ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The living files by where they go, and the ids whose entries cannot be used."""

    files: dict[str, Entry]
    refused: frozenset[DocId]


def key_of(doc: DocId, field: str) -> str:
    """The key of the index under which one field of an entry is."""
    return f"{doc.hex()}/{field}"


def doc_of(key: str) -> DocId | None:
    """The file that a key belongs to; `None` for a key of another form."""
    match = _KEY.match(key)
    return DocId(bytes.fromhex(match[1])) if match else None


def read_layout(entries: Mapping[str, Scalar], is_edited: Callable[[DocId, bytes], bool]) -> Layout:
    """The whole folder.

    Args:
        entries: of the index.
        is_edited: whether a text holds anything beyond a state vector.
    """
    docs = sorted({doc for doc in map(doc_of, entries) if doc is not None})
    read = {doc: read_entry(doc, entries) for doc in docs}
    living = {doc: entry for doc, entry in read.items() if entry is not None and is_living(entry, is_edited)}
    paths = lay_out(living.values())
    refused = frozenset(doc for doc, entry in read.items() if entry is None)
    return Layout({path: living[doc] for doc, path in paths.items()}, refused)


def is_living(entry: Entry, is_edited: Callable[[DocId, bytes], bool]) -> bool:
    """Whether the file was not deleted, or was changed by somebody who did not know of that."""
    if entry.gone is None:
        return True
    if entry.gone == UNCONDITIONAL:
        return False
    if entry.blob is not None:
        return entry.gone != entry.blob.digest
    return is_edited(entry.doc, entry.gone)


def read_entry(doc: DocId, entries: Mapping[str, Scalar]) -> Entry | None:
    """The entry of one file, or `None` if it is incomplete or cannot be used here."""
    path, kind = entries.get(key_of(doc, "path")), entries.get(key_of(doc, "kind"))
    if not isinstance(path, str) or not is_shareable(path):
        return None
    blob = _read_blob(entries.get(key_of(doc, "blob"))) if kind == "blob" else None
    if kind != "text" and blob is None:
        return None
    by, since, gone = (entries.get(key_of(doc, field)) for field in ("by", "since", "gone"))
    return Entry(
        doc,
        path,
        blob,
        executable=entries.get(key_of(doc, "exec")) is True,
        crlf=entries.get(key_of(doc, "eol")) == "crlf",
        by=by if isinstance(by, str) else "",
        since=since if isinstance(since, bytes) else b"",
        gone=gone if isinstance(gone, bytes) else None,
    )


def blob_digests(entries: Mapping[str, Scalar]) -> set[bytes]:
    """The contents that binary files have, also deleted ones: a deletion may turn out not to count."""
    blobs = (_read_blob(value) for key, value in entries.items() if key.endswith("/blob"))
    return {blob.digest for blob in blobs if blob is not None}


def _read_blob(value: Scalar) -> Blob | None:
    match = _BLOB.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > BLOB_LIMIT:
        return None
    return Blob(bytes.fromhex(match[1]), int(match[2]), tuple(match[3].split()))


def lay_out(entries: Iterable[Entry]) -> dict[DocId, str]:
    """Where each of these living files goes.

    The lowest id keeps a path that several want; a path that is a directory of another one gives
    way.  The others get the name of who made them, and a number if that is not enough.
    """
    ordered = sorted(entries, key=lambda entry: entry.doc)
    folds = {entry.doc: _place(entry.path) for entry in ordered}
    directories = {above for place in folds.values() for above in _above(place)}
    placed: dict[DocId, str] = {}
    taken: set[str] = set()
    for entry in ordered:
        place = folds[entry.doc]
        if place not in taken and place not in directories:
            placed[entry.doc] = entry.path
            taken.add(place)
    for entry in ordered:
        if entry.doc not in placed:
            placed[entry.doc] = _free_path(entry, taken, directories)
            taken.add(_place(placed[entry.doc]))
    return placed


def same_path_name(path: str, mark: str) -> str:
    """*path* with *mark* in brackets before the ending."""
    directory, slash, name = path.rpartition("/")
    dot = name.rfind(".", 1)
    stem, ending = (name[:dot], name[dot:]) if dot > 0 else (name, "")
    return f"{directory}{slash}{stem} ({mark}){ending}"


def _free_path(entry: Entry, taken: set[str], directories: set[str]) -> str:
    name = _UNNAMEABLE.sub("", entry.by).strip()[:NAME_LETTERS] or "copy"
    marks = [name, *(f"{name} {number}" for number in range(2, TRIES))]
    for path in (same_path_name(entry.path, mark) for mark in marks):
        if is_shareable(path) and _place(path) not in taken and _place(path) not in directories:
            return path
    return f"{entry.doc.hex()}.copy"


@lru_cache(maxsize=PLACES_KEPT)
def _place(path: str) -> str:
    return fold(path)


def _above(place: str) -> Iterable[str]:
    at = place.find("/")
    while at >= 0:
        yield place[:at]
        at = place.find("/", at + 1)
