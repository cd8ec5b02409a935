"""What people and programs are told while a session runs.

Each class is one event type of `--json` and of the public API; `type` is its name there.  Fields are
only ever added, so a reader must ignore what it does not know.
"""

from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "Author",
    "ConnectStage",
    "FileChanged",
    "Notice",
    "PeerJoined",
    "PeerLeft",
    "PeerPath",
    "PeerPong",
    "PeerSilent",
    "PresenceChanged",
    "Returned",
    "ServerState",
    "SyncDone",
    "SyncProgress",
    "Trouble",
    "Warned",
]


@dataclass(frozen=True, slots=True)
class Author:
    """Who changed something: the name that people read, and the short id of the peer if it is one."""

    name: str
    peer: str = ""


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A member proved who it is; its texts may still be on their way."""

    type: ClassVar[str] = "peer.joined"
    peer: str
    """Short hexadecimal id of the peer, stable while it is connected."""
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class PeerPath:
    """What carries the link to a peer from now on: `lan`, `direct`, `turn` or `relay`."""

    type: ClassVar[str] = "peer.path"
    peer: str
    name: str
    path: str
    rtt_ms: float | None
    took_ms: float
    """Since the peer was first heard of."""


@dataclass(frozen=True, slots=True)
class ConnectStage:
    """One step on the way to others is done, or has failed.

    *stage* is `server` (we are in the room), `found` (a peer is in it too), `sealed` (TLS with it stands and
    it has shown that it is a member), `direct` (only told when it failed; a success is a `peer.path`).
    """

    type: ClassVar[str] = "connect.stage"
    stage: str
    peer: str
    """Empty for the server."""
    name: str
    ok: bool
    took_ms: float
    """For this step alone."""
    detail: str


@dataclass(frozen=True, slots=True)
class PeerPong:
    """The answer to a question how far a peer is; *number* is that of the question."""

    type: ClassVar[str] = "peer.pong"
    peer: str
    name: str
    path: str
    address: str
    rtt_ms: float
    number: int


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """Nothing was heard from a peer for *seconds*; it may come back."""

    type: ClassVar[str] = "peer.silent"
    peer: str
    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """A peer said goodbye (`bye`), was given up (`silent`, `left`), or was cut off (`refused`).

    `restarted`: its device is here with another run of the program, and this one was most likely killed.
    """

    type: ClassVar[str] = "peer.left"
    peer: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How much of a peer's documents is here."""

    type: ClassVar[str] = "sync.progress"
    peer: str
    name: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class SyncDone:
    """Everything that this peer had when asked is here too."""

    type: ClassVar[str] = "sync.done"
    peer: str
    name: str
    documents: int
    bytes: int
    took_ms: float


@dataclass(frozen=True, slots=True)
class Returned:
    """A peer that was away is back, and so are the edits that both sides made meanwhile."""

    type: ClassVar[str] = "sync.resumed"
    peer: str
    name: str
    away_s: float
    sent: int
    """Edits made here while it was away: key strokes, or saves, for each document."""
    received: int
    """Edits made there, as it tells."""


@dataclass(frozen=True, slots=True)
class FileChanged:
    """A file changed; *change* is `created`, `edited`, `deleted`, `renamed` or `held`."""

    type: ClassVar[str] = "file.changed"
    path: str
    change: str
    by: str
    """`disk` for this side's folder, else the name of the peer it came from."""
    old_path: str | None = None
    peer: str = ""
    """Id of the peer it came from, for two may have one name; empty where only a name is known."""


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """What is true of a peer now; a peer that is gone has *here* false."""

    type: ClassVar[str] = "presence"
    peer: str
    name: str
    color: str
    here: bool
    path: str | None
    cursor: tuple[int, int] | None
    """Anchor and head in code points."""
    typing: bool
    idle: bool
    away: bool = False
    """Nothing leads to them at the moment; they have 15 s to come back."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """The connection to the signaling server: `connected` or `lost`."""

    type: ClassVar[str] = "server.state"
    state: str
    detail: str
    server: str = ""
    """The one that we are connected to, as it is written in the link."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the person should know, with what to do about it; nothing was lost."""

    type: ClassVar[str] = "warning"
    code: str
    message: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something failed and needs the person."""

    type: ClassVar[str] = "error"
    code: str
    message: str
    path: str | None = None


Notice = (
    ConnectStage
    | PeerJoined
    | PeerPong
    | PeerPath
    | PeerSilent
    | PeerLeft
    | SyncProgress
    | SyncDone
    | Returned
    | FileChanged
    | PresenceChanged
    | ServerState
    | Warned
    | Trouble
)
