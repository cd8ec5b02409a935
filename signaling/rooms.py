"""Who is in which room, who gets a frame, and who may have its address back: decided here, done elsewhere.

Nothing in here sends. Each method returns whom to tell; `M` is whatever the caller uses to reach a
member. A room exists from its first member to its last, those who are away among them, and leaves
nothing behind.

    inside ──lose──▶ away ──resume──▶ inside          leave, expire, one absence too many ──▶ gone
"""

from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

from signaling.errors import Refusal
from signaling.messages import CloseCode

__all__ = ["Entered", "Gone", "Membership", "News", "Right", "Rooms"]

_REMEMBERED_ADDRESSES: Final = 128
"""Of those who left a room lately, and of those a member was told about: twice a full room."""

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Right:
    """What a member must show to have its address back: the *token*, and a signature that fits the *key*."""

    token: bytes
    key: bytes


@dataclass(slots=True)
class _Room(Generic[M]):
    name: str
    members: dict[bytes, M] = field(default_factory=dict)
    away: dict[bytes, "Membership[M]"] = field(default_factory=dict)
    departed: dict[bytes, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gone:
    """Nobody has this address; *reason* is what to tell the sender, None if it has been told."""

    reason: Literal["left", "never"] | None


class Membership(Generic[M]):
    """One connection's place in its room; *is_over* once another connection has it, or nobody."""

    __slots__ = ("_room", "_told", "address", "is_over", "lost_at", "right")

    def __init__(self, room: "_Room[M]", address: bytes, right: Right | None) -> None:
        self._room = room
        self._told: dict[bytes, None] | None = None
        self.address = address
        self.right = right
        self.is_over = False
        self.lost_at = 0.0

    @property
    def room(self) -> str:
        """The name of the room."""
        return self._room.name

    def relay(self, target: bytes) -> M | Gone:
        """Decide who gets a frame that this member sends to *target*."""
        receiver = self._room.members.get(target)
        return receiver if receiver is not None else self._gone(target)

    def _gone(self, target: bytes) -> Gone:
        if target in self._room.away:
            return Gone(None)  # everybody was told when it went away
        if self._told is None:
            self._told = {}
        if target in self._told:
            return Gone(None)
        _remember(self._told, target)
        return Gone("left" if target in self._room.departed else "never")


@dataclass(frozen=True, slots=True)
class Entered(Generic[M]):
    """Somebody is inside now; *others* want to hear of it; *superseded* held the same address till now."""

    membership: Membership[M]
    others: dict[bytes, M]
    superseded: M | None = None


@dataclass(frozen=True, slots=True)
class News(Generic[M]):
    """What *to* those who are in a room is to be told about an address."""

    what: Literal["left", "away"]
    address: bytes
    to: list[M]


class Rooms(Generic[M]):
    """All rooms of one server; at most *away_limit* members of all, *room_away_limit* of one, are away."""

    def __init__(
        self, *, room_limit: int, member_limit: int, away_limit: int = 0, room_away_limit: int = 0
    ) -> None:
        self._rooms: dict[str, _Room[M]] = {}
        self._rights: dict[bytes, Membership[M]] = {}
        self._away: dict[bytes, Membership[M]] = {}
        self._occupied = 0
        self._room_limit = room_limit
        self._member_limit = member_limit
        self._away_limit = away_limit
        self._room_away_limit = room_away_limit

    def __len__(self) -> int:
        """How many rooms have somebody in them who is not away."""
        return self._occupied

    def enter(self, name: str, address: bytes, member: M, right: Right | None = None) -> Entered[M]:
        """Let *member* into the room *name* under an *address* that nobody had before.

        Raises:
            Refusal: the room is full, or it would be one room too many.
        """
        room = self._rooms.get(name)
        self._check_limits(room)
        if room is None:
            room = self._rooms[name] = _Room(name)
        return self._put(room, address, member, right)

    def _check_limits(self, room: _Room[M] | None) -> None:
        if (room is None or not room.members) and self._occupied >= self._room_limit:
            raise Refusal(CloseCode.NO_MORE_ROOMS, f"{self._room_limit}")
        if room is not None and len(room.members) >= self._member_limit:
            raise Refusal(CloseCode.ROOM_FULL, f"{self._member_limit}")

    def _put(self, room: _Room[M], address: bytes, member: M, right: Right | None) -> Entered[M]:
        others = dict(room.members)
        self._occupied += not room.members
        room.members[address] = member
        membership = Membership(room, address, right)
        if right is not None:
            self._rights[right.token] = membership
        return Entered(membership, others)

    # --- coming back ------------------------------------------------------------------------------------

    def find(self, name: str, token: bytes) -> Membership[M] | None:
        """The place in the room *name* that *token* was given for last."""
        membership = self._rights.get(token)
        return membership if membership is not None and membership.room == name else None

    def resume(self, membership: Membership[M], member: M, token: bytes) -> Entered[M]:
        """Give *member*, who has shown its right to it, a place that `find` found; its next token is new.

        Raises:
            Refusal: the room has been filled meanwhile, or there are as many rooms as there may be.
        """
        room, right = membership._room, membership.right
        assert right is not None, "only a place with a right can be found"
        superseded = room.members.get(membership.address)
        if superseded is None:
            self._check_limits(room)
        self._end(membership)
        entered = self._put(room, membership.address, member, Right(token, right.key))
        return Entered(entered.membership, entered.others, superseded)

    # --- going ------------------------------------------------------------------------------------------

    def leave(self, membership: Membership[M]) -> list[M]:
        """Take a member out, once or more often; return those who stay and want to hear of it."""
        if membership.is_over:
            return []
        room = membership._room
        self._end(membership)
        _remember(room.departed, membership.address)
        self._forget_if_empty(room)
        return list(room.members.values())

    def lose(self, membership: Membership[M], now: float) -> list[News[M]]:
        """A member's connection broke: keep its place for it, if it has a right to that."""
        if membership.is_over or membership.address in membership._room.away:
            return []
        room, right = membership._room, membership.right
        if right is None:
            return [News("left", membership.address, self.leave(membership))]
        del room.members[membership.address]
        self._occupied -= not room.members
        membership.lost_at = now
        room.away[membership.address] = self._away[right.token] = membership
        news = [News("away", membership.address, list(room.members.values()))]
        if len(room.away) > self._room_away_limit:
            news.append(self._give_up(next(iter(room.away.values()))))
        if len(self._away) > self._away_limit:
            news.append(self._give_up(next(iter(self._away.values()))))
        return news

    def expire(self, now: float, seconds: float) -> list[News[M]]:
        """Give up those who have been away for *seconds* or longer."""
        news = []
        while self._away and now - (oldest := next(iter(self._away.values()))).lost_at >= seconds:
            news.append(self._give_up(oldest))
        return news

    def _give_up(self, membership: Membership[M]) -> News[M]:
        return News("left", membership.address, self.leave(membership))

    def _end(self, membership: Membership[M]) -> None:
        """Nobody has this place any more."""
        room = membership._room
        membership.is_over = True
        if membership.right is not None:
            del self._rights[membership.right.token]
            self._away.pop(membership.right.token, None)
        if room.away.pop(membership.address, None) is None:
            del room.members[membership.address]
            self._occupied -= not room.members

    def _forget_if_empty(self, room: _Room[M]) -> None:
        if not room.members and not room.away:
            del self._rooms[room.name]


def _remember(addresses: dict[bytes, None], address: bytes) -> None:
    """Keep *address*, and forget the oldest one if there are too many."""
    addresses[address] = None
    if len(addresses) > _REMEMBERED_ADDRESSES:
        del addresses[next(iter(addresses))]
