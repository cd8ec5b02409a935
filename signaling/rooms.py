"""Who is in which room, and who gets a frame: decided here, carried out elsewhere.

Nothing in here sends. Each method returns whom to tell; `M` is whatever the caller uses to reach a
member. A room exists from its first member to its last and leaves nothing behind.
"""

from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

from signaling.errors import Refusal
from signaling.messages import CloseCode

__all__ = ["Entered", "Gone", "Membership", "Rooms"]

_REMEMBERED_ADDRESSES: Final = 128
"""Of those who left a room lately, and of those a member was told about: twice a full room."""

M = TypeVar("M")


@dataclass(slots=True)
class _Room(Generic[M]):
    name: str
    members: dict[bytes, M] = field(default_factory=dict)
    departed: dict[bytes, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gone:
    """Nobody has this address; *reason* is what to tell the sender, None if it has been told."""

    reason: Literal["left", "never"] | None


class Membership(Generic[M]):
    """One connection's place in its room."""

    __slots__ = ("_room", "_told", "address")

    def __init__(self, room: "_Room[M]", address: bytes) -> None:
        self._room = room
        self._told: dict[bytes, None] | None = None
        self.address = address

    @property
    def room(self) -> str:
        """The name of the room."""
        return self._room.name

    def relay(self, target: bytes) -> M | Gone:
        """Decide who gets a frame that this member sends to *target*."""
        receiver = self._room.members.get(target)
        return receiver if receiver is not None else self._gone(target)

    def _gone(self, target: bytes) -> Gone:
        if self._told is None:
            self._told = {}
        if target in self._told:
            return Gone(None)
        _remember(self._told, target)
        return Gone("left" if target in self._room.departed else "never")


@dataclass(frozen=True, slots=True)
class Entered(Generic[M]):
    """Somebody is inside now; *others* were there before and want to hear of it."""

    membership: Membership[M]
    others: dict[bytes, M]


class Rooms(Generic[M]):
    """All rooms of one server."""

    def __init__(self, *, room_limit: int, member_limit: int) -> None:
        self._rooms: dict[str, _Room[M]] = {}
        self._room_limit = room_limit
        self._member_limit = member_limit

    def __len__(self) -> int:
        return len(self._rooms)

    def enter(self, name: str, address: bytes, member: M) -> Entered[M]:
        """Let *member* into the room *name* under an *address* that nobody had before.

        Raises:
            Refusal: the room is full, or it would be one room too many.
        """
        room = self._rooms.get(name)
        if room is None:
            if len(self._rooms) >= self._room_limit:
                raise Refusal(CloseCode.NO_MORE_ROOMS, f"{self._room_limit}")
            room = self._rooms[name] = _Room(name)
        elif len(room.members) >= self._member_limit:
            raise Refusal(CloseCode.ROOM_FULL, f"{self._member_limit}")
        others = dict(room.members)
        room.members[address] = member
        return Entered(Membership(room, address), others)

    def leave(self, membership: Membership[M]) -> list[M]:
        """Take a member out, once or more often; return those who stay and want to hear of it."""
        room = self._rooms.get(membership.room)
        if room is None or room.members.pop(membership.address, None) is None:
            return []
        if not room.members:
            del self._rooms[room.name]
            return []
        _remember(room.departed, membership.address)
        return list(room.members.values())


def _remember(addresses: dict[bytes, None], address: bytes) -> None:
    """Keep *address*, and forget the oldest one if there are too many."""
    addresses[address] = None
    if len(addresses) > _REMEMBERED_ADDRESSES:
        del addresses[next(iter(addresses))]
