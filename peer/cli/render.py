"""What people read: plain lines on stderr, nothing animated, colour only beside words."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import IO, Final

from peer.cli import errors
from peer.cli.errors import Problem
from peer.cli.folding import Folding
from peer.cli.outlet import Outlet
from peer.cli.sessions import peers_of
from peer.cli.view import SessionLike
from peer.cli.wording import count, duration, host, join_command, moment, path_words, place, plain, size
from peer.core.notices import (
    ConnectStage,
    FileChanged,
    Notice,
    PeerJoined,
    PeerLeft,
    PeerPath,
    PeerPong,
    PeerSilent,
    PresenceChanged,
    Returned,
    ServerState,
    SyncDone,
    SyncProgress,
    Trouble,
    Warned,
)

__all__ = ["Quiet", "Setting", "Terminal", "paint", "wants_color"]

PROGRESS_SECONDS: Final = 5.0
"""At most one line of progress per peer in this time; a short sync shows none."""

ALONE_SECONDS: Final = 5.0
"""After so long without anybody a person begins to wonder."""

_STEPS: Final = {"found": "found", "sealed": "sealed"}

_COLORS: Final = {"strong": "1;33", "good": "32", "warn": "33", "bad": "1;31", "dim": "2", "head": "1"}


def wants_color(choice: str, is_terminal: bool, environ: Mapping[str, str]) -> bool:
    """Whether to use colour: `--color`, then NO_COLOR, then FORCE_COLOR, then what the stream is."""
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR") or environ.get("WEFT_NO_COLOR"):
        return False
    if any(environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return is_terminal and environ.get("TERM") != "dumb"


def paint(text: str, style: str, color: bool) -> str:
    """*text* in one of our few colours."""
    return f"\x1b[{_COLORS[style]}m{text}\x1b[0m" if color else text


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
    """

    command: str
    subject: str
    server: str = ""
    needs_server: bool = False
    policy: str = "auto"
    color: bool = False
    presence: bool = False


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
        self._paths: dict[str, str] = {}
        self._silent: set[str] = set()
        self._progress: dict[str, float] = {}
        self._where: dict[str, str | None] = {}
        self._server_lost, self._has_server = False, True
        self._steps: dict[str, float] = {}
        self._alone_at: float | None = None
        self._began = steady()

    # --- the life of the session --------------------------------------------------------------------

    def opening(self) -> None:
        """The very first line."""
        doing = "opening" if self._setting.command == "share" else "joining"
        self._line(f"  {self._setting.subject}  {self._dim(doing + ' …')}")

    def started(self, session: SessionLike) -> None:
        """What is shared, and how others come in."""
        self._began = self._steady()
        self._learn_server(session.status())
        subject = place(session.folder) if session.folder else self._setting.subject
        what = f"{count(session.files, 'file')}, {size(session.text_bytes)}"
        if self._setting.command == "share":
            again = "  (continued)" if session.resumed else ""
            self._line(f"  {subject}  {what}{again}")
            self._invite(session)
        else:
            again = " again" if session.resumed else ""
            self._line(f"  {self._good('✓')} {subject} is live{again}, {what}, as {plain(session.role)}.")
            self._line("    Open any file in any editor; saving sends, others' edits arrive in place.")
            self._line(f"    {self._dim('Ctrl-C leaves (files stay).   weft status   weft stop')}")
            self._alone_at = self._began + ALONE_SECONDS

    def _invite(self, session: SessionLike) -> None:
        if not session.link:
            return
        server = self._setting.server if self._setting.needs_server else None
        command = join_command(session.link, server=server, policy=self._setting.policy)
        self._line("")
        self._line("  Ask the other person to run:")
        self._line("")
        self._line(f"    {paint(command, 'strong', self._setting.color)}")
        self._line("")
        self._line("  Whoever has this link can take part: hand it over like a key.")
        if not self._has_server:
            self._line(
                "  It works on this network. For people anywhere, share with --server URL: a link of its own."
            )
        self._line(f"  {self._dim('Ctrl-C leaves (files stay).   weft status   weft stop')}")
        self._line("")

    def _learn_server(self, status: dict[str, object]) -> None:
        server = status.get("server")
        address = server.get("url") if isinstance(server, dict) else None
        self._has_server = bool(address)
        if isinstance(address, str) and address:
            self._server = host(address)

    def leaving(self, session: SessionLike) -> None:
        """The last file events, then that we go."""
        self._flush_files(all_of_it=True)
        told = sum(peer.get("state") != "away" for peer in peers_of(session.status()))
        who = f"telling {count(told, 'other')}; " if told else ""
        self._line(f"  leaving: {who}files stay as they are")

    def ended(self, summary: dict[str, object]) -> None:
        """How long it was, and how to come back."""
        self._flush_files(all_of_it=True)
        self._line(f"  left after {duration(self._steady() - self._began)}.")
        back = {"share": "weft share", "join": "weft join"}.get(self._setting.command, "weft join")
        self._line(f"  {self._dim(f'to go on:  {back}  in that folder')}")

    def failed(self, problem: Problem) -> None:
        """The failure, in the form that all failures have."""
        self._flush_files(all_of_it=True)
        if self._setting.server:
            problem = replace(
                problem, do=problem.do.replace("--server URL", f"--server {self._setting.server}")
            )
        for number, line in enumerate(errors.lines(problem)):
            self._line(paint(line, "bad", self._setting.color) if number == 0 else line)

    def warning(self, code: str, message: str) -> None:
        """A warning of our own."""
        self._event(f"{paint('warning:', 'warn', self._setting.color)} {message}  {self._dim(f'[{code}]')}")

    def patience(self) -> float | None:
        """Seconds until folded file events are due."""
        due = self._folding.patience(self._steady())
        if self._alone_at is None:
            return due
        alone = max(0.0, self._alone_at - self._steady())
        return alone if due is None else min(alone, due)

    def flush(self) -> None:
        """Show folded file events that are due, and that nobody is here if that lasts."""
        self._flush_files(all_of_it=False)
        if self._alone_at is not None and self._steady() >= self._alone_at:
            self._alone_at = None
            self._say_alone()

    def _say_alone(self) -> None:
        self._event("nobody of this session is here yet; what you edit is kept and merged then")
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
                self._folding.add(notice)
                self.flush()
            case ConnectStage() | PeerJoined() | PeerPath() | PeerPong() | PeerSilent() | PeerLeft():
                self._peer(notice)
            case SyncProgress() | SyncDone():
                self._sync(notice)
            case Returned():
                self._returned(notice)
            case PresenceChanged():
                self._presence(notice)
            case ServerState():
                self._server_state(notice)
            case Warned() | Trouble():
                self._trouble(notice)

    def _peer(self, notice: ConnectStage | PeerJoined | PeerPath | PeerPong | PeerSilent | PeerLeft) -> None:
        name = plain(notice.name)
        match notice:
            case ConnectStage():
                self._stage(name, notice)
            case PeerJoined():
                role = "" if notice.role == "editor" else f" as {plain(notice.role)}"
                self._event(f"{self._good(f'{name} joined{role}')}{self._dim(self._steps_taken())}")
            case PeerPath():
                self._path(name, notice)
            case PeerPong():
                pass  # whoever asked is told
            case PeerSilent():
                self._silent.add(notice.peer)
                self._event(f"{name} was last heard {duration(notice.seconds)} ago; waiting")
            case PeerLeft():
                self._forget(notice.peer)
                why = {"bye": "left", "silent": "is gone: nothing was heard for too long"}
                self._event(f"{name} {why.get(notice.reason, 'was cut off: ' + plain(notice.reason))}")

    def _stage(self, name: str, notice: ConnectStage) -> None:
        """Steps that went well wait for their peer's line; one that failed has its own."""
        if notice.stage == "server":
            self._steps["server"] = notice.took_ms  # which one it was comes with its state
        elif notice.ok:
            self._steps[notice.stage] = notice.took_ms
        else:
            self._event(f"{name}: no direct path yet ({plain(notice.detail)}); Weft goes on looking")
            self._advise(f"weft doctor --peer {name}")

    def _steps_taken(self) -> str:
        """How long each step on the way to a peer took; a wait for people to come is no step."""
        steps, self._steps = self._steps, {}
        if self._alone_at is None:
            steps.pop("found", None)
        self._alone_at = None
        return "".join(
            f"{'   ' if not number else ' · '}{_STEPS[step]} {moment(ms)}"
            for number, (step, ms) in enumerate(steps.items())
            if step in _STEPS
        )

    def _path(self, name: str, notice: PeerPath) -> None:
        before = self._paths.get(notice.peer)
        back = "back, " if notice.peer in self._silent else ""
        now = "now " if before and before != notice.path else ""
        self._paths[notice.peer] = notice.path
        self._silent.discard(notice.peer)
        delay = f", {moment(notice.rtt_ms)}" if notice.rtt_ms is not None else ""
        took = f"   {moment(notice.took_ms)} after meeting" if now and not back else ""
        words = path_words(notice.path, self._server)
        self._event(f"{name}: {back}{now}{words}{delay}{self._dim(took)}")

    def _forget(self, peer: str) -> None:
        self._silent.discard(peer)
        for known in (self._paths, self._progress, self._where):
            known.pop(peer, None)

    def _sync(self, notice: SyncProgress | SyncDone) -> None:
        name, now = plain(notice.name), self._steady()
        if isinstance(notice, SyncDone):
            self._progress.pop(notice.peer, None)
            what = f"{count(notice.documents, 'document')}, {size(notice.bytes)}"
            self._event(f"up to date with {name}: {what} in {duration(notice.took_ms / 1000)}")
        elif now - self._progress.setdefault(notice.peer, now) >= PROGRESS_SECONDS:
            self._progress[notice.peer] = now
            self._event(f"receiving from {name}: {notice.done:,} of {notice.total:,}")

    def _returned(self, notice: Returned) -> None:
        sent, received = count(notice.sent, "edit"), f"{notice.received:,}"
        what = f"{sent} sent, {received} received"
        self._event(self._good(f"{plain(notice.name)}: back after {duration(notice.away_s)}: {what}"))

    def _presence(self, notice: PresenceChanged) -> None:
        if not self._setting.presence or not notice.here or self._where.get(notice.peer) == notice.path:
            return
        self._where[notice.peer] = notice.path
        where = f"is in {plain(notice.path)}" if notice.path else "is in no file"
        self._event(self._dim(f"{plain(notice.name)} {where}"))

    def _server_state(self, notice: ServerState) -> None:
        if notice.state == "lost":
            why = plain(notice.detail).removeprefix(f"the server {self._server}: ")
            self._event(f"{self._server} cannot be reached: {why.removeprefix('no connection: ')}")
            if not self._server_lost:
                self._advise("who is connected stays so; from elsewhere nobody joins meanwhile")
            self._server_lost = True
            return
        before = self._server
        self._server = host(notice.server) if notice.server else before
        took = self._steps.pop("server", None)
        if took is not None and not self._server_lost:  # else `is back` says it
            self._event(self._dim(f"{self._server} reached in {moment(took)}"))
        if before not in (self._server, "the server"):
            self._event(f"others are met at {self._server} now")
        elif self._server_lost:
            self._event(f"{self._server} is back")
        self._server_lost = False

    def _trouble(self, notice: Warned | Trouble) -> None:
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
        self._line(f"  {self._dim(at)}  {text}")

    def _advise(self, text: str) -> None:
        self._line(f"            {self._dim(text)}")

    def _line(self, text: str) -> None:
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
