"""The whole core: hands each event to the parts, collects the actions they order.

    membership   greeting.py   who is in the room, and which of them we know
    links        link.py, dialing.py, pieces.py, frames.py
    documents    sync.py, exchange.py, holdings.py, documents.py, blobs.py
    files        files.py (only when the session has a folder)
    presence     presence.py

`handle(event, now)` never waits, never fails because of what a peer sent, and returns everything that is to
be done, in order.  A peer that breaks the protocol is cut off; nobody else notices.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

from peer.core.actions import Action, LoadBlob, SaveBlob, SendLossy, Stop, Tell
from peer.core.blobs import BLOB_LIMIT, Blobs
from peer.core.connections import Connections
from peer.core.documents import Documents
from peer.core.events import (
    BlobLoaded,
    ConnectionEvent,
    DirectLossyArrived,
    DirectPieceArrived,
    DocumentEdited,
    Event,
    FileEvent,
    LeaveRequested,
    PresenceSet,
    Tick,
)
from peer.core.frames import (
    BLOB_PART,
    LOSSY_LIMIT,
    Ask,
    BlobAsk,
    BlobPart,
    Digests,
    Echo,
    EditFrame,
    Frame,
    Missed,
    Ping,
    PresenceFrame,
    State,
    Summary,
    decode,
    encode,
)
from peer.core.greeting import Setup
from peer.core.ids import DocId, PeerId
from peer.core.link import Link
from peer.core.notices import Author, PresenceChanged
from peer.core.pieces import Lane
from peer.core.presence import Presence, color_of
from peer.core.returns import Returns
from peer.core.sync import Sync
from peer.errors import RemoteError

__all__ = ["BLOBS_AHEAD", "LOADS_AT_ONCE", "PeerState", "Session", "SharedFolder"]

BLOBS_AHEAD: Final = 4 * 1024 * 1024
"""Bytes of blobs read for one peer ahead of its window; an honest peer asks for half of that."""
LOADS_AT_ONCE: Final = BLOBS_AHEAD // BLOB_PART
"""Parts of blobs that are being read for one peer."""


class SharedFolder(Protocol):
    """What the session needs of the folder's core, `files.Files`."""

    def handle(self, event: FileEvent, now: float) -> list[Action]:
        """Take one event of the disk."""

    def documents_changed(self, changed: dict[DocId, Author | None], now: float) -> list[Action]:
        """Documents changed by the peers named."""

    def blob_arrived(self, digest: bytes, content: bytes, now: float) -> list[Action]:
        """A blob that was missing is here."""

    def missing_blobs(self) -> set[tuple[bytes, int]]:
        """What the folder cannot show yet: digests and sizes."""

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""


@dataclass(frozen=True, slots=True)
class PeerState:
    """One connected peer as `weft status` shows it."""

    id: str
    name: str
    role: str
    path: str | None
    address: str
    rtt_ms: float | None
    silent: bool
    sent_bytes: int
    received_bytes: int
    file: str | None
    waiting: int
    typing: bool
    idle: bool
    why_not_direct: str
    """How the last attempt at a direct path ended; empty while one stands or none is wanted."""
    shown_here: tuple[str, ...] = ()
    shown_there: tuple[str, ...] = ()
    """Kinds of addresses (`shown.KINDS`) that the two sides had in it."""
    one_router: bool = False
    chosen: str = ""
    """Servers see both at one address; and which `--path` rules a direct path out, if one does."""


class Session:
    """The core of one shared session on this side."""

    def __init__(
        self, setup: Setup, documents: Documents, now: float, *, folder: SharedFolder | None = None
    ) -> None:
        self.documents = documents
        self._folder = folder
        self._actions: list[Action] = []
        self._touched: dict[DocId, Author | None] = {}
        self._loads: dict[PeerId, int] = {}
        self._stopping = False
        self._presence = Presence(
            color_of(setup.me), broadcast=self._broadcast_presence, tell=self._tell_presence
        )
        self._me = setup.me
        self._blobs = Blobs(arrived=self._blob_arrived, look=self._look_for_blob)
        self._sync = Sync(
            documents,
            author=setup.me[:32],
            may_write=setup.role != "viewer",
            emit=self._actions.append,
            touched=self._touched.__setitem__,
            cut_off=self._cut_off,
        )
        self._returns = Returns(self._actions.append, self._sync.in_step)
        self._connections = Connections(
            setup, emit=self._actions.append, summary=self._sync.summary, user=self, began=now
        )
        self._now = now

    # --- the two doors -----------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event; return what is to be done, in order."""
        return self.handle_all((event,), now)

    def handle_all(self, events: Iterable[Event], now: float) -> list[Action]:
        """Take several events that happened by *now*, and send what they lead to once."""
        self._now = now
        by_disk, only_edits = False, True
        for event in events:
            # key strokes first: after a pause every line on their way is slow
            if isinstance(event, DirectPieceArrived):
                self._connections.piece(event, now)
                continue
            if isinstance(event, DocumentEdited):
                self._touched.setdefault(event.doc, None)
                continue
            only_edits = False
            if isinstance(event, ConnectionEvent):
                self._connections.handle(event, now)
            elif isinstance(event, FileEvent):
                by_disk = True
                if self._folder is not None:
                    self._actions += self._folder.handle(event, now)
            else:
                self._own(event, now)
        return self._settle(now, by_disk=by_disk, only_edits=only_edits)

    def _own(
        self,
        event: BlobLoaded | DirectLossyArrived | PresenceSet | LeaveRequested | Tick,
        now: float,
    ) -> None:
        match event:
            case PresenceSet():
                self._presence.set(event, now)
            case BlobLoaded():
                self._blob_loaded(event)
            case DirectLossyArrived():
                self._lossy(event, now)
            case LeaveRequested():
                self._stopping = True
            case Tick():
                if self._folder is not None:
                    self._actions += self._folder.tick(now)
                self._presence.tick(now)
            case _:
                assert_never(event)

    def next_deadline(self) -> float:
        """When `handle(Tick())` must be called at the latest."""
        moments: list[float | None] = [
            self._connections.next_deadline(),
            self._sync.next_deadline(),
            self._blobs.next_deadline(),
            self._presence.next_deadline(),
            self._folder.next_deadline() if self._folder is not None else None,
        ]
        return min(moment for moment in moments if moment is not None)

    def _settle(self, now: float, *, by_disk: bool, only_edits: bool) -> list[Action]:
        """Let every part react to what the events changed, then send what may be sent."""
        if not only_edits:
            self._connections.tick(now)
        self._tell_folder(now)
        # what came from the disk is logged in the batch that saves the shadow
        self._sync.flush(now, at_once=by_disk or self._stopping)
        self._returns.counted(self._sync.edits, now)
        if self._folder is not None:
            self._blobs.want(self._folder.missing_blobs())
        self._blobs.pump(now)
        self._sync.pump(now)
        self._connections.pump(now)
        while self._sync.can_send():
            self._sync.pump(now)
            self._connections.pump(now)
        self._returns.settle()
        if self._stopping:
            self._connections.leave(now)
            self._actions.append(Stop())
        actions, self._actions[:] = list(self._actions), []
        return actions

    def _tell_folder(self, now: float) -> None:
        if self._folder is not None and self._touched:
            self._actions += self._folder.documents_changed(dict(self._touched), now)
        self._touched.clear()

    # --- what the connections tell (link.Listener) --------------------------------------------

    def link_opened(self, link: Link, now: float) -> None:
        """A peer is known and has a first carrier."""
        self._sync.opened(link, now)
        self._blobs.opened(link)
        link.send(Lane.CONTROL, self._presence.snapshot())
        self._returns.back(link, now)

    def link_moved(self, link: Link, now: float) -> None:
        """Content goes another way from now on."""
        self._sync.moved(link)
        self._blobs.moved(link)

    def link_lost(self, link: Link, now: float) -> None:
        """Nothing leads to the peer any more, for now."""
        self._presence.away(link.member)
        self._returns.lost(link)

    def link_returned(self, link: Link, now: float) -> None:
        """The peer came back before it was given up."""
        self._presence.back(link.member, now)
        link.send(Lane.CONTROL, self._presence.snapshot())
        self._returns.back(link, now)

    def link_replaced(self, link: Link) -> None:
        """A later run of the same device has its place."""
        self._presence.gone(link.member)

    def link_closed(self, link: Link) -> None:
        """The peer is gone."""
        self._returns.lost(link)
        self._sync.closed(link)
        self._blobs.closed(link)
        self._loads.pop(link.member.id, None)
        self._presence.gone(link.member)

    def frame_arrived(self, link: Link, frame: Frame, now: float) -> None:
        """A peer said something that is not about the connection itself.

        Raises:
            RemoteError: it may not say that.
        """
        match frame:
            case EditFrame():
                self._sync.on_edit(link, frame)
            case State():
                self._sync.on_state(link, frame, now)
            case Ask():
                self._sync.on_ask(link, frame)
            case Digests():
                self._sync.on_digests(link, frame.entries, last=frame.last, now=now)
            case Summary():
                self._sync.on_summary(link, frame, now)
            case Ping():
                self._sync.compare(link, frame.summary, now)
            case PresenceFrame():
                self._presence.heard(link.member, frame, now)
            case _:
                self._other_frame(link, frame, now)

    def _other_frame(self, link: Link, frame: Frame, now: float) -> None:
        match frame:
            case BlobAsk():
                self._load_blob(link, frame)
            case BlobPart():
                self._blobs.on_part(link, frame, now)
            case Missed():
                self._returns.missed(link, frame, now)
            case _:
                pass  # anything else has no meaning here, and newer peers may say it

    # --- blobs, presence ------------------------------------------------------------------------------

    def _blob_arrived(self, digest: bytes, content: bytes) -> None:
        self._emit(SaveBlob(digest, content))
        if self._folder is not None:
            self._actions += self._folder.blob_arrived(digest, content, self._now)

    def _look_for_blob(self, digest: bytes) -> None:
        self._emit(LoadBlob(self._me, digest, 0, BLOB_LIMIT))

    def _load_blob(self, link: Link, frame: BlobAsk) -> None:
        """Have a part read; who asks for more than we would is left to ask again."""
        loads = self._loads.get(link.member.id, 0)
        if loads < LOADS_AT_ONCE and link.room(Lane.BULK, BLOBS_AHEAD):
            self._loads[link.member.id] = loads + 1
            self._emit(LoadBlob(link.member.id, frame.digest, frame.offset, BLOB_PART))

    def _blob_loaded(self, event: BlobLoaded) -> None:
        if event.peer == self._me:
            self._blobs.looked(event.digest, event.data)
            return
        link = self._connections.link(event.peer)
        if link is not None:
            self._loads[event.peer] = max(0, self._loads.get(event.peer, 0) - 1)
            link.send(Lane.BULK, BlobPart(event.digest, event.offset, event.total, event.data))

    def _lossy(self, event: DirectLossyArrived, now: float) -> None:
        link = self._connections.link_on(event.attempt)
        if link is None or len(event.data) > LOSSY_LIMIT:
            return
        try:
            frame = decode(event.data)
            if isinstance(frame, PresenceFrame):
                self._presence.heard(link.member, frame, now)
            elif isinstance(frame, Echo):
                self._sync.on_echo(link, frame)
        except RemoteError as error:
            self._connections.cut_off(link, error, now)

    def _broadcast_presence(self, frame: PresenceFrame) -> None:
        data = encode(frame)
        for link in self._connections.links():
            if link.direct is not None and not isinstance(link.direct.key, bytes):
                self._emit(SendLossy(link.direct.key, data))
            else:
                link.send(Lane.CONTROL, frame)

    def _tell_presence(self, notice: PresenceChanged) -> None:
        self._emit(Tell(notice))

    def _cut_off(self, link: Link, error: RemoteError) -> None:
        self._connections.cut_off(link, error, self._now)

    def _emit(self, action: Action) -> None:
        self._actions.append(action)

    # --- what people ask ----------------------------------------------------------------------------

    def peers(self) -> list[PeerState]:
        """Everyone who is connected now."""
        here = {presence.peer: presence for presence in self._presence.now_here()}
        return [self._peer_state(link, here) for link in self._connections.links() if not link.replaced]

    def _peer_state(self, link: Link, here: dict[str, PresenceChanged]) -> PeerState:
        carrier = link.content or link.relay
        sent, received = link.traffic()
        presence = here.get(link.member.short)
        return PeerState(
            id=link.member.short,
            name=link.member.name,
            role=link.member.role,
            path=link.path,
            address="" if carrier is None else carrier.address,
            rtt_ms=None if carrier is None or carrier.rtt is None else round(carrier.rtt * 1000, 2),
            silent=link.told_silent,
            sent_bytes=sent,
            received_bytes=received,
            file=None if presence is None else presence.path,
            waiting=self._sync.waiting(link),
            typing=presence is not None and presence.typing,
            idle=presence is not None and presence.idle,
            why_not_direct=link.why_not_direct,
            shown_here=tuple(sorted(link.shown.ours)),
            shown_there=tuple(sorted(link.shown.theirs)),
            one_router=link.shown.one_router,
            chosen=link.ruled_out,
        )

    def presence(self) -> list[PresenceChanged]:
        """Where everyone is now."""
        return self._presence.now_here()
