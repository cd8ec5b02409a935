"""What the people of a session are doing, from what was told about them: for `weft status`.

Presence says it exactly where an editor speaks; for everybody else, the files that change tell where they
are and since when they rest.  Who vanished without a goodbye is remembered for a while.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from peer.core.notices import FileChanged, Notice, PeerJoined, PeerLeft, PeerSilent
from peer.core.session import PeerState

__all__ = ["AWAY_SECONDS", "EDITING_SECONDS", "IDLE_SECONDS", "REMEMBERED", "Activity"]

EDITING_SECONDS: Final = 10.0
"""After a change somebody counts as editing for so long: people pause to think."""
IDLE_SECONDS: Final = 180.0
"""Without any change for so long, somebody is idle."""
AWAY_SECONDS: Final = 3600.0
"""Who vanished is shown for so long; whoever comes back later is news."""
REMEMBERED: Final = 64
"""People; a room has no more members."""


@dataclass(slots=True)
class _Doing:
    since: float
    file: str | None = None
    edited: float | None = None


@dataclass(slots=True)
class _Away:
    name: str
    role: str
    heard: float
    edits: int = 0


class Activity:
    """Fed with every notice, asked by `weft status`; times are monotonic seconds.

    Attributes:
        counts: how often each type of notice was told.
    """

    def __init__(self) -> None:
        self._doing: dict[str, _Doing] = {}
        self._away: dict[str, _Away] = {}
        self._roles: dict[str, str] = {}
        self._silent: dict[str, float] = {}
        self.counts: Counter[str] = Counter()

    def notice(self, notice: Notice, now: float) -> None:
        """Take in what was told."""
        self.counts[notice.type] += 1
        match notice:
            case PeerJoined():
                self._doing[notice.peer] = _Doing(now)
                self._roles[notice.peer] = notice.role
                self._silent.pop(notice.peer, None)
                came = _device(notice.peer)
                self._away = {peer: away for peer, away in self._away.items() if _device(peer) != came}
            case FileChanged():
                self._changed(notice, now)
            case PeerSilent():
                self._silent[notice.peer] = now - notice.seconds
            case PeerLeft():
                self._left(notice, now)
            case _:
                pass
        for known in (self._doing, self._away, self._roles, self._silent):
            while len(known) > REMEMBERED:
                known.pop(next(iter(known)))

    def _changed(self, notice: FileChanged, now: float) -> None:
        if notice.by == "disk":
            for away in self._away.values():
                away.edits += 1
            return
        if notice.peer:  # else it was made by one of those with that name, and brought by another perhaps
            doing = self._doing.setdefault(notice.peer, _Doing(now))
            doing.file, doing.edited = notice.path, now

    def _left(self, notice: PeerLeft, now: float) -> None:
        role = self._roles.pop(notice.peer, "editor")
        heard = self._silent.pop(notice.peer, now)
        self._doing.pop(notice.peer, None)
        if notice.reason == "silent":
            self._away[notice.peer] = _Away(notice.name, role, heard)

    def rows(self, peers: Sequence[PeerState], now: float) -> list[dict[str, object]]:
        """Everyone as `weft status` shows them, those who are away last."""
        rows = [self._present(peer, now) for peer in peers]
        devices = {_device(peer.id) for peer in peers}
        for peer, away in self._away.items():
            if _device(peer) not in devices and now - away.heard <= AWAY_SECONDS:
                rows.append(_absent(peer, away, now))
        return rows

    def _present(self, peer: PeerState, now: float) -> dict[str, object]:
        doing = self._doing.get(peer.id) or _Doing(now)
        rests = now - (doing.since if doing.edited is None else doing.edited)
        row = asdict(peer)
        row["file"] = peer.file or doing.file
        row["idle_s"] = round(rests, 1)
        row["heard_s"] = (
            round(now - self._silent[peer.id], 1) if peer.silent and peer.id in self._silent else None
        )
        row["state"] = _state(peer, doing, rests)
        return row


def _device(peer: str) -> str:
    """The half of an id (`link.Member.short`) that is the same for every run of a device."""
    return peer[:8]


def _state(peer: PeerState, doing: _Doing, rests: float) -> str:
    """`away`, `silent`, `editing`, `idle` or `here`."""
    if peer.path is None:
        return "away"
    if peer.silent:
        return "silent"
    if peer.typing or (doing.edited is not None and rests < EDITING_SECONDS):
        return "editing"
    return "idle" if peer.idle or rests >= IDLE_SECONDS else "here"


def _absent(peer: str, away: _Away, now: float) -> dict[str, object]:
    return {
        "id": peer,
        "name": away.name,
        "role": away.role,
        "path": None,
        "address": "",
        "rtt_ms": None,
        "silent": True,
        "sent_bytes": 0,
        "received_bytes": 0,
        "file": None,
        "waiting": away.edits,
        "typing": False,
        "idle": True,
        "why_not_direct": "",
        "idle_s": None,
        "heard_s": round(now - away.heard, 1),
        "state": "away",
    }
