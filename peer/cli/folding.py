"""Many small file events folded into few lines: who changed what, at most one line per second."""

from typing import Final

from peer.cli.wording import count, plain
from peer.core.notices import FileChanged

__all__ = ["Folding"]

LINE_SECONDS: Final = 1.0
"""At most one line of file events in this time."""

REMEMBERED: Final = 1000
"""Paths told apart per person within one line; beyond that it says "1,000 or more"."""

_VERBS: Final = {
    "created": "added",
    "edited": "changed",
    "deleted": "removed",
    "renamed": "renamed",
    "held": "could not write",
}


class Folding:
    """File events that wait for their line."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, FileChanged]] = {}
        self._quiet_until = 0.0

    def add(self, change: FileChanged) -> None:
        """Take in one event; `take` tells when it is to be shown."""
        who = "you" if change.by == "disk" else plain(change.by)
        paths = self._waiting.setdefault(who, {})
        if change.path in paths or len(paths) < REMEMBERED:
            first = paths.get(change.path)
            # A file that was added and then typed into was added.
            keep = first is not None and first.change == "created" and change.change == "edited"
            paths[change.path] = first if keep and first else change

    def patience(self, now: float) -> float | None:
        """Seconds until a line is due; `None` when nothing waits."""
        return max(0.0, self._quiet_until - now) if self._waiting else None

    def take(self, now: float, *, all_of_it: bool = False) -> str:
        """The line that is due, or an empty string."""
        if not self._waiting or (now < self._quiet_until and not all_of_it):
            return ""
        line = " · ".join(_sentence(who, paths) for who, paths in self._waiting.items())
        self._waiting.clear()
        self._quiet_until = now + LINE_SECONDS
        return line


def _sentence(who: str, paths: dict[str, FileChanged]) -> str:
    changes = list(paths.values())
    if len(changes) == 1:
        only = changes[0]
        verb = _VERBS.get(only.change, plain(only.change))
        if only.old_path is not None:
            return f"{who} {verb} {plain(only.old_path)} to {plain(only.path)}"
        return f"{who} {verb} {plain(only.path)}"
    kinds = {change.change for change in changes}
    verb = _VERBS.get(kinds.pop(), "changed") if len(kinds) == 1 else "changed"
    more = " or more" if len(changes) >= REMEMBERED else ""
    return f"{who} {verb} {count(len(changes), 'file')}{more}"
