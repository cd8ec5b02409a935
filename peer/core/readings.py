"""One way to read a save: as a change of one version; and what tells one reading from another."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from peer.core.ages import Run, Version
from peer.core.textdiff import Hunk, missing

__all__ = ["Reading", "costs", "count", "letters", "new_words", "words_of"]

WORD_LIMIT: Final = 64
"""Letters that a word has beside a change to it, at most."""

_LIGHT: Final = re.compile(r"[\s!-/:-@\[-`{-~]")
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Reading:
    """A save, taken as a change of one version.

    Attributes:
        hunks: the change.
        lost: letters of others that it deletes.
        lost_letters: those of them that are neither spaces nor punctuation.
        ruled_out: the save repeats what came after this version, so it does not come from it.
        odd: letters that it inserts though our own later text has those words, and that it keeps though
            they are gone.
        stale: letters that it deletes though they are gone already.
        size: letters that it deletes and inserts.
        outdated: the last save on this side is not in this version, so its editor would have to be another.
        protected: chosen because a nearer version would have lost text of others.
    """

    version: Version
    hunks: list[Hunk]
    lost: int
    lost_letters: int
    ruled_out: bool
    odd: int
    size: int
    stale: int = 0
    outdated: bool = False
    protected: bool = False

    def distance(self) -> tuple[bool, int, int]:
        """Smaller is closer; among equals, what the save lacks is closer than what is new in it.

        Text that is replaced counts more than once: without deletions, both would be left there.
        """
        replaced = sum(hunk.end - hunk.start for hunk in self.hunks if hunk.inserted)
        return self.ruled_out, self.size + 2 * replaced, sum(len(hunk.inserted) for hunk in self.hunks)

    def is_plain(self) -> bool:
        """Whether nothing speaks against it."""
        return not (self.lost or self.ruled_out or self.odd or self.stale)

    def without_deletions(self) -> "Reading":
        """Only what it inserts."""
        inserted = [Hunk(hunk.start, hunk.start, hunk.inserted) for hunk in self.hunks if hunk.inserted]
        return replace(self, hunks=inserted)

    def is_behind(self, other: "Reading") -> bool:
        """Whether *other* is a later save of the same stale editor, and no worse: it goes on from there."""
        mine, theirs = self.version, other.version
        later = mine.epoch == theirs.epoch and mine.saves != theirs.saves
        chain = bool(mine.saves) and mine.saves & theirs.saves == mine.saves
        return later and chain and other.rank()[:3] <= self.rank()[:3]

    def rank(self) -> tuple[bool, int, int, bool, int, bool, int, int, int]:
        """Smaller is more likely what the person meant; see the rules in the module's docstring."""
        age = (-self.version.epoch, -self.version.saves)
        likely = (self.ruled_out, self.lost_letters, self.odd, self.outdated)
        return (*likely, self.lost, not self.hunks, self.size, *age)


def costs(runs: list[Run], content: str, epochs: int) -> list[int]:
    """For each epoch, how badly *content* fits the text as it was then.

    Text of others that was there and is missing, and text that was not there and is found, cost a
    thousand a letter; our own text that is missing costs one.
    """
    steps = [0] * (epochs + 2)
    for run, kept in zip(runs, _kept(runs, content), strict=True):
        missing = len(run.text) - kept
        weight = missing * (1000 if run.foreign and run.lives else 1) - 1000 * kept
        steps[min(run.born, epochs + 1)] += weight
        steps[min(run.died, epochs + 1)] -= weight
        steps[0] += 1000 * kept
    return list(accumulate(steps))


def _kept(runs: list[Run], content: str) -> Iterator[int]:
    """How many letters of each run are found in *content*, in order."""
    gaps = missing("".join(run.text for run in runs), content)
    at = index = 0
    for run in runs:
        end = at + len(run.text)
        gone = 0
        while index < len(gaps) and gaps[index][0] < end:
            gone += max(0, min(gaps[index][1], end) - max(gaps[index][0], at))
            if gaps[index][1] > end:
                break
            index += 1
        yield len(run.text) - gone
        at = end


def words_of(text: str) -> set[str]:
    """The words in a text."""
    return set(_WORD.findall(text))


def new_words(content: str, changes: Sequence[Hunk]) -> Iterator[str]:
    """The words of *content*, whole, that the insertions of *changes* are in."""
    shift = 0
    for hunk in changes:
        start, end = hunk.start + shift, hunk.start + shift + len(hunk.inserted)
        shift += len(hunk.inserted) - (hunk.end - hunk.start)
        if hunk.inserted:
            around = max(0, start - WORD_LIMIT)
            words = _WORD.finditer(content, around, end + WORD_LIMIT)
            yield from (word[0] for word in words if word.end() > start and word.start() < end)


def letters(text: str) -> int:
    """How much of a text counts: spaces and punctuation are alike in all texts."""
    return len(text) - len(_LIGHT.findall(text))


def count(around: str, text: str) -> int:
    """How often *text* is in *around*, and not as a part of longer words."""
    found, at = 0, around.find(text)
    while at >= 0:
        before, after = around[max(0, at - 1) : at], around[at + len(text) : at + len(text) + 1]
        found += not (_joins(before, text[0]) or _joins(text[-1], after))
        at = around.find(text, at + 1)
    return found


def _joins(one: str, two: str) -> bool:
    return one.isalnum() and two.isalnum()
