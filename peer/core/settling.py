"""How long to wait before believing what the disk shows.

An editor that saves may empty the file first, write it in pieces, or take it away and put another
one in its place.  Each of these looks like a deletion for a moment.  So such a sight is believed
only when it has stayed the same for a while; an ordinary save is believed at once.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["LOOK_SECONDS", "MISSING_SECONDS", "QUIET_SECONDS", "SETTLE_SECONDS", "Settling"]

LOOK_SECONDS: Final = 0.03
"""Between two looks at a file that is settling."""

QUIET_SECONDS: Final = 0.15
"""A file that looks cut off is believed after staying the same for this long."""

EMPTY_SECONDS: Final = 0.25
"""An emptied one after this: nothing is emptied so often as a file that is about to be written."""

MISSING_SECONDS: Final = 0.4
"""A missing one after this: an editor may still be writing what will take its place."""

SETTLE_SECONDS: Final = 10.0
"""A file that changes all the time is believed after this whatever it looks like."""


@dataclass(slots=True)
class Settling:
    """A file that is being looked at again and again.

    Attributes:
        content: what it holds; `None`: it is missing.
        since: when it was first seen like this.
        started: when the looking began.
    """

    content: bytes | None
    since: float
    started: float

    def look(self, content: bytes | None, now: float) -> None:
        """The file holds this now."""
        if content != self.content:
            self.content, self.since = content, now

    def is_over(self, now: float) -> bool:
        """Whether what it shows is to be believed."""
        patience = QUIET_SECONDS if self.content else EMPTY_SECONDS
        if self.content is None:
            return now - self.since >= MISSING_SECONDS
        return now - self.since >= patience or now - self.started >= SETTLE_SECONDS
