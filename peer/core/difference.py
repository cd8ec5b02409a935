"""Two peers that hold different things although nothing is under way: when to compare, when to say so.

What a difference is good for is to find what got lost; comparing again helps as long as either side changes.
If nothing does, comparing again changes nothing either: so it is done less and less often, and people hear
of it.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["COMPARE_EVERY", "COMPARE_LONGEST", "DIFFERENCE_PATIENCE", "FRUITLESS_TOLD", "Difference"]

DIFFERENCE_PATIENCE: Final = 3.0
"""Seconds that two summaries may differ before documents are compared: edits under way differ too."""
COMPARE_EVERY: Final = 10.0
"""Seconds between two comparisons with one peer that nothing but a difference asked for."""
COMPARE_LONGEST: Final = 600.0
"""The same after the wait has doubled each time that nothing had changed."""
FRUITLESS_TOLD: Final = 3
"""Comparisons without any change, more than a minute, after which people are told."""

DOUBLINGS: Final = 6


@dataclass(slots=True)
class Difference:
    """Whether one peer holds what we hold, and what was done about it.

    Attributes:
        compared: when everything was last compared.
        since: since when the summaries differ; `None`: they do not.
    """

    compared: float
    since: float | None = None
    _last: tuple[bytes, bytes] = (b"", b"")
    _fruitless: int = 0
    _told: bool = False

    def is_due(self, ours: bytes, theirs: bytes, now: float) -> bool:
        """Take two summaries; whether it is time to compare."""
        if ours == theirs:
            self.since = None
            self.try_again()
            return False
        if self.since is None:
            self.since = now
        every = COMPARE_EVERY
        if (ours, theirs) == self._last:
            every = min(every * 2.0**self._fruitless, COMPARE_LONGEST)
        return now - self.since >= DIFFERENCE_PATIENCE and now - self.compared >= every

    def compare(self, ours: bytes, theirs: bytes, now: float) -> bool:
        """Everything is compared now; whether people should hear that this does not help."""
        self.compared = now
        unchanged = (ours, theirs) == self._last
        self._fruitless = min(self._fruitless + 1, DOUBLINGS) if unchanged else 0
        self._last = (ours, theirs)
        tell = self._fruitless >= FRUITLESS_TOLD and not self._told
        self._told = self._told or tell
        return tell

    def try_again(self) -> None:
        """Something is another than before: somebody came or left, and may be believed now."""
        self._last = (b"", b"")
        self._fruitless = 0
