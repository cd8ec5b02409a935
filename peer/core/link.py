"""The authenticated channel to one peer: which carriers it has, which one it uses, and its pulse.

A link begins on the relay and moves to a direct path when one opens; it falls back when that path dies; of
several shared rooms (`rooms.py`) one is the relay, the others are spares.  Content (lanes EDITS and BULK)
goes over exactly one carrier, the *content carrier*; whoever owns the link is told when it changes: then
both sides compare what they hold.  Edits not acknowledged there go the next best way too (`detour.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from peer.core.actions import Action
from peer.core.advice import NOT_THROUGH, NOTHING_YET
from peer.core.carrier import ACK_WITHIN, Carrier
from peer.core.detour import DETOUR_AFTER
from peer.core.frames import Frame, encode
from peer.core.ids import Attempt, PeerId
from peer.core.pieces import Lane
from peer.core.policy import allows_relay, ruled_out
from peer.core.shown import Shown

__all__ = [
    "ASK_AHEAD",
    "DEAD_AFTER",
    "DETOUR_AHEAD",
    "DOUBT",
    "GRACE",
    "OVERLAP",
    "PING_EVERY",
    "RELAY_BUDGET",
    "RELAY_PATIENCE",
    "SILENT_AFTER",
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
GRACE: Final = 15.0
"""Seconds for which a peer that nothing leads to any more stays one: a server restarts, a laptop moves."""
DOUBT: Final = 3.0
"""When the server says that someone left whose direct path still stands, it has this long to speak."""
RELAY_BUDGET: Final = 256 * 1024
"""Bytes of bulk that a peer may get through the relay while the direct path is undecided."""
RELAY_PATIENCE: Final = 5.0
"""Seconds after which an undecided direct path no longer holds bulk back."""
DETOUR_AHEAD: Final = 64 * 1024
"""Bytes of edits on a detour that wait for the other carrier: half of the window of a relay."""
ASK_AHEAD: Final = 0.3
"""Seconds before edits are late at which rooms and the server are asked for a sign of life, so that what is
dead as well is known by then, or sooner afterwards."""
OVERLAP: Final = 2.0
"""Seconds for which a path that was replaced still listens: the other side moves a round trip later."""


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


class Link:
    """One peer and the carriers that lead to it.

    Attributes:
        retired: the direct path before the present one, which listens until `retired_until`.
        policies: what our side and theirs say of paths.
        allows_relay: both let contents go through the server.
        pathless_since: contents have had no way since then, and nobody was told.
        why_not: how the last attempt at a direct path ended; shown: what kinds of addresses it had.
        ruled_out: which choice of `--path` rules a direct path out, for people; empty if none does.
        next_probe: the other carriers are asked for a sign of life, beside a doubtful one, no earlier.
        renewed_at: when a new path was last looked for because the one that stands had gone silent.
        checked_since, checked_until: the direct path has this time to prove that it still stands.
        replaced: a later run of the same device is here, and this one has not spoken since.
    """

    def __init__(self, member: Member, policy: str, now: float, emit: Callable[[Action], None]) -> None:
        self.member = member
        self.since = now
        self.relay: Carrier | None = None
        self.spares: list[Carrier] = []
        self.direct: Carrier | None = None
        self.retired: Carrier | None = None
        self.retired_until = 0.0
        self.told_path: str | None = None
        self.told_silent = self.told_why_not = self.replaced = False
        self.doubted_until: float | None = None
        self.away_until: float | None = None
        self.next_ping = now
        self._undecided_until: float | None = now + RELAY_PATIENCE
        self.policies = (policy, member.policy)
        self.allows_relay = allows_relay(*self.policies)
        self.pathless_since = None if self.allows_relay else now
        self.why_not = NOTHING_YET
        self.ruled_out = ruled_out(*self.policies)
        self.shown = Shown()
        self.next_probe = now
        self.renewed_at = float("-inf")
        self.checked_since = now
        self.checked_until: float | None = None
        self._emit = emit
        self._bytes_before = (0, 0)
        self._heard_before = now

    @property
    def content(self) -> Carrier | None:
        """The carrier for content, or `None` while there is none."""
        if self.direct is not None:
            return self.direct
        relay = self.relay
        return relay if relay is not None and self.may_carry(relay) else None

    def may_carry(self, room: Carrier) -> bool:
        """Whether contents may go through this room."""
        return self.allows_relay or room.path == "lan"

    def rooms(self) -> list[Carrier]:
        """The carriers through rooms, the better ones first."""
        return [c for c in (self.relay, *self.spares) if c is not None]

    @property
    def heard(self) -> float:
        """When anything last came from this peer."""
        standing = (c for c in (self.direct, *self.rooms()) if c is not None)
        return max((self._heard_before, *(carrier.heard for carrier in standing)))

    @property
    def path(self) -> str | None:
        """The path in the words of the design, or `None` while there is none."""
        return None if self.content is None else self.content.path

    @property
    def why_not_direct(self) -> str:
        """Why contents do not go directly, for people; empty if they do."""
        if self.path not in ("relay", "turn", None):
            return ""
        return (self.ruled_out if self.path else "") or self.why_not

    def carriers(self) -> list[Carrier]:
        """Those that stand, the preferred one first."""
        return [c for c in (self.direct, self.relay, *self.spares, self.retired) if c is not None]

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
        carrier.push(lane, encode(frame))
        return True

    def signal(self, frame: Frame) -> None:
        """Queue a frame about the direct path itself, which goes over the relay where there is one."""
        carrier = self.relay or self.direct
        if carrier is not None:
            carrier.out.push(Lane.CONTROL, encode(frame))

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
        if (content := self.content) is not None and content.is_watched:
            self._go_around(content, now)
        for carrier in self.carriers():
            carrier.acknowledge(now)
            if carrier.out.frames:
                held = carrier.path == "relay" and self._undecided_until is not None
                for order in carrier.orders(bulk=RELAY_BUDGET if held else None):
                    self._emit(order)

    def _go_around(self, content: Carrier, now: float) -> None:
        """Send what the content carrier does not acknowledge the next best way as well."""
        if (question := content.look_back(now)) is not None:
            self._emit(question)
        late_at = self.late_at
        if late_at is None or now < late_at or (way := self._aside(content, late_at)) is None:
            return
        content.detour.over(way)
        while way.out.has_room(Lane.EDITS, DETOUR_AHEAD) and (frame := content.detour.take()) is not None:
            way.push(Lane.EDITS, frame)

    def _aside(self, content: Carrier, late_at: float) -> Carrier | None:
        """The next best way: the one taken before, unless only others were heard since all were asked."""
        others = [room for room in self.rooms() if room is not content and self.may_carry(room)]
        heard = [room for room in others if room.heard >= late_at - ASK_AHEAD] or others
        same = [room for room in heard if room is content.detour.way]
        return next(iter(same or heard), None)

    @property
    def late_at(self) -> float | None:
        """When what the content carrier owes an acknowledgement for is late, on a way as long as this."""
        content = self.content
        if content is None or not content.detour.has_any():
            return None
        rtt = 0.0 if content.rtt is None else content.rtt
        return content.detour.late_at(max(DETOUR_AFTER, 2 * rtt + ACK_WITHIN))

    def open_direct(self, carrier: Carrier, now: float) -> None:
        """Contents go over *carrier* from now on; the one before it listens for a moment more."""
        if self.retired is not None:
            self.detach(self.retired)
        self._heard_before = self.heard
        self.retired, self.retired_until = self.direct, now + OVERLAP
        self.direct = carrier
        self.why_not = NOT_THROUGH  # in case it goes over TURN

    def doubt(self, now: float) -> None:
        """The server says that they left; a direct path that stands has a moment to prove otherwise."""
        self.doubted_until = now + DOUBT

    def away(self, now: float) -> None:
        """Nothing leads to the peer any more; it has `GRACE` seconds to come back."""
        self.away_until = now + GRACE
        self.doubted_until = self.pathless_since = None

    def given_up(self, now: float) -> str | None:
        """Why it is time to give the peer up, or `None`."""
        if self.away_until is not None:
            return "silent" if self.replaced or now >= self.away_until else None
        if self.doubted_until is not None and now >= self.doubted_until:
            return "left"
        return "silent" if now - self.heard >= DEAD_AFTER else None

    def detach(self, carrier: Carrier, *, close: bool = True, drain: bool = False) -> None:
        """Drop one carrier."""
        sent, received = self._bytes_before
        self._heard_before = self.heard
        self._bytes_before = (
            sent + carrier.out.bytes_sent,
            received + carrier.incoming.bytes_received,
        )
        if carrier is self.direct:
            self.direct = None
        elif carrier is self.retired:
            self.retired = None
        elif carrier is self.relay:
            self.relay = self.spares.pop(0) if self.spares else None
        elif carrier in self.spares:
            self.spares.remove(carrier)
        if close:
            self._emit(carrier.closing(drain=drain))

    def traffic(self) -> tuple[int, int]:
        """Bytes sent and received over all carriers since the link began."""
        sent, received = self._bytes_before
        for carrier in self.carriers():
            sent += carrier.out.bytes_sent
            received += carrier.incoming.bytes_received
        return sent, received

    def next_deadline(self) -> float:
        """When someone must look at this link again."""
        moments = [self.next_ping]
        if not self.told_silent:
            moments.append(self.heard + SILENT_AFTER)
        moments.append(self.heard + DEAD_AFTER if self.away_until is None else self.away_until)
        if self.doubted_until is not None:
            moments.append(self.doubted_until)
        if self._undecided_until is not None and self.relay is not None and self.relay.out.frames:
            moments.append(self._undecided_until)
        if self.retired is not None:
            moments.append(self.retired_until)
        moments += [carrier.ack_at for carrier in self.carriers() if carrier.ack_at is not None]
        if (content := self.content) is not None and (late_at := self.late_at) is not None:
            moments += self._detour_moments(content, late_at)
        return min(moments)

    def _detour_moments(self, content: Carrier, late_at: float) -> list[float]:
        question, way = content.next_question(), self._aside(content, late_at)
        moments = [] if question is None else [question]
        if way is not None and content.detour.would_take(way) and way.out.has_room(Lane.EDITS, DETOUR_AHEAD):
            moments.append(late_at)
        return moments


class Listener(Protocol):
    """Who is told what happens to links: the session."""

    def link_opened(self, link: Link, now: float) -> None:
        """A peer is known and has a first carrier."""

    def link_moved(self, link: Link, now: float) -> None:
        """Its content goes another way."""

    def link_lost(self, link: Link, now: float) -> None:
        """Nothing leads to the peer any more; it has `GRACE` seconds to come back."""

    def link_returned(self, link: Link, now: float) -> None:
        """It came back in time."""

    def link_replaced(self, link: Link) -> None:
        """A later run of its device has its place; `link_closed` or a word from it follows."""

    def link_closed(self, link: Link) -> None:
        """It is gone."""

    def frame_arrived(self, link: Link, frame: Frame, now: float) -> None:
        """It said something."""
