"""Two people change one text many times while they are apart: nothing they wrote is lost, doubled or cut.

One of the two has every save compared by itself; of the other only the last is there to be compared, as
when somebody worked while Weft was not running.
"""

import os
import random

import pytest

from peer.core.document import Document
from peer.core.ids import DocId
from peer.core.textdiff import diff

RUNS = int(os.environ.get("FOLDER_RUNS", "100"))
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else range(RUNS)
EDITS = 10
ENDS = "«»"


class Person:
    """Types words and takes own ones out again."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.typed: set[str] = set()
        self.deleted: set[str] = set()

    def change(self, text: str) -> str:
        mine = sorted(self.typed & set(words_in(text)))
        if mine and self.chance.random() < 0.15:
            word = self.chance.choice(mine)
            self.deleted.add(word)
            return text.replace(f"{ENDS[0]}{word}{ENDS[1]}", "")
        letters = "".join(self.chance.choices("abcdefghijklmnopqrstuvwxyz", k=8))
        word = letters + self.chance.choice(["", "é", "日本語", "😀"])
        self.typed.add(word)
        at = self.chance.choice(
            [0, len(text), *(n + 1 for n, letter in enumerate(text) if letter == ENDS[1])]
        )
        return f"{text[:at]}{ENDS[0]}{word}{ENDS[1]}{self.chance.choice(['', chr(10)])}{text[at:]}"


def words_in(text: str) -> list[str]:
    return [part.split(ENDS[1])[0] for part in text.split(ENDS[0])[1:]]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_two_wrote_apart_is_there_once_and_whole(seed: int) -> None:
    print(f"SEED={seed}")
    chance = random.Random(seed)
    people = Person(chance), Person(chance)
    doc = DocId(bytes([1]) * 8)
    begun = Document(doc, 1, lambda _: None)
    text = "# Plan\n"
    for number in range(20):
        text = people[number % 2].change(text)
    begun.edit(diff("", text))
    documents = []
    for client, (person, together) in enumerate(zip(people, (1, EDITS), strict=True), 2):
        document = Document(doc, client, lambda _: None)
        document.load(begun.full_state())
        for _ in range(EDITS // together):
            new = document.text
            for _ in range(together):
                new = person.change(new)
            document.edit(diff(document.text, new))
            assert document.text == new
        documents.append(document)
    one, two = documents
    one.load(two.full_state())
    found = words_in(one.text)
    typed = people[0].typed | people[1].typed
    deleted = people[0].deleted | people[1].deleted
    assert len(found) == len(set(found))
    assert typed - deleted <= set(found) <= typed
