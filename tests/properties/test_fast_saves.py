"""Three people whose programs save one file many times a second: every word is there exactly once.

Each save is a whole text, made from what the disk held a moment before, so some are made from a text that
was replaced meanwhile, and some go into a file that has lost its name.
"""

import os
from dataclasses import dataclass

import pytest

from tests.core.folder_world import Inode, Side, World

RUNS = int(os.environ.get("FOLDER_RUNS", "60"))
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else range(RUNS)
PATH = "plan.md"
SAVES = 40
ENDS = "«»"


@dataclass(frozen=True)
class Pace:
    """How quick people (or their programs) are, in seconds at most."""

    pause: float
    """Between two saves."""
    reading: float
    """Between loading a text and saving it."""


PACES = (Pace(0.1, 0.001), Pace(0.03, 0.002), Pace(0.1, 0.02))


class QuickWorld(World):
    """Disks and networks that take two milliseconds where others take twenty."""

    def chance(self, most: float) -> float:
        return super().chance(most) / 10


class Writer:
    """Loads, changes one word, saves; half of the saves go into the file, half take its place."""

    def __init__(self, side: Side, pace: Pace) -> None:
        self.side = side
        self.pace = pace
        self.left = SAVES
        self.typed: set[str] = set()
        self.deleted: set[str] = set()
        self._pause()

    def _pause(self) -> None:
        self.side.world.later(self.side.world.random.uniform(0, self.pace.pause), self._load)

    def _load(self) -> None:
        chance = self.side.world.random
        text = (self.side.disk.read(PATH) or b"").decode()
        mine = sorted(self.typed & set(words_in(text)))
        text = (
            self._without(text, chance.choice(mine)) if mine and chance.random() < 0.15 else self._with(text)
        )
        self.side.world.later(chance.uniform(0, self.pace.reading), lambda: self._save(text.encode()))

    def _without(self, text: str, word: str) -> str:
        self.deleted.add(word)
        return text.replace(f"{ENDS[0]}{word}{ENDS[1]}", "")

    def _with(self, text: str) -> str:
        chance = self.side.world.random
        word = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=8)) + chance.choice(
            ["", "é", "日本", "😀"]
        )
        self.typed.add(word)
        borders = [0, len(text), *(at + 1 for at, letter in enumerate(text) if letter == ENDS[1])]
        at = chance.choice(borders)
        return f"{text[:at]}{ENDS[0]}{word}{ENDS[1]}{chance.choice(['', chr(10)])}{text[at:]}"

    def _save(self, content: bytes) -> None:
        disk, world = self.side.disk, self.side.world
        if world.random.random() < 0.5:
            disk.put(PATH, content)
            self._done()
            return
        inode = disk.files[PATH]
        disk.write(PATH, inode, b"", open=True)
        world.later(world.random.uniform(0, self.pace.reading / 3), lambda: self._finish(inode, content))

    def _finish(self, inode: Inode, content: bytes) -> None:
        self.side.disk.write(PATH, inode, content)
        self._done()

    def _done(self) -> None:
        self.left -= 1
        if self.left:
            self._pause()


def words_in(text: str) -> list[str]:
    return [part.split(ENDS[1])[0] for part in text.split(ENDS[0])[1:]]


@pytest.mark.parametrize("seed", SEEDS)
def test_quick_saves_of_three_lose_double_and_mangle_nothing(seed: int) -> None:
    print(f"SEED={seed}")
    world = QuickWorld(seed)
    sides = [Side(world, name) for name in ("anna", "ben", "cleo")]
    for side in sides:
        side.peers = [other for other in sides if other is not side]
    sides[0].disk.put(PATH, b"# Plan\n")
    world.run(3)
    writers = [Writer(side, PACES[seed % len(PACES)]) for side in sides]
    while any(writer.left for writer in writers):
        world.run(0.5)
    world.run(10)
    (text,) = {(side.disk.read(PATH) or b"").decode() for side in sides}
    found = words_in(text)
    typed = {word for writer in writers for word in writer.typed}
    deleted = {word for writer in writers for word in writer.deleted}
    assert len(found) == len(set(found))
    # what a save crossed on its way may come back once; that is counted elsewhere
    assert typed - deleted <= set(found) <= typed
