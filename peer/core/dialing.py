"""The tries to reach one peer directly.

    IDLE --dial--> OFFERING --offer made--> OFFERED --answered--> OPENING --opened--> OPEN
    any but OFF --offered--> ANSWERING --answer made--> OPENING
    any but OFF --broken--> IDLE            OFF: one of the two does not want a direct path

Who dials is settled by the smaller peer id, so offers never cross; each try is a fresh
RTCPeerConnection, because aiortc can neither restart ICE nor roll an offer back.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from peer.core.actions import AcceptAnswer, AcceptOffer, Action, CloseDirect, DialDirect
from peer.core.frames import Answer, Frame, NoDirect, Offer
from peer.core.ids import Attempt

__all__ = [
    "CONNECT_TIMEOUT",
    "MOVES",
    "OFFER_EVERY",
    "RETRY_AT_LAST",
    "RETRY_DELAYS",
    "Dialing",
    "Signal",
    "State",
]

CONNECT_TIMEOUT: Final = 15.0
"""Seconds for one try: ICE over two NATs and a TURN server answers within ten, or never."""
RETRY_DELAYS: Final = (1.0, 4.0, 15.0, 60.0, 60.0, 60.0)
"""Quick at first, for a packet lost; then rarely, for a network that changed."""
RETRY_AT_LAST: Final = 300.0
OFFER_EVERY: Final = 0.5
"""Seconds between two offers that we answer; each costs a peer connection, and honest retries wait longer."""


class State(Enum):
    """How far the present try has come."""

    IDLE = auto()
    OFFERING = auto()
    OFFERED = auto()
    ANSWERING = auto()
    OPENING = auto()
    OPEN = auto()
    OFF = auto()


class Signal(Enum):
    """What can happen to a try."""

    DIAL = auto()
    OFFER_MADE = auto()
    ANSWERED = auto()
    OFFERED = auto()
    ANSWER_MADE = auto()
    OPENED = auto()
    BROKEN = auto()
    DECLINED = auto()


_RUNNING = (State.OFFERING, State.OFFERED, State.ANSWERING, State.OPENING, State.OPEN)
MOVES: Final[dict[tuple[State, Signal], State]] = {
    (State.IDLE, Signal.DIAL): State.OFFERING,
    (State.OFFERING, Signal.OFFER_MADE): State.OFFERED,
    (State.OFFERED, Signal.ANSWERED): State.OPENING,
    (State.ANSWERING, Signal.ANSWER_MADE): State.OPENING,
    (State.OPENING, Signal.OPENED): State.OPEN,
    (State.IDLE, Signal.OFFERED): State.ANSWERING,
    **{(state, Signal.OFFERED): State.ANSWERING for state in _RUNNING},
    **{(state, Signal.BROKEN): State.IDLE for state in _RUNNING},
    **{(state, Signal.DECLINED): State.OFF for state in _RUNNING},
}


class Dialing:
    """The state of the direct path to one peer."""

    def __init__(
        self,
        *,
        dials: bool,
        wanted: bool,
        same_host: bool,
        now: float,
        number: Callable[[], Attempt],
        emit: Callable[[Action], None],
        signal: Callable[[Frame], None],
    ) -> None:
        self.state = State.IDLE if wanted else State.OFF
        self.attempt: Attempt | None = None
        self.tries = 0
        self._dials = dials
        self._same_host = same_host
        self._next_dial: float | None = now if dials and wanted else None
        self._deadline: float | None = None
        self._remote_attempt = 0
        self._next_offer = now
        self._number = number
        self._emit = emit
        self._signal = signal

    def tick(self, now: float) -> bool:
        """Dial when it is time, give up a try that takes too long; true if one was given up."""
        if self._deadline is not None and now >= self._deadline:
            self.broken("it took longer than 15 seconds", now)
            return True
        if self._next_dial is not None and now >= self._next_dial and self._move(Signal.DIAL):
            self._next_dial = None
            self._begin(now)
            self._emit(DialDirect(self._current(), self._same_host))
        return False

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        return self._next_dial if self._deadline is None else self._deadline

    def soon(self, now: float) -> None:
        """The network changed, or the path just died: do not wait for the next try's turn."""
        if self.state is State.IDLE and self._dials:
            self._next_dial = now

    def offer_made(self, sdp: str) -> None:
        """Send our offer."""
        if self._move(Signal.OFFER_MADE):
            self._signal(Offer(self._current(), sdp))

    def answer_made(self, sdp: str) -> None:
        """Send our answer."""
        if self._move(Signal.ANSWER_MADE):
            self._signal(Answer(self._remote_attempt, sdp))

    def offered(self, frame: Offer, now: float) -> None:
        """Answer an offer; a new one replaces whatever was under way."""
        if self._dials:
            return
        if self.state is State.OFF:
            self._signal(NoDirect(frame.attempt, "not wanted here", final=True))
            return
        if now < self._next_offer:
            self._signal(NoDirect(frame.attempt, "offered again too soon"))
            return
        self._next_offer = now + OFFER_EVERY
        self._drop()
        self._move(Signal.OFFERED)
        self._begin(now)
        self._remote_attempt = frame.attempt
        self._emit(AcceptOffer(self._current(), frame.sdp, self._same_host))

    def answered(self, frame: Answer) -> None:
        """Take the answer to our present offer; one to an older offer is dropped."""
        if frame.attempt == self.attempt and self._move(Signal.ANSWERED):
            self._emit(AcceptAnswer(self._current(), frame.sdp))

    def declined(self, frame: NoDirect, now: float) -> None:
        """The other side could not, or will not, go on with our offer."""
        if frame.attempt != self.attempt:
            return
        if frame.final:
            self._drop()
            self._move(Signal.DECLINED)
        else:
            self.broken(frame.reason, now)

    def opened(self) -> bool:
        """The channels are open; false if that says nothing about the present try."""
        if not self._move(Signal.OPENED):
            return False
        self._deadline = None
        self.tries = 0
        return True

    def broken(self, reason: str, now: float) -> None:
        """The present try, or the path that stood, is gone."""
        if not self._move(Signal.BROKEN):
            return
        if not self._dials:
            self._signal(NoDirect(self._remote_attempt, reason[:120]))
        self._drop()
        if self._dials:
            delay = RETRY_DELAYS[self.tries] if self.tries < len(RETRY_DELAYS) else RETRY_AT_LAST
            self.tries += 1
            self._next_dial = now + delay

    def stop(self) -> None:
        """The peer is gone: close what is open and dial no more."""
        self._drop()
        self._next_dial = None
        self.state = State.OFF

    def _begin(self, now: float) -> None:
        self.attempt = self._number()
        self._deadline = now + CONNECT_TIMEOUT

    def _drop(self) -> None:
        if self.attempt is not None:
            self._emit(CloseDirect(self.attempt))
        self.attempt = None
        self._deadline = None

    def _current(self) -> Attempt:
        assert self.attempt is not None, "a running try has a number"
        return self.attempt

    def _move(self, signal: Signal) -> bool:
        following = MOVES.get((self.state, signal))
        if following is None:
            return False
        self.state = following
        return True
