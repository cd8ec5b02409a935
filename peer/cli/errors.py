"""What a person is told when something failed: what, what was tried, what is likely, what to do."""

import os
import re
import shutil
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import click

from peer.cli.exit_codes import ExitCode
from peer.cli.wording import cells, plain, wrap

__all__ = ["Failure", "Problem", "explain", "lines"]

LISTED: Final = 10
"""Names shown of a longer list."""

MESSAGE_LIMIT: Final = 1000
"""Characters of a message; parts of it may come from others."""

CRASH_LIMIT: Final = 65_536
"""Characters kept of the last crash."""

DEFAULT_WIDTH: Final = 90

MESSAGE_LEAST: Final = 20
"""Characters of a message in one line, however narrow the terminal."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure in the words of the person who must act.

    Attributes:
        code: stable name for scripts and for searching, `E-…`.
        exit: how the program ends.
        message: one sentence.
        tried, likely, do: what was tried, the best guess, the next command; empty when there is none,
            with several lines where there is a choice.
        names: files or folders it is about.
    """

    code: str
    exit: ExitCode
    message: str
    tried: str = ""
    likely: str = ""
    do: str = ""
    names: tuple[str, ...] = ()


class Failure(Exception):
    """Raised by the command line itself, with the problem ready to be shown."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


# By the name of the class: the command line must start before the packages that define them are
# imported.  The first name found on the way from a class to its root counts.
_BY_CLASS: Final[dict[str, Problem]] = {
    "WouldOverwrite": Problem(
        "E-WOULD-OVERWRITE",
        ExitCode.WOULD_OVERWRITE,
        "",
        likely="this folder held files before it became part of the session",
        do="join into a new or empty folder:  weft join LINK other-folder",
    ),
    "FolderVanished": Problem("E-FOLDER-LOST", ExitCode.WOULD_OVERWRITE, ""),
    "AlreadyRunning": Problem("E-RUNNING", ExitCode.USAGE, "", do="weft status   or, to end it,   weft stop"),
    "InvitationRefused": Problem(
        "E-REFUSED",
        ExitCode.REFUSED,
        "",
        likely="the invitation has run out or was withdrawn",
        do="ask whoever invited you for a new link",
    ),
    "ServerUnreachable": Problem(
        "E-SERVER",
        ExitCode.NO_SERVER,
        "",
        likely="the server is down, its address is mistyped, or this machine is offline",
        do="weft doctor --server URL   or run a server yourself:  weft serve",
    ),
    "Incompatible": Problem(
        "E-VERSION", ExitCode.INCOMPATIBLE, "", do="update Weft here, or ask the other side to: weft version"
    ),
    "NewerFormat": Problem("E-VERSION", ExitCode.INCOMPATIBLE, "", do="update Weft on this machine"),
    "StorageError": Problem("E-DISK", ExitCode.FAILURE, ""),
    "Unreachable": Problem(
        "E-UNREACHABLE",
        ExitCode.UNREACHABLE,
        "",
        likely="nobody of the session is online at the moment",
        do="try again later; what you edit meanwhile is kept and merged then",
    ),
    "RemoteError": Problem(
        "E-REMOTE", ExitCode.REFUSED, "", likely="the other side runs another program or version"
    ),
    "UsageError": Problem("E-USAGE", ExitCode.USAGE, ""),
    "WeftError": Problem("E-FAILED", ExitCode.FAILURE, ""),
}


def explain(error: BaseException) -> Problem:
    """Put *error* into words; one that nobody planned for is our own mistake."""
    if isinstance(error, Failure):
        return error.problem
    if isinstance(error, click.ClickException):
        return _explain_usage(error)
    for kind in type(error).__mro__:
        known = _BY_CLASS.get(kind.__name__)
        if known is not None and kind.__module__.startswith("peer."):
            return _filled(known, error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Problem(
        "E-INTERNAL",
        ExitCode.FAILURE,
        f"Weft itself failed: {what}",
        likely="a mistake in Weft; your files are as they were saved last",
        do=f"start it again; if it fails again, report it with {_write_crash(error)}",
    )


def _write_crash(error: BaseException) -> str:
    """Keep the details of the last crash for whoever is to repair it; returns where they are."""
    import traceback

    try:
        path = _crash_file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = "".join(traceback.format_exception(error))[-CRASH_LIMIT:]
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", errors="replace") as file:
            file.write(text)
    except OSError:
        return "what it printed"
    return str(path)


def _crash_file() -> Path:
    chosen = os.environ.get("WEFT_DATA_DIR")
    if chosen:
        return Path(chosen) / "crash.log"
    import platformdirs

    return Path(platformdirs.user_data_dir("weft", appauthor=False)) / "crash.log"


_SERVER_FAILURES: Final = (
    (r"[Cc]ertificate", "its certificate ran out or is for another name, or the clock here is wrong"),
    (
        r"name is not found",
        "the address is mistyped, or this computer is offline",
    ),
    (r"refused", "its machine answers, but no server runs at that port"),
    (r"unreachable", "this computer is offline, or that network cannot be reached"),
    (r"within|timed? ?out", "the server is down, or a firewall on the way drops the connection"),
    (r"not a Weft server", "the address is mistyped, or a proxy in front of it leads elsewhere"),
)
"""What a server that was not reached says, and the likely reason."""


def _of_server(problem: Problem) -> Problem:
    """Name the step that failed, and its likely reason."""
    likely = next(
        (why for words, why in _SERVER_FAILURES if re.search(words, problem.message)), problem.likely
    )
    tried = "to reach the server, the first step on the way to others"
    return replace(problem, tried=tried, likely=likely)


def _filled(known: Problem, error: BaseException) -> Problem:
    # `differing` lists what a join would overwrite, `missing` what a folder has lost.
    listed = getattr(error, "differing", None) or getattr(error, "missing", None) or ()
    names = tuple(str(name) for name in listed)
    problem = Problem(known.code, known.exit, str(error), known.tried, known.likely, known.do, names)
    return _of_server(problem) if known.code == "E-SERVER" else problem


def _explain_usage(error: click.ClickException) -> Problem:
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "weft"
    return Problem("E-USAGE", ExitCode.USAGE, error.format_message(), do=f"{command} --help")


def lines(problem: Problem, width: int | None = None) -> list[str]:
    """The problem as a person reads it; the first line begins with `error:` and ends with its code."""
    width = width or min(DEFAULT_WIDTH, shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns)
    shown = _head(
        f"error: {plain(' '.join(problem.message.split()), MESSAGE_LIMIT)}", f"[{problem.code}]", width
    )
    shown += [f"  {plain(name)}" for name in problem.names[:LISTED]]
    if len(problem.names) > LISTED:
        shown.append(f"  … and {len(problem.names) - LISTED} more")
    terminal = shutil.get_terminal_size((0, 0)).columns
    for label, text in (("tried", problem.tried), ("likely", problem.likely), ("do", problem.do)):
        for number, line in enumerate(text.splitlines()):
            whole = f"  {'' if number else label:<7} {line}"
            # what is to be done is a command, which people copy
            shown += wrap(whole, terminal, indent=10) if terminal and label != "do" else [whole]
    return shown


def _head(message: str, code: str, width: int) -> list[str]:
    """The message, with *code* at the right end; too long for its line, it goes on below at a space."""
    # Where nobody reads in a terminal, it stays one line, for programs that look for it.
    terminal = shutil.get_terminal_size((0, 0)).columns
    if 0 < terminal < cells(message) + 2 + len(code):
        wider = cells(message) - len(message)
        return textwrap.wrap(
            f"{message}  {code}",
            max(MESSAGE_LEAST, terminal - wider),
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    gap = max(2, width - cells(message) - len(code))
    return [message + " " * gap + code]
