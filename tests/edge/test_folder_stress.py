"""An editor saves in every way there is while a peer's texts arrive: whatever it saved is reported."""

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from peer.core.actions import ReplaceFile
from peer.core.events import (
    FileEvent,
    FileMissing,
    FileReplaced,
    FileSeen,
    FileTrouble,
    ReplaceRefused,
)
from peer.edge.exchange import PlainRenames, best_renames
from tests.edge.folders import Room, content_of, digest

TOKEN = re.compile(rb"<\w+>")
PATH = "shared.txt"
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else [1, 2]


class Editor:
    """Saves tokens into one file, each in another way, as fast as it can; *pause* takes seconds."""

    def __init__(self, file: Path, seed: int, prefix: str) -> None:
        self._file = file
        self._chance = random.Random(seed)
        self._prefix = prefix
        self._waiting = threading.Event()
        self.saved: list[bytes] = []

    def run(self, saves: int) -> None:
        ways: list[Callable[[bytes], None]] = [self._over, self._cut, self._append, self._hold, self._swap]
        for number in range(saves):
            token = f"<{self._prefix}{number}>".encode()
            self._chance.choice(ways)(token)
            self.saved.append(token)
            self._pause(0.004)

    def _pause(self, most: float) -> None:
        self._waiting.wait(self._chance.random() * most)

    def _content(self) -> bytes:
        with suppress(FileNotFoundError):
            return self._file.read_bytes()
        return b""

    def _over(self, token: bytes) -> None:
        draft = self._file.with_name(f"{self._prefix}draft~")
        draft.write_bytes(self._content() + token)
        draft.replace(self._file)

    def _cut(self, token: bytes) -> None:
        content = self._content() + token
        with self._file.open("wb", buffering=0) as out:
            self._pause(0.003)
            out.write(content[: len(content) // 2])
            self._pause(0.003)
            out.write(content[len(content) // 2 :])

    def _append(self, token: bytes) -> None:
        with self._file.open("ab", buffering=0) as out:
            out.write(token)

    def _hold(self, token: bytes) -> None:
        with self._file.open("ab", buffering=0) as out:
            self._pause(0.4 if self._chance.random() < 0.05 else 0.02)
            out.write(token)

    def _swap(self, token: bytes) -> None:
        content = self._content() + token
        with suppress(FileNotFoundError):
            self._file.rename(self._file.with_name(f"{self._prefix}backup~"))
        with self._file.open("wb", buffering=0) as out:
            out.write(content)


class Peer:
    """A stand-in for the core: remembers every token it was told of and keeps writing all of them."""

    def __init__(self) -> None:
        self.told: set[bytes] = set()
        self.room: Room | None = None
        self.replaced = 0
        self.refused = 0
        self._disk: bytes | None = None
        self._wanted: bytes | None = None
        self._rounds = 0
        self.is_running = True

    def on_event(self, event: FileEvent) -> None:
        self.told.update(TOKEN.findall(content_of(event) or b""))
        match event:
            case FileReplaced():
                self.replaced += 1
                self._disk, self._wanted = self._wanted, None
            case ReplaceRefused(content=content):
                self.refused += 1
                self._disk, self._wanted = content, None
            case FileSeen(content=content) if self._wanted is None:
                self._disk = content
            case FileMissing() if self._wanted is None:
                self._disk = None
            case FileTrouble():
                self._wanted = None
            case _:
                return
        if self._wanted is None and self.is_running:
            asyncio.get_running_loop().call_later(0.002, self._write)

    def _write(self) -> None:
        if self._wanted is not None or not self.is_running or self.room is None:
            return
        self._rounds += 1
        self._wanted = b"round %d\n" % self._rounds + b"\n".join(sorted(self.told)) + b"\n"
        expected = None if self._disk is None else digest(self._disk)
        self.room.folder.submit(ReplaceFile(PATH, expected, self._wanted, 0o644))


@pytest.mark.parametrize("renames", ["kernel", "plain"])
@pytest.mark.parametrize("seed", SEEDS)
async def test_no_save_is_lost_while_a_peer_writes_too(tmp_path: Path, renames: str, seed: int) -> None:
    file = tmp_path / PATH
    file.write_bytes(b"begin\n")
    peer = Peer()
    way = best_renames() if renames == "kernel" else PlainRenames()
    async with Room(tmp_path, watched=True, renames=way, on_event=peer.on_event) as room:
        peer.room = room
        editor = Editor(file, seed, "e")
        room.folder.scan()
        await asyncio.to_thread(editor.run, 100)
        await room.until(lambda: set(editor.saved) <= peer.told)
        peer.is_running = False
    troubles = [event for event in room.events if isinstance(event, FileTrouble)]
    assert not troubles, f"seed {seed}: {troubles[:3]}"
    assert len(editor.saved) == 100
    assert peer.replaced > 20, f"seed {seed}: the two hardly ever met"
    assert os.listdir(tmp_path / ".weft/tmp") == []


WRITER = """
import asyncio, pathlib, sys
from tests.edge.folders import Room
from tests.edge.test_folder_stress import Peer

async def main() -> None:
    log = open(sys.argv[2], "ab", buffering=0)
    peer = Peer()

    def on_event(event: object) -> None:
        before = set(peer.told)
        peer.on_event(event)
        log.write(b"".join(sorted(peer.told - before)))

    async with Room(pathlib.Path(sys.argv[1]), watched=True, on_event=on_event) as room:
        peer.room = room
        await room.scan()
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_no_save_is_lost_when_the_program_is_killed(tmp_path: Path, seed: int) -> None:
    """What was told before the kill is safe in the log; the rest must be told by the next run."""
    shared = tmp_path / "shared"
    shared.mkdir()
    file = shared / PATH
    file.write_bytes(b"begin\n")
    log = tmp_path / "log"
    told: set[bytes] = set()
    editor = Editor(file, seed, "k")
    chance = random.Random(seed)
    for _ in range(2):
        _run_and_kill(shared, log, editor, chance)
        told |= asyncio.run(_told_by_next_run(shared))
    told |= set(TOKEN.findall(log.read_bytes()))
    assert set(editor.saved) <= told, f"seed {seed}: lost {set(editor.saved) - told}"


def _run_and_kill(shared: Path, log: Path, editor: Editor, chance: random.Random) -> None:
    command = [sys.executable, "-c", WRITER, str(shared), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        saving = threading.Thread(target=editor.run, args=(40,))
        saving.start()
        threading.Event().wait(0.05 + chance.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        saving.join()


async def _told_by_next_run(shared: Path) -> set[bytes]:
    texts: list[bytes] = []
    async with Room(shared) as room:
        for event in await room.scan():
            texts.append(content_of(event) or b"")
            if isinstance(event, FileTrouble) and "it is kept as" in event.reason:
                texts.append((shared / event.reason.split()[-1]).read_bytes())
    return {token for text in texts for token in TOKEN.findall(text)}


async def test_two_editors_and_a_peer(tmp_path: Path) -> None:
    """Editors that save over each other lose text between them; what each saved was still on disk."""
    begin = time.monotonic()
    file = tmp_path / PATH
    file.write_bytes(b"begin\n")
    peer = Peer()
    async with Room(tmp_path, watched=True, on_event=peer.on_event) as room:
        peer.room = room
        room.folder.scan()
        appending = Editor(file, 5, "a")

        def append_only() -> None:
            for number in range(100):
                token = f"<a{number}>".encode()
                appending._append(token)
                appending.saved.append(token)
                appending._pause(0.004)

        await asyncio.gather(asyncio.to_thread(append_only), asyncio.to_thread(append_only))
        await room.until(lambda: set(appending.saved) <= peer.told)
        peer.is_running = False
    assert time.monotonic() - begin < 20
