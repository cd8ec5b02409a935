"""People with folders and editors around real `weft` processes."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from demo.programs import Program

__all__ = ["Editor", "Town", "expect_every_token_once", "tokens_in", "until"]

ENDS: Final = "«»"


class Town:
    """Everything that one test starts; ended with it, by process id."""

    def __init__(self, place: Path, patience: float) -> None:
        self.place = place
        self.patience = patience
        self.programs: list[Program] = []
        self._count = 0

    def start(self, home: str, *arguments: str) -> Program:
        """Start `weft` in the home directory of somebody."""
        program = Program(home, self.place / home, list(arguments))
        self.programs.append(program)
        return program

    def serve(self, port: int = 0) -> tuple[Program, str]:
        """Start a server; return it and its URL."""
        self._count += 1
        program = self.start(f"server{self._count}", "serve", "--host", "127.0.0.1", "--port", str(port))
        return program, str(program.wait_for("server.listening", 20 * self.patience)["url"])

    def share(self, name: str, folder: Path, *options: str) -> tuple[Program, str]:
        """Share a folder; return the program and the link."""
        folder.mkdir(parents=True, exist_ok=True)
        program = self.start(name, "share", str(folder), "--name", name, *options)
        return program, str(program.wait_for("invite.ready", 20 * self.patience)["link"])

    def join(self, name: str, link: str, folder: Path, *options: str) -> Program:
        """Join into a folder, and wait until everything is there."""
        program = self.start(name, "join", link, str(folder), "--name", name, *options)
        program.wait_for("sync.done", 20 * self.patience)
        return program

    def kill(self, program: Program) -> None:
        """End a process as a power cut would."""
        os.kill(program.pid, signal.SIGKILL)
        program.end()
        self.programs.remove(program)

    def close(self) -> None:
        """End everything that is still running."""
        for program in self.programs:
            program.ask_to_end()
        for program in self.programs:
            program.end()

    def last_words(self) -> str:
        """Everything that everybody said, for a test that failed."""
        said = []
        for program in self.programs:
            said += [f"--- {program.name}", program.last_words()]
            said += [str(record)[:300] for record in program.everything()]
        return "\n".join(said)


def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until *holds*; fail with *what* after *seconds*."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.01)


def tokens_in(text: str) -> list[str]:
    """Every token in *text*, in order."""
    return [part.split(ENDS[1])[0] for part in text.split(ENDS[0])[1:]]


class Editor(threading.Thread):
    """Somebody who edits one file as editors do: read it, change it, save it whole.

    Attributes:
        typed: every token that was typed into the file and saved.
        deleted: those that were removed again, each by who typed it.
    """

    def __init__(self, name: str, file: Path, edits: int, seed: int, pause: float = 0.05) -> None:
        super().__init__(name=name)
        self.file = file
        self.typed: set[str] = set()
        self.deleted: set[str] = set()
        self._edits = edits
        self._random = random.Random(seed)
        self._pause = pause

    def run(self) -> None:
        """Make all edits, one after another."""
        for _ in range(self._edits):
            self._edit()
            time.sleep(self._random.uniform(0, self._pause))

    def _edit(self) -> None:
        text = self.file.read_bytes().decode()
        mine = [token for token in tokens_in(text) if token in self.typed]
        happens = self._random.random()
        if happens < 0.15 and mine:
            token = self._random.choice(mine)
            text = text.replace(f"{ENDS[0]}{token}{ENDS[1]}", "")
            self.deleted.add(token)
        else:
            # words that differ as words do, and ones that differ in a digit, as numbered items do
            letters = "".join(self._random.choices("abcdefghijklmnopqrstuvwxyz", k=8))
            word = self._random.choice([letters, f"{self.name}{len(self.typed)}"])
            token = f"{word}{self._random.choice(['', 'é', '日本語', '😀'])}"
            at = len(text) if happens < 0.5 else self._border(text)
            text = text[:at] + f"{ENDS[0]}{token}{ENDS[1]}" + self._random.choice(["", "\n"]) + text[at:]
            self.typed.add(token)
        self._save(text.encode())

    def delete_again(self) -> None:
        """Take out, in one save, whatever this editor had deleted and sees again."""
        text = shown = self.file.read_bytes().decode()
        for token in self.deleted:
            text = text.replace(f"{ENDS[0]}{token}{ENDS[1]}", "")
        if text != shown:
            self._save(text.encode())

    def _border(self, text: str) -> int:
        """A place that is not inside a token."""
        borders = [0, *(at + 1 for at, letter in enumerate(text) if letter == ENDS[1])]
        return self._random.choice(borders)

    def _save(self, content: bytes) -> None:
        """Half of all editors write into the file, the other half put a new one in its place."""
        if self._random.random() < 0.5:
            self.file.write_bytes(content)
        else:
            draft = self.file.with_name(f".{self.file.name}.{self.name}.swp")
            draft.write_bytes(content)
            draft.replace(self.file)


class Patient(Protocol):
    """Whoever knows how slow this machine is."""

    @property
    def patience(self) -> float:
        """What to multiply every limit in time with."""
        ...


def expect_every_token_once(town: Patient, files: list[Path], editors: list[Editor], when: str) -> None:
    """All copies become equal, and nothing in them is missing, there twice, or from nowhere.

    A deletion that a kill or another save crossed may be undone, which its person can see and repeat; so a
    deleted token may be there.
    """
    expected = {token for editor in editors for token in editor.typed - editor.deleted}
    typed = {token for editor in editors for token in editor.typed}

    def equal() -> bool:
        contents = {file.read_bytes() for file in files}
        found = tokens_in(contents.pop().decode())
        return not contents and len(found) == len(set(found)) and expected <= set(found) <= typed

    try:
        until(equal, 20 * town.patience, f"equal copies with every token once {when}")
    except AssertionError:
        for file in files:
            found = tokens_in(file.read_text())
            print(file, "missing", sorted(expected - set(found)), "extra", sorted(set(found) - typed))
            print("    twice", sorted({token for token in found if found.count(token) > 1}))
        raise
