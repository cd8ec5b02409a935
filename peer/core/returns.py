"""Who was away, for how long, and how much was typed on both sides meanwhile.

When nothing leads to a peer any more, we note when it was last heard and how many edits we had made by
then.  When it is back, each side tells the other how long it was away from there and how many edits it made
(`Missed`).  Once what they made is here, people are told, with the same numbers on both sides.  The longer
of the two times counts: the clock of a machine that slept did not go on.  An edit is what one document got
in one tick of 2 ms: a key stroke, or what one save changed.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from peer.core.actions import Action, Tell
from peer.core.frames import Missed
from peer.core.ids import PeerId
from peer.core.link import SILENT_AFTER, Link
from peer.core.notices import Returned
from peer.core.pieces import Lane

__all__ = ["ABSENT_LIMIT", "COUNTS_KEPT", "TOLD_EVERY", "Returns"]

ABSENT_LIMIT: Final = 256
"""Peers whose absence is remembered: four full sessions; the one who is away longest is forgotten first."""
COUNTS_KEPT: Final = 4096
"""Moments at which edits were made; of more, the earliest count as one."""
TOLD_EVERY: Final = 15.0
"""Seconds between two returns of which only the peer knows; an honest one was away for that long first."""


@dataclass(frozen=True, slots=True)
class _Absence:
    since: float
    edits: int


@dataclass(slots=True)
class _Return:
    link: Link
    at: float
    seconds: float
    mine: int
    theirs: int | None = None
    told: bool = False


class Returns:
    """The absences of all peers; *in_step* says whether we hold all that a peer has listed."""

    def __init__(self, emit: Callable[[Action], None], in_step: Callable[[Link], bool]) -> None:
        self._emit = emit
        self._in_step = in_step
        self._absent: dict[PeerId, _Absence] = {}
        self._returns: dict[PeerId, _Return] = {}
        self._counts: deque[tuple[float, int]] = deque([(float("-inf"), 0)], maxlen=COUNTS_KEPT)

    def counted(self, edits: int, now: float) -> None:
        """We have made so many *edits* by now."""
        if edits != self._counts[-1][1]:
            self._counts.append((now, edits))

    def _count_at(self, moment: float) -> int:
        """How many edits we had made at *moment*, as far as we remember."""
        return next((edits for at, edits in reversed(self._counts) if at <= moment), self._counts[0][1])

    def _made_since(self, edits: int) -> int:
        return self._counts[-1][1] - edits

    def lost(self, link: Link) -> None:
        """Nothing leads to this peer any more."""
        self._returns.pop(link.member.id, None)
        if link.member.id not in self._absent:
            self._absent[link.member.id] = _Absence(link.heard, self._count_at(link.heard))
            if len(self._absent) > ABSENT_LIMIT:
                del self._absent[next(iter(self._absent))]

    def back(self, link: Link, now: float) -> None:
        """A peer is here, perhaps again: tell it what it missed."""
        absence = self._absent.pop(link.member.id, None)
        if absence is not None:
            self._begin(link, now, now - absence.since, self._made_since(absence.edits))

    def _begin(self, link: Link, now: float, seconds: float, mine: int) -> _Return:
        link.send(Lane.CONTROL, Missed(round(seconds * 1000), mine))
        begun = self._returns[link.member.id] = _Return(link, now, seconds, mine)
        return begun

    def missed(self, link: Link, frame: Missed, now: float) -> None:
        """The peer tells how long we were away from it, and what it made meanwhile."""
        seconds = frame.milliseconds / 1000
        begun = self._returns.get(link.member.id)
        if begun is None or (begun.told and now - begun.at >= TOLD_EVERY):
            # it was we who were away and did not notice: this machine slept
            begun = self._begin(link, now, seconds, self._made_since(self._count_at(now - seconds)))
        if not begun.told:
            begun.theirs = frame.edits
            begun.seconds = max(begun.seconds, seconds)

    def settle(self) -> None:
        """Tell of those whose edits are here by now."""
        for begun in self._returns.values():
            if begun.told or begun.theirs is None or not self._in_step(begun.link):
                continue
            begun.told = True
            if begun.seconds >= SILENT_AFTER:
                member = begun.link.member
                self._emit(
                    Tell(
                        Returned(member.short, member.name, round(begun.seconds, 1), begun.mine, begun.theirs)
                    )
                )
