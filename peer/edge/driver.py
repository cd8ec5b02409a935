"""The one loop: events in, actions out, both logged here and nowhere else.

Callbacks of sockets, data channels and files only put events into the inbox.  One *turn* takes what is
there, lets the core decide, makes what must not be lost durable, and then carries out the rest; it never
waits.  A turn with nothing before it starts in the same loop iteration that asked for it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from peer.core.actions import (
    AcceptAnswer,
    AcceptOffer,
    Action,
    AppendUpdate,
    CloseDirect,
    CloseSeal,
    DialDirect,
    FileAction,
    ForgetShadow,
    LoadBlob,
    OpenSeal,
    SaveBlob,
    SaveShadow,
    SendLossy,
    SendPiece,
    SendRelay,
    Stop,
    Tell,
)
from peer.core.events import BlobLoaded, Event, Tick
from peer.core.notices import Notice, Trouble
from peer.core.session import Session
from peer.edge.seals import Seals
from peer.edge.store import Store
from peer.edge.webrtc import DirectPaths
from peer.errors import StorageError

__all__ = ["EVENTS_PER_TURN", "INBOX_LIMIT", "Disk", "Driver"]

EVENTS_PER_TURN: Final = 256
"""After so many the loop serves sockets before it goes on; keeps pings alive under load."""
INBOX_LIMIT: Final = 200_000
"""Events; windows and queues at every source keep far below, so beyond is a fault of ours."""
COMPACT_EVERY: Final = 30.0
"""Seconds between looks at which logs are worth folding into a snapshot."""

log = logging.getLogger("weft.driver")


class Disk(Protocol):
    """Who carries out actions on files: `edge.folder.Folder`."""

    def submit(self, action: FileAction) -> None:
        """Queue one action; its outcome comes back as an event."""


class Driver:
    """Joins one core to the world.

    Attributes:
        finished: set once the core has said `Stop`, or the driver failed; see `failure`.
        in_turn: whether the core is deciding right now.
    """

    def __init__(
        self,
        session: Session,
        *,
        seals: Seals,
        paths: DirectPaths,
        store: Store | None,
        tell: Callable[[Notice], None],
    ) -> None:
        self._session = session
        self._seals = seals
        self._paths = paths
        self._store = store
        self._tell = tell
        self.disk: Disk | None = None
        self._inbox: deque[Event] = deque()
        self._loop = asyncio.get_running_loop()
        self._turn_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._compact_at = time.monotonic() + COMPACT_EVERY
        self._storage_told = False
        self.in_turn = False
        self.finished = asyncio.Event()
        self.failure: BaseException | None = None

    def feed(self, event: Event) -> None:
        """Put one event in the inbox; the next turn takes it."""
        if self.finished.is_set():
            return
        if len(self._inbox) >= INBOX_LIMIT:
            self._fail(OverflowError(f"{INBOX_LIMIT} events wait: this is a fault in Weft, please report it"))
            return
        self._inbox.append(event)
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        if self.finished.is_set():
            return
        self.in_turn = True
        try:
            actions = self._decide(time.monotonic())
            self._remember(actions)
            self._act(actions)
        except Exception as error:
            self._fail(error)
            return
        finally:
            self.in_turn = False
        if self._inbox and not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)
        self._arm()

    def _decide(self, now: float) -> list[Action]:
        inbox = self._inbox
        events = [inbox.popleft() for _ in range(min(len(inbox), EVENTS_PER_TURN))]
        actions = self._session.handle_all(events, now)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("<- %s", ", ".join(type(event).__name__ for event in events))
            log.debug("-> %s", ", ".join(type(action).__name__ for action in actions))
        return actions

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._session.next_deadline()
        # the loop's clock is the monotonic clock too, but need not have the same origin
        delay = max(0.0, deadline - time.monotonic())
        self._timer = self._loop.call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.feed(Tick())

    # --- what must not be lost ------------------------------------------------------------------------

    def _remember(self, actions: Iterable[Action]) -> None:
        store = self._store
        if store is None:
            return
        try:
            at = time.time()
            for action in actions:
                _keep(store, action, at)
            store.commit()
            self._compact(store)
            self._storage_told = False
        except StorageError as error:
            # what could not be stored is kept by the store and tried again with the next turn
            if not self._storage_told:
                self._storage_told = True
                self._tell(Trouble("E-STORAGE", str(error)))

    def _compact(self, store: Store) -> None:
        now = time.monotonic()
        if now < self._compact_at:
            return
        self._compact_at = now + COMPACT_EVERY
        for document in self._session.documents:
            if store.should_compact(document.id):
                store.snapshot(document.id, document.full_state())
                store.commit()
                return  # one at a time: a large document takes some milliseconds

    # --- carrying out -----------------------------------------------------------------------------------

    def _act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case SendPiece():
                    self._paths.send(action.attempt, action.piece)
                case SendRelay():
                    self._seals.send(action.address, action.piece)
                case Tell():
                    self._tell(action.notice)
                case _:
                    self._act_rarely(action)

    def _act_rarely(self, action: Action) -> None:
        match action:
            case SendLossy():
                self._paths.send_lossy(action.attempt, action.data)
            case OpenSeal():
                self._seals.start(action.address)
            case CloseSeal():
                self._seals.close(action.address)
            case LoadBlob():
                self._load_blob(action)
            case Stop():
                self._finish()
            case DialDirect() | AcceptOffer() | AcceptAnswer() | CloseDirect():
                self._act_on_paths(action)
            case _ if isinstance(action, FileAction) and self.disk is not None:
                self.disk.submit(action)
            case _:
                pass  # the store has it already

    def _act_on_paths(self, action: DialDirect | AcceptOffer | AcceptAnswer | CloseDirect) -> None:
        match action:
            case DialDirect():
                self._paths.dial(action)
            case AcceptOffer():
                self._paths.accept_offer(action)
            case AcceptAnswer():
                self._paths.accept_answer(action)
            case CloseDirect():
                self._paths.close(action.attempt, action.drain)

    def _load_blob(self, action: LoadBlob) -> None:
        part = None
        if self._store is not None:
            part = self._store.load_blob(action.digest, action.offset, action.length)
        total, data = (0, None) if part is None else part
        self.feed(BlobLoaded(action.peer, action.digest, action.offset, total, data))

    # --- the end ------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.finished.set()

    def _fail(self, error: BaseException) -> None:
        log.error("the session stopped because of a fault", exc_info=error)
        self.failure = error
        self._finish()


def _keep(store: Store, action: Action, at: float) -> None:
    match action:
        case AppendUpdate():
            store.append(action.doc, action.update, action.author, at)
        case SaveShadow():
            store.save_shadow(action)
        case ForgetShadow():
            store.forget_shadow(action.doc)
        case SaveBlob():
            store.save_blob(action.digest, action.content)
        case _:
            pass
