"""Saves of editors that never reload, against others who go on writing: no token is lost or doubled.

Tokens go between words, and between lines where an editor also takes its own text back: what remains
of a word that was cut and cut again looks like anything, and no comparison of texts can tell.
"""

import random

import pytest

from peer.core.edits import Edit, apply_edits
from peer.core.shadows import Shadows

SEPARATORS = ("", " ", "\n", "日", "é ", "😀\n")


class World:
    """One file, others who write into it, and one editor that keeps what it loaded long ago."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.text = "".join(f"seed {n}\n" for n in range(self.random.randrange(6)))
        self.shadows = Shadows(self.text, foreign=bool(seed % 2))
        self.disk = self.buffer = self.text
        self.mine: list[str] = []
        self.wanted: set[str] = set()
        self.typed: list[str] = []
        self.now = 0.0
        self.dirty = False
        self.saved = self.buffer
        self.takes_back = seed % 2 == 0

    def token(self, who: str) -> str:
        name = f"<{who}{self.random.getrandbits(24):06x}>"
        self.typed.append(name)
        return name + self.random.choice(SEPARATORS[2:3] if self.takes_back else SEPARATORS)

    def place(self, text: str) -> int:
        """Between two words, or between two lines when text is taken back."""
        dividing = "\n" if self.takes_back else " \n"
        return self.random.choice([0, len(text), *(n + 1 for n, c in enumerate(text) if c in dividing)])

    def others_write(self) -> None:
        token = self.token("b")
        at = self.place(self.text)
        self.shadows.note([Edit(at, 0, token)])
        self.text = self.text[:at] + token + self.text[at:]
        self.wanted.add(token.partition(">")[0] + ">")

    def write_out(self) -> None:
        self.shadows.stands(self.shadows.mark(), self.now)
        self.disk = self.text

    def type_here(self) -> None:
        token = self.token("a")
        at = self.place(self.buffer)
        self.buffer = self.buffer[:at] + token + self.buffer[at:]
        self.mine.append(token)
        self.wanted.add(token.partition(">")[0] + ">")
        self.dirty = True

    def take_back(self) -> None:
        """Remove a token of our own from the buffer."""
        if self.mine and self.takes_back:
            token = self.mine.pop(self.random.randrange(len(self.mine)))
            self.buffer = self.buffer.replace(token, "")
            self.wanted.discard(token[:-1])
            self.dirty = True

    def save(self) -> None:
        if self.buffer != self.saved:
            self.saved = self.buffer
            self.text = apply_edits(self.text, self.shadows.take_in(self.buffer, self.now))
            assert self.text == self.shadows.present()
            self.disk = self.buffer
            self.dirty = False

    def reload(self) -> None:
        if not self.dirty:
            self.buffer = self.saved = self.disk

    def step(self, reload_often: bool) -> None:
        self.now += self.random.random() * 3
        moves = [self.others_write, self.write_out, self.type_here, self.type_here, self.take_back, self.save]
        if reload_often:
            moves.append(self.reload)
        self.random.choice(moves)()


@pytest.mark.parametrize("seed", range(250))
def test_every_token_is_there_once_though_an_editor_does_not_reload(seed: int) -> None:
    print(f"seed {seed}")
    world = World(seed)
    for _ in range(60):
        world.step(reload_often=seed % 3 == 0)
    world.save()
    for token in world.wanted:
        assert world.text.count(token) == 1, token
    assert all(world.text.count(token) <= 1 for token in world.typed)
