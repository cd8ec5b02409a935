"""Who is here and where: true only now, never stored, never in a document.

Each side tells the others at most `RATE` times a second what changed, over the lossy channel where there
is one, and repeats itself every `REPEAT` seconds; who is not heard of for `EXPIRES` seconds is not here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from peer.core.events import KEEP, PresenceSet
from peer.core.frames import PresenceFrame
from peer.core.ids import PeerId
from peer.core.link import Member
from peer.core.notices import PresenceChanged

__all__ = ["COLORS", "EXPIRES", "PATH_BYTES", "RATE", "REPEAT", "Presence", "color_of"]

RATE: Final = 20.0
"""Changes per second: as smooth as a cursor needs to look, a tenth of what typing costs."""
REPEAT: Final = 10.0
"""Seconds after which a silent state is repeated, for those who missed it."""
EXPIRES: Final = 30.0
"""Three repetitions lost in a row mean that nobody is there."""
PATH_BYTES: Final = 512
"""Of a longer path only the end is told: a presence must fit one packet (`frames.LOSSY_LIMIT`)."""
COLORS: Final = (
    "#d7263d", "#1b998b", "#2e86de", "#f46036", "#8e44ad", "#218c74", "#b33771", "#6d6875",
    "#cc8e35", "#3d5a80", "#5f7f2e", "#a23b72", "#007f8c", "#7a5195", "#b5541c", "#4a6fa5",
)  # fmt: skip
"""Readable on black and on white, told apart by eyes that see no red and green."""


def color_of(peer: PeerId) -> str:
    """The colour of a peer: the same on every screen without anyone agreeing on it."""
    return COLORS[sum(peer) % len(COLORS)]


@dataclass(slots=True)
class _Other:
    member: Member
    frame: PresenceFrame
    heard: float
    away: bool = False


class Presence:
    """Our own state, and the last known one of each peer."""

    def __init__(
        self,
        color: str,
        *,
        broadcast: Callable[[PresenceFrame], None],
        tell: Callable[[PresenceChanged], None],
    ) -> None:
        self._mine = PresenceFrame(0, color)
        self._others: dict[PeerId, _Other] = {}
        self._broadcast = broadcast
        self._tell = tell
        self._dirty = False
        self._sent = float("-inf")

    def set(self, change: PresenceSet, now: float) -> None:
        """Change what others are told of us; a cursor in a file that was left is none."""
        mine = self._mine
        path = mine.path if change.path is KEEP else _fitting(change.path)
        cursor = change.cursor
        if cursor is KEEP:
            cursor = mine.cursor if path == mine.path else None
        self._mine = PresenceFrame(
            mine.clock + 1,
            mine.color,
            path,
            cursor,
            mine.typing if change.typing is None else change.typing,
            mine.idle if change.idle is None else change.idle,
        )
        self._dirty = True
        self.tick(now)

    def snapshot(self) -> PresenceFrame:
        """What a new peer is told reliably."""
        return self._mine

    def heard(self, member: Member, frame: PresenceFrame, now: float) -> None:
        """Take a peer's state, unless a later one is known."""
        other = self._others.get(member.id)
        if other is not None:
            other.heard = now
            if frame.clock <= other.frame.clock:
                return
        self._others[member.id] = _Other(member, frame, now)
        self._tell(_notice(member, frame, here=True))

    def away(self, member: Member) -> None:
        """Nothing leads to a peer any more, for now: where it was is where it will be."""
        other = self._others.get(member.id)
        if other is not None and not other.away:
            other.away = True
            self._tell(_notice(member, other.frame, here=True, away=True))

    def back(self, member: Member, now: float) -> None:
        """A peer that was away is not any more."""
        other = self._others.get(member.id)
        if other is not None:
            other.away, other.heard = False, now
            self._tell(_notice(member, other.frame, here=True))

    def gone(self, member: Member) -> None:
        """A peer is not here any more."""
        other = self._others.pop(member.id, None)
        if other is not None:
            self._tell(_notice(member, other.frame, here=False))

    def tick(self, now: float) -> None:
        """Send what is due, forget who is silent."""
        due = self._sent + (1 / RATE if self._dirty else REPEAT)
        if now >= due:
            self._sent = now
            self._dirty = False
            self._broadcast(self._mine)
        for other in [o for o in self._others.values() if now - o.heard >= EXPIRES]:
            self.gone(other.member)

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        due = self._sent + (1 / RATE if self._dirty else REPEAT)
        return min([due, *(other.heard + EXPIRES for other in self._others.values())])

    def now_here(self) -> list[PresenceChanged]:
        """Everyone who is here now."""
        others = self._others.values()
        return [_notice(other.member, other.frame, here=True, away=other.away) for other in others]


def _fitting(path: str | None) -> str | None:
    return None if path is None else path.encode(errors="replace")[-PATH_BYTES:].decode(errors="ignore")


def _notice(member: Member, frame: PresenceFrame, *, here: bool, away: bool = False) -> PresenceChanged:
    return PresenceChanged(
        peer=member.short,
        name=member.name,
        color=frame.color,
        here=here,
        path=frame.path,
        cursor=frame.cursor,
        typing=frame.typing,
        idle=frame.idle,
        away=away,
    )
