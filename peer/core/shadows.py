"""What the disk has held for one text file, and what a save that comes from there means.

A save is a whole text.  Which edits it stands for depends on the text its editor had loaded, and
that need not be the newest: an editor that did not reload knows nothing of what others wrote
meanwhile, and taken against the newest text its save would delete it.  So every version that stood
on disk is remembered (`ages.py`), the save is taken as a change of one of them, and that change is
carried into the present text.

Which version a save descends from:

1.  The last one on disk, if against it the save deletes nothing that others wrote.
2.  Else the version against which it deletes the fewest letters of others.  Among equals the one
    that makes the least of its letters vanish or appear twice, then one that it changes at all,
    then the one with the smallest change, then the latest.
3.  A version is out of the question when the save holds, at the same place, text that came only
    later and was on disk: whoever sends that text has seen it.  So a person who typed or got
    anything after a text can delete that text at once.
4.  What is left cannot be told apart: a save that equals an older version except for its own
    changes, and lacks exactly the newest text of others.  It comes from an editor that did not
    reload, or from a person who deletes that text on purpose.  It is kept, because a deletion can
    be repeated and a loss cannot be seen: when the next save has the very same content, after the
    text that we put back stood on disk for `SEEN_SECONDS`, it is believed.

Limits: text of several editors on this side counts as one person's, so it is not protected from a
stale save of another local editor, just as it would not be without this program; and an editor
whose version is older than everything remembered is taken against the oldest.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import accumulate
from typing import Final

from peer.core.ages import Ages, Run, Version
from peer.core.edits import Edit
from peer.core.textdiff import Hunk, diff, hunks

__all__ = ["SEEN_SECONDS", "Shadows"]

SEEN_SECONDS: Final = 1.0
"""An editor that reloads has shown a text, and its person may have acted on it, after this time."""

RUNS_LIMIT: Final = 1 << 16
"""About an hour of two people typing without a pause, and some 10 MiB."""

MARKS_LIMIT: Final = 1 << 16
"""As many versions as there can be runs; one is some 100 bytes."""

GONE_LIMIT: Final = 4 * 1024 * 1024
"""Letters remembered though they are deleted: one greatest text."""

BRANCHES: Final = 64
"""Stale saves remembered; an editor goes on from its own last one."""

CLOSE_LOOKS: Final = 12
"""Versions compared exactly with a save; the cheap estimate is rarely off by more than three."""

LARGE: Final = 256 * 1024
"""Letters above which only `LARGE_LOOKS` versions are compared, because each takes milliseconds."""

LARGE_LOOKS: Final = 4

STEP_LETTERS: Final = 3
"""Shortest whole step of others that nobody types at the same place by chance."""

LINE_LETTERS: Final = 8
"""Shortest line of others, part of a longer step, that nobody types at the same place by chance."""

WORD_LIMIT: Final = 64
"""Letters that a word has beside a change to it, at most."""

_LIGHT: Final = re.compile(r"[\s!-/:-@\[-`{-~]")
_WORD: Final = re.compile(r"\w+")


@dataclass(slots=True)
class _Mark:
    """One version that was, or is about to be, on disk."""

    version: Version
    name: int
    """Hash of its text, to find equal ones fast."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A save, taken as a change of one version."""

    version: Version
    hunks: list[Hunk]
    lost: int
    lost_letters: int
    ruled_out: bool
    """The save repeats what came after this version, so it does not come from it."""
    odd: int
    """Letters that it inserts though our own later text has those words, and that it keeps though
    they are gone."""
    size: int
    protected: bool = False

    def distance(self) -> tuple[bool, int, int]:
        """Smaller is closer; among equals, what the save lacks is closer than what is new in it.

        Text that is replaced counts more than once: without deletions, both would be left there.
        """
        replaced = sum(hunk.end - hunk.start for hunk in self.hunks if hunk.inserted)
        return self.ruled_out, self.size + 2 * replaced, sum(len(hunk.inserted) for hunk in self.hunks)

    def without_deletions(self) -> "_Reading":
        """Only what it inserts."""
        inserted = [Hunk(hunk.start, hunk.start, hunk.inserted) for hunk in self.hunks if hunk.inserted]
        return replace(self, hunks=inserted)

    def is_behind(self, other: "_Reading") -> bool:
        """Whether *other* is a later save of the same stale editor, and no worse: it goes on from there."""
        mine, theirs = self.version, other.version
        later = mine.epoch == theirs.epoch and mine.saves != theirs.saves
        chain = bool(mine.saves) and mine.saves & theirs.saves == mine.saves
        return later and chain and other.rank()[:3] <= self.rank()[:3]

    def rank(self) -> tuple[bool, int, int, int, bool, int, int, int]:
        """Smaller is more likely what the person meant; see the rules in the module's docstring."""
        age = (-self.version.epoch, -self.version.saves)
        return (self.ruled_out, self.lost_letters, self.odd, self.lost, not self.hunks, self.size, *age)


class Shadows:
    """The history of one file's disk content, beside its present text.

    Attributes:
        last: the version that is on disk now.
    """

    def __init__(self, text: str, *, foreign: bool) -> None:
        self._ages = Ages(text, foreign=foreign)
        self._epoch = 0
        self._changed = True
        self._shown = 0
        self._marks: list[_Mark] = []
        self._branches: list[_Mark] = []
        self._gone = 0
        self._runs_limit = RUNS_LIMIT
        self._protected: Version | None = None
        self._since: float | None = None
        self.last = self.mark()

    @classmethod
    def restore(cls, held: Sequence[tuple[str, bool]], present: str) -> "Shadows":
        """Begin again after a restart.

        Args:
            held: what the disk held, oldest first, at least one, each with whether a save here brought it,
                so that what is new in it is ours; the last one is on disk, as far as is known.
            present: the document's text now; what is new in it counts as written by others.
        """
        shadows = cls(held[0][0], foreign=False)
        for text, saved in held[1:]:
            shadows.follow(text, foreign=not saved)
            shadows.last = shadows.mark()
            shadows._shown = shadows.last.epoch
        shadows.follow(present)
        return shadows

    def present(self) -> str:
        """The document's text, as far as it was told here."""
        return self._ages.present()

    def text_of(self, version: Version) -> str:
        """The text of a version that was marked."""
        return self._ages.text_of(version)

    # --- what happens to the text ------------------------------------------------------------------

    def follow(self, text: str, *, foreign: bool = True) -> None:
        """The document's text is *text* now, by the doing of others (or, if not *foreign*, of saves here)."""
        present = self._ages.present()
        if present != text:
            self.note(diff(present, text), foreign=foreign)

    def note(self, edits: Iterable[Edit], *, foreign: bool = True) -> None:
        """Others (or people here) made these edits in the document, one after another."""
        for edit in edits:
            self._ages.replace(edit, self._epoch, foreign=foreign)
            self._gone += edit.deleted
            self._changed = True
        self._bound()

    def mark(self) -> Version:
        """The present text is about to be put on disk, or is there; returns its name."""
        if self._changed:
            self._marks.append(_Mark(Version(self._epoch), hash(self._ages.present())))
            self._epoch += 1
            self._changed = False
        return self._marks[-1].version

    def stands(self, version: Version, now: float) -> None:
        """This version, which we wrote, is on disk from now on."""
        self.last = version
        self._since = now
        self._shown = max(self._shown, version.epoch)

    def found(self, text: str, now: float) -> bool:
        """After a restart: whether the disk holds this remembered version; then it stands there."""
        for mark in reversed(self._marks):
            if mark.name == hash(text) and self._ages.text_of(mark.version) == text:
                self.last, self._since = mark.version, now
                return True
        return False

    def take_in(
        self, content: str, now: float, against: Version | None = None, *, late: bool = False
    ) -> list[Edit]:
        """Say what a save that left *content* on disk means for the present text.

        The caller makes the returned edits in the document; here they are made already.

        Args:
            content: the whole text that was saved.
            now: seconds.
            against: what was on disk when it was saved, when that is no longer `last`.
            late: later saves were taken in before this one; so what it lacks says nothing, and only
                what it alone has is taken.
        """
        reading = self._read(content, against or self.last, now, late=late)
        plain = self._is_present(reading.version)
        save = 0 if plain else self._free_bit()
        edits = self._ages.carry(reading.hunks, reading.version, self._epoch, save)
        self._gone += sum(edit.deleted for edit in edits)
        self._changed = self._changed or bool(edits)
        self._since = None
        if plain:
            self._protected = None
            self.last = self.mark()
            self._shown = self.last.epoch
        else:
            self.last = Version(reading.version.epoch, reading.version.saves | save)
            self._protected = self.last if reading.protected else None
            self._branches.append(_Mark(self.last, hash(content)))
        self._bound()
        return edits

    def _is_present(self, version: Version) -> bool:
        return not self._changed and version == self._marks[-1].version

    # --- what a save means -------------------------------------------------------------------------

    def _read(self, content: str, last: Version, now: float, *, late: bool) -> _Reading:
        if content == self._ages.present():
            return _Reading(self.mark(), [], lost=0, lost_letters=0, ruled_out=False, odd=0, size=0)
        newest = self._against(last, content)
        if not late and (not newest.lost or self._is_repeated(content, now)):
            return newest
        others = (self._against(version, content) for version in self._candidates(content))
        readings = [newest, *others]
        if late:
            return min(readings, key=_Reading.distance).without_deletions()
        best = min((r for r in readings if not any(map(r.is_behind, readings))), key=_Reading.rank)
        return best if best.version == last else replace(best, protected=True)

    def _is_repeated(self, content: str, now: float) -> bool:
        """Whether the same deletion came before, and what we put back was there to be seen."""
        if self._since is None or now - self._since < SEEN_SECONDS:
            return False
        return self._protected is not None and self._ages.text_of(self._protected) == content

    def _candidates(self, content: str) -> set[Version]:
        looks = CLOSE_LOOKS if len(content) <= LARGE else LARGE_LOOKS
        name = hash(content)
        same = [mark.version for mark in self._marks if mark.name == name][-2:]
        stale = [mark.version for mark in self._branches[-looks:]]
        return {*same, *stale, *self._likeliest(content, looks)}

    def _likeliest(self, content: str, count: int) -> list[Version]:
        """The versions that a save comes from most likely, by one comparison with all that ever was."""
        costs = _costs(list(self._ages), content, self._epoch)
        likely = nsmallest(
            count, self._marks, key=lambda mark: (costs[mark.version.epoch], -mark.version.epoch)
        )
        return [mark.version for mark in likely]

    def _against(self, version: Version, content: str) -> _Reading:
        changes = hunks(self._ages.text_of(version), content)
        met = self._ages.meet(changes, version)
        return _Reading(
            version,
            changes,
            lost=len(met.lost),
            lost_letters=_letters(met.lost),
            ruled_out=any(map(self._is_repeat, met.hidden, changes)),
            odd=met.ghosts + self._echoes(version, changes, content),
            size=sum(len(hunk.inserted) + hunk.end - hunk.start for hunk in changes),
        )

    def _is_repeat(self, hidden: list[Run], change: Hunk) -> bool:
        """Whether an insertion repeats text that came there later and was on disk."""
        seen = [run for run in hidden if not run.foreign or run.born <= self._shown]
        if not seen or not change.inserted:
            return False
        steps = [(run.text, STEP_LETTERS if run.foreign else 1) for run in seen]
        whole = "".join(run.text for run in seen)
        steps.append((whole, STEP_LETTERS))
        steps.extend((line, LINE_LETTERS) for line in whole.split("\n"))
        return any(_letters(text) >= least and _has(change.inserted, text) for text, least in steps)

    def _echoes(self, version: Version, changes: Sequence[Hunk], content: str) -> int:
        living = (run for run in self._ages if run.lives)
        ours = "".join(" " if run.foreign or run.is_in(version) else run.text for run in living)
        words = set(_WORD.findall(ours))
        return sum(len(word) for word in _new_words(content, changes) if word in words)

    # --- bounds ------------------------------------------------------------------------------------

    def _free_bit(self) -> int:
        if len(self._branches) >= BRANCHES:
            del self._branches[: BRANCHES // 2]
            self._forget(self._marks[0].version.epoch)
        used = self._used()
        bit = 1
        while bit & used:
            bit <<= 1
        return bit

    def _used(self) -> int:
        used = self.last.saves
        for mark in self._branches:
            used |= mark.version.saves
        return used

    def _bound(self) -> None:
        """Forget the older half of the versions when there is too much."""
        full = len(self._ages) > self._runs_limit or self._gone > GONE_LIMIT or len(self._marks) > MARKS_LIMIT
        if full:
            self._marks = self._marks[len(self._marks) // 2 :]
            self._forget(self._marks[0].version.epoch)
            # What one epoch alone is made of cannot be forgotten: do not try again at every edit.
            self._runs_limit = max(RUNS_LIMIT, 2 * len(self._ages))

    def _forget(self, floor: int) -> None:
        self._branches = [mark for mark in self._branches if mark.version.epoch >= floor]
        self._protected = None
        if self.last.epoch < floor:
            self.last = replace(self.last, epoch=floor)
        self._ages.forget(floor, self._used())
        self._gone = sum(len(run.text) for run in self._ages if not run.lives)


def _costs(runs: list[Run], content: str, epochs: int) -> list[int]:
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
    changes = hunks("".join(run.text for run in runs), content)
    at = index = 0
    for run in runs:
        end = at + len(run.text)
        gone = 0
        while index < len(changes) and changes[index].start < end:
            gone += max(0, min(changes[index].end, end) - max(changes[index].start, at))
            if changes[index].end > end:
                break
            index += 1
        yield len(run.text) - gone
        at = end


def _new_words(content: str, changes: Sequence[Hunk]) -> Iterator[str]:
    """The words of *content*, whole, that the insertions of *changes* are in."""
    shift = 0
    for hunk in changes:
        start, end = hunk.start + shift, hunk.start + shift + len(hunk.inserted)
        shift += len(hunk.inserted) - (hunk.end - hunk.start)
        if hunk.inserted:
            around = max(0, start - WORD_LIMIT)
            words = _WORD.finditer(content, around, end + WORD_LIMIT)
            yield from (word[0] for word in words if word.end() > start and word.start() < end)


def _letters(text: str) -> int:
    """How much of a text counts: spaces and punctuation are alike in all texts."""
    return len(text) - len(_LIGHT.findall(text))


def _has(inserted: str, text: str) -> bool:
    """Whether *text* is in *inserted*, and not as a part of longer words."""
    at = inserted.find(text)
    while at >= 0:
        before, after = inserted[at - 1 : at], inserted[at + len(text) : at + len(text) + 1]
        if not (_joins(before, text[0]) or _joins(text[-1], after)):
            return True
        at = inserted.find(text, at + 1)
    return False


def _joins(one: str, two: str) -> bool:
    return one.isalnum() and two.isalnum()
