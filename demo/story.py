"""What the demo shows: one invites, one joins, both type at once, both have the same."""

import random
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from demo.programs import DemoFailed, Program, wait_until
from peer.cli.wording import wrap

__all__ = ["lines", "main"]

SAMPLE: Final = Path(__file__).with_name("notes")
SHARED_FILE: Final = "shopping.md"
LINES_EACH: Final = 20
SAVES_MEASURED: Final = 20
DID: Final = 25
"""Columns for what somebody does; the longest of the story."""
PAUSE_SECONDS: Final = 0.03
"""Between two saves, on average: faster than anyone, so that many cross each other on the way."""
SETTLE_SECONDS: Final = 10.0
"""For what takes a blink; more only matters on a machine that is very busy."""


class Story:
    """One run of the demo in a temporary directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.programs: list[Program] = []
        self.anna = place / "anna" / "notes"
        self.ben = place / "ben" / "notes"
        self._began = time.perf_counter()

    def say(self, who: str, did: str, outcome: str) -> None:
        """Print one step of the story."""
        passed = time.perf_counter() - self._began
        width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 0
        sys.stdout.write("\n".join(lines(passed, who, did, outcome, width)) + "\n")
        sys.stdout.flush()

    def start(self, name: str, *arguments: str) -> Program:
        """Start `weft` for somebody."""
        program = Program(name, self.place / name, list(arguments))
        self.programs.append(program)
        return program

    def play(self) -> None:
        """Tell it all.

        Raises:
            DemoFailed: something did not happen as it should.
        """
        self._meet()
        self._type_at_once()
        self._measure()

    def _meet(self) -> None:
        server = self.start("server", "serve", "--host", "127.0.0.1", "--port", "0")
        url = str(server.wait_for("server.listening")["url"])
        self.say("server", "weft serve", f"listens on {url}")
        shutil.copytree(SAMPLE, self.anna)
        anna = self.start("anna", "share", str(self.anna), "--server", url, "--name", "anna")
        link = str(anna.wait_for("invite.ready")["link"])
        shown = f"{link[:14]}…{link[-6:]}"
        self.say("anna", "weft share notes", f"invites: {shown} ({len(link)} characters)")
        ben = self.start("ben", "join", link, str(self.ben), "--name", "ben")
        done = ben.wait_for("sync.done")
        wait_until(lambda: _tree(self.anna) == _tree(self.ben), SETTLE_SECONDS, "the same files at ben's")
        self.say(
            "ben",
            "weft join LINK notes",
            f"has all {len(_tree(self.ben))} files, "
            f"{float(str(done['took_ms'])):.0f} ms after they met on the relay",
        )
        paths = [each.wait_for("peer.path", path="direct") for each in (anna, ben)]
        took = max(float(str(path["took_ms"])) for path in paths)
        self.say("both", "path: direct", f"from machine to machine after {took:.0f} ms")

    def _type_at_once(self) -> None:
        folders = {"anna": self.anna, "ben": self.ben}
        with ThreadPoolExecutor() as people:
            for saving in [
                people.submit(_type, folder / SHARED_FILE, who) for who, folder in folders.items()
            ]:
                saving.result()
        lines = [_line(who, number) for who in folders for number in range(LINES_EACH)]

        def merged() -> bool:
            one, other = ((folder / SHARED_FILE).read_text() for folder in folders.values())
            return one == other and all(one.splitlines().count(line) == 1 for line in lines)

        wait_until(merged, SETTLE_SECONDS, f"equal files with each of the {len(lines)} lines exactly once")
        self.say("both", f"{LINES_EACH} saves each, at once", "both files equal, each line is there once")

    def _measure(self) -> None:
        times = []
        for number in range(SAVES_MEASURED):
            here, there = (self.anna, self.ben) if number % 2 else (self.ben, self.anna)
            times.append(_measure_one(here, there, f"- measured {number}") * 1000)
        self.say(
            "both",
            "file saved → file changed",
            f"{statistics.median(times):.0f} ms (median of {len(times)}, slowest {max(times):.0f} ms)",
        )

    def end(self) -> None:
        """Press Ctrl-C everywhere.

        Raises:
            DemoFailed: somebody did not leave in good order.
        """
        codes = {}
        for program in reversed(self.programs):
            program.ask_to_end()
            codes[program.name] = program.end()
        wrong = {name: code for name, code in codes.items() if code != 130}
        if wrong:
            raise DemoFailed(f"after Ctrl-C the exit code has to be 130, and was {wrong}")
        self.say("all", "Ctrl-C", "said goodbye and ended")

    def explain_how_to_go_on(self) -> None:
        """Say where everything is and how to stop it."""
        pids = " ".join(str(program.pid) for program in self.programs)
        sys.stdout.write(
            f"\nStill running. Open a file in both folders and save it in one of them:\n"
            f"  {self.anna}\n  {self.ben}\n"
            f"To stop, and remove them:\n  kill {pids}; sleep 1; rm -r {shlex.quote(str(self.place))}\n"
        )


def lines(passed: float, who: str, did: str, outcome: str, width: int) -> list[str]:
    """One step, *passed* seconds after the beginning, in *width* columns; 0 for a single line."""
    before = f"  {passed:4.1f} s  {who:<7} {did:<{DID}}  "
    return wrap(before + outcome, width, indent=len(before)) if width else [before + outcome]


def _measure_one(here: Path, there: Path, line: str) -> float:
    """Save a line in *here*; return the seconds until it is in *there*, once both are at rest."""
    _insert(here / SHARED_FILE, line, at_the_top=False)
    file = there / SHARED_FILE
    seconds = wait_until(lambda: line in file.read_text(), SETTLE_SECONDS, "a change of the other file")
    wait_until(lambda: _tree(here) == _tree(there), SETTLE_SECONDS, "equal files")
    return seconds


def _line(who: str, number: int) -> str:
    return f"- {who} {number:02d} 🥕 日本"


def _type(file: Path, who: str) -> None:
    """Save one more line again and again: anna at the top, ben at the end."""
    pace = random.Random(who)
    for number in range(LINES_EACH):
        _insert(file, _line(who, number), at_the_top=who == "anna")
        time.sleep(pace.uniform(0, 2 * PAUSE_SECONDS))


def _insert(file: Path, line: str, *, at_the_top: bool) -> None:
    """Save *file* with one more line, as a program does that writes whole files."""
    text = file.read_text()
    file.write_text(f"{line}\n{text}" if at_the_top else f"{text}{line}\n")


def _tree(folder: Path) -> dict[str, bytes]:
    """Every file of a shared folder with its content."""
    try:
        files = [path for path in folder.rglob("*") if path.is_file()]
        relative = {path: path.relative_to(folder) for path in files}
        return {str(name): path.read_bytes() for path, name in relative.items() if name.parts[0] != ".weft"}
    except FileNotFoundError:
        return {}  # it is just being replaced


def main(*, keep: bool) -> int:
    """Play the demo; with *keep*, leave everything running at its end. Return the exit code."""
    place = Path(tempfile.mkdtemp(prefix="weft-demo-"))
    story = Story(place)
    sys.stdout.write("Three processes on this machine: a server, anna, and ben.\n\n")
    try:
        story.play()
        if keep:
            story.explain_how_to_go_on()
            return 0
        story.end()
    except (DemoFailed, KeyboardInterrupt) as problem:
        _fail(story, problem)
        return 130 if isinstance(problem, KeyboardInterrupt) else 1
    shutil.rmtree(place)
    sys.stdout.write("\nThe demo went well.\n")
    return 0


def _fail(story: Story, problem: BaseException) -> None:
    words = "\n".join(program.last_words() for program in story.programs)
    for program in reversed(story.programs):
        program.ask_to_end()
    for program in story.programs:
        program.end()
    if isinstance(problem, DemoFailed):
        sys.stderr.write(f"\nerror: {problem}\n{words}\n")
    shutil.rmtree(story.place, ignore_errors=True)
