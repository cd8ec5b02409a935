"""The one loop: events in, actions out, both logged here and nowhere else.

Callbacks of sockets, data channels and files only put events into the inbox.  One *turn* takes what is
there, lets the core decide, makes what must not be lost durable, and then carries out the rest; it never
waits.  A turn with nothing before it starts in the same loop iteration that asked for it.

A disk that refuses the store does not stop the session: everything goes on in memory and over the
network, and is stored as soon as that is possible again.  Only the shared folder is not written to
meanwhile, because what was put there and not noted would look like somebody's work after a crash.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from peer.core.actions import (
    AcceptAnswer,
    AcceptOffer,
    Action,
    AddCandidates,
    AskArrived,
    CheckServer,
    CloseDirect,
    CloseSeal,
    DialDirect,
    FileAction,
    LoadBlob,
    MoveFile,
    OpenSeal,
    ReadFile,
    SendLossy,
    SendPiece,
    SendRelay,
    Stop,
    Tell,
)
from peer.core.documents import Documents
from peer.core.events import BlobLoaded, Event, FileTrouble, Tick
from peer.core.notices import Notice, Trouble
from peer.edge.journal import Journal
from peer.edge.seals import Seals
from peer.edge.webrtc import DirectPaths

__all__ = ["EVENTS_PER_TURN", "HOLD_SECONDS", "INBOX_LIMIT", "Core", "Disk", "Driver"]

EVENTS_PER_TURN: Final = 256
"""After so many the loop serves sockets before it goes on; keeps pings alive under load."""
INBOX_LIMIT: Final = 200_000
"""Events; windows and queues at every source keep far below, so beyond is a fault of ours."""
OVERDUE_SECONDS: Final = 0.001
"""Between turns for a deadline that has passed and stays: a fault in the core must not burn a processor."""
REST_SECONDS: Final = 0.0005
"""After so long without a turn, what is heard is taken at once; in a stream of pieces, turns take many."""
HOLD_SECONDS: Final = 0.005
"""Between looks whether an application has ended its transaction."""
HOLD_TOLD_SECONDS: Final = 2.0
"""A transaction that is open for so long was forgotten: the others get no answer meanwhile."""

log = logging.getLogger("weft.driver")


class Core(Protocol):
    """Who decides: `core.session.Session`."""

    @property
    def documents(self) -> Documents:
        """Those of the session."""

    def handle_all(self, events: Iterable[Event], now: float) -> list[Action]:
        """Take events; return what is to be done, in order."""

    def next_deadline(self) -> float:
        """When it wants to hear `Tick` at the latest."""


class Disk(Protocol):
    """Who carries out actions on files: `edge.folder.Folder`."""

    def submit(self, action: FileAction) -> None:
        """Queue one action; its outcome comes back as an event."""


class Driver:
    """Joins one core to the world.

    Args:
        core: decides.
        seals, paths: carry out what concerns links.
        journal: keeps what must not be lost; `None` for a session in memory.
        tell: is given each notice.
        is_held: whether an application is in the middle of a change, so that no turn may begin.
        check_server: called when the core doubts the connection to the server.
        ended: called once, when the core has said `Stop` or the driver failed.

    Attributes:
        disk: carries out what concerns files, if there is a folder.
        in_turn: whether the core is deciding right now.
        finished: whether the session has ended; set before *ended* is called.
        failure: the fault that ended it, if it was one.
    """

    def __init__(
        self,
        core: Core,
        *,
        seals: Seals,
        paths: DirectPaths,
        journal: Journal | None,
        tell: Callable[[Notice], None],
        is_held: Callable[[], bool] = lambda: False,
        check_server: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._core = core
        self._seals = seals
        self._paths = paths
        self._journal = journal
        self._tell = tell
        self._is_held = is_held
        self._check_server = check_server
        self._ended = ended
        self.disk: Disk | None = None
        self._inbox: deque[Event] = deque()
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[None]] = []
        self._turn_due = False
        self._held_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._turned_at = 0.0
        self.in_turn = False
        self.finished = asyncio.Event()
        self.failure: BaseException | None = None

    async def caught_up(self) -> None:
        """Wait until everything that was fed so far has been dealt with."""
        if self._inbox:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def feed(self, event: Event) -> None:
        """Put one event in the inbox; the next turn takes it."""
        if self.finished.is_set():
            return
        if len(self._inbox) >= INBOX_LIMIT:
            self.fail(OverflowError(f"{INBOX_LIMIT} events wait: this is a fault in Weft, please report it"))
            return
        self._inbox.append(event)
        self._ask_for_turn()

    def hear(self, event: Event) -> None:
        """Put one event in the inbox, and take it at once if the driver was at rest.

        A data channel tells of a message before it acknowledges it: waiting for the next turn would put
        that work, a third of the way of a key stroke, before ours (docs/decisions/0011).
        """
        at_rest = not (self.in_turn or self._turn_due or self._inbox)
        self.feed(event)
        if at_rest and self._turn_due and time.monotonic() - self._turned_at >= REST_SECONDS:
            self._turn()

    def _ask_for_turn(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        if self.finished.is_set() or not self._turn_due:
            return
        now = time.monotonic()
        if self._is_held():
            self._hold(now)
            return
        self._turn_due = False
        self._held_since = None
        self.in_turn = True
        try:
            actions = self._decide(now)
            if self._journal is not None:
                self._journal.keep(actions, now)
            self._act(actions)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of the CRDT engine is no `Exception`
            self.fail(error)
        finally:
            self.in_turn = False
            self._turned_at = time.monotonic()
        if not self.finished.is_set():
            self._go_on()

    def _go_on(self) -> None:
        if self._inbox:
            self._ask_for_turn()
        elif self._waiters:
            self._release()
        self._arm(self._core.next_deadline())

    def _hold(self, now: float) -> None:
        """Wait until the application is done: the engine would make our changes part of its own."""
        if self._held_since is None:
            self._held_since = now
        elif now - self._held_since >= HOLD_TOLD_SECONDS:
            self._held_since = float("inf")
            message = (
                "an application keeps a transaction of a document open; nothing is sent or received "
                "until it ends it"
            )
            self._tell(Trouble("E-TRANSACTION", message))
        self._loop.call_later(HOLD_SECONDS, self._turn)

    def _decide(self, now: float) -> list[Action]:
        inbox = self._inbox
        events = [inbox.popleft() for _ in range(min(len(inbox), EVENTS_PER_TURN))]
        if self._seals.waiting:
            self._seals.taken(events)
        actions = self._core.handle_all(events, now)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("<- %s", _kinds(events))
            log.debug("-> %s", _kinds(actions))
        return actions

    # --- time -------------------------------------------------------------------------------------------

    def _arm(self, deadline: float) -> None:
        """See to it that the core is woken in time; a timer that comes too early looks again."""
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        # the loop's clock is the monotonic clock too, but need not have the same origin
        delay = deadline - time.monotonic()
        self._timer = self._loop.call_later(delay if delay > 0 else OVERDUE_SECONDS, self._wake)

    def _wake(self) -> None:
        self._timer = None
        deadline = self._core.next_deadline()
        if deadline > time.monotonic():
            self._arm(deadline)
        else:
            self.feed(Tick())

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
            case (
                DialDirect()
                | AcceptOffer()
                | AcceptAnswer()
                | AddCandidates()
                | AskArrived()
                | CloseDirect()
                | CheckServer()
            ):
                self._act_on_paths(action)
            case _ if isinstance(action, FileAction):
                self._act_on_disk(action)
            case _:
                pass  # the journal has it already

    def _act_on_paths(
        self,
        action: DialDirect
        | AcceptOffer
        | AcceptAnswer
        | AddCandidates
        | AskArrived
        | CloseDirect
        | CheckServer,
    ) -> None:
        match action:
            case DialDirect():
                self._paths.dial(action)
            case AcceptOffer():
                self._paths.accept_offer(action)
            case AcceptAnswer():
                self._paths.accept_answer(action)
            case AddCandidates():
                self._paths.add_candidates(action)
            case AskArrived():
                self._paths.tell_arrived(action.attempt)
            case CloseDirect():
                self._paths.close(action.attempt, action.drain)
            case CheckServer():
                self._check_server()

    def _act_on_disk(self, action: FileAction) -> None:
        if self._journal is not None and self._journal.is_behind and not isinstance(action, ReadFile):
            path = action.old if isinstance(action, MoveFile) else action.path
            self.feed(FileTrouble(path, "it waits until Weft can store what it notes about the file"))
        elif self.disk is not None:
            self.disk.submit(action)

    def _load_blob(self, action: LoadBlob) -> None:
        total, data = (0, None) if self._journal is None else self._journal.load(action)
        self.feed(BlobLoaded(action.peer, action.digest, action.offset, total, data))

    def _release(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # --- the end ------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """End the session because of a fault."""
        if self.finished.is_set():
            return
        log.error("the session stopped because of a fault", exc_info=error)
        self.failure = error
        self._finish()

    def stop(self) -> None:
        """End the session without asking the core."""
        if not self.finished.is_set():
            self._finish()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._inbox.clear()
        self._release()
        self.finished.set()
        self._ended()


def _kinds(things: Sequence[object]) -> str:
    return ", ".join(type(thing).__name__ for thing in things)
