"""What the disk has held for one text file, and what a save that comes from there means.

A save is a whole text.  Which edits it stands for depends on the text its editor had loaded, and
that need not be the newest: an editor that did not reload knows nothing of what others wrote
meanwhile, and taken against the newest text its save would delete it.  So every version that stood
on disk is remembered (`ages.py`), the save is taken as a change of one of them, and that change is
carried into the present text.

Which version a save descends from:

1.  The last one on disk, if nothing speaks against it: the save deletes nothing that others wrote and
    nothing that is gone already, and brings no words that its editor can only have from elsewhere.
2.  Else the version against which it deletes the fewest letters of others.  Among equals the one
    that makes the least of its letters vanish or appear twice, then one that holds the last save,
    then the one that loses the fewest signs and spaces of others, then one that it changes at all,
    then the one with the smallest change, then the latest.
3.  A version is out of the question when the save holds, at the same place, text that came only
    later and was on disk: whoever sends that text has seen it.  So a person who typed or got
    anything after a text can delete that text at once.
4.  What is left cannot be told apart: a save that equals an older version except for its own
    changes, and lacks exactly the newest text of others.  It comes from an editor that did not
    reload, or from a person who deletes that text on purpose.  It is kept, because a deletion can
    be repeated and a loss cannot be seen: when the next save has the very same content, after the
    text that we put back stood on disk for `SEEN_SECONDS`, it is believed.

What was new in a save that lost its place on disk at once counts as text of others: the file that an
editor loads a moment later lacks it, and that does not mean that anybody deleted it.

Limits: text of several editors on this side counts as one person's, so it is not protected from a
stale save of another local editor, just as it would not be without this program; and an editor
whose version is older than everything remembered is taken against the oldest.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from typing import Final

from peer.core.ages import Ages, Run, Version
from peer.core.edits import Edit
from peer.core.readings import Reading, costs, count, letters, new_words, words_of
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

STOOD_LIMIT: Final = 64
"""Writings of which the moment is known: more than there are in `SEEN_SECONDS` at the quickest pace."""

STEP_LETTERS: Final = 3
"""Shortest whole step of others that nobody types at the same place by chance."""

LINE_LETTERS: Final = 8
"""Shortest line of others, part of a longer step, that nobody types at the same place by chance."""


@dataclass(slots=True)
class _Mark:
    """One version that was, or is about to be, on disk."""

    version: Version
    name: int
    """Hash of its text, to find equal ones fast."""


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
        self._stood: deque[tuple[float, int]] = deque(maxlen=STOOD_LIMIT)
        self._own_since = 0
        self._own_save = 0
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
        self._stood.append((now, version.epoch))
        self._shown = max(self._shown, version.epoch)

    def found(self, text: str, now: float) -> bool:
        """After a restart: whether the disk holds this remembered version; then it stands there."""
        for mark in reversed(self._marks):
            if mark.name == hash(text) and self._ages.text_of(mark.version) == text:
                self.last, self._since = mark.version, now
                return True
        return False

    def take_in(
        self,
        content: str,
        now: float,
        against: Version | None = None,
        *,
        late: bool = False,
        displaced: bool = False,
    ) -> list[Edit]:
        """Say what a save that left *content* on disk means for the present text.

        The caller makes the returned edits in the document; here they are made already.

        Args:
            content: the whole text that was saved.
            now: seconds.
            against: what was on disk when it was saved, when that is no longer `last`.
            late: later saves were taken in before this one; so what it lacks says nothing, and only
                what it alone has is taken.
            displaced: it lost its place on disk already, so an editor that loads the file now does not get
                what is new in it: that is protected as text of others is.
        """
        reading = self._read(content, against or self.last, now, late=late)
        plain = self._is_present(reading.version)
        save = 0 if plain else self._free_bit()
        edits = self._ages.carry(reading.hunks, reading.version, self._epoch, save, foreign=displaced)
        self._gone += sum(edit.deleted for edit in edits)
        self._changed = self._changed or bool(edits)
        self._since = None
        if not late:
            self._own_since, self._own_save = self._epoch, save
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

    def _read(self, content: str, last: Version, now: float, *, late: bool) -> Reading:
        if content == self._ages.present():
            return Reading(self.mark(), [], lost=0, lost_letters=0, ruled_out=False, odd=0, size=0)
        fresh = self._first_unread(now)
        newest = self._against(last, content, fresh)
        if not late and (newest.is_plain() or self._is_repeated(content, now)):
            return newest
        others = (self._against(version, content, fresh) for version in self._candidates(content))
        readings = [newest, *others]
        if late:
            return min(readings, key=Reading.distance).without_deletions()
        best = min((r for r in readings if not any(map(r.is_behind, readings))), key=Reading.rank)
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
        recent = [mark.version for mark in self._marks[-looks // 2 :]]
        return {*same, *stale, *recent, *self._likeliest(content, looks)}

    def _likeliest(self, content: str, looks: int) -> list[Version]:
        """The versions that a save comes from most likely, by one comparison with all that ever was."""
        fits = costs(list(self._ages), content, self._epoch)
        likely = nsmallest(
            looks, self._marks, key=lambda mark: (fits[mark.version.epoch], -mark.version.epoch)
        )
        return [mark.version for mark in likely]

    def _first_unread(self, now: float) -> int:
        """The first epoch that nobody can have seen on disk and acted on yet."""
        return next((epoch for stood, epoch in self._stood if now - stood < SEEN_SECONDS), self._epoch)

    def _against(self, version: Version, content: str, fresh: int) -> Reading:
        text = self._ages.text_of(version)
        changes = hunks(text, content)
        met = self._ages.meet(changes, version, self.last)
        return Reading(
            version,
            changes,
            lost=len(met.lost),
            lost_letters=letters(met.lost),
            ruled_out=self._repeats(met.hidden, changes, text, content),
            odd=met.ghosts + self._echoes(version, changes, content, fresh),
            stale=met.stale,
            outdated=self._is_outdated(version),
            size=sum(len(hunk.inserted) + hunk.end - hunk.start for hunk in changes),
        )

    def _is_outdated(self, version: Version) -> bool:
        """Whether the last save is not in that version: its editor goes on from what it saved itself."""
        return version.epoch < self._own_since and not version.saves & self._own_save

    def _repeats(self, hidden: list[list[Run]], changes: Sequence[Hunk], text: str, content: str) -> bool:
        """Whether *content* has, where it differs from *text*, what came there later and was on disk."""
        shift = 0
        for runs, change in zip(hidden, changes, strict=True):
            start, end = change.start + shift, change.start + shift + len(change.inserted)
            shift += len(change.inserted) - (change.end - change.start)
            for step in self._steps(runs) if change.inserted else ():
                wide = len(step)
                here = count(content[max(0, start - wide) : end + wide], step)
                if here > count(text[max(0, change.start - wide) : change.end + wide], step):
                    return True
        return False

    def _steps(self, runs: list[Run]) -> Iterator[str]:
        """The pieces of hidden text that nobody types by chance just where others typed them."""
        seen = [run for run in runs if not run.foreign or run.born <= self._shown]
        whole = "".join(run.text for run in seen)
        steps = [(run.text, STEP_LETTERS if run.foreign else 1) for run in seen]
        steps.append((whole, STEP_LETTERS))
        steps.extend((line, LINE_LETTERS) for line in whole.split("\n"))
        own = (run.text for run in seen if not run.foreign)
        steps.extend((line, STEP_LETTERS) for text in own for line in text.split("\n"))
        return (text for text, least in steps if letters(text) >= least)

    def _echoes(self, version: Version, changes: Sequence[Hunk], content: str, fresh: int) -> int:
        """Letters of words that *content* has beyond that version, and that its editor had from elsewhere.

        They are our own later text, or what others deleted so lately that nobody here has read it.
        """
        elsewhere = (run for run in self._ages if not run.is_in(version))
        known = "".join(run.text if _is_echo(run, fresh) else " " for run in elsewhere)
        words = words_of(known)
        return sum(len(word) for word in new_words(content, changes) if word in words)

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


def _is_echo(run: Run, fresh: int) -> bool:
    if run.lives:
        return not run.foreign
    return run.died >= fresh and not run.ours
