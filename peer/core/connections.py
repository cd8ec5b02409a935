"""All links of a session: who is reachable, over what, and when they are given up.

The server tells addresses, `greeting.py` turns them into members, `pathways.py` finds them direct paths; here
these meet in one `Link` per peer, whose pulse is watched.
"""

from collections.abc import Callable
from typing import Final, assert_never

from peer.core import rooms, runs
from peer.core.actions import Action, CheckServer, Tell
from peer.core.carrier import Carrier
from peer.core.events import (
    ConnectionEvent,
    DirectPieceArrived,
    MemberAway,
    MemberJoined,
    MemberLeft,
    PingWanted,
    RelayPieceArrived,
    SealBroken,
    Sealed,
    ServerEntered,
    ServerLost,
)
from peer.core.frames import Bye, Frame, encode
from peer.core.greeting import REFUSED_FOR, Greeting, Setup
from peer.core.ids import Attempt, PeerId, room_of
from peer.core.link import PING_EVERY, SILENT_AFTER, Link, Listener, Member
from peer.core.notices import PeerJoined, PeerLeft, PeerPong, PeerSilent, ServerState, Warned
from peer.core.outage import Outage
from peer.core.pathways import PathFrame, Pathways
from peer.core.pieces import Lane
from peer.core.steps import Steps
from peer.errors import Refused, RemoteError

__all__ = ["LINKS_LIMIT", "Connections"]

LINKS_LIMIT: Final = 64
"""As many as the largest room has members; each link holds queues, streams and windows."""


class Connections:
    """Every peer, and every way to it."""

    def __init__(
        self,
        setup: Setup,
        *,
        emit: Callable[[Action], None],
        summary: Callable[[], bytes],
        user: Listener,
        began: float,
    ) -> None:
        self._setup = setup
        self._emit = emit
        self._summary = summary
        self._user = user
        self._greeting = Greeting(setup, emit, self._admit)
        self._links: dict[PeerId, Link] = {}
        self._outage = Outage(lambda: emit(CheckServer()))
        self._paths = Pathways(
            setup, emit=emit, summary=summary, lose=self._lose, moved=self._moved, doubt=self._doubt
        )
        self._steps = Steps(emit, began)
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

    # --- events -----------------------------------------------------------------------------------------

    def handle(self, event: ConnectionEvent, now: float) -> None:
        """Take one event of the network."""
        match event:
            case ServerEntered() | ServerLost():
                self._outage.heard(now)
                self._server(event, now)
            case MemberJoined() | MemberAway() | MemberLeft():
                self._outage.heard(now)
                self._member(event, now)
            case Sealed() | SealBroken() | RelayPieceArrived():
                self._relay(event, now)
            case PingWanted():
                self._ask(event, now)
            case _:
                self._paths.handle(event, now)

    def piece(self, event: DirectPieceArrived, now: float) -> None:
        """Take one piece from a direct path; of a try that was given up, drop it."""
        link = self.link_on(event.attempt)
        carrier = None if link is None else link.carrier(event.attempt)
        if link is not None and carrier is not None:
            self._receive(link, carrier, event.data, now)

    def _server(self, event: ServerEntered | ServerLost, now: float) -> None:
        room = room_of(event.address) if isinstance(event, ServerEntered) else event.room
        for link in self.links():
            for carrier in rooms.through(link, room):
                self._lose(link, carrier, now)
        if isinstance(event, ServerEntered):
            if not room:  # those of a local network come and go by themselves
                self._steps.entered(event.members, now)
            for member in event.members if room else ():
                self._steps.found(member, now)
            self._greeting.entered(event.address, event.members, now, event.path)
            state = ServerState("connected", event.motd, event.server)
        else:
            if not room:
                self._steps.lost(now)
            self._greeting.server_lost(event.room)
            self._take_places(now)
            state = ServerState("lost", event.reason)
        if not room:
            self._emit(Tell(state))

    def _member(self, event: MemberJoined | MemberAway | MemberLeft, now: float) -> None:
        found = self._found(event.address)
        if not isinstance(event, MemberJoined):
            self._greeting.left(event.address)
        if found is not None:
            link = found[0]
            self._lose(*found, now)
            other = link.direct or link.relay
            if isinstance(event, MemberLeft) and other is not None:
                link.doubt(now)
                other.ping(now, self._summary())
            self._take_places(now)
        if isinstance(event, MemberJoined):
            self._steps.found(event.address, now)
            self._greeting.joined(event.address, now)

    def _found(self, address: bytes) -> tuple[Link, Carrier] | None:
        pairs = ((link, link.carrier(address)) for link in self._links.values())
        return next(((link, carrier) for link, carrier in pairs if carrier is not None), None)

    def _relay(self, event: Sealed | SealBroken | RelayPieceArrived, now: float) -> None:
        found = self._found(event.address)
        match event:
            case Sealed():
                if found is not None:
                    self._begin_again(*found, now)
                self._greeting.sealed(event.address, event.device, event.binding, now)
            case SealBroken():
                if found is not None:
                    self._lose(*found, now)
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
        before = link.content
        link.detach(carrier, close=False)
        if link.content is not None and link.content is not before:
            self._through_another(link, None, now)

    def _through_another(self, link: Link, before: Carrier | None, now: float) -> None:
        """Content goes through another room from now on."""
        if before is not None:
            before.out.drop_waiting(Lane.BULK)  # it is asked for again over the new path
        self._user.link_moved(link, now)
        self._paths.tell(link, now)

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
        others = [link.member for link in self._links.values() if link.member.id != member.id]
        if member.client in (self._setup.client, *(other.client for other in others)):
            raise Refused(f"{member.name} claims to write with the id of somebody else")
        if len(others) >= LINKS_LIMIT:
            raise Refused(f"there are {LINKS_LIMIT} peers here already")

    def _attach_relay(self, member: Member, carrier: Carrier, now: float) -> None:
        link = self._links.get(member.id)
        if link is None:
            link = Link(member, self._setup.policy, now, self._emit)
            rooms.attach(link, carrier)
            self._links[member.id] = link
            self._take_places(now)
            self._paths.meet(link, now)
            self._steps.sealed(member, carrier.key, now)
            self._emit(Tell(PeerJoined(member.short, member.name, member.role)))
            self._user.link_opened(link, now)
        else:
            before = link.content
            if rooms.attach(link, carrier):
                link.next_ping = now
                self._through_another(link, before, now)
            self._paths.relay_is_back(link, now)
            self._back(link, now)
        self._paths.tell(link, now)

    def _take_places(self, now: float) -> None:
        """Who was killed and started Weft again will not be back as who they were."""
        for link in runs.survived_by_another(self.links()):
            if link.away_until is not None:
                self._drop(link, "restarted", now)
            else:
                runs.replace(link, now)
                self._user.link_replaced(link)
                self._emit(Tell(PeerLeft(link.member.short, link.member.name, "restarted")))

    def _not_replaced(self, link: Link, now: float) -> None:
        """Both runs of its device are alive."""
        if link.replaced:
            link.replaced = False
            self._emit(Tell(PeerJoined(link.member.short, link.member.name, link.member.role)))
            self._paths.tell(link, now, again=True)

    def _back(self, link: Link, now: float) -> None:
        self._not_replaced(link, now)
        if link.away_until is not None:
            link.away_until = None
            if link.content is None:
                link.pathless_since = now
            self._user.link_returned(link, now)

    def _moved(self, link: Link, now: float) -> None:
        """A direct path opened."""
        self._user.link_moved(link, now)
        self._back(link, now)

    # --- receiving ----------------------------------------------------------------------------------------

    def _receive(self, link: Link, carrier: Carrier, piece: bytes, now: float) -> None:
        try:
            unmeasured = carrier.rtt is None
            arrived = carrier.receive(piece, now)
            self._alive(link, now)
            if unmeasured and carrier.rtt is not None:
                self._paths.tell(link, now)
            if carrier.questions.answers:
                self._tell_answers(link, carrier)
            if arrived is not None:
                self._frame(link, carrier, arrived[1], now)
        except RemoteError as error:
            self.cut_off(link, error, now)

    def _ask(self, event: PingWanted, now: float) -> None:
        """Ask a peer for a sign of life, over what carries its contents."""
        link = next((link for link in self._links.values() if link.member.short == event.peer), None)
        carrier = None if link is None else link.content or link.relay
        if carrier is not None:
            carrier.ping(now, self._summary(), event.number)

    def _tell_answers(self, link: Link, carrier: Carrier) -> None:
        member = link.member
        for number, took in carrier.questions.answers:
            ms = round(took * 1000, 2)
            self._emit(Tell(PeerPong(member.short, member.name, carrier.path, carrier.address, ms, number)))
        carrier.questions.answers.clear()

    def _doubt(self, now: float) -> None:
        self._outage.doubt(now)

    def _alive(self, link: Link, now: float) -> None:
        self._outage.heard(now)
        link.doubted_until = None
        self._not_replaced(link, now)
        if link.told_silent:
            link.told_silent = False
            self._paths.tell(link, now, again=True)

    def _frame(self, link: Link, carrier: Carrier, frame: Frame, now: float) -> None:
        if isinstance(frame, Bye):
            self._said_bye(link, frame, now)
        elif isinstance(frame, PathFrame):
            self._paths.frame(link, carrier, frame, now)
        else:
            self._user.frame_arrived(link, frame, now)

    def _said_bye(self, link: Link, frame: Bye, now: float) -> None:
        refused = frame.reason.startswith("refused")
        if refused:
            self._emit(Tell(Warned("W-REFUSED", f"{link.member.name} ended the link: {frame.reason}")))
        self._drop(link, "refused" if refused else "bye", now)

    # --- losing ---------------------------------------------------------------------------------------------

    def _lose(self, link: Link, carrier: Carrier, now: float) -> None:
        """One carrier is gone; without any left, the peer is away, and may come back."""
        had = link.content
        link.detach(carrier)
        if had is not link.content:
            if link.content is None and link.relay is not None:
                link.pathless_since = now
            link.next_ping = now
            self._user.link_moved(link, now)
            self._paths.tell(link, now)
        if link.direct is None and link.relay is None:
            link.away(now)
            self._user.link_lost(link, now)

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
            link.detach(carrier)
        self._paths.forget(link)
        del self._links[link.member.id]
        self._user.link_closed(link)
        if not link.replaced:  # else that was told
            self._emit(Tell(PeerLeft(link.member.short, link.member.name, reason)))
        for carrier in carriers:
            if reason in ("silent", "left", "refused") and isinstance(carrier.key, bytes):
                # still in the room as far as the server knows: it may wake up, or mend its ways
                self._greeting.broken(carrier.key, now, wait=REFUSED_FOR if reason == "refused" else 0.0)

    def leave(self, now: float) -> None:
        """Say goodbye to everyone, once, after what is still queued for them."""
        if self._left:
            return
        self._left = True
        for link in self.links():
            link.pump(now)
            for carrier in link.carriers():
                carrier.out.push(Lane.CONTROL, encode(Bye("left")))
            link.pump(now)
            for carrier in link.carriers():
                self._emit(carrier.closing(drain=True))

    # --- time ---------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Whatever time asks for: pings, silence, giving up, dialling."""
        if self._left:
            return
        self._greeting.tick(now)
        for link in self.links():
            self._watch(link, now)
        self._paths.tick(now)
        self._outage.tick(now, anybody=bool(self._links))

    def _watch(self, link: Link, now: float) -> None:
        silence = now - link.heard
        if (reason := link.given_up(now)) is not None:
            self._drop(link, reason, now)
            return
        self._paths.watch(link, now)
        if silence >= SILENT_AFTER and not link.told_silent:
            link.told_silent = True
            if not link.replaced:  # else people were told that it is gone
                self._emit(Tell(PeerSilent(link.member.short, link.member.name, round(silence, 1))))
        before = link.content
        moved = rooms.doubt(link, now, self._summary)
        if now >= link.next_ping:
            link.next_ping = now + PING_EVERY
            moved = rooms.ping(link, now, self._summary()) or moved
        if moved:
            self._through_another(link, before, now)

    def pump(self, now: float) -> None:
        """Send what may be sent."""
        for link in self._links.values():
            link.pump(now)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        if self._left:
            return None
        moments = [self._greeting.next_deadline()]
        for link in self._links.values():
            moments += [link.next_deadline(), rooms.next_deadline(link)]
        moments += [self._paths.next_deadline(), self._outage.next_deadline()]
        return min((moment for moment in moments if moment is not None), default=None)
