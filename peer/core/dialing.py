"""The tries to reach one peer directly, and when the next one is due.

    IDLE --dial--> OFFERING --offer made--> OFFERED --answered--> OPENING --opened--> IDLE
    any but OFF --offered--> ANSWERING --answer made--> OPENING
    any but OFF --broken--> IDLE            OFF: the two allow no direct path

The states are those of the try under way; the path that stands is beside it, so that a better one can be
looked for while it is used.  Who dials is settled by the smaller peer id, so offers never cross; each try
is a fresh RTCPeerConnection, because aiortc can neither restart ICE nor roll an offer back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from peer.core.actions import AcceptAnswer, AcceptOffer, Action, AddCandidates, CloseDirect, DialDirect
from peer.core.events import CandidatesFound
from peer.core.frames import Answer, Candidates, Frame, NoDirect, Offer, Redial
from peer.core.ids import Attempt
from peer.core.ladder import Ladder, Means

__all__ = [
    "CONNECT_TIMEOUT",
    "DIAL_EVERY",
    "IMPROVE_EVERY",
    "IMPROVE_FIRST",
    "MOVES",
    "OFFER_EVERY",
    "QUICK_TRIES",
    "REDIAL_EVERY",
    "RETRY_FIRST",
    "RETRY_LONGEST",
    "Dialing",
    "Plan",
    "Signal",
    "State",
]

CONNECT_TIMEOUT: Final = 15.0
"""Seconds for one try: ICE over two NATs and a TURN server answers within ten, or never."""
RETRY_FIRST: Final = 0.5
RETRY_LONGEST: Final = 30.0
"""Waits after a failure double from the first to the longest, each cut down at random."""
QUICK_TRIES: Final = 3
"""Failures that may be due to a lost packet; after them the relay does, and the path is only improved."""
IMPROVE_FIRST: Final = 60.0
IMPROVE_EVERY: Final = 300.0
"""Between attempts at a better path than the one in use, which a changed router may allow by then."""
DIAL_EVERY: Final = 0.5
"""Seconds between two offers that we make, however many reasons there are."""
OFFER_EVERY: Final = 0.25
"""Seconds between two offers that we answer; each costs a peer connection.  Half of `DIAL_EVERY`, because
the network may bring two of them closer together."""
REDIAL_EVERY: Final = 5.0
"""Seconds between two dials that the other side may cause by asking for them."""


class State(Enum):
    """How far the present try has come."""

    IDLE = auto()
    OFFERING = auto()
    OFFERED = auto()
    ANSWERING = auto()
    OPENING = auto()
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


_RUNNING = (State.OFFERING, State.OFFERED, State.ANSWERING, State.OPENING)
MOVES: Final[dict[tuple[State, Signal], State]] = {
    (State.IDLE, Signal.DIAL): State.OFFERING,
    (State.OFFERING, Signal.OFFER_MADE): State.OFFERED,
    (State.OFFERED, Signal.ANSWERED): State.OPENING,
    (State.ANSWERING, Signal.ANSWER_MADE): State.OPENING,
    (State.OPENING, Signal.OPENED): State.IDLE,
    (State.IDLE, Signal.OFFERED): State.ANSWERING,
    **{(state, Signal.OFFERED): State.ANSWERING for state in _RUNNING},
    **{(state, Signal.BROKEN): State.IDLE for state in _RUNNING},
    **{(state, Signal.DECLINED): State.OFF for state in _RUNNING},
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of the two before the first try.

    Attributes:
        dials: whether we make the offers.
        ways: of `host`, `stun` and `turn`, what both allow.
        same_host: both run on one machine.
        relayed: contents may go through the server meanwhile.
    """

    dials: bool
    ways: frozenset[str]
    same_host: bool
    relayed: bool


class Dialing:
    """The tries to reach one peer.

    Attributes:
        attempt: the try under way.
        standing: the attempt whose path is open; whoever carries contents over it closes it.
    """

    def __init__(
        self,
        plan: Plan,
        ladder: Ladder,
        *,
        now: float,
        number: Callable[[], Attempt],
        jitter: Callable[[float], float],
        emit: Callable[[Action], None],
        signal: Callable[[Frame], None],
    ) -> None:
        self.state = State.IDLE if plan.ways else State.OFF
        self.attempt: Attempt | None = None
        self.standing: Attempt | None = None
        self._plan = plan
        self._ladder = ladder
        self._tries = 0
        self._improvements = 0
        self._renewing = False
        self._improvable = self._was_over_turn = False
        self._next_dial: float | None = now if plan.dials and plan.ways else None
        self._dialed = self._asked = now - REDIAL_EVERY
        self._deadline: float | None = None
        self._their_number = 0
        self._standing_number = 0
        self._next_offer = now
        self._number = number
        self._jitter = jitter
        self._emit = emit
        self._signal = signal

    @property
    def is_off(self) -> bool:
        """Whether the two allow no direct path."""
        return self.state is State.OFF

    # --- time ---------------------------------------------------------------------------------------------

    def tick(self, now: float) -> bool:
        """Dial when it is time, give up a try that takes too long; true if one was given up."""
        if self._deadline is not None and now >= self._deadline:
            self.broken(self._current(), f"it took longer than {CONNECT_TIMEOUT:g} seconds", now)
            return True
        if self._next_dial is not None and now >= self._next_dial and self._move(Signal.DIAL):
            self._next_dial = None
            self._dialed = now
            self._begin(now)
            means = self._means(plain=self._is_improving())
            self._emit(DialDirect(self._current(), self._plan.same_host, means))
        return False

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        return self._next_dial if self._deadline is None else self._deadline

    def soon(self, now: float) -> None:
        """The path just died, or there is a relay again: do not wait for the next try's turn."""
        if self.state is State.IDLE and self._plan.dials:
            self._tries = self._improvements = 0
            self._next_dial = max(now, self._dialed + DIAL_EVERY)

    def renew(self, now: float) -> None:
        """Our network changed: whatever was under way and whatever stands may be worth nothing now."""
        if self.state is State.OFF:
            return
        if not self._plan.dials:
            self._signal(Redial())
            return
        self._renewing = True
        self._move(Signal.BROKEN)
        self._drop()
        self.soon(now)

    def asked(self, now: float) -> None:
        """The network of the other side changed."""
        if self._plan.dials and now >= self._asked + REDIAL_EVERY:
            self._asked = now
            self.renew(now)

    # --- what our side made -------------------------------------------------------------------------------

    def offer_made(self, sdp: str) -> None:
        """Send our offer."""
        if self._move(Signal.OFFER_MADE):
            beside = self.standing is not None
            self._signal(Offer(self._current(), sdp, beside, self._is_improving()))

    def answer_made(self, sdp: str) -> None:
        """Send our answer."""
        if self._move(Signal.ANSWER_MADE):
            self._signal(Answer(self._their_number, sdp))

    def found(self, event: CandidatesFound) -> None:
        """Tell the other side of more addresses."""
        if event.attempt == self.attempt and self.state in (State.OFFERED, State.OPENING):
            self._signal(Candidates(self._common_number(), list(event.candidates), event.last))

    def opened(self, attempt: Attempt, now: float) -> bool:
        """The channels are open; false if that says nothing about the present try."""
        if attempt != self.attempt or not self._move(Signal.OPENED):
            return False
        self._standing_number = self._common_number()
        self.standing, self.attempt = attempt, None
        self._deadline = None
        self._tries = self._improvements = 0
        self._renewing = self._improvable = self._was_over_turn = False
        self._next_dial = None
        return True

    def improve(self, now: float) -> None:
        """The path that stands goes over TURN: look for a better one now and then."""
        self._was_over_turn = True
        self._improvable = bool(self._plan.ways - {"turn"})
        if self._improvable and self._plan.dials and self.state is State.IDLE:
            self._next_dial = now + self._improvement()

    # --- what the other side says -------------------------------------------------------------------------

    def offered(self, frame: Offer, now: float) -> None:
        """Answer an offer; a new one replaces whatever was under way."""
        if self._plan.dials:
            return
        if self.state is State.OFF:
            self._signal(NoDirect(frame.attempt, "not wanted here", final=True))
            return
        if now < self._next_offer:
            self._signal(NoDirect(frame.attempt, "offered again too soon"))
            return
        self._next_offer = now + OFFER_EVERY
        self._drop()
        if not frame.beside:
            self.standing = None
        self._move(Signal.OFFERED)
        self._begin(now)
        self._their_number = frame.attempt
        means = self._means(plain=frame.plain)
        self._emit(AcceptOffer(self._current(), frame.sdp, self._plan.same_host, means))

    def answered(self, frame: Answer) -> None:
        """Take the answer to our present offer; one to an older offer is dropped."""
        if frame.attempt == self.attempt and self._move(Signal.ANSWERED):
            self._emit(AcceptAnswer(self._current(), frame.sdp))

    def told(self, frame: Candidates) -> None:
        """Take more addresses of the other side for the present try."""
        if self.attempt is not None and frame.attempt == self._common_number():
            self._emit(AddCandidates(self.attempt, tuple(frame.candidates), frame.last))

    def declined(self, frame: NoDirect, now: float) -> None:
        """The other side could not, or will not, go on with our offer, or with the path it led to."""
        if self.standing is not None and frame.attempt == self._standing_number:
            self.standing = None
            self._again(now)
        if self.attempt is None or frame.attempt != self._common_number():
            return
        if frame.final:
            self._drop()
            self._move(Signal.DECLINED)
            self._next_dial = None
        else:
            self.broken(self.attempt, frame.reason, now)

    # --- endings ------------------------------------------------------------------------------------------

    def broken(self, attempt: Attempt, reason: str, now: float) -> None:
        """This try, or the path that stood, is gone."""
        if attempt == self.standing:
            self.standing = None
            number = self._standing_number
        elif attempt == self.attempt and self._move(Signal.BROKEN):
            number = self._their_number
            self._drop()
        else:
            return
        if not self._plan.dials:
            self._signal(NoDirect(number, reason[:120]))
        self._again(now)

    def stop(self) -> None:
        """The peer is gone: close what is under way and dial no more."""
        self._drop()
        self._next_dial = None
        self.state = State.OFF

    def _again(self, now: float) -> None:
        """Set the time of the next try, after one that failed."""
        if not self._plan.dials or self.state is not State.IDLE:
            return
        if self.standing is not None and not self._improvable:
            return
        if self.standing is not None or (self._plan.relayed and self._tries >= QUICK_TRIES):
            wait = self._improvement()
        else:
            wait = self._jitter(min(RETRY_LONGEST, RETRY_FIRST * 2.0 ** min(self._tries, 10)))
            self._tries += 1
        self._renewing = False
        self._next_dial = max(now + wait, self._dialed + DIAL_EVERY)

    def _improvement(self) -> float:
        longest = IMPROVE_EVERY if self._improvements else IMPROVE_FIRST
        self._improvements += 1
        return self._jitter(longest)

    def _is_improving(self) -> bool:
        return self.standing is not None and not self._renewing

    def _means(self, *, plain: bool) -> Means:
        without = {"turn"} if plain else set()
        return self._ladder.means(self._plan.ways - without, soon=self._was_over_turn and not plain)

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

    def _common_number(self) -> int:
        """The dialling side's number of the present try, by which both know it."""
        return self._current() if self._plan.dials else self._their_number

    def _move(self, signal: Signal) -> bool:
        following = MOVES.get((self.state, signal))
        if following is None:
            return False
        self.state = following
        return True
