"""What can happen to the files of a shared folder; the core is told of it as `events.Event`."""

from dataclasses import dataclass

__all__ = [
    "DisplacedChanged",
    "FileEvent",
    "FileMissing",
    "FileMoved",
    "FileRemoved",
    "FileReplaced",
    "FileSeen",
    "FileTrouble",
    "ReplaceRefused",
    "ScanFinished",
    "Stamp",
]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the file system says about a file without reading it."""

    inode: int
    mtime_ns: int
    size: int
    mode: int
    """Permission bits only."""
    whole: bool | None = None
    """Whether nobody had it open for writing when it was read; `None` where that cannot be told."""


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A shareable file is there: found by a scan, a watch, or because `ReadFile` asked.

    Told whenever the disk was looked at, whether or not anything is new there.

    Attributes:
        path: relative to the shared folder, parts joined by "/".
        content: all of it; `None` if it is larger than `files.BLOB_LIMIT`, and then nobody gets it.
        stamp: what the file system said of it at that moment.
    """

    path: str
    content: bytes | None
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class FileMissing:
    """There is no such file (any more)."""

    path: str


@dataclass(frozen=True, slots=True)
class ScanFinished:
    """Every file that the first scan found has been reported."""


@dataclass(frozen=True, slots=True)
class FileReplaced:
    """A `ReplaceFile` was carried out.

    *displaced* is the content that our new one took the place of, read after the exchange: if a
    save slipped in between our last look and the exchange, it is this.  `None`: there was no file.
    *was* is the stamp of that file.
    """

    path: str
    stamp: Stamp
    displaced: bytes | None
    was: Stamp | None = None


@dataclass(frozen=True, slots=True)
class DisplacedChanged:
    """A writer that still held the displaced file open wrote into it; this is what it holds now.

    *stamp* is `None` for a content of an earlier run, of which nobody knows when it was written.
    """

    path: str
    content: bytes
    stamp: Stamp | None = None


@dataclass(frozen=True, slots=True)
class ReplaceRefused:
    """A change to the disk was not carried out because the disk holds something else than expected.

    *content* and *stamp* are `None` when there is no file, content alone when it is too large.
    """

    path: str
    content: bytes | None
    stamp: Stamp | None


@dataclass(frozen=True, slots=True)
class FileRemoved:
    """A `RemoveFile` was carried out."""

    path: str


@dataclass(frozen=True, slots=True)
class FileMoved:
    """A `MoveFile` was carried out."""

    old: str
    new: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class FileTrouble:
    """The disk would not let us read or write something.

    Attributes:
        path: what: a file, or a directory, relative to the shared folder; "." is the folder as a whole, and
            then no order was refused.  For a file, the order that is under way for it, if any, is over.
        reason: why, for people: no capital letter, no full stop.
    """

    path: str
    reason: str


FileEvent = (
    FileSeen
    | FileMissing
    | ScanFinished
    | FileReplaced
    | DisplacedChanged
    | ReplaceRefused
    | FileRemoved
    | FileMoved
    | FileTrouble
)
