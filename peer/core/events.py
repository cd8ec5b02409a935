"""What can happen: everything the core is ever told.

Names are in the past tense.  The edge makes these from sockets, files, the clock and people; the
simulator makes them from a seed.  What the core answers with is in `actions.py`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from peer.core.file_events import (
    DisplacedChanged,
    FileEvent,
    FileMissing,
    FileMoved,
    FileRemoved,
    FileReplaced,
    FileSeen,
    FileTrouble,
    ReplaceRefused,
    ScanFinished,
    Stamp,
)
from peer.core.frames import CURSOR_LIMIT
from peer.core.ids import Attempt, DeviceKey, DocId, PeerId
from peer.errors import UsageError

__all__ = [
    "KEEP",
    "AnswerMade",
    "BlobLoaded",
    "CandidatesFound",
    "ConnectionEvent",
    "DirectArrived",
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
    "MemberAway",
    "MemberJoined",
    "MemberLeft",
    "NetworkChanged",
    "OfferMade",
    "PingWanted",
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
    "TurnKnown",
    "TurnReached",
    "TurnRefused",
]


# --- the signaling server -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerEntered:
    """We are in a room; *members* are the addresses of those who were there before us.

    It is perhaps the same again, or another one than before.  *server* is its server's address, *called* what
    that calls itself, *path* what a link through this room is called: `relay`, or `lan` where the server is a
    peer's own.
    """

    address: bytes
    members: tuple[bytes, ...]
    motd: str = ""
    server: str = ""
    path: str = "relay"
    called: str = ""


@dataclass(frozen=True, slots=True)
class ServerLost:
    """The connection to the server of *room* ended; every link through that room ended with it."""

    reason: str
    room: bytes = b""


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """Someone entered the room, or is back in it on a new connection: what was on its way may be lost."""

    address: bytes


@dataclass(frozen=True, slots=True)
class MemberAway:
    """Someone's connection to the server broke; they may come back under the same address."""

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
class CandidatesFound:
    """More addresses of ours for an attempt whose description is made; *last*: these were all."""

    attempt: Attempt
    candidates: tuple[str, ...]
    last: bool = False


@dataclass(frozen=True, slots=True)
class TurnKnown:
    """The TURN servers that may be asked from now on are reached over these of `ladder.KINDS`."""

    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TurnReached:
    """A TURN server gave us an address over this kind of transport."""

    kind: str


@dataclass(frozen=True, slots=True)
class TurnRefused:
    """A TURN server answered and gave us no address; *code* is that of RFC 8656 section 19."""

    code: int


@dataclass(frozen=True, slots=True)
class NetworkChanged:
    """Our addresses changed, or the machine slept; *network* is equal for equal sets of addresses."""

    network: bytes
    woke: bool = False


@dataclass(frozen=True, slots=True)
class DirectOpened:
    """Both data channels are open; *path* is `lan`, `direct` or `turn`, *address* is for people."""

    attempt: Attempt
    path: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class DirectArrived:
    """The other side's SCTP has acknowledged this many of the *pieces* that a direct path was given."""

    attempt: Attempt
    pieces: int


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
class PingWanted:
    """Somebody wants to know how far it is to the peer with this short id; *number* names the question."""

    peer: str
    number: int


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """The person wants to go: say goodbye, then stop."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened but time; sent when `next_deadline()` has come."""


ConnectionEvent = (
    ServerEntered
    | ServerLost
    | MemberJoined
    | MemberAway
    | MemberLeft
    | Sealed
    | SealBroken
    | RelayPieceArrived
    | PingWanted
    | OfferMade
    | AnswerMade
    | CandidatesFound
    | TurnKnown
    | TurnReached
    | TurnRefused
    | NetworkChanged
    | DirectOpened
    | DirectArrived
    | DirectBroken
)
"""What concerns links, but for the pieces that a direct path brings."""

Event = (
    ConnectionEvent
    | DirectPieceArrived
    | DirectLossyArrived
    | FileEvent
    | BlobLoaded
    | DocumentEdited
    | PresenceSet
    | LeaveRequested
    | Tick
)
