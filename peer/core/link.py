"""The authenticated channel to one peer: which carriers it has, which one it uses, and its pulse.

A link begins on the relay and moves to a direct path when one opens; it falls back when that path
dies.  Two peers may share several rooms (a server's, and those of peers on a local network): then
the best room's carrier is the relay, and the others are spares.  Content (lanes EDITS and BULK) always goes
over exactly one carrier, the *content carrier*; whoever owns the link is told when it changes, because
then both sides compare what they hold.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from peer.core.actions import Action, CloseDirect, CloseSeal, SendPiece, SendRelay
from peer.core.carrier import DIRECT_WINDOW, RELAY_WINDOW, Incoming, Lane, Outgoing
from peer.core.frames import Ack, Bye, Frame, Ping, Pong, decode, encode
from peer.core.ids import Attempt, PeerId, room_of
from peer.core.notices import PeerPath

__all__ = [
    "DEAD_AFTER",
    "DOUBT",
    "PING_EVERY",
    "RELAY_BUDGET",
    "RELAY_PATIENCE",
    "SILENT_AFTER",
    "Carrier",
    "Link",
    "Listener",
    "Member",
]

PING_EVERY: Final = 2.0
"""Seconds: often enough to notice silence before a person does, too rarely to matter."""
SILENT_AFTER: Final = 6.5
"""Three pings and some patience; mosh tells its users after the same time."""
DEAD_AFTER: Final = 15.0
"""Long enough for a laptop to change its network, short enough to free what a dead peer holds."""
DOUBT: Final = 3.0
"""When the server says that someone left whose direct path still stands, it has this long to speak."""
RELAY_BUDGET: Final = 256 * 1024
"""Bytes of bulk that a peer may get through the relay while the direct path is undecided."""
RELAY_PATIENCE: Final = 5.0
"""Seconds after which an undecided direct path no longer holds bulk back."""
PINGS_REMEMBERED: Final = 8
"""Older answers say nothing about the round trip now."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a peer proved about itself in its hello."""

    id: PeerId
    name: str
    role: str
    client: int
    host: bytes
    policy: str

    @property
    def short(self) -> str:
        """The id as people and programs see it."""
        return self.id[:4].hex() + self.id[-4:].hex()


class Carrier:
    """One way to the peer, with its queues; what it carries is already authenticated."""

    def __init__(self, key: bytes | Attempt, now: float, path: str, address: str = "") -> None:
        window = RELAY_WINDOW if isinstance(key, bytes) else DIRECT_WINDOW
        self.key = key
        self.path = path
        self.address = address
        self.opened = now
        self.heard = now
        self.out = Outgoing(window)
        self.incoming = Incoming(window)
        self.rtt: float | None = None
        self._pings: dict[int, float] = {}
        self._number = 0

    def order(self, piece: bytes) -> Action:
        """The action that sends *piece* here."""
        if isinstance(self.key, bytes):
            return SendRelay(self.key, piece)
        return SendPiece(self.key, piece)

    def closing(self, *, drain: bool = False) -> Action:
        """The action that closes this carrier."""
        return CloseSeal(self.key) if isinstance(self.key, bytes) else CloseDirect(self.key, drain)

    def orders(self, *, bulk: int | None = None) -> Iterable[Action]:
        """The actions that send what may be sent now; for *bulk* see `Outgoing.pieces`."""
        return map(self.order, self.out.pieces(bulk=bulk))

    def ping(self, now: float, summary: bytes) -> None:
        """Queue a heartbeat."""
        self._number += 1
        self._pings[self._number] = now
        while len(self._pings) > PINGS_REMEMBERED:
            del self._pings[next(iter(self._pings))]
        self.out.push(Lane.CONTROL, encode(Ping(self._number, self.incoming.reported(), summary)))

    def pong(self, frame: Pong, now: float) -> None:
        """Take the answer to a heartbeat into the round-trip estimate (RFC 6298 §2: 7/8 old)."""
        self.out.acknowledge(frame.received)
        if (sent := self._pings.pop(frame.number, None)) is not None:
            sample = now - sent
            self.rtt = sample if self.rtt is None else self.rtt * 0.875 + sample * 0.125

    def receive(self, piece: bytes, now: float) -> tuple[Lane, Frame] | None:
        """Take one piece; answer pings and acknowledgements here, return any other frame.

        Raises:
            RemoteError: the piece or its frame breaks the protocol.
        """
        self.heard = now
        whole = self.incoming.receive(piece)
        if self.incoming.ack_due():
            self.out.push(Lane.CONTROL, encode(Ack(self.incoming.reported())))
        frame = decode(whole[1]) if whole is not None else None
        if whole is None or frame is None:
            return None
        match frame:
            case Ack():
                self.out.acknowledge(frame.received)
                return None
            case Pong():
                self.pong(frame, now)
                return None
            case Ping():
                self.out.acknowledge(frame.received)
                self.out.push(Lane.CONTROL, encode(Pong(frame.number, self.incoming.reported())))
                return whole[0], frame
            case _:
                return whole[0], frame


class Link:
    """One peer and the carriers that lead to it."""

    def __init__(self, member: Member, policy: str, now: float, emit: Callable[[Action], None]) -> None:
        self.member = member
        self.since = now
        self.relay: Carrier | None = None
        self.spares: list[Carrier] = []
        self.direct: Carrier | None = None
        self.told_path: str | None = None
        self.told_silent = False
        self.doubted_until: float | None = None
        self.next_ping = now
        self._undecided_until: float | None = now + RELAY_PATIENCE
        self._policy = policy
        self._emit = emit
        self._bytes_before = (0, 0)
        self._heard_before = now

    @property
    def content(self) -> Carrier | None:
        """The carrier for content, or `None` while there is none."""
        if self.direct is not None:
            return self.direct
        relay = self.relay
        if relay is not None and relay.path == "relay" and "direct" in (self._policy, self.member.policy):
            return None
        return relay

    @property
    def heard(self) -> float:
        """When anything last came from this peer."""
        heard = self._heard_before
        if self.direct is not None and self.direct.heard > heard:
            heard = self.direct.heard
        if self.relay is not None and self.relay.heard > heard:
            heard = self.relay.heard
        for spare in self.spares:
            heard = max(heard, spare.heard)
        return heard

    @property
    def path(self) -> str | None:
        """The path in the words of the design, or `None` while there is none."""
        return None if self.content is None else self.content.path

    def carriers(self) -> list[Carrier]:
        """Those that stand, the preferred one first."""
        return [c for c in (self.direct, self.relay, *self.spares) if c is not None]

    def carrier(self, key: bytes | Attempt) -> Carrier | None:
        """The carrier with this address or attempt."""
        return next((c for c in self.carriers() if c.key == key), None)

    def send(self, lane: Lane, frame: Frame) -> bool:
        """Queue one frame where it belongs; false when there is no way for it now."""
        carrier = self.content
        if lane is Lane.CONTROL:
            carrier = carrier or self.relay
        if carrier is None:
            return False
        carrier.out.push(lane, encode(frame))
        return True

    def signal(self, frame: Frame) -> None:
        """Queue a frame about the direct path itself, which goes over the relay where there is one."""
        carrier = self.relay or self.direct
        if carrier is not None:
            carrier.out.push(Lane.CONTROL, encode(frame))

    def through(self, room: bytes) -> list[Carrier]:
        """The carriers that lead through this room."""
        return [c for c in self.carriers() if isinstance(c.key, bytes) and room_of(c.key) == room]

    def attach(self, carrier: Carrier) -> bool:
        """Take a carrier through a room, in place of an older one in that room; true if content moves."""
        before = self.content
        self.doubted_until = None
        assert isinstance(carrier.key, bytes), "direct carriers come by themselves"
        for other in self.through(room_of(carrier.key)):
            self.detach(other)
        through_rooms = [c for c in (self.relay, *self.spares, carrier) if c is not None]
        # `sort` keeps the order of equals: a link does not move without a reason
        through_rooms.sort(key=lambda each: each.path != "lan")
        self.relay, *self.spares = through_rooms
        return self.content is not before

    def pulse(self, now: float, summary: bytes) -> bool:
        """Ask on the best way; when that is silent, on all, and go on where answers come; true if moved."""
        before = self.content
        self.next_ping = now + PING_EVERY
        self._prefer_heard(now)
        carriers = self.carriers()
        for carrier in carriers:
            if carrier is carriers[0] or now - carriers[0].heard >= 2 * PING_EVERY:
                carrier.ping(now, summary)
        return self.content is not before

    def _prefer_heard(self, now: float) -> None:
        """Let the relay trade places with a spare that was heard while it was silent."""
        relay = self.relay
        if relay is None or now - relay.heard < SILENT_AFTER:
            return
        for index, spare in enumerate(self.spares):
            if now - spare.heard < SILENT_AFTER:
                self.relay, self.spares[index] = spare, relay
                return

    def room(self, lane: Lane, limit: int) -> bool:
        """Whether content has a carrier, on which less than *limit* bytes wait in *lane*."""
        carrier = self.content
        return carrier is not None and carrier.out.has_room(lane, limit)

    @property
    def bulk_received(self) -> int:
        """Bytes of bulk that the content carrier brought: they grow while a large answer arrives."""
        return 0 if self.content is None else self.content.incoming.bulk_received

    def decide(self) -> None:
        """Whether there is a direct path is known by now: the relay carries what it is given."""
        self._undecided_until = None

    def pump(self, now: float) -> None:
        """Send whatever may be sent now."""
        if self._undecided_until is not None and now >= self._undecided_until:
            self.decide()
        for carrier in self.carriers():
            if carrier.out.frames:
                held = carrier.path == "relay" and self._undecided_until is not None
                for order in carrier.orders(bulk=RELAY_BUDGET if held else None):
                    self._emit(order)

    def say_goodbye(self, now: float) -> None:
        """Tell the peer that we leave, on every carrier, after what still waits there; then close them."""
        self.pump(now)
        for carrier in self.carriers():
            carrier.out.push(Lane.CONTROL, encode(Bye("left")))
        self.pump(now)
        for carrier in self.carriers():
            self._emit(carrier.closing(drain=True))

    def path_notice(self, now: float, *, again: bool) -> PeerPath | None:
        """What to tell people of the present path, if they were not told, or are to be told *again*."""
        carrier = self.content
        if carrier is None or (self.told_path == carrier.path and not again):
            return None
        self.told_path = carrier.path
        rtt = None if carrier.rtt is None else round(carrier.rtt * 1000, 2)
        took = round((now - self.since) * 1000, 1)
        return PeerPath(self.member.short, self.member.name, carrier.path, rtt, took)

    def detach(self, carrier: Carrier, *, close: bool = True, drain: bool = False) -> bool:
        """Drop one carrier; true if content goes another way now, or none."""
        before = self.content
        sent, received = self._bytes_before
        self._heard_before = self.heard
        self._bytes_before = (
            sent + carrier.out.bytes_sent,
            received + carrier.incoming.bytes_received,
        )
        if carrier is self.direct:
            self.direct = None
        elif carrier is self.relay:
            self.relay = self.spares.pop(0) if self.spares else None
        elif carrier in self.spares:
            self.spares.remove(carrier)
        if close:
            self._emit(carrier.closing(drain=drain))
        return self.content is not before

    def traffic(self) -> tuple[int, int]:
        """Bytes sent and received over all carriers since the link began."""
        sent, received = self._bytes_before
        for carrier in self.carriers():
            sent += carrier.out.bytes_sent
            received += carrier.incoming.bytes_received
        return sent, received

    def next_deadline(self) -> float:
        """When someone must look at this link again."""
        moments = [self.next_ping, self.heard + (DEAD_AFTER if self.told_silent else SILENT_AFTER)]
        if self.doubted_until is not None:
            moments.append(self.doubted_until)
        if self._undecided_until is not None and self.relay is not None and self.relay.out.frames:
            moments.append(self._undecided_until)
        return min(moments)


class Listener(Protocol):
    """Who is told what happens to links: the session."""

    def link_opened(self, link: Link, now: float) -> None:
        """A peer is known and has a first carrier."""

    def link_moved(self, link: Link, now: float) -> None:
        """Its content goes another way."""

    def link_closed(self, link: Link) -> None:
        """It is gone."""

    def frame_arrived(self, link: Link, frame: Frame, now: float) -> None:
        """It said something."""
