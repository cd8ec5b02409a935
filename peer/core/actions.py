"""What the core wants done: orders, in the order they must be carried out.

The driver carries them out without deciding anything.  Within one batch, everything that goes to
the store is on disk before the first piece of that batch is sent.
"""

from dataclasses import dataclass, field

from peer.core.ids import Attempt, DocId, PeerId
from peer.core.ladder import EVERYTHING, Means
from peer.core.notices import Notice

__all__ = [
    "AcceptAnswer",
    "AcceptOffer",
    "Action",
    "AddCandidates",
    "AppendUpdate",
    "AskArrived",
    "CheckServer",
    "CloseDirect",
    "CloseSeal",
    "DialDirect",
    "FileAction",
    "ForgetShadow",
    "LoadBlob",
    "MoveFile",
    "OpenSeal",
    "ReadFile",
    "RemoveFile",
    "ReplaceFile",
    "SaveBlob",
    "SaveShadow",
    "SendLossy",
    "SendPiece",
    "SendRelay",
    "Stop",
    "Tell",
]


# --- links ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenSeal:
    """Start TLS with *address*; the *initiator* is the TLS client."""

    address: bytes
    initiator: bool


@dataclass(frozen=True, slots=True)
class SendRelay:
    """Send one piece through the sealed link to *address*."""

    address: bytes
    piece: bytes


@dataclass(frozen=True, slots=True)
class CloseSeal:
    """Forget the sealed link to *address*."""

    address: bytes


@dataclass(frozen=True, slots=True)
class DialDirect:
    """Make an offer for a direct path; *same_host*: use loopback addresses and nothing else."""

    attempt: Attempt
    same_host: bool
    means: Means = EVERYTHING


@dataclass(frozen=True, slots=True)
class AcceptOffer:
    """Answer the other side's offer."""

    attempt: Attempt
    sdp: str
    same_host: bool
    means: Means = EVERYTHING


@dataclass(frozen=True, slots=True)
class AddCandidates:
    """The other side found more addresses; *last*: these were all."""

    attempt: Attempt
    candidates: tuple[str, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class AcceptAnswer:
    """Finish our offer with the other side's answer."""

    attempt: Attempt
    sdp: str


@dataclass(frozen=True, slots=True)
class SendPiece:
    """Send one message over the ordered channel `edits`."""

    attempt: Attempt
    piece: bytes


@dataclass(frozen=True, slots=True)
class SendLossy:
    """Send one message over the lossy channel `presence`; it may be dropped."""

    attempt: Attempt
    data: bytes


@dataclass(frozen=True, slots=True)
class AskArrived:
    """Tell how much of what was sent over a direct path has arrived: `DirectArrived`."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class CloseDirect:
    """Close a direct path; with *drain*, what is queued is sent first."""

    attempt: Attempt
    drain: bool = False


@dataclass(frozen=True, slots=True)
class CheckServer:
    """Something is wrong with the network: see whether the server still answers, and if not, come again."""


# --- the store --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AppendUpdate:
    """Add one update to the log; *author* is the device key of whoever sent it to us."""

    doc: DocId
    update: bytes
    author: bytes


@dataclass(frozen=True, slots=True)
class SaveShadow:
    """Remember what the disk holds, or is about to hold, for a file.

    Attributes:
        doc: the file.
        path: where it is in the folder.
        content: the exact bytes (text files) or their SHA-256 digest (binary files).
        binary: which of the two *content* is.
        intent: written before the disk is; a crash may have happened before or after the write, so
            at the next start both this and the shadow before it may be what the disk holds.
        stamp_inode, stamp_mtime_ns: of the file when it was last seen (zero when not known).
        saved: told by the store when it is read back: a save on this side brought the content first; else
            it was written here as an intent first, so what is new in it came from others.
    """

    doc: DocId
    path: str
    content: bytes
    binary: bool
    intent: bool
    stamp_inode: int = 0
    stamp_mtime_ns: int = 0
    saved: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class ForgetShadow:
    """The file is no longer on disk."""

    doc: DocId


@dataclass(frozen=True, slots=True)
class SaveBlob:
    """Keep *content* under its SHA-256 *digest*."""

    digest: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class LoadBlob:
    """Read part of a blob, for this peer or for ourselves, and answer with `BlobLoaded`."""

    peer: PeerId
    digest: bytes
    offset: int
    length: int


# --- files --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadFile:
    """Look again: answer with `FileSeen`, `FileMissing` or `FileTrouble`."""

    path: str


@dataclass(frozen=True, slots=True)
class ReplaceFile:
    """Put *content* at *path* in one step, if the disk still holds *expected*.

    Attributes:
        expected: SHA-256 of the bytes that must be there now; `None`: nothing may be there.
        mode: permission bits for a new file; an existing one keeps its own (the executable bit
            follows *mode*).
    """

    path: str
    expected: bytes | None
    content: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Remove the file if the disk still holds *expected*, keeping a copy in `.weft/trash`."""

    path: str
    expected: bytes


@dataclass(frozen=True, slots=True)
class MoveFile:
    """Rename *old* to *new* if *old* still holds *expected* and nothing is at *new*."""

    old: str
    new: str
    expected: bytes


FileAction = ReadFile | ReplaceFile | RemoveFile | MoveFile


# --- people -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell whoever is listening."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class Stop:
    """Everything is said; the driver may end."""


Action = (
    OpenSeal
    | SendRelay
    | CloseSeal
    | DialDirect
    | AcceptOffer
    | AcceptAnswer
    | AddCandidates
    | SendPiece
    | SendLossy
    | AskArrived
    | CloseDirect
    | CheckServer
    | AppendUpdate
    | SaveShadow
    | ForgetShadow
    | SaveBlob
    | LoadBlob
    | FileAction
    | Tell
    | Stop
)
