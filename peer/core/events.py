"""What can happen: everything the core is ever told.

Names are in the past tense.  The edge makes these from sockets, files, the clock and people; the
simulator makes them from a seed.  What the core answers with is in `actions.py`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from peer.core.frames import CURSOR_LIMIT
from peer.core.ids import Attempt, DeviceKey, DocId, PeerId
from peer.errors import UsageError

__all__ = [
    "KEEP",
    "AnswerMade",
    "BlobLoaded",
    "DirectBroken",
    "DirectLossyArrived",
    "DirectOpened",
    "DirectPieceArrived",
    "DisplacedChanged",
    "DocumentEdited",
    "Event",
    "FileEvent",
    "FileMissing",
    "FileMoved",
    "FileRemoved",
    "FileReplaced",
    "FileSeen",
    "FileTrouble",
    "Keep",
    "LeaveRequested",
    "MemberJoined",
    "MemberLeft",
    "OfferMade",
    "PresenceSet",
    "RelayPieceArrived",
    "ReplaceRefused",
    "ScanFinished",
    "SealBroken",
    "Sealed",
    "ServerEntered",
    "ServerLost",
    "Stamp",
    "Tick",
]


# --- the signaling server -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerEntered:
    """We are in a room; *members* are the addresses of those who were there before us.

    *path* is what a link through this room is called: `relay`, or `lan` where the server is a peer's own;
    *called* is what the server calls itself.
    """

    address: bytes
    members: tuple[bytes, ...]
    motd: str = ""
    path: str = "relay"
    called: str = ""


@dataclass(frozen=True, slots=True)
class ServerLost:
    """The connection to the server of *room* ended; every link through that room ended with it."""

    reason: str
    room: bytes = b""


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """Someone entered the room after us."""

    address: bytes


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """An address is no longer in the room."""

    address: bytes


# --- sealed links (TLS inside relayed frames) -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sealed:
    """The TLS handshake with *address* is done; it proved to hold *device*.

    *binding* is keying material exported from this very connection (RFC 8446 §7.5): the same on both
    sides, and different if somebody sits in the middle.
    """

    address: bytes
    device: DeviceKey
    binding: bytes


@dataclass(frozen=True, slots=True)
class SealBroken:
    """The sealed link to *address* cannot go on."""

    address: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class RelayPieceArrived:
    """One piece, decrypted and whole, came through the relay."""

    address: bytes
    data: bytes


# --- direct paths (WebRTC data channels) ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OfferMade:
    """Our session description for a direct path is ready to be sent."""

    attempt: Attempt
    sdp: str


@dataclass(frozen=True, slots=True)
class AnswerMade:
    """Our answer to the other side's description is ready to be sent."""

    attempt: Attempt
    sdp: str


@dataclass(frozen=True, slots=True)
class DirectOpened:
    """Both data channels are open; *path* is `lan`, `direct` or `turn`, *address* is for people."""

    attempt: Attempt
    path: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class DirectBroken:
    """The direct path failed to open, or closed."""

    attempt: Attempt
    reason: str


@dataclass(frozen=True, slots=True)
class DirectPieceArrived:
    """One message came over the ordered channel `edits`."""

    attempt: Attempt
    data: bytes


@dataclass(frozen=True, slots=True)
class DirectLossyArrived:
    """One message came over the lossy channel `presence`."""

    attempt: Attempt
    data: bytes


# --- files ----------------------------------------------------------------------------------------


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


# --- storage, people and the clock ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlobLoaded:
    """A blob that a peer, or we, asked for was read from the store (`None`: it is not there)."""

    peer: PeerId
    digest: bytes
    offset: int
    total: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class DocumentEdited:
    """An application changed this document through the public API."""

    doc: DocId


class Keep(Enum):
    """Leave it as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True)
class PresenceSet:
    """What this side wants others to know about it now; what is left out stays as it is.

    Attributes:
        path: the file that its person is in; `None`: none.
        cursor: anchor and head there, in code points; `None`: not told.
        typing, idle: whether its person is; `None` leaves that as it is.

    Raises:
        UsageError: a cursor that cannot be in any text; others would take it for an attack.
    """

    path: str | Keep | None = KEEP
    cursor: tuple[int, int] | Keep | None = KEEP
    typing: bool | None = None
    idle: bool | None = None

    def __post_init__(self) -> None:
        cursor = self.cursor
        if isinstance(cursor, tuple) and not _is_cursor(cursor):
            raise UsageError(f"A cursor is two positions from 0 to {CURSOR_LIMIT}, not {cursor}.")


def _is_cursor(cursor: tuple[object, ...]) -> bool:
    return len(cursor) == 2 and all(type(each) is int and 0 <= each <= CURSOR_LIMIT for each in cursor)


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """The person wants to go: say goodbye, then stop."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened but time; sent when `next_deadline()` has come."""


Event = (
    ServerEntered
    | ServerLost
    | MemberJoined
    | MemberLeft
    | Sealed
    | SealBroken
    | RelayPieceArrived
    | OfferMade
    | AnswerMade
    | DirectOpened
    | DirectBroken
    | DirectPieceArrived
    | DirectLossyArrived
    | FileEvent
    | BlobLoaded
    | DocumentEdited
    | PresenceSet
    | LeaveRequested
    | Tick
)
