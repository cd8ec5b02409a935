"""`weft status` and `weft stop`: ask the sessions that run on this machine."""

import json
import time
from pathlib import Path
from typing import Final

import click

from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.options import Output, output_options
from peer.cli.wording import count, duration, host, path_words, place, plain, size

__all__ = ["lines", "status", "stop"]

SCHEMA: Final = 1

STOP_SECONDS: Final = 15.0
"""How long `stop` waits for the process to end; its goodbye takes at most 8."""


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@output_options
def status(folder: Path | None, output: Output) -> int:
    """Show who is here and how they are connected: in DIR, or in all sessions of this machine."""
    sessions = [found for _, found in _sessions(folder)]
    if output.json:
        click.echo(json.dumps({"schema": SCHEMA, "t": round(time.time(), 3), "sessions": sessions}))
    elif not output.quiet:
        for found in sessions:
            click.echo("\n".join(lines(found)))
        if not sessions:
            click.echo("no session is running" + (f" in {place(folder)}" if folder else ""), err=True)
    return ExitCode.OK if sessions else ExitCode.NO_SESSION


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@output_options
def stop(folder: Path | None, output: Output) -> int:
    """End the session that runs in DIR (the current folder if left out); files stay as they are."""
    from peer.edge.control import ask

    found = _sessions(folder or _shared_folder(Path()))
    if len(found) != 1:
        raise Failure(_which_one([session for _, session in found]))
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


def _which_one(sessions: list[dict[str, object]]) -> Problem:
    if not sessions:
        return Problem("E-NO-SESSION", ExitCode.NO_SESSION, "no session is running here", do="weft status")
    folders = tuple(str(session.get("folder")) for session in sessions)
    message = "several sessions are running: say which folder's to stop"
    return Problem("E-WHICH", ExitCode.USAGE, message, do=f"weft stop {folders[0]}", names=folders)


def _shared_folder(path: Path) -> Path | None:
    path = path.resolve()
    return next((each for each in (path, *path.parents) if (each / ".weft/session.json").is_file()), None)


def _sessions(folder: Path | None) -> list[tuple[Path, dict[str, object]]]:
    """The running sessions of *folder*, or all of them; sockets that nobody serves are passed over."""
    from peer.edge.control import ask, running, socket_path
    from peer.errors import Unreachable

    sockets = [socket_path(_shared_folder(folder) or folder)] if folder else running()
    found = []
    for socket in sockets:
        try:
            found.append((socket, ask(socket, "status")))
        except Unreachable:
            continue
    return found


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


# --- the table --------------------------------------------------------------------------------------

_COLUMNS: Final = ("NAME", "STATE", "PATH", "RTT", "SENT/GOT", "WHERE")


def lines(session: dict[str, object]) -> list[str]:
    """One session as people read it; fields that are missing are shown as `-`."""
    server = _server(session)
    peers = session.get("peers")
    rows = [_row(peer, server) for peer in peers if isinstance(peer, dict)] if isinstance(peers, list) else []
    folder = session.get("folder")
    name = place(Path(str(folder))) if folder else "(no folder)"
    uptime = duration(_number(session.get("uptime_s")))
    head = f"{name}  as {plain(str(session.get('role', '-')))} · {count(len(rows), 'other')} · "
    shown = [f"{head}{count(int(_number(session.get('files'))), 'file')} · since {uptime} · server {server}"]
    shown += _at(session)
    if not rows:
        return [*shown, "  nobody else is here"]
    table = [_COLUMNS, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        shown.append(("  " + "  ".join(cells)).rstrip())
    return shown


def _at(session: dict[str, object]) -> list[str]:
    """Where others on the network can be sent, if looking is not enough for them."""
    lan = session.get("lan")
    at = lan.get("at") if isinstance(lan, dict) else None
    return [f"  on this network  --at {plain(str(at[0]))}"] if isinstance(at, list) and at else []


def _server(session: dict[str, object]) -> str:
    server = session.get("server")
    if not isinstance(server, dict):
        return plain(str(server)) if server else "-"
    address, state = server.get("url"), server.get("state")
    if not address:
        return "none"
    named = host(str(address))
    return named if state in (None, "connected") else f"{named} ({plain(str(state))})"


def _row(peer: dict[str, object], server: str) -> tuple[str, ...]:
    path = peer.get("path")
    words = path_words(path, server) if isinstance(path, str) else "-"
    address = peer.get("address")
    rtt = peer.get("rtt_ms")
    waiting = int(_number(peer.get("waiting")))
    where = plain(str(peer.get("file") or "-")) + (f"  ({waiting:,} wait)" if waiting else "")
    return (
        plain(str(peer.get("name", "-")), 24),
        plain(str(peer.get("state", "-")), 16),
        f"{words} {plain(str(address), 48)}" if address else words,
        f"{rtt:.0f} ms" if isinstance(rtt, int | float) else "-",
        f"{size(int(_number(peer.get('sent_bytes'))))} / {size(int(_number(peer.get('received_bytes'))))}",
        where,
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
