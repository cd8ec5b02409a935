"""Letters that take two UTF-16 units, and so two clocks: where their second halves are.

Clocks count UTF-16 units, the engine stores UTF-8, and nothing in an update says where letters end.
Something put between the two halves of a letter, or the deletion of one of them, makes the engine lose
count: it shows one text to whoever applied the update and another one, or fewer clocks, to whoever gets the
document later, with equal state vectors.  Honest peers never do that, so it is refused.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["MANY", "Halves", "halves_in", "has_halves"]

MANY: Final = 64
"""From so many that are out of order, sorting everything is cheaper than putting each in its place."""

_TWO_UNITS: Final = re.compile("[\U00010000-\U0010ffff]")


def has_halves(text: str) -> bool:
    """Whether a letter of *text* takes two units."""
    return _TWO_UNITS.search(text) is not None


def halves_in(text: str, clock: int) -> list[int]:
    """The clocks of all second halves in a text that begins at *clock*."""
    # each such letter before it moves the next one on by one
    return [clock + 1 + match.start() + before for before, match in enumerate(_TWO_UNITS.finditer(text))]


class Halves:
    """The clocks of second halves, by client: four bytes for a letter that takes four itself."""

    def __init__(self) -> None:
        self._clocks: dict[int, array[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._clocks)

    def add(self, found: Mapping[int, Sequence[int]]) -> None:
        """Remember these; *found* has ascending clocks for each client."""
        for client, clocks in found.items():
            known = self._clocks.setdefault(client, array("I"))
            if not known or clocks[0] > known[-1]:
                known.extend(clocks)
                continue
            new = [clock for clock in clocks if not self.splits(client, clock)]
            if len(new) >= MANY:
                self._clocks[client] = array("I", sorted([*known, *new]))
                continue
            for clock in new:
                known.insert(bisect_left(known, clock), clock)

    def splits(self, client: int, clock: int) -> bool:
        """Whether a cut before *clock* goes through a letter."""
        known = self._clocks.get(client)
        if known is None:
            return False
        at = bisect_left(known, clock)
        return at < len(known) and known[at] == clock
