"""Two folders, each with an editor that behaves as editors do, crashes and delays: no token is lost or doubled."""

import os

import pytest

from tests.core.folder_world import Editor, Side, World

RUNS = int(os.environ.get("FOLDER_RUNS", "200"))
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else range(RUNS)
PATHS = ("a.txt", "notes/b.md")


class Play:
    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.sides = [Side(self.world, name) for name in ("ann", "ben")]
        self.sides[0].peers, self.sides[1].peers = [self.sides[1]], [self.sides[0]]
        for path in PATHS:
            self.sides[0].disk.put(path, "".join(f"line {n} of {path}\n" for n in range(5)).encode())
        self.world.run(3)
        chance = self.world.random
        self.editors = [
            Editor(side, path, stale=chance.random() < 0.5, in_steps=chance.random() < 0.5)
            for side in self.sides
            for path in PATHS
        ]
        self.count = 0

    def act(self) -> None:
        chance = self.world.random
        if chance.random() < 0.03:
            chance.choice(self.sides).crash()
        else:
            self.count += 1
            chance.choice(self.editors).work(f"<{self.count} 日😀>")
        self.world.run(chance.choice([0.001, 0.01, 0.05, 0.3, 1.0]))


@pytest.mark.parametrize("seed", SEEDS)
def test_two_folders_end_equal_with_every_token_once(seed: int) -> None:
    print(f"SEED={seed}")
    play = Play(seed)
    for _ in range(40):
        play.act()
    play.world.run(30)
    ann, ben = play.sides
    assert {path: inode.content for path, inode in ann.disk.files.items()} == {
        path: inode.content for path, inode in ben.disk.files.items()
    }
    assert sorted(ann.disk.files) == sorted(PATHS)
    for editor in play.editors:
        text = (editor.side.disk.read(editor.path) or b"").decode()
        for token in editor.wanted:
            assert text.count(token) == 1, (editor.path, token, editor.stale, editor.in_steps)
        assert all(text.count(f"line {n} of") == 1 for n in range(5))
