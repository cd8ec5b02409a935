"""The letters of one text with their ages: what each version that stood on disk looked like.

The text is a sequence of runs.  A run knows in which epoch it came and in which it went, whether
others wrote it, and which saves made or removed it.  Letters that went stay in the sequence, so any
remembered version can be shown again, and an edit of that version finds its place in the present.

An epoch ends each time the text is put on disk.  A save that did not start from the newest version
is a *branch*: the version it started from, and in addition what that save (one bit of a number)
made and removed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from peer.core.edits import Edit
from peer.core.textdiff import Hunk

__all__ = ["NEVER", "Ages", "Meeting", "Run", "Version"]

NEVER: Final = 1 << 62
"""The epoch in which living text goes."""

REACH: Final = 16
"""Letters between an insertion and hidden text that still is at its place: there is more than one way
to say where something was inserted."""

BLOCK: Final = 256
"""Runs in one block at most; finding a place costs the number of blocks plus this."""


@dataclass(frozen=True, slots=True)
class Version:
    """The text as it was at the end of *epoch*, and with what the *saves* (bits) did to it."""

    epoch: int
    saves: int = 0


@dataclass(slots=True)
class Run:
    """Letters that came and went together."""

    text: str
    born: int
    died: int
    foreign: bool
    maker: int = 0
    """The save that wrote it (one bit), if a save did."""
    killers: int = 0
    """The saves (bits) that removed it."""
    ours: bool = False
    """Whether it went because of a save on this side."""

    def is_in(self, version: Version) -> bool:
        """Whether that version shows these letters."""
        if self.killers & version.saves:
            return False
        return self.born <= version.epoch < self.died or bool(self.maker & version.saves)

    @property
    def lives(self) -> bool:
        """Whether the present text shows these letters."""
        return self.died == NEVER

    def cut(self, at: int) -> "Run":
        """Keep the first *at* letters and return the others."""
        rest = replace(self, text=self.text[at:])
        self.text = self.text[:at]
        return rest

    def continues(self, other: "Run") -> bool:
        """Whether only the letters differ, so that both can be one run."""
        return (
            self.born == other.born
            and self.died == other.died
            and self.foreign == other.foreign
            and self.maker == other.maker
            and self.killers == other.killers
            and self.ours == other.ours
        )


@dataclass(slots=True)
class Meeting:
    """What changes of an older version meet in the present.

    Attributes:
        lost: living text of others that they delete.
        ghosts: letters that they keep though the disk shows them no more, of runs that they change or that
            saves here deleted.
        stale: letters that they delete though the present has them no more.
        hidden: for each change the living runs near its place that the version does not show.
    """

    lost: str
    ghosts: int
    stale: int
    hidden: list[list[Run]]


class Ages:
    """The runs of one text, in order."""

    def __init__(self, text: str, *, foreign: bool) -> None:
        first = [Run(text, 0, NEVER, foreign)] if text else []
        self._blocks: list[list[Run]] = [first]
        self._living: list[int] = [len(text)]

    def __iter__(self) -> Iterator[Run]:
        return chain.from_iterable(self._blocks)

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def present(self) -> str:
        """The text as it is now."""
        return "".join(run.text for run in self if run.died == NEVER)

    def text_of(self, version: Version) -> str:
        """The text of a remembered version."""
        return "".join(run.text for run in self if run.is_in(version))

    # --- changes to the present ------------------------------------------------------------------

    def replace(self, edit: Edit, epoch: int, *, foreign: bool = True) -> None:
        """Others, or people here, made this edit to the present text."""
        block, index = self._boundary(edit.at)
        self._remove(block, index, edit.deleted, epoch)
        if edit.inserted:
            self._insert(block, index, Run(edit.inserted, epoch, NEVER, foreign))

    def _boundary(self, at: int) -> tuple[int, int]:
        """Where a run would go that follows the first *at* living letters at once."""
        block = 0
        while at > self._living[block]:
            at -= self._living[block]
            block += 1
        runs, index = self._blocks[block], 0
        while at > 0:
            run = runs[index]
            index += 1
            if not run.lives:
                continue
            if at < len(run.text):
                runs.insert(index, run.cut(at))
                break
            at -= len(run.text)
        return block, index

    def _remove(self, block: int, index: int, count: int, epoch: int) -> None:
        while count:
            runs = self._blocks[block]
            if index == len(runs):
                block, index = block + 1, 0
                continue
            run = runs[index]
            if run.lives:
                if count < len(run.text):
                    runs.insert(index + 1, run.cut(count))
                run.died = epoch
                self._living[block] -= len(run.text)
                count -= len(run.text)
            index += 1

    def _insert(self, block: int, index: int, new: Run) -> None:
        runs = self._blocks[block]
        self._living[block] += len(new.text)
        if index and runs[index - 1].continues(new):
            runs[index - 1].text += new.text
            return
        runs.insert(index, new)
        if len(runs) > 2 * BLOCK:
            self._blocks[block : block + 1] = [runs[:BLOCK], runs[BLOCK:]]
            self._living[block : block + 1] = [_living(runs[:BLOCK]), _living(runs[BLOCK:])]

    # --- edits of an older version ---------------------------------------------------------------

    def meet(self, hunks: Sequence[Hunk], version: Version, shown: Version) -> Meeting:
        """Hold *hunks*, changes to the text of *version*, against the present; the disk shows *shown*."""
        meeting = Meeting("", 0, 0, [[] for _ in hunks])
        first = at = 0
        for run in self:
            while first < len(hunks) and hunks[first].end + REACH < at:
                first += 1
            if run.is_in(version):
                is_ghost = not run.lives and not run.is_in(shown)
                gone, touched = _meet_visible(run, at, hunks, first)
                meeting.ghosts += len(run.text) - len(gone) if is_ghost and touched else 0
                meeting.lost += gone if run.lives and run.foreign else ""
                meeting.stale += 0 if run.lives else len(gone)
                at += len(run.text)
            elif run.lives:
                _meet_hidden(run, at, hunks, first, meeting)
        return meeting

    def carry(
        self, hunks: Sequence[Hunk], version: Version, epoch: int, save: int, *, foreign: bool = False
    ) -> list[Edit]:
        """Make *hunks*, changes to the text of *version*, in the present; what was gone stays gone.

        Returns:
            The same changes as edits of the present text.
        """
        carrier = _Carrier(hunks, epoch, save, foreign)
        for run in self:
            carrier.take(run, run.is_in(version))
        self._rebuild(carrier.runs)
        return carrier.edits

    # --- forgetting ------------------------------------------------------------------------------

    def forget(self, floor: int, saves: int) -> None:
        """No version older than *floor*, and no save but *saves*, will be asked for again."""
        kept: list[Run] = []
        for run in self:
            run.killers &= saves
            run.born = max(run.born, floor)
            if run.born == floor:
                run.maker = 0
            run.maker &= saves
            if run.died <= run.born and not run.maker:
                continue
            if kept and kept[-1].continues(run):
                kept[-1].text += run.text
            else:
                kept.append(run)
        self._rebuild(kept)

    def _rebuild(self, runs: list[Run]) -> None:
        self._blocks = [runs[at : at + BLOCK] for at in range(0, len(runs), BLOCK)] or [[]]
        self._living = [_living(block) for block in self._blocks]


class _Carrier:
    """One pass over all runs that makes the hunks of one save."""

    def __init__(self, hunks: Sequence[Hunk], epoch: int, save: int, foreign: bool) -> None:
        self.runs: list[Run] = []
        self.edits: list[Edit] = []
        self._hunks = hunks
        self._next = 0
        self._seen = 0  # letters of the version so far
        self._at = 0  # living letters so far, with the edits so far made
        self._epoch = epoch
        self._save = save
        self._foreign = foreign
        self._insert_here()

    def take(self, run: Run, visible: bool) -> None:
        if not visible:
            self._keep(run)
            return
        rest: Run | None = run
        while rest is not None:
            rest = self._take_piece(rest)

    def _take_piece(self, run: Run) -> Run | None:
        """Take the part of a visible run up to the next end of a hunk; return what is left."""
        hunk = self._hunks[self._next] if self._next < len(self._hunks) else None
        inside = hunk is not None and hunk.start <= self._seen
        border = self._seen + len(run.text)
        if hunk is not None:
            border = hunk.end if inside else hunk.start
        rest = run.cut(border - self._seen) if border - self._seen < len(run.text) else None
        if hunk is not None and hunk.start == self._seen:
            self._insert(hunk.inserted)
        self._seen += len(run.text)
        if inside:
            self._delete(run)
            self._next += self._seen == border
        else:
            self._keep(run)
        self._insert_here()
        return rest

    def _insert_here(self) -> None:
        """An insertion that replaces nothing stays with the letter before it."""
        if self._next < len(self._hunks):
            hunk = self._hunks[self._next]
            if hunk.start == hunk.end == self._seen:
                self._insert(hunk.inserted)
                self._next += 1

    def _keep(self, run: Run) -> None:
        self.runs.append(run)
        if run.lives:
            self._at += len(run.text)

    def _insert(self, text: str) -> None:
        if text:
            self.runs.append(Run(text, self._epoch, NEVER, self._foreign, maker=self._save))
            self.edits.append(Edit(self._at, 0, text))
            self._at += len(text)

    def _delete(self, run: Run) -> None:
        run.killers |= self._save
        self.runs.append(run)
        if not run.lives:
            return
        run.died, run.ours = self._epoch, True
        last = self.edits[-1] if self.edits else None
        if last is not None and last.at + len(last.inserted) == self._at:
            self.edits[-1] = Edit(last.at, last.deleted + len(run.text), last.inserted)
        else:
            self.edits.append(Edit(self._at, len(run.text), ""))


def _meet_hidden(run: Run, at: int, hunks: Sequence[Hunk], first: int, meeting: Meeting) -> None:
    for index in range(first, len(hunks)):
        if hunks[index].start - REACH > at:
            return
        meeting.hidden[index].append(run)


def _meet_visible(run: Run, at: int, hunks: Sequence[Hunk], first: int) -> tuple[str, bool]:
    """What is deleted of a run, and whether it was changed, here or by a save before."""
    end = at + len(run.text)
    deleted, touched = "", run.ours
    for index in range(first, len(hunks)):
        hunk = hunks[index]
        if hunk.start >= end:
            break
        if hunk.end >= at:
            touched = True
            deleted += run.text[max(0, hunk.start - at) : hunk.end - at]
    return deleted, touched


def _living(runs: list[Run]) -> int:
    return sum(len(run.text) for run in runs if run.lives)
