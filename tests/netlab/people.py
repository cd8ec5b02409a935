"""People in the laboratory: real `weft share` and `weft join` on hosts, and what became of their meeting."""

import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from demo.programs import DemoFailed, Program, Record
from tests.conftest import PATIENCE
from tests.e2e.town import until
from tests.netlab.lab import Host, Lab
from tests.netlab.services import Authority, Coturn, Server

__all__ = ["FIRST_TEXT_SECONDS", "PATH_SECONDS", "Meeting", "Person", "Stage", "new_stage"]

FIRST_TEXT_SECONDS: Final = 1.5
"""From the joiner's `session.start`, its first record, until the sharer's text is in the joiner's folder.

What is before that is Python's start, which depends on the machine and not on the network; it is measured
and shown as well."""
PATH_SECONDS: Final = 5.0
"""From the joiner's `session.start` until both sides name the path that the golden table has."""
READY_SECONDS: Final = 20.0
"""For a program to be up; what is measured begins later."""
EDIT_SECONDS: Final = 3.0

TEXT: Final = "# Plan\n"


@dataclass(slots=True)
class Person:
    """Somebody with a folder and a `weft` of their own."""

    name: str
    host: Host
    place: Path
    stage: "Stage"
    program: Program | None = None
    started: float = 0.0

    @property
    def folder(self) -> Path:
        """The shared folder."""
        return self.place / "notes"

    @property
    def file(self) -> Path:
        """The file that everybody edits."""
        return self.folder / "plan.md"

    @property
    def running(self) -> Program:
        """Their program."""
        assert self.program is not None
        return self.program

    def weft(self, *arguments: str) -> Program:
        """Start `weft` on their host; kept until they stop."""
        self.started = time.time()
        self.program = Program(
            self.name,
            self.place,
            [*arguments, "--name", self.name],
            inside=self.host.inside,
            environment=self.stage.authority.environment,
        )
        return self.program

    def share(self, *options: str) -> str:
        """Share a folder that holds a text; return the link when the server knows of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(TEXT)
        program = self.weft("share", str(self.folder), "--server", self.stage.server.url, *options)
        link = program.wait_for("invite.ready", READY_SECONDS * self.stage.patience)["link"]
        program.wait_for("server.state", READY_SECONDS * self.stage.patience, state="connected")
        return str(link)

    def join(self, link: str, *options: str) -> None:
        """Join by a link."""
        self.weft("join", link, str(self.folder), *options)

    def paths(self, other: str) -> list[Record]:
        """Every path to *other* that was named, in order."""
        return [record for record in self.running.records("peer.path") if record["name"] == other]

    def path(self, other: str) -> str:
        """The path to *other* that was named last."""
        named = self.paths(other)
        return str(named[-1]["path"]) if named else "none"

    def stop(self) -> None:
        """Say goodbye."""
        if self.program is not None:
            self.program.ask_to_end()

    def story(self) -> str:
        """What their program said, for a test that failed."""
        if self.program is None:
            return f"{self.name}: not started"
        shown = ("peer.path", "peer.joined", "peer.left", "peer.silent", "server.state", "warning", "error")
        lines = []
        for record in self.program.everything():
            if record["type"] in shown:
                since = float(str(record["t"])) - self.started
                said = {key: record[key] for key in record if key not in ("schema", "seq", "t", "type")}
                lines.append(f"  {since:7.3f} s  {record['type']}  {said}")
        return "\n".join([f"{self.name}:", *lines, self.program.last_words()])


@dataclass(slots=True)
class Meeting:
    """How two people met; all times in seconds.

    Attributes:
        first_text: from the joiner's `session.start` until the text was there.
        since_start: the same, from the start of the joiner's process.
        path: the word that both sides used last.
        path_after: from the joiner's `session.start` until both had used it.
        failure: what was not as it should be, and what both sides said; empty if nothing.
    """

    first_text: float = 0.0
    since_start: float = 0.0
    path: str = "none"
    path_after: float = 0.0
    failure: str = ""


@dataclass(slots=True)
class Stage:
    """A laboratory with the two servers that everybody uses."""

    lab: Lab
    authority: Authority
    turn: Coturn
    server: Server
    patience: float
    place: Path
    _count: "itertools.count[int]" = field(default_factory=itertools.count)

    def close(self) -> None:
        """End both servers."""
        self.server.kill()
        self.turn.kill()

    def person(self, name: str, host: Host) -> Person:
        """Somebody new on *host*, with directories of their own."""
        place = self.place / f"{name}{next(self._count)}"
        place.mkdir()
        return Person(name, host, place, self)

    def meet(
        self, sharer: Host, joiner: Host, expected: str, policy: str = "auto", *, slack: float = 1.0
    ) -> Meeting:
        """Have one share and another one join, and see whether they get the *expected* path.

        Where packets are lost it may take *slack* times as long as else.

        Without the relay (*policy* `direct`) the first text has as long as the path.
        Never raises: a meeting that failed says so.
        """
        anna, ben = self.person("anna", sharer), self.person("ben", joiner)
        meeting = Meeting()
        try:
            link = anna.share("--path", policy)
            ben.join(link, "--path", policy)
            self._wait_for_text(ben, meeting, relayed=policy != "direct")
            self.wait_for_path(anna, ben, expected, meeting, slack)
            self._write_to_each_other(anna, ben)
            assert (anna.path("ben"), ben.path("anna")) == (expected, expected), "the path did not stay"
        except (AssertionError, DemoFailed) as problem:
            meeting.failure = f"{problem}\n{anna.story()}\n{ben.story()}"
        for person in (anna, ben):
            person.stop()
        for person in (anna, ben):
            if person.program is not None:
                person.program.end()
        meeting.path = ben.path("anna") if ben.program is not None else "none"
        return meeting

    def _wait_for_text(self, ben: Person, meeting: Meeting, *, relayed: bool) -> None:
        begun = float(str(ben.running.wait_for("session.start", READY_SECONDS * self.patience)["t"]))
        limit = (FIRST_TEXT_SECONDS if relayed else PATH_SECONDS) * self.patience
        left = begun + limit - time.time()
        until(
            lambda: ben.file.exists() and ben.file.read_text() == TEXT, left, f"the first text in {limit:g} s"
        )
        arrived = ben.file.stat().st_mtime
        meeting.first_text, meeting.since_start = arrived - begun, arrived - ben.started

    def wait_for_path(
        self, anna: Person, ben: Person, expected: str, meeting: Meeting, slack: float = 1.0
    ) -> None:
        """Wait until both use the *expected* word, and note when that was."""
        begun = float(str(ben.running.records("session.start")[0]["t"]))
        limit = PATH_SECONDS * slack
        end = begun + limit * self.patience
        while (anna.path("ben"), ben.path("anna")) != (expected, expected):
            found = f"after {limit:g} s anna calls it {anna.path('ben')}, ben {ben.path('anna')}"
            assert time.time() < end, f"{expected} was expected; {found}"
            time.sleep(0.02)
        named = [anna.paths("ben")[-1], ben.paths("anna")[-1]]
        meeting.path_after = max(float(str(record["t"])) for record in named) - begun

    def bring_together(self, anna: Person, ben: Person, expected: str, policy: str = "auto") -> None:
        """Have one share and the other join, until they are on the *expected* path.

        Raises:
            AssertionError: they are not, in time.
            DemoFailed: a program ended.
        """
        ben.join(anna.share("--path", policy), "--path", policy)
        ben.running.wait_for("session.start", READY_SECONDS * self.patience)
        self.wait_for_path(anna, ben, expected, Meeting())
        until(ben.file.exists, EDIT_SECONDS * self.patience, "the first file")

    def _write_to_each_other(self, anna: Person, ben: Person) -> None:
        expected = TEXT
        for writer, reader in ((anna, ben), (ben, anna)):
            expected += f"from {writer.name}\n"
            writer.file.write_text(expected)
            wanted = expected
            until(
                lambda reader=reader, wanted=wanted: reader.file.read_text() == wanted,  # type: ignore[misc]
                EDIT_SECONDS * self.patience,
                f"what {writer.name} wrote, at {reader.name}",
            )


def new_stage(
    lab: Lab, name: str, turn_seconds: float = 3600.0, *, domain: str = "", dead6: bool = False
) -> Stage:
    """Two servers of one's own in *lab*, on hosts that are called after *name*; to be closed.

    TURN is lent to clients for *turn_seconds* at a time.  With a *domain* both have names in it, and IPv6, or
    with *dead6* only the names have it, and packets that are sent there vanish.
    """
    place = lab.place / name
    place.mkdir()
    authority = Authority(place)
    versions = (4, 6) if domain and not dead6 else (4,)
    turn_host = lab.host(f"{name}.turn", versions=versions)
    server_host = lab.host(f"{name}.server", versions=versions)
    if domain:
        lab.call(turn_host, f"turn.{domain}", dead6=dead6)
        lab.call(server_host, f"meet.{domain}", dead6=dead6)
    turn = Coturn(turn_host, place, authority)
    turn.start()
    server = Server(server_host, place, authority, turn, turn_seconds)
    server.start()
    return Stage(lab, authority, turn, server, PATIENCE, place)
