"""What is said of the others: who came, over which way, who fell silent and who left; a line for each."""

from collections.abc import Callable
from typing import Final

from peer.cli.wording import count, duration, moment, path_words, plain
from peer.core.notices import (
    ConnectStage,
    PeerJoined,
    PeerLeft,
    PeerPath,
    PeerSilent,
    PresenceChanged,
    Returned,
)

__all__ = ["SETTLE_SECONDS", "PeopleLines", "PersonNotice"]

SETTLE_SECONDS: Final = 1.0
"""A first path that a better one replaces within this time is not worth a line of its own."""

_STEPS: Final = {"found": "found", "sealed": "sealed"}

PersonNotice = ConnectStage | PeerJoined | PeerPath | PeerSilent | PeerLeft | PresenceChanged | Returned


class PeopleLines:
    """Turns notices about peers into lines; *event* takes one, *advise* what to do about it.

    Args:
        came_later: whether who is met now came after us.
        met: somebody was met; false if that was waited for, so that the wait is no step.
        good, dim: paint a piece of text.
        presence: whether to say where people are.
    """

    def __init__(
        self,
        *,
        event: Callable[[str], None],
        advise: Callable[[str], None],
        came_later: Callable[[], bool],
        met: Callable[[], bool],
        good: Callable[[str], str],
        dim: Callable[[str], str],
        presence: bool,
    ) -> None:
        self.server = "the server"
        self._event = event
        self._advise = advise
        self._came_later = came_later
        self._met = met
        self._good = good
        self._dim = dim
        self._paths: dict[str, str] = {}
        self._first: dict[str, tuple[float, PeerPath]] = {}
        self._silent: set[str] = set()
        self._steps: dict[str, float] = {}
        self._wants_presence = presence
        self._where: dict[str, str | None] = {}

    def notice(self, notice: PersonNotice, now: float) -> None:
        """One line, none, or one that waits a moment."""
        name = plain(notice.name)
        match notice:
            case ConnectStage():
                self._stage(name, notice)
            case PeerJoined():
                self._joined(name, notice)
            case PeerPath():
                self._path(notice, now)
            case PresenceChanged():
                self._presence(name, notice)
            case PeerSilent():
                self.flush(float("inf"))
                self._silent.add(notice.peer)
                self._event(f"{name} was last heard {duration(notice.seconds)} ago; waiting")
            case Returned():
                what = f"{count(notice.sent, 'edit')} sent, {notice.received:,} received"
                self._event(self._good(f"{name}: back after {duration(notice.away_s)}: {what}"))
            case PeerLeft():
                self._left(name, notice)

    def _left(self, name: str, notice: PeerLeft) -> None:
        self._forget(notice.peer)
        gone = "is gone: nothing was heard for too long"
        why = {"bye": "left", "silent": gone, "left": gone, "restarted": "started Weft again"}
        self._event(f"{name} {why.get(notice.reason, 'was cut off: ' + plain(notice.reason))}")

    def patience(self, now: float) -> float | None:
        """Seconds until a path that was held back is due."""
        return min((max(0.0, due - now) for due, _ in self._first.values()), default=None)

    def flush(self, now: float) -> None:
        """Show the paths that have settled."""
        for peer, (due, notice) in list(self._first.items()):
            if now >= due:
                del self._first[peer]
                self._show_path(notice, _since_meeting(notice))

    def _stage(self, name: str, notice: ConnectStage) -> None:
        """Steps that went well wait for their peer's line; one that failed has its own."""
        if notice.ok:
            self._steps[notice.stage] = notice.took_ms
        else:
            self._event(f"{name}: no direct path yet ({plain(notice.detail)}); Weft goes on looking")
            self._advise(f"weft doctor --peer {name}")

    def _joined(self, name: str, notice: PeerJoined) -> None:
        role = "" if notice.role == "editor" else plain(notice.role)
        if self._came_later():
            words = f"{name} joined as {role}" if role else f"{name} joined"
        else:
            words = f"{name} ({role}) is here" if role else f"{name} is here"
        self._event(self._good(words) + self._dim(self._steps_taken()))

    def _steps_taken(self) -> str:
        """How long each step on the way to a peer took; a wait for people to come is no step."""
        steps, self._steps = self._steps, {}
        if not self._met():
            steps.pop("found", None)
        return "".join(
            f"{'   ' if not number else ' · '}{_STEPS[step]} {moment(ms)}"
            for number, (step, ms) in enumerate(steps.items())
            if step in _STEPS
        )

    def _path(self, notice: PeerPath, now: float) -> None:
        peer = notice.peer
        if peer in self._first or peer not in self._paths:
            # There is nothing better than direct, so that has settled.
            due = now if notice.path == "direct" else self._first.get(peer, (now + SETTLE_SECONDS,))[0]
            self._first[peer] = due, notice
            self._paths[peer] = notice.path
            self.flush(now)
            return
        moved = self._paths[peer] != notice.path and peer not in self._silent
        self._show_path(notice, _since_meeting(notice) if moved else "", now=moved)

    def _show_path(self, notice: PeerPath, took: str, *, now: bool = False) -> None:
        peer = notice.peer
        back = "back, " if peer in self._silent else ""
        self._paths[peer] = notice.path
        self._silent.discard(peer)
        delay = f", round trip {moment(notice.rtt_ms)}" if notice.rtt_ms is not None else ""
        words = f"{back}{'now ' if now else ''}{path_words(notice.path, self.server)}"
        self._event(f"{plain(notice.name)}: {words}{delay}{self._dim(took)}")

    def _presence(self, name: str, notice: PresenceChanged) -> None:
        if not self._wants_presence or not notice.here or self._where.get(notice.peer) == notice.path:
            return
        self._where[notice.peer] = notice.path
        where = f"is in {plain(notice.path)}" if notice.path else "is in no file"
        self._event(self._dim(f"{name} {where}"))

    def _forget(self, peer: str) -> None:
        self._silent.discard(peer)
        self._paths.pop(peer, None)
        self._where.pop(peer, None)
        self._first.pop(peer, None)


def _since_meeting(notice: PeerPath) -> str:
    return f"   found {moment(notice.took_ms)} after meeting"
