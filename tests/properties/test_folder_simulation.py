"""Two folders whose editors behave as editors do, with crashes and delays: no token is lost or doubled."""

import os

import pytest

from tests.core.folder_world import Editor, Side, World

RUNS = int(os.environ.get("FOLDER_RUNS", "200"))
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else range(RUNS)
PATHS = ("a.txt", "notes/b.md")


class Play:
    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        hears = bool(seed % 3)
        self.sides = [Side(self.world, name, hears_writers=hears) for name in ("ann", "ben")]
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

    def act(self) -> None:
        chance = self.world.random
        if chance.random() < 0.03:
            chance.choice(self.sides).crash()
        else:
            chance.choice(self.editors).work(f"<{chance.getrandbits(24):06x} 日😀>")
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


class Upheaval(Play):
    """Files that come, go and change their names, on both sides at once."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.created: dict[str, bytes] = {}
        self.deleted: set[str] = set()

    def act(self) -> None:
        side = self.world.random.choice(self.sides)
        move = self.world.random.choice(
            [self.create, self.create, self.rename, self.delete, self.storm, super().act]
        )
        if move == super().act:
            super().act()
        else:
            move(side)  # type: ignore[operator]
            self.world.run(self.world.random.choice([0.001, 0.05, 0.5, 2.0]))

    def unique(self, binary: bool) -> bytes:
        name = f"<{self.world.random.getrandbits(40):010x}>"
        return b"\x00\xff" + name.encode() if binary else f"{name} 日本\n".encode()

    def create(self, side: Side) -> None:
        chance = self.world.random
        content = self.unique(chance.random() < 0.3)
        path = chance.choice(["new.txt", "NEW.txt", "x/new.txt", "x", f"{chance.getrandbits(8)}.bin"])
        taken = set(side.disk.files)
        if path in taken or any(
            other.startswith(path + "/") or path.startswith(other + "/") for other in taken
        ):
            return
        self.created[path] = content
        side.disk.put(path, content, chance.choice([0o644, 0o755]))

    def others(self, side: Side) -> list[str]:
        return [path for path in sorted(side.disk.files) if path not in PATHS]

    def rename(self, side: Side) -> None:
        if paths := self.others(side):
            new = f"moved {self.world.random.getrandbits(16)}.txt"
            side.disk.rename(self.world.random.choice(paths), new)

    def delete(self, side: Side) -> None:
        if paths := self.others(side):
            path = self.world.random.choice(paths)
            self.deleted.add(token_of(side.disk.files[path].content))
            side.disk.remove(path)

    def storm(self, side: Side) -> None:
        """As a checkout does: many files go and come back."""
        files = {path: side.disk.files[path] for path in self.others(side)}
        for path in files:
            side.disk.remove(path)
        self.world.run(self.world.random.random() * 0.3)
        for path, inode in files.items():
            free = path if path not in side.disk.files else f"back {self.world.random.getrandbits(20)}"
            side.disk.put(free, inode.content, inode.mode)


def token_of(content: bytes) -> str:
    start = content.find(b"<")
    return content[start : start + 12].decode()


@pytest.mark.parametrize("seed", SEEDS)
def test_two_folders_end_equal_when_files_come_and_go(seed: int) -> None:
    print(f"SEED={seed}")
    play = Upheaval(seed)
    for _ in range(30):
        play.act()
    play.world.run(90)
    ann, ben = ({p: (i.content, i.mode) for p, i in side.disk.files.items()} for side in play.sides)
    assert ann == ben
    everything = b"".join(content for content, _ in ann.values())
    for content in play.created.values():
        token = token_of(content)
        if token not in play.deleted:
            assert token.encode() in everything, (token, play.created)
    for editor in play.editors:
        text = (editor.side.disk.read(editor.path) or b"").decode()
        assert all(text.count(token) == 1 for token in editor.wanted)
