"""How long credentials that were lent to us may be used, and when to ask for new ones.

Two clocks are compared: `now` stands still while a machine sleeps (on Linux and macOS), Unix time does not,
but people and time servers set it.  Whatever one of them says against a credential counts.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["ASK_AGAIN", "CLOCKS_APART", "Lease", "ask_again"]

CLOCKS_APART: Final = 5.0
"""Seconds that the clocks may disagree; more, and the machine slept or the date was corrected."""

ASK_AGAIN: Final = (1.0, 60.0)
"""Seconds between two questions, at least and at most; in between a quarter of the life, as servers allow."""

_LONGEST: Final = 24 * 3600.0
"""Seconds; whatever a server says, nothing is used longer."""

_MARGIN: Final = 30.0
_MARGIN_SHARE: Final = 0.1
"""A path needs a credential for some seconds after it took it: this long before its end, or for this share of
a short life, it is not taken any more."""

_RENEW: Final = (0.4, 0.5)
"""The part of its life after which a credential is renewed, by chance in between: not everybody at once."""

_SOONEST: Final = 0.2
"""Seconds; a server that lends for no time at all must not keep us busy."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Credentials that were given at *given* (and *unix*) for *ttl* seconds; 0 means for ever."""

    given: float
    unix: float
    ttl: float

    def is_good(self, now: float, unix: float) -> bool:
        """Whether they may be used at this moment."""
        if self.ttl == 0:
            return True
        age = max(now - self.given, unix - self.unix)
        life = min(self.ttl, _LONGEST)
        return not self.is_suspect(now, unix) and age < life - min(_MARGIN, _MARGIN_SHARE * life)

    def is_suspect(self, now: float, unix: float) -> bool:
        """Whether the clocks went apart, as they do when a machine sleeps."""
        return self.ttl != 0 and abs((unix - self.unix) - (now - self.given)) > CLOCKS_APART

    def renew_at(self, spread: float) -> float:
        """When to ask for new ones (*spread*: chance, 0 to 1), infinity for never."""
        if self.ttl == 0:
            return float("inf")
        first, last = _RENEW
        return self.given + max(min(self.ttl, _LONGEST) * (first + (last - first) * spread), _SOONEST)


def ask_again(ttl: float) -> float:
    """Seconds to the next question if one was not answered, for credentials that live for *ttl*."""
    shortest, longest = ASK_AGAIN
    return min(max(ttl / 4, shortest), longest)
