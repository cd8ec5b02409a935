"""All links of a session: who is reachable, over what, and when they are given up.

The server tells addresses, `greeting.py` turns them into members, `dialing.py` finds them direct paths; here
these meet in one `Link` per peer, whose pulse is watched.
"""

from collections.abc import Callable
from typing import Final, assert_never

from peer.core.actions import Action, Tell
from peer.core.carrier import Lane
from peer.core.dialing import Dialing
from peer.core.events import (
    AnswerMade,
    DirectBroken,
    DirectOpened,
    DirectPieceArrived,
    MemberJoined,
    MemberLeft,
    OfferMade,
    RelayPieceArrived,
    SealBroken,
    Sealed,
    ServerEntered,
    ServerLost,
)
from peer.core.frames import Answer, Bye, Frame, NoDirect, Offer
from peer.core.greeting import REFUSED_FOR, Greeting, Setup
from peer.core.ids import Attempt, PeerId, room_of
from peer.core.link import DEAD_AFTER, DOUBT, SILENT_AFTER, Carrier, Link, Listener, Member
from peer.core.notices import PeerJoined, PeerLeft, PeerSilent, ServerState, Warned
from peer.errors import Refused, RemoteError

__all__ = ["LINKS_LIMIT", "STOOD", "ConnectionEvent", "Connections"]

LINKS_LIMIT: Final = 64
"""As many as the largest room has members; each link holds queues, streams and windows."""
STOOD: Final = 5.0
"""Seconds after which a path is worth dialling again at once when it dies; else its next try has its turn."""

ConnectionEvent = (
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
)


class Connections:
    """Every peer, and every way to it."""

    def __init__(
        self,
        setup: Setup,
        *,
        emit: Callable[[Action], None],
        summary: Callable[[], bytes],
        user: Listener,
    ) -> None:
        self._setup = setup
        self._emit = emit
        self._summary = summary
        self._user = user
        self._greeting = Greeting(setup, emit, self._admit)
        self._links: dict[PeerId, Link] = {}
        self._dialing: dict[PeerId, Dialing] = {}
        self._attempts = 0
        self._left = False

    # --- asking ---------------------------------------------------------------------------------------

    def links(self) -> list[Link]:
        """Everyone who is connected."""
        return list(self._links.values())

    def link(self, peer: PeerId) -> Link | None:
        """The link to this peer."""
        return self._links.get(peer)

    def link_on(self, key: bytes | Attempt) -> Link | None:
        """The link that has a carrier with this address or attempt."""
        return next((link for link in self._links.values() if link.carrier(key)), None)

    def _found(self, address: bytes) -> tuple[Link, Carrier] | None:
        pairs = ((link, link.carrier(address)) for link in self._links.values())
        return next(((link, carrier) for link, carrier in pairs if carrier is not None), None)

    def _dialed(self, attempt: Attempt) -> tuple[Link, Dialing] | None:
        found = (peer for peer, dialing in self._dialing.items() if dialing.attempt == attempt)
        return next(((self._links[peer], self._dialing[peer]) for peer in found), None)

    # --- events -----------------------------------------------------------------------------------------

    def handle(self, event: ConnectionEvent, now: float) -> None:
        """Take one event of the network."""
        match event:
            case ServerEntered() | ServerLost() | MemberJoined() | MemberLeft():
                self._server(event, now)
            case Sealed() | SealBroken() | RelayPieceArrived():
                self._relay(event, now)
            case OfferMade() | AnswerMade() | DirectOpened() | DirectBroken():
                self._direct(event, now)
            case _:
                assert_never(event)

    def piece(self, event: DirectPieceArrived, now: float) -> None:
        """Take one piece from a direct path; of a try that was given up, drop it."""
        link = self.link_on(event.attempt)
        if link is not None and link.direct is not None:
            self._receive(link, link.direct, event.data, now)

    def _server(self, event: ServerEntered | ServerLost | MemberJoined | MemberLeft, now: float) -> None:
        match event:
            case ServerEntered():
                self._lose_relays(room_of(event.address), now)
                self._greeting.entered(event.address, event.members, now, event.path)
                self._tell_server(room_of(event.address), "connected", event.motd)
            case ServerLost():
                self._greeting.server_lost(event.room)
                self._lose_relays(event.room, now)
                self._tell_server(event.room, "lost", event.reason)
            case MemberJoined():
                self._greeting.joined(event.address, now)
            case MemberLeft():
                self._greeting.left(event.address)
                if (found := self._found(event.address)) is not None:
                    self._doubt(*found, now)
            case _:
                assert_never(event)

    def _tell_server(self, room: bytes, state: str, detail: str) -> None:
        if not room:  # those of a local network come and go by themselves
            self._emit(Tell(ServerState(state, detail)))

    def _lose_relays(self, room: bytes, now: float) -> None:
        for link in self.links():
            for carrier in link.through(room):
                self._lose(link, carrier, "the server is gone", now)

    def _doubt(self, link: Link, relay: Carrier, now: float) -> None:
        """A server says that they left; a path that still stands has a moment to prove otherwise."""
        self._lose(link, relay, "left", now)
        other = link.direct or link.relay
        if link.member.id in self._links and other is not None:
            link.doubted_until = now + DOUBT
            other.ping(now, self._summary())

    def _relay(self, event: Sealed | SealBroken | RelayPieceArrived, now: float) -> None:
        found = self._found(event.address)
        match event:
            case Sealed():
                if found is not None:
                    self._begin_again(*found, now)
                self._greeting.sealed(event.address, event.device, event.binding, now)
            case SealBroken():
                if found is not None:
                    self._lose(*found, event.reason, now)
                self._greeting.broken(event.address, now)
            case RelayPieceArrived():
                if found is not None:
                    self._receive(*found, event.data, now)
                else:
                    self._greet(event.address, event.data, now)
            case _:
                assert_never(event)

    def _begin_again(self, link: Link, carrier: Carrier, now: float) -> None:
        """The other side made a new TLS session in place of the one that carried this."""
        if link.detach(carrier, close=False) and link.content is not None:
            self._moved(link, None, now)

    def _greet(self, address: bytes, piece: bytes, now: float) -> None:
        try:
            known = self._greeting.piece(address, piece, now)
        except RemoteError as error:
            self._emit(Tell(Warned("W-REFUSED", str(error))))
            return
        if known is not None:
            self._attach_relay(*known, now)

    def _admit(self, member: Member) -> None:
        """Refuse whoever claims the CRDT client id of somebody else, or is one too many."""
        others = [link.member for link in self.links() if link.member.id != member.id]
        if member.client in (self._setup.client, *(other.client for other in others)):
            raise Refused(f"{member.name} claims to write with the id of somebody else")
        if len(others) >= LINKS_LIMIT:
            raise Refused(f"there are {LINKS_LIMIT} peers here already")

    def _attach_relay(self, member: Member, carrier: Carrier, now: float) -> None:
        link = self._links.get(member.id)
        if link is None:
            link = Link(member, self._setup.policy, now, self._emit)
            link.attach(carrier)
            self._links[member.id] = link
            self._dialing[member.id] = self._new_dialing(link, now)
            self._emit(Tell(PeerJoined(member.short, member.name, member.role)))
            self._user.link_opened(link, now)
        else:
            before = link.content
            if link.attach(carrier):
                self._moved(link, before, now)
            if link.direct is None:
                self._dialing[member.id].soon(now)
        self._tell_path(link, now)

    def _new_dialing(self, link: Link, now: float) -> Dialing:
        wanted = "relay" not in (self._setup.policy, link.member.policy)
        if not wanted:
            link.decide()
        return Dialing(
            dials=self._setup.me < link.member.id,
            wanted=wanted,
            same_host=self._setup.host == link.member.host,
            now=now,
            number=self._next_attempt,
            emit=self._emit,
            signal=link.signal,
        )

    def _next_attempt(self) -> Attempt:
        self._attempts += 1
        return Attempt(self._attempts)

    def _direct(self, event: OfferMade | AnswerMade | DirectOpened | DirectBroken, now: float) -> None:
        found = self._dialed(event.attempt)
        if found is None:
            return  # of a try that was given up
        link, dialing = found
        match event:
            case OfferMade():
                dialing.offer_made(event.sdp)
            case AnswerMade():
                dialing.answer_made(event.sdp)
            case DirectOpened() if dialing.opened():
                self._open_direct(link, event, now)
            case DirectBroken():
                self._direct_broken(link, event.reason, now)
            case _:
                pass

    def _open_direct(self, link: Link, event: DirectOpened, now: float) -> None:
        link.direct = Carrier(event.attempt, now, event.path, event.address)
        link.decide()
        link.next_ping = now
        self._moved(link, link.relay, now)

    def _moved(self, link: Link, before: Carrier | None, now: float) -> None:
        if before is not None:
            before.out.drop_waiting(Lane.BULK)  # it is asked for again over the new path
        self._user.link_moved(link, now)
        self._tell_path(link, now)

    def _direct_broken(self, link: Link, reason: str, now: float) -> None:
        link.decide()
        self._dialing[link.member.id].broken(reason, now)
        self._follow_dialing(link, reason, now)

    def _follow_dialing(self, link: Link, reason: str, now: float) -> None:
        """A direct carrier goes with the try that made it."""
        direct, dialing = link.direct, self._dialing[link.member.id]
        if direct is not None and direct.key != dialing.attempt:
            self._lose(link, direct, reason, now)
            if now - direct.opened >= STOOD:
                dialing.soon(now)

    # --- receiving ----------------------------------------------------------------------------------------

    def _receive(self, link: Link, carrier: Carrier, piece: bytes, now: float) -> None:
        try:
            arrived = carrier.receive(piece, now)
            self._alive(link, now)
            if arrived is not None:
                self._frame(link, arrived[1], now)
        except RemoteError as error:
            self.cut_off(link, error, now)

    def _alive(self, link: Link, now: float) -> None:
        link.doubted_until = None
        if link.told_silent:
            link.told_silent = False
            self._tell_path(link, now, again=True)

    def _frame(self, link: Link, frame: Frame, now: float) -> None:
        dialing = self._dialing[link.member.id]
        match frame:
            case Bye():
                self._said_bye(link, frame, now)
            case Offer():
                dialing.offered(frame, now)
                self._follow_dialing(link, "the other side dials again", now)
            case Answer():
                dialing.answered(frame)
            case NoDirect():
                link.decide()
                dialing.declined(frame, now)
                self._follow_dialing(link, frame.reason, now)
            case _:
                self._user.frame_arrived(link, frame, now)

    def _said_bye(self, link: Link, frame: Bye, now: float) -> None:
        refused = frame.reason.startswith("refused")
        if refused:
            self._emit(Tell(Warned("W-REFUSED", f"{link.member.name} ended the link: {frame.reason}")))
        self._drop(link, "refused" if refused else "bye", now)

    # --- losing ---------------------------------------------------------------------------------------------

    def _lose(self, link: Link, carrier: Carrier, reason: str, now: float) -> None:
        """One carrier is gone; without any left, so is the peer."""
        has_moved = link.detach(carrier, close=carrier is not link.direct)
        if not link.carriers():
            self._drop(link, reason, now)
        elif has_moved:
            self._moved(link, None, now)

    def cut_off(self, link: Link, error: RemoteError, now: float) -> None:
        """A peer broke the protocol: say so, and have nothing to do with its device for a while."""
        message = f"{link.member.name} was cut off: {error}"
        self._emit(Tell(Warned("W-CUT-OFF", message)))
        link.signal(Bye(f"refused: {error}"[:120]))
        link.pump(now)
        self._greeting.refuse(link.member.id, now)
        self._drop(link, "refused", now)

    def _drop(self, link: Link, reason: str, now: float) -> None:
        carriers = link.carriers()
        for carrier in carriers:
            link.detach(carrier, close=carrier is not link.direct)
        self._dialing.pop(link.member.id).stop()
        del self._links[link.member.id]
        self._user.link_closed(link)
        self._emit(Tell(PeerLeft(link.member.short, link.member.name, reason)))
        for carrier in carriers:
            if reason in ("silent", "refused") and isinstance(carrier.key, bytes):
                # still in the room as far as the server knows: it may wake up, or mend its ways
                self._greeting.broken(carrier.key, now, wait=REFUSED_FOR if reason == "refused" else 0.0)

    def leave(self, now: float) -> None:
        """Say goodbye to everyone, once, after what is still queued for them."""
        if self._left:
            return
        self._left = True
        for link in self.links():
            link.say_goodbye(now)

    # --- time ---------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Whatever time asks for: pings, silence, giving up, dialling."""
        if self._left:
            return
        self._greeting.tick(now)
        for link in self.links():
            self._watch(link, now)
        for peer, dialing in list(self._dialing.items()):
            if dialing.tick(now):
                self._links[peer].decide()

    def _watch(self, link: Link, now: float) -> None:
        silence = now - link.heard
        doubted = link.doubted_until is not None and now >= link.doubted_until
        if silence >= DEAD_AFTER or doubted:
            self._drop(link, "left" if doubted else "silent", now)
            return
        direct = link.direct
        if direct is not None and link.relay is not None and now - direct.heard >= SILENT_AFTER:
            self._direct_broken(link, "nothing came through it any more", now)
            return
        if silence >= SILENT_AFTER and not link.told_silent:
            link.told_silent = True
            self._emit(Tell(PeerSilent(link.member.short, link.member.name, round(silence, 1))))
        if now >= link.next_ping:
            before = link.content
            if link.pulse(now, self._summary()):
                self._moved(link, before, now)

    def pump(self, now: float) -> None:
        """Send what may be sent."""
        for link in self._links.values():
            link.pump(now)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        if self._left:
            return None
        moments = [self._greeting.next_deadline()]
        moments += [link.next_deadline() for link in self._links.values()]
        moments += [dialing.next_deadline() for dialing in self._dialing.values()]
        return min((moment for moment in moments if moment is not None), default=None)

    def _tell_path(self, link: Link, now: float, *, again: bool = False) -> None:
        if (notice := link.path_notice(now, again=again)) is not None:
            self._emit(Tell(notice))
