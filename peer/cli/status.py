"""`weft status` and `weft stop`: ask the sessions that run on this machine."""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Final

import click

from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.options import Output, output_options
from peer.cli.sessions import no_session, sessions, shared_folder
from peer.cli.wording import place

__all__ = ["status", "stop"]

SCHEMA: Final = 1

STOP_SECONDS: Final = 15.0
"""How long `stop` waits for the process to end; its goodbye takes at most 8."""

WATCH_SECONDS: Final = 1.0
"""Between two looks of `--watch`: what is shown changes no faster than people read."""

UNLIMITED: Final = 1000
"""Columns where nobody has a terminal."""

_HOME_AND_CLEAR: Final = "\x1b[H\x1b[J"


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--short", "in_short", is_flag=True, help="One line for a prompt; nothing without a session.")
@click.option("--watch", is_flag=True, help="Go on showing it, once a second, until Ctrl-C.")
@click.option(
    "--exit-code", "speaking", is_flag=True, help="End with 10 if anybody is relayed, silent or away."
)
@output_options
def status(folder: Path | None, in_short: bool, watch: bool, speaking: bool, output: Output) -> int:
    """Show who is here and how they are connected: in DIR, or in all sessions of this machine.

    \b
    Examples:
      weft status --watch
      PS1='$(weft status --short 2>/dev/null) \\$ '
    """
    found = _look(folder)
    _show(found, folder, in_short, output, clear=watch)
    before = _comparable(found)
    while watch:
        time.sleep(WATCH_SECONDS)
        found = _look(folder)
        if sys.stdout.isatty() or _comparable(found) != before:
            _show(found, folder, in_short, output, clear=True)
            before = _comparable(found)
    if not found:
        return ExitCode.NO_SESSION
    from peer.cli.people_table import worst

    return ExitCode.DEGRADED if speaking and worst(found) else ExitCode.OK


def _look(folder: Path | None) -> list[dict[str, object]]:
    return [found for _, found in sessions(folder)]


def _comparable(found: list[dict[str, object]]) -> str:
    """What has to differ for another block to be printed where nobody sees one replace the other."""
    return json.dumps([{**each, "uptime_s": None} for each in found], sort_keys=True)


def _show(
    found: list[dict[str, object]], folder: Path | None, in_short: bool, output: Output, *, clear: bool
) -> None:
    if output.json:
        click.echo(json.dumps({"schema": SCHEMA, "t": round(time.time(), 3), "sessions": found}))
        return
    from peer.cli.people_table import short

    if clear and sys.stdout.isatty() and not in_short:
        click.echo(_HOME_AND_CLEAR, nl=False, color=True)
    if in_short:
        if found:
            click.echo(short(found))
    elif not output.quiet:
        _show_tables(found, output)
        if not found:
            click.echo("no session is running" + (f" in {place(folder)}" if folder else ""), err=True)


def _show_tables(found: list[dict[str, object]], output: Output) -> None:
    from peer.cli.paint import wants_color
    from peer.cli.people_table import lines

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((80, 24)).columns if terminal else UNLIMITED
    color = wants_color(output.color, terminal, os.environ)
    for number, each in enumerate(found):
        if number:
            click.echo()
        click.echo("\n".join(lines(each, width=width, color=color)), color=True)


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@output_options
def stop(folder: Path | None, output: Output) -> int:
    """End the session that runs in DIR (the current folder if left out); files stay as they are."""
    from peer.edge.control import ask

    found = sessions(folder or shared_folder(Path()))
    if len(found) != 1:
        raise Failure(_which_one(folder, [session for _, session in found]))
    socket, session = found[0]
    ask(socket, "stop")
    if not _wait_until_gone(socket):
        raise Failure(
            Problem("E-STILL-RUNNING", ExitCode.FAILURE, "the session did not end in time", do="weft status")
        )
    if output.json:
        click.echo(json.dumps({"schema": SCHEMA, "stopped": session.get("folder")}))
    elif not output.quiet:
        click.echo("stopped; files stay as they are", err=True)
    return ExitCode.OK


def _which_one(folder: Path | None, found: list[dict[str, object]]) -> Problem:
    if not found:
        return no_session(folder)
    folders = tuple(str(session.get("folder")) for session in found)
    message = "several sessions are running: say which folder's to stop"
    return Problem("E-WHICH", ExitCode.USAGE, message, do=f"weft stop {folders[0]}", names=folders)


def _wait_until_gone(socket: Path) -> bool:
    """Wait until nobody answers there: from then on the folder is free for another process."""
    from peer.edge.control import ask
    from peer.errors import Unreachable

    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        try:
            ask(socket, "status")
        except Unreachable:
            return True
        time.sleep(0.05)
    return False
