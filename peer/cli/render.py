"""What people read: plain lines on stderr, nothing animated, colour only beside words."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Final

from peer.cli import errors
from peer.cli.arrival import EMPTY_SECONDS, Arrival
from peer.cli.errors import Problem
from peer.cli.folding import Folding
from peer.cli.outlet import Outlet
from peer.cli.paint import paint
from peer.cli.people_lines import PeopleLines, PersonNotice
from peer.cli.sessions import peers_of
from peer.cli.view import SessionLike
from peer.cli.wording import (
    again_command,
    count,
    duration,
    host,
    join_command,
    moment,
    place,
    plain,
    size,
    wrap,
)
from peer.core.notices import (
    ConnectStage,
    FileChanged,
    Notice,
    PeerLeft,
    PeerPong,
    ServerState,
    SyncDone,
    SyncProgress,
    Trouble,
    Warned,
)

__all__ = ["Quiet", "Setting", "Terminal"]

EVENT_INDENT: Final = 12
"""Columns before what happened: those of the time."""

PROGRESS_SECONDS: Final = 5.0
"""At most one line of progress per peer in this time; a short sync shows none."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the lines depend on beside the session.

    Attributes:
        command: `share` or `join`.
        subject: the folder as the person wrote it.
        server: its address, as far as it is known.
        needs_server: the link does not say where the server is.
        policy: `auto`, `direct` or `relay`.
        color: whether to use colour.
        presence: whether to show where people are.
        columns: how wide the terminal is; 0 where there is none.
    """

    command: str
    subject: str
    server: str = ""
    needs_server: bool = False
    policy: str = "auto"
    color: bool = False
    presence: bool = False
    columns: Callable[[], int] = lambda: 0


class Terminal:
    """A view for people."""

    def __init__(
        self,
        stream: IO[bytes],
        setting: Setting,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outlet = Outlet(stream)
        self._setting = setting
        self._wall = wall
        self._steady = steady
        self._server = host(setting.server) if setting.server else "the server"
        self._folding = Folding()
        self._people = PeopleLines(
            event=self._event,
            advise=self._advise,
            came_later=lambda: self._arrival.came_later(self._steady()),
            met=lambda: self._arrival.met(),
            good=self._good,
            dim=self._dim,
            presence=setting.presence,
        )
        self._people.server = self._server
        self._progress: dict[str, float] = {}
        self._has_server, self._lost_because = True, set[str]()
        self._reached_ms: float | None = None
        self._session: SessionLike | None = None
        self._began = steady()
        self._arrival = Arrival(setting.command, resumed=False, now=self._began)

    # --- the life of the session --------------------------------------------------------------------

    def opening(self) -> None:
        """The very first line."""
        doing = "opening" if self._setting.command == "share" else "joining"
        self._line(f"  {self._setting.subject}  {self._dim(doing + ' …')}")

    def started(self, session: SessionLike) -> None:
        """What is shared, and how others come in; to one who has joined, what there is to wait for."""
        self._began, self._session = self._steady(), session
        # One that was stopped before anything had come is as new as at its first start.
        known = session.resumed and (self._setting.command == "share" or session.files > 0)
        self._arrival = Arrival(self._setting.command, resumed=known, now=self._began)
        self._learn_server(session.status())
        if self._arrival.waits:
            self._line(f"  {self._subject()}  {self._dim('waiting for somebody who has its files …')}")
            return
        again = "  (continued)" if session.resumed else ""
        self._line(f"  {self._subject()}  {self._contents()}{again}")
        if self._setting.command == "share":
            if not session.resumed:
                self._arrival.told(session.texts())
            self._invite(session)
        else:
            self._how_to_leave("  ")

    def _subject(self) -> str:
        folder = None if self._session is None else self._session.folder
        return place(folder) if folder else self._setting.subject

    def _contents(self) -> str:
        session = self._session
        return "" if session is None else f"{count(session.files, 'file')}, {size(session.text_bytes)}"

    def _how_to_leave(self, indent: str) -> None:
        self._line(f"{indent}{self._dim('Ctrl-C leaves (files stay).   weft status   weft stop')}")

    def _say_live(self, detail: str = "") -> None:
        """The folder holds now what somebody else's does."""
        session, new = self._session, self._arrival.waits
        if session is None:
            return
        self._arrival.now_live(session.texts())
        what = self._contents() if session.files else "nobody here has files in it yet"
        role = ", as viewer" if session.role == "viewer" else ""
        again = "" if new else " again"
        live = f"  {self._good('✓')} {self._subject()} is live{again}: {what}{role}."
        self._line(live + self._dim(detail))
        if new:
            self._line("    Open any file in any editor; saving sends, others' edits arrive in place.")
            self._how_to_leave("    ")

    def _invite(self, session: SessionLike) -> None:
        if not session.link:
            return
        server = self._setting.server if self._setting.needs_server else None
        command = join_command(session.link, server=server, policy=self._setting.policy)
        self._line("")
        self._line("  Ask the other person to run:")
        self._line("")
        self._write(f"    {paint(command, 'strong', self._setting.color)}")
        self._line("")
        self._line("  Whoever has this link can take part: hand it over like a key.")
        if not self._has_server:
            self._line(
                "  It works on this network. For people anywhere, share with --server URL: a link of its own."
            )
        self._how_to_leave("  ")
        self._line("")

    def _learn_server(self, status: dict[str, object]) -> None:
        server = status.get("server")
        address = server.get("url") if isinstance(server, dict) else None
        self._has_server = bool(address)
        if isinstance(address, str) and address:
            self._server = self._people.server = host(address)

    def leaving(self, session: SessionLike) -> None:
        """The last file events, then that we go."""
        self._flush_files(all_of_it=True)
        over = "\r" if self._setting.columns() else ""  # the terminal has just shown ^C there
        if self._arrival.waits:
            self._line(f"{over}  leaving: nothing had come yet")
            return
        told = sum(peer.get("state") != "away" for peer in peers_of(session.status()))
        who = f"telling {count(told, 'other')}; " if told else ""
        self._line(f"{over}  leaving: {who}files stay as they are")

    def ended(self, summary: dict[str, object]) -> None:
        """How long it was, and how to come back."""
        self._flush_files(all_of_it=True)
        self._line(f"  left after {duration(self._steady() - self._began)}.")
        if self._arrival.waits and not self._is_marked():
            self._line(f"  {self._dim('nothing is left here; to try again:  weft join LINK')}")
            return
        folder = None if self._session is None else self._session.folder
        self._line(f"  {self._dim(f'to go on:  {again_command(self._setting.command, folder)}')}")

    def _is_marked(self) -> bool:
        """Whether this side can go on with the session without the link."""
        folder = None if self._session is None else self._session.folder
        return folder is not None and (folder / ".weft" / "session.json").exists()

    def failed(self, problem: Problem) -> None:
        """The failure, in the form that all failures have."""
        self._flush_files(all_of_it=True)
        if self._setting.server:
            problem = replace(
                problem, do=problem.do.replace("--server URL", f"--server {self._setting.server}")
            )
        for number, line in enumerate(errors.lines(problem)):
            self._write(paint(line, "bad", self._setting.color) if number == 0 else line)

    def warning(self, code: str, message: str) -> None:
        """A warning of our own."""
        self._event(f"{paint('warning:', 'warn', self._setting.color)} {message}  {self._dim(f'[{code}]')}")

    def patience(self) -> float | None:
        """Seconds until something that was held back is due."""
        now, moment = self._steady(), self._arrival.deadline()
        waits = [self._folding.patience(now), self._people.patience(now)]
        waits.append(None if moment is None else max(0.0, moment - now))
        return min((wait for wait in waits if wait is not None), default=None)

    def flush(self) -> None:
        """Show what was held back and is due, and that nobody is here if that lasts."""
        now, arrival = self._steady(), self._arrival
        self._people.flush(now)
        self._flush_files(all_of_it=False)
        if arrival.empty_at is not None and now >= arrival.empty_at:
            self._say_live()
        if arrival.alone_at is not None and now >= arrival.alone_at:
            arrival.alone_at = None
            self._say_alone()

    def _say_alone(self) -> None:
        kept = "the files come with them" if self._arrival.waits else "what you edit is kept and merged then"
        self._event(f"nobody of this session is here yet; {kept}")
        self._advise("the others go on with:  weft share   or   weft join   in their folder")

    def unread(self) -> bool:
        """People may close a terminal; the session goes on until it is told otherwise."""
        return False

    def close(self) -> None:
        """Wait a moment for the terminal."""
        self._outlet.close()

    # --- notices --------------------------------------------------------------------------------------

    def notice(self, notice: Notice) -> None:
        """One line, or none."""
        match notice:
            case FileChanged():
                self._file(notice)
            case SyncProgress() | SyncDone():
                self._sync(notice)
            case ServerState():
                self._server_state(notice)
            case Warned() | Trouble():
                self._trouble(notice)
            case PeerPong():
                pass  # whoever asked is told
            case _:
                self._peer(notice)

    def _file(self, notice: FileChanged) -> None:
        if not self._arrival.is_known(notice):
            self._folding.add(notice)
        self.flush()

    def _peer(self, notice: PersonNotice) -> None:
        if isinstance(notice, ConnectStage) and notice.stage == "server":
            self._reached_ms = notice.took_ms  # which one it was comes with its state
            return
        if isinstance(notice, PeerLeft):
            self._progress.pop(notice.peer, None)
        self._people.notice(notice, self._steady())

    def _sync(self, notice: SyncProgress | SyncDone) -> None:
        name, now = plain(notice.name), self._steady()
        if isinstance(notice, SyncProgress):
            if now - self._progress.setdefault(notice.peer, now) >= PROGRESS_SECONDS:
                self._progress[notice.peer] = now
                self._event(f"receiving from {name}: {notice.done:,} of {notice.total:,}")
            return
        self._progress.pop(notice.peer, None)
        took = moment(notice.took_ms)
        if self._arrival.live:
            if notice.documents:
                self._event(f"up to date with {name}: {size(notice.bytes)} in {took}")
        elif self._session is None or self._session.files:
            self._say_live(f"   from {name} in {took}" if notice.documents else "")
        else:
            self._arrival.empty_at = self._arrival.empty_at or now + EMPTY_SECONDS

    def _server_state(self, notice: ServerState) -> None:
        if notice.state == "lost":
            why = plain(notice.detail).removeprefix(f"the server {self._server}: ")
            why = why.removeprefix("no connection: ")
            if not self._lost_because:
                self._event(f"{self._server} cannot be reached: {why}")
                self._advise("who is connected stays so; from elsewhere nobody joins meanwhile")
            elif why not in self._lost_because:
                self._event(self._dim(f"{self._server}: {why}"))
            self._lost_because.add(why)
            return
        before = self._server
        self._server = self._people.server = host(notice.server) if notice.server else before
        took, self._reached_ms = self._reached_ms, None
        if took is not None and not self._lost_because:  # else `is back` says it
            self._event(self._dim(f"{self._server} reached in {moment(took)}"))
        if before not in (self._server, "the server"):
            self._event(f"others are met at {self._server} now")
        elif self._lost_because:
            self._event(f"{self._server} is back")
        self._lost_because.clear()

    def _trouble(self, notice: Warned | Trouble) -> None:
        if notice.code == "W-ALONE":
            self._arrival.alone_at = None  # this says it, and more
        where = f" ({plain(notice.path)})" if notice.path else ""
        kind, style = ("warning:", "warn") if isinstance(notice, Warned) else ("error:", "bad")
        label = paint(kind, style, self._setting.color)
        self._event(f"{label} {plain(notice.message, 400)}{where}  {self._dim(f'[{plain(notice.code)}]')}")

    # --- lines ------------------------------------------------------------------------------------------

    def _flush_files(self, *, all_of_it: bool) -> None:
        line = self._folding.take(self._steady(), all_of_it=all_of_it)
        if line:
            self._event(line)

    def _event(self, text: str) -> None:
        at = time.strftime("%H:%M:%S", time.localtime(self._wall()))
        self._line(f"  {self._dim(at)}  {text}", EVENT_INDENT)

    def _advise(self, text: str) -> None:
        self._line(f"{' ' * EVENT_INDENT}{self._dim(text)}", EVENT_INDENT)

    def _line(self, text: str, indent: int | None = None) -> None:
        """A line, or as many as the terminal needs without a word being broken."""
        columns = self._setting.columns()
        indent = len(text) - len(text.lstrip()) if indent is None else indent
        for line in wrap(text, columns, indent=indent) if columns else [text]:
            self._write(line)

    def _write(self, text: str) -> None:
        """What is copied from the screen stays one line, and commands are."""
        self._outlet.write((text + "\n").encode("utf-8", "replace"))

    def _dim(self, text: str) -> str:
        return paint(text, "dim", self._setting.color)

    def _good(self, text: str) -> str:
        return paint(text, "good", self._setting.color)


class Quiet(Terminal):
    """The link and nothing else on stdout; on stderr only what fails."""

    def __init__(self, out: IO[bytes], stream: IO[bytes], setting: Setting) -> None:
        super().__init__(stream, setting)
        self._out = Outlet(out)

    def opening(self) -> None:
        """Nothing."""

    def started(self, session: SessionLike) -> None:
        """The link."""
        if self._setting.command == "share":
            self._out.write(session.link.encode() + b"\n")

    def notice(self, notice: Notice) -> None:
        """Only what needs the person."""
        if isinstance(notice, Trouble):
            super().notice(notice)

    def warning(self, code: str, message: str) -> None:
        """Nothing."""

    def leaving(self, session: SessionLike) -> None:
        """Nothing."""

    def ended(self, summary: dict[str, object]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Wait a moment for both readers."""
        self._out.close()
        super().close()
