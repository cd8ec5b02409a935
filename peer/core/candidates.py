"""Which of the room servers on a local network to be in: each member runs one, and is always in its own.

    announced, named, remembered ──EnterRoom──▶ opening ──RoomEntered──▶ in
             ▲                                    │                      │
             └─────── wait, longer each time ◀────┴────── RoomEnded ─────┘

Two members need one room that both are in.  So each enters the rooms of others, the smallest names first
and no more than `ROOMS_LIMIT`: few members are in all rooms, many meet in the same few, and whoever leaves
takes only a spare away.  One of the two finding the other is enough.  All addresses of one server are tried
together; the first that answers is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, assert_never

__all__ = [
    "CANDIDATES_LIMIT",
    "ENDPOINTS_LIMIT",
    "FIRST_WAIT",
    "FORGET_AFTER",
    "LONGEST_WAIT",
    "REMEMBERED",
    "ROOMS_LIMIT",
    "Candidates",
    "Endpoint",
    "EnterRoom",
    "Event",
    "Heard",
    "LeaveRoom",
    "Named",
    "NetworkChanged",
    "Order",
    "Remember",
    "RoomEnded",
    "RoomEntered",
    "Tick",
    "Withdrawn",
]

ROOMS_LIMIT: Final = 3
"""Rooms of others at a time: with our own four, as many addresses as there may be for each of 64 members."""
CANDIDATES_LIMIT: Final = 64
"""Servers that we know of: as many as a session has members at once."""
ENDPOINTS_LIMIT: Final = 8
"""Addresses of one server: four interfaces in two families; the one heard longest ago is forgotten first."""
REMEMBERED: Final = 8
"""Addresses that are tried when the program starts again."""
FORGET_AFTER: Final = 100.0
"""Seconds: three announcements and some patience."""
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 30.0
"""Seconds between two tries at a server that does not answer: doubled each time, cut at random."""
_DOUBTFUL: Final = 3
"""Failures after which a server no longer takes the place of one that answers."""
_FIRST_NUMBER: Final = 2
_LAST_NUMBER: Final = 255
"""Rooms are numbered in one byte; 1 is our own."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens; *host* is an IP address, with its scope (`fe80::1%eth0`) if it needs one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Heard:
    """The server of this name announced itself at *endpoint*."""

    instance: bytes
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """It said that it is going."""

    instance: bytes


@dataclass(frozen=True, slots=True)
class Named:
    """A server may be at *endpoint*: remembered, or given by a person, who means it for as long as we run."""

    endpoint: Endpoint
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class RoomEntered:
    """We are in room *number*, whose server calls itself *instance*; empty if it is nobody's own."""

    number: int
    instance: bytes


@dataclass(frozen=True, slots=True)
class RoomEnded:
    """Room *number* could not be entered, or the connection to it ended."""

    number: int


@dataclass(frozen=True, slots=True)
class NetworkChanged:
    """Addresses came or went, or the machine woke up: everything is worth another try."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but time has passed."""


Event = Heard | Withdrawn | Named | RoomEntered | RoomEnded | NetworkChanged | Tick


@dataclass(frozen=True, slots=True)
class EnterRoom:
    """Try *endpoints* together, and enter the room at the first that answers, under this number."""

    number: int
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class LeaveRoom:
    """Leave room *number*, or give up entering it; nothing more is to be told about it."""

    number: int


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep these for the next start, the best first."""

    endpoints: tuple[Endpoint, ...]


Order = EnterRoom | LeaveRoom | Remember


@dataclass(slots=True, eq=False)
class _Candidate:
    instance: bytes
    endpoints: list[Endpoint]
    heard: float
    retry_at: float | None
    lasting: bool = False
    number: int | None = None
    entered: bool = False
    failures: int = 0

    def add(self, endpoint: Endpoint) -> bool:
        """Put *endpoint* first; true if it was not known."""
        is_new = endpoint not in self.endpoints
        self.endpoints = [endpoint, *(other for other in self.endpoints if other != endpoint)][
            :ENDPOINTS_LIMIT
        ]
        return is_new


@dataclass(slots=True)
class Candidates:
    """The servers we know of, and what we do about each.

    *own* is the name of our own server; *spread* draws a wait between nothing and what it is given.
    """

    own: bytes
    spread: Callable[[float], float]
    _all: list[_Candidate] = field(default_factory=list)
    _orders: list[Order] = field(default_factory=list)
    _reached: list[Endpoint] = field(default_factory=list)
    _number: int = _FIRST_NUMBER - 1

    def handle(self, event: Event, now: float) -> list[Order]:
        """Take one event; return what is to be done, in order."""
        match event:
            case Heard():
                self._heard(event, now)
            case Withdrawn():
                self._withdrawn(event.instance, now)
            case Named():
                self._named(event, now)
            case RoomEntered():
                self._entered(event, now)
            case RoomEnded():
                self._ended(event.number, now)
            case NetworkChanged():
                self._network_changed(now)
            case Tick():
                pass
            case _:
                assert_never(event)
        self._choose(now)
        orders, self._orders = self._orders, []
        return orders

    def next_deadline(self) -> float | None:
        """When `Tick` has something to do."""
        idle = (each.retry_at for each in self._wanted() if each.number is None)
        return min((moment for moment in idle if moment is not None), default=None)

    # --- what is known --------------------------------------------------------------------------------

    def _heard(self, event: Heard, now: float) -> None:
        if event.instance == self.own:
            return
        candidate = self._of(event.instance) or self._adopt(event) or self._add(event.instance, now)
        if candidate is None:
            return
        candidate.heard = now
        if candidate.add(event.endpoint) or candidate.retry_at is None:
            soon = now + FIRST_WAIT
            candidate.retry_at = soon if candidate.retry_at is None else min(candidate.retry_at, soon)

    def _of(self, instance: bytes) -> _Candidate | None:
        return next((each for each in self._all if each.instance == instance), None)

    def _adopt(self, event: Heard) -> _Candidate | None:
        """What had no name until now has one, if it is at this very endpoint."""
        nameless = (each for each in self._all if not each.instance and event.endpoint in each.endpoints)
        candidate = next(nameless, None)
        if candidate is not None:
            candidate.instance = event.instance
        return candidate

    def _add(self, instance: bytes, now: float) -> _Candidate | None:
        if len(self._all) >= CANDIDATES_LIMIT:
            return None
        candidate = _Candidate(instance, [], heard=now, retry_at=now)
        self._all.append(candidate)
        return candidate

    def _named(self, event: Named, now: float) -> None:
        candidate = next((each for each in self._all if event.endpoint in each.endpoints), None)
        candidate = candidate or self._add(b"", now)
        if candidate is not None:
            candidate.add(event.endpoint)
            candidate.lasting |= event.lasting

    def _withdrawn(self, instance: bytes, now: float) -> None:
        candidate = self._of(instance)
        if candidate is None:
            return
        self._leave(candidate, now)
        candidate.instance = b""
        if not candidate.lasting:
            self._all.remove(candidate)

    # --- what came of it --------------------------------------------------------------------------------

    def _numbered(self, number: int) -> _Candidate | None:
        return next((each for each in self._all if each.number == number), None)

    def _entered(self, event: RoomEntered, now: float) -> None:
        candidate = self._numbered(event.number)
        if candidate is None:
            return
        if event.instance == self.own:  # an address that was somebody's is ours today
            self._leave(candidate, now)
            self._all.remove(candidate)
            return
        candidate.instance = event.instance or candidate.instance
        candidate.entered, candidate.failures, candidate.heard = True, 0, now
        self._join_twins(candidate, now)
        self._remember(candidate)

    def _join_twins(self, candidate: _Candidate, now: float) -> None:
        """One server that was known under two addresses is entered once: where we were first."""
        twins = [each for each in self._all if each.instance and each.instance == candidate.instance]
        keep = next((each for each in twins if each.entered and each is not candidate), candidate)
        for twin in twins:
            if twin is not keep:
                keep.lasting |= twin.lasting
                keep.endpoints = list(dict.fromkeys((*keep.endpoints, *twin.endpoints)))[:ENDPOINTS_LIMIT]
                self._leave(twin, now)
                self._all.remove(twin)

    def _remember(self, candidate: _Candidate) -> None:
        reached = list(dict.fromkeys((*candidate.endpoints[:2], *self._reached)))[:REMEMBERED]
        if reached != self._reached:
            self._reached = reached
            self._orders.append(Remember(tuple(reached)))

    def _ended(self, number: int, now: float) -> None:
        candidate = self._numbered(number)
        if candidate is None:
            return
        candidate.number, candidate.entered = None, False
        candidate.failures += 1
        if candidate.instance or candidate.lasting:
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(candidate.failures, 8))
            candidate.retry_at = now + self.spread(longest)
        else:
            candidate.retry_at = None  # what was remembered is tried again when the network changes

    def _network_changed(self, now: float) -> None:
        for candidate in self._all:
            candidate.failures = 0
            candidate.retry_at = now

    # --- choosing -----------------------------------------------------------------------------------------

    def _wanted(self) -> list[_Candidate]:
        """Whom to be with: the smallest names that answer, and whatever has no name yet."""
        named = [each for each in self._all if each.instance]
        named.sort(key=lambda each: (not each.lasting, each.failures >= _DOUBTFUL, each.instance))
        return named[:ROOMS_LIMIT] + [each for each in self._all if not each.instance]

    def _choose(self, now: float) -> None:
        self._all = [each for each in self._all if not _is_forgotten(each, now)]
        wanted = self._wanted()
        for candidate in wanted:
            if candidate.number is None and candidate.retry_at is not None and candidate.retry_at <= now:
                candidate.number = self._next_number()
                self._orders.append(EnterRoom(candidate.number, tuple(candidate.endpoints)))
        if all(each.entered for each in wanted if each.instance):
            for candidate in self._all:
                if candidate.entered and candidate not in wanted:
                    self._leave(candidate, now)

    def _leave(self, candidate: _Candidate, now: float) -> None:
        if candidate.number is not None:
            self._orders.append(LeaveRoom(candidate.number))
        candidate.number, candidate.entered, candidate.retry_at = None, False, now

    def _next_number(self) -> int:
        taken = {each.number for each in self._all}
        while True:
            self._number = self._number + 1 if self._number < _LAST_NUMBER else _FIRST_NUMBER
            if self._number not in taken:
                return self._number


def _is_forgotten(candidate: _Candidate, now: float) -> bool:
    is_idle = candidate.number is None and not candidate.lasting
    return bool(candidate.instance) and is_idle and now - candidate.heard > FORGET_AFTER
