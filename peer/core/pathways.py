"""The direct paths of all links: dialled, opened, named, doubted, replaced and given up.

`dialing.py` decides when to try, `ladder.py` with what; here the outcome meets the link, which goes over to
the new path, or back to the relay.  When our network changes, every path has a moment to prove that it
still stands, while a new one is looked for beside it.
"""

from collections.abc import Callable
from typing import Final

from peer.core import rooms
from peer.core.actions import Action, Tell
from peer.core.advice import fell_silent, no_path
from peer.core.carrier import Carrier
from peer.core.dialing import REDIAL_EVERY, Dialing, Plan
from peer.core.events import (
    AnswerMade,
    CandidatesFound,
    DirectArrived,
    DirectBroken,
    DirectOpened,
    NetworkChanged,
    OfferMade,
    TurnKnown,
    TurnReached,
    TurnRefused,
)
from peer.core.frames import Answer, Candidates, NoDirect, Offer, PathSeen, Redial, encode
from peer.core.greeting import Setup
from peer.core.ids import Attempt
from peer.core.ladder import Ladder
from peer.core.link import ASK_AHEAD, DOUBT, SILENT_AFTER, Link
from peer.core.notices import ConnectStage, PeerPath, Trouble
from peer.core.pieces import Lane
from peer.core.policy import agreed_path, ways, why_none

__all__ = [
    "CHECK_SECONDS",
    "NO_PATH_AFTER",
    "RENEW_AFTER",
    "STOOD",
    "WORD_PATIENCE",
    "PathEvent",
    "PathFrame",
    "Pathways",
]

STOOD: Final = 5.0
"""Seconds after which a path is worth dialling again at once when it dies; else its next try has its turn."""
CHECK_SECONDS: Final = 2.0
"""For a path to answer after our network changed: one lost packet (SCTP waits a second) and a round trip."""
NO_PATH_AFTER: Final = 10.0
"""Seconds without any path that the two allow, after which people are told: most are found within three."""
RENEW_AFTER: Final = 1.0
"""Seconds of silence of a path that owes an acknowledgement, after which another is looked for beside it."""
WORD_PATIENCE: Final = 0.5
"""Seconds for the other side to say what it takes a path to be, and to answer a first ping, before people
are told what is known without."""

PathEvent = (
    OfferMade
    | AnswerMade
    | CandidatesFound
    | DirectOpened
    | DirectArrived
    | DirectBroken
    | TurnKnown
    | TurnReached
    | TurnRefused
    | NetworkChanged
)
PathFrame = Offer | Answer | NoDirect | Candidates | PathSeen | Redial


class Pathways:
    """What is known of the direct paths of every link."""

    def __init__(
        self,
        setup: Setup,
        *,
        emit: Callable[[Action], None],
        summary: Callable[[], bytes],
        lose: Callable[[Link, Carrier, float], None],
        moved: Callable[[Link, float], None],
        doubt: Callable[[float], None],
    ) -> None:
        self._setup = setup
        self._emit = emit
        self._summary = summary
        self._lose = lose
        self._moved = moved
        self._doubt = doubt
        self._ladder = Ladder()
        self._dialing: dict[Link, Dialing] = {}
        self._attempts = 0

    # --- links --------------------------------------------------------------------------------------------

    def meet(self, link: Link, now: float) -> None:
        """A peer is known: try to reach it directly if both allow that."""
        plan = Plan(
            dials=self._setup.me < link.member.id,
            ways=ways(*link.policies),
            same_host=self._setup.host == link.member.host,
            relayed=link.allows_relay,
        )
        if not plan.ways:
            link.decide()
            link.why_not = why_none(*link.policies)
        self._dialing[link] = Dialing(
            plan,
            self._ladder,
            now=now,
            number=self._next_attempt,
            jitter=self._setup.jitter,
            emit=self._emit,
            signal=link.signal,
        )

    def forget(self, link: Link) -> None:
        """The peer is gone."""
        self._dialing.pop(link).stop()

    def relay_is_back(self, link: Link, now: float) -> None:
        """There is a way to agree on a direct path again."""
        if link.checked_until is not None:
            self._dialing[link].renew(now)
        elif link.direct is None:
            self._dialing[link].soon(now)

    def _next_attempt(self) -> Attempt:
        self._attempts += 1
        return Attempt(self._attempts)

    # --- events -------------------------------------------------------------------------------------------

    def handle(self, event: PathEvent, now: float) -> None:
        """Take one event of the edge."""
        match event:
            case TurnKnown():
                self._ladder.offer(event.kinds)
            case TurnReached():
                self._ladder.worked(event.kind)
            case TurnRefused():
                self._ladder.refused = event.code
            case DirectArrived():
                self._arrived(event, now)
            case NetworkChanged():
                self._network_changed(event, now)
            case _:
                self._of_attempt(event, now)

    def _arrived(self, event: DirectArrived, now: float) -> None:
        for link in self._dialing:
            if (carrier := link.carrier(event.attempt)) is not None:
                carrier.arrived(event.pieces, now)

    def _of_attempt(
        self, event: OfferMade | AnswerMade | CandidatesFound | DirectOpened | DirectBroken, now: float
    ) -> None:
        for link, dialing in self._dialing.items():
            if event.attempt in (dialing.attempt, dialing.standing) or link.carrier(event.attempt):
                self._of_link(link, dialing, event, now)
                return  # else it is of a try that was given up

    def _of_link(
        self,
        link: Link,
        dialing: Dialing,
        event: OfferMade | AnswerMade | CandidatesFound | DirectOpened | DirectBroken,
        now: float,
    ) -> None:
        if isinstance(event, OfferMade | AnswerMade | CandidatesFound):
            link.shown.told(event)
        match event:
            case OfferMade():
                dialing.offer_made(event.sdp)
            case AnswerMade():
                dialing.answer_made(event.sdp)
            case CandidatesFound():
                dialing.found(event)
            case DirectOpened():
                if dialing.opened(event.attempt, now):
                    self._open(link, event, now)
            case _:
                self._broken(link, event.attempt, event.reason, now)

    def _open(self, link: Link, event: DirectOpened, now: float) -> None:
        carrier = Carrier(event.attempt, now, event.path, event.address)
        link.open_direct(carrier, now)
        link.told_why_not = False
        link.decide()
        link.checked_until = None
        if link.relay is not None:
            link.relay.out.drop_waiting(Lane.BULK)  # it is asked for again over the new path
        carrier.out.push(Lane.CONTROL, encode(PathSeen(event.path)))
        link.next_ping = now
        self._moved(link, now)
        if event.path == "turn":
            self._dialing[link].improve(now)
        self.tell(link, now)

    def _broken(self, link: Link, attempt: Attempt, reason: str, now: float) -> None:
        if link.retired is not None and link.retired.key == attempt:
            link.detach(link.retired)
            return
        link.decide()
        self._failed(link, reason, now)
        self._dialing[link].broken(attempt, reason, now)
        self._follow(link, now)

    def _failed(self, link: Link, reason: str, now: float) -> None:
        """An attempt came to nothing; people are told of the first one, until one succeeds."""
        link.why_not = reason
        if link.direct is None and not link.told_why_not:
            link.told_why_not = True
            took = round((now - link.since) * 1000, 1)
            member = link.member
            self._emit(Tell(ConnectStage("direct", member.short, member.name, False, took, reason)))

    def _follow(self, link: Link, now: float) -> None:
        """A direct carrier goes with the attempt that made it."""
        direct, dialing = link.direct, self._dialing[link]
        if direct is not None and direct.key != dialing.standing:
            if now - direct.opened >= STOOD:
                dialing.soon(now)
            rooms.prefer_heard(link, direct.heard)
            self._lose(link, direct, now)

    def _network_changed(self, event: NetworkChanged, now: float) -> None:
        self._ladder.moved(event.network)
        for link, dialing in self._dialing.items():
            link.next_ping = now + CHECK_SECONDS
            if link.direct is not None:
                link.direct.ping(now, self._summary())
                link.checked_since, link.checked_until = now, now + CHECK_SECONDS
            dialing.renew(now)

    # --- frames -------------------------------------------------------------------------------------------

    def frame(self, link: Link, carrier: Carrier, frame: PathFrame, now: float) -> None:
        """The other side said something about direct paths."""
        dialing = self._dialing[link]
        if isinstance(frame, Offer | Answer | Candidates):
            link.shown.heard(frame)
        match frame:
            case Offer():
                dialing.offered(frame, now)
                self._follow(link, now)
            case Answer():
                dialing.answered(frame)
            case Candidates():
                dialing.told(frame)
            case NoDirect():
                link.decide()
                self._failed(link, frame.reason, now)
                dialing.declined(frame, now)
                self._follow(link, now)
            case PathSeen():
                self._named(link, carrier, frame, now)
            case _:
                dialing.asked(now)

    def _named(self, link: Link, carrier: Carrier, frame: PathSeen, now: float) -> None:
        if isinstance(carrier.key, bytes) or frame.path not in ("lan", "direct", "turn"):
            return
        carrier.path = agreed_path(carrier.seen, frame.path)
        carrier.agreed = True
        if carrier is link.direct:
            if carrier.path == "turn" != carrier.seen:
                self._dialing[link].improve(now)
            self.tell(link, now)

    # --- time ---------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Dial, and give up tries that take too long."""
        for link, dialing in list(self._dialing.items()):
            if dialing.tick(now):
                link.decide()
                self._failed(link, "it took too long", now)

    def watch(self, link: Link, now: float) -> None:
        """Look after the paths of one link: retired, silent, doubted, missing."""
        if link.retired is not None and now >= link.retired_until:
            link.detach(link.retired)
        direct = link.direct
        if link.checked_until is not None and (direct is None or direct.heard > link.checked_since):
            link.checked_until = None
        if direct is not None and now >= self._doubtful_since(link, direct):
            self._doubt_path(link, direct, now)
        self.tell(link, now)
        self._tell_pathless(link, now)

    def _doubt_path(self, link: Link, direct: Carrier, now: float) -> None:
        """A direct path is odd: is the server still there, and is any room better?"""
        self._doubt(now)
        if (renew_at := self._renew_at(link, direct)) is not None and now >= renew_at:
            link.renewed_at = now
            self._dialing[link].renew(now)
        if not _is_heard_beside(link, direct):
            rooms.probe(link, now, self._summary)
        elif now >= self._dead_at(link, direct):
            link.checked_until = None
            self._broken(link, Attempt(int(direct.key)), fell_silent(direct.path), now)

    @staticmethod
    def _doubtful_since(link: Link, direct: Carrier) -> float:
        moments = [direct.heard + DOUBT]
        if (late_at := link.late_at) is not None:
            moments.append(late_at - ASK_AHEAD)
        if link.checked_until is not None:
            moments.append(link.checked_since)
        return min(moments)

    @staticmethod
    def _renew_at(link: Link, direct: Carrier) -> float | None:
        """When another path is looked for if this one stays silent; a try that was begun has its time."""
        if (late_at := link.late_at) is None or link.renewed_at >= direct.heard:
            return None
        silent_at = max(direct.heard, direct.delivered) + RENEW_AFTER
        return max(silent_at, late_at, link.renewed_at + REDIAL_EVERY)

    @staticmethod
    def _dead_at(link: Link, direct: Carrier) -> float:
        """When a path is given up if it stays silent; for one that owes something, that is sooner."""
        moments = [direct.heard + SILENT_AFTER]
        if (late_at := link.late_at) is not None:
            moments.append(max(direct.heard + DOUBT, late_at))
        if link.checked_until is not None:
            moments.append(link.checked_until)
        return min(moments)

    def next_deadline(self) -> float | None:
        """When `tick` or `watch` has something to do."""
        moments = [dialing.next_deadline() for dialing in self._dialing.values()]
        for link in self._dialing:
            moments += self._moments(link)
        return min((moment for moment in moments if moment is not None), default=None)

    def _moments(self, link: Link) -> list[float | None]:
        moments = [link.pathless_since + NO_PATH_AFTER if link.pathless_since is not None else None]
        direct, content = link.direct, link.content
        if content is not None and link.told_path != content.path:
            moments.append(content.opened + WORD_PATIENCE)
        if direct is None:
            return moments
        moments.append(self._renew_at(link, direct))
        if _is_heard_beside(link, direct):
            moments.append(self._dead_at(link, direct))
        elif link.relay is not None:
            moments.append(max(self._doubtful_since(link, direct), link.next_probe))
        return moments

    # --- people -------------------------------------------------------------------------------------------

    def tell(self, link: Link, now: float, *, again: bool = False) -> None:
        """Tell people over which path contents go, if that is new."""
        carrier = link.content
        if carrier is None:
            return
        link.pathless_since = None
        if (link.told_path == carrier.path and not again) or self._is_unsure(link, carrier, now):
            return
        link.told_path = carrier.path
        rtt = None if carrier.rtt is None else round(carrier.rtt * 1000, 2)
        took = (now - link.since) * 1000
        member = link.member
        self._emit(Tell(PeerPath(member.short, member.name, carrier.path, rtt, round(took, 1))))

    @staticmethod
    def _is_unsure(link: Link, carrier: Carrier, now: float) -> bool:
        """Whether what people want to know of *carrier* is still on its way: the word, the round trip."""
        known = carrier.rtt is not None and (carrier is not link.direct or carrier.agreed)
        return not known and now < carrier.opened + WORD_PATIENCE

    def _tell_pathless(self, link: Link, now: float) -> None:
        """Tell people, once, that no path that both allow was found, and what to do about it."""
        hopeless = self._dialing[link].is_off
        since = link.pathless_since
        if since is None or (now < since + NO_PATH_AFTER and not hopeless):
            return
        link.pathless_since = None
        ours, theirs = link.policies
        message = no_path(
            link.member.name,
            ours=ours,
            theirs=theirs,
            offered=self._ladder.offered,
            reached=self._ladder.reached,
            refused=self._ladder.refused,
            reason=link.why_not,
        )
        self._emit(Tell(Trouble("E-NO-PATH", message)))


def _is_heard_beside(link: Link, direct: Carrier) -> bool:
    """Whether the peer was heard in a room since it was last heard on its direct path."""
    return any(room.heard > direct.heard for room in link.rooms())
