"""`weft report`: pack what a helper needs to know, show what was taken out, and ask before writing."""

import json
import os
import platform
import time
import zipfile
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

import click

from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.options import Output, interactive, output_options
from peer.cli.redaction import Redaction, address_class
from peer.cli.sessions import peers_of, sessions
from peer.cli.wording import count, size

__all__ = ["collect", "report"]

SCHEMA: Final = 1

LOG_LINES: Final = 2000
"""Of the last crash; what matters is at its end."""

_SAFE: Final = (
    "role",
    "path",
    "rtt_ms",
    "silent",
    "sent_bytes",
    "received_bytes",
    "waiting",
    "state",
    "idle_s",
    "heard_s",
)
"""What is told of a peer: nothing that a person has named."""

_README: Final = """\
What `weft report` collected on this computer, to be read by people and programs.

  versions.json  Weft, Python, the system, and the libraries that Weft uses
  doctor.json    what `weft doctor --json` said
  session.json   running sessions: how many people, by which path, how fast; what happened how often
  crash.txt      places in the program at the last crash, if there was one

Left out or replaced: names of people, files, folders and servers, texts, keys, links, messages of errors.
Of an address only its class is told.
"""


@click.command()
@click.option("--server", metavar="URL", envvar="WEFT_SERVER", show_envvar=True, help="Where people meet.")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="Where to write it.")
@click.option("-y", "--yes", is_flag=True, help="Answer every question with yes.")
@click.option("--no-input", is_flag=True, envvar="WEFT_NO_INPUT", help="Never ask; fail instead.")
@output_options
def report(server: str | None, target: Path | None, yes: bool, no_input: bool, output: Output) -> int:
    """Write a zip file for whoever helps you; no names, texts, keys or addresses are in it.

    \b
    Examples:
      weft report
      weft report --yes -o report.zip
    """
    if not yes and not interactive(no_input):
        message = "a report is written only after you have seen what is in it"
        raise Failure(Problem("E-ASK", ExitCode.USAGE, message, do="weft report --yes"))
    target = target or Path(time.strftime("weft-report-%Y%m%d-%H%M%S.zip"))
    if not output.json and not output.quiet:
        click.echo("  looking, for 15 seconds at most …", err=True)
    files, counts = collect(server)
    if not output.json and not output.quiet:
        _list(files, counts)
    if not yes and not click.confirm(f"  Write {target}?", default=True, err=True):
        return ExitCode.OK
    _write(target, files)
    if output.json:
        record = {"schema": SCHEMA, "type": "report", "path": str(target), "files": sorted(files)}
        click.echo(json.dumps({**record, "redacted": counts}))
    elif not output.quiet:
        click.echo(f"  written: {target}   look into it before you send it", err=True)
    return ExitCode.OK


def collect(server: str | None) -> tuple[dict[str, str], dict[str, int]]:
    """The files of a report, redacted, and how often each kind of thing was taken out."""
    from peer.cli.doctor import examine, record, server_to_look_at

    place = server_to_look_at(server)
    running = [session for _, session in sessions(None)]
    redaction = Redaction(_known(place, running))
    doctor = redaction.value({**record(examine(place), place), "server": bool(place)})
    files = {
        "README.txt": _README,
        "versions.json": _pretty(_versions()),
        "doctor.json": _pretty(doctor),
        "session.json": _pretty([_session(each) for each in running]),
    }
    crash = _crash()
    if crash:
        files["crash.txt"] = redaction.crash(crash)
    return files, dict(redaction.counts)


def _known(place: str | None, running: list[dict[str, object]]) -> list[tuple[str, str]]:
    """What people have named, as far as it can be found out."""
    from peer.cli.wording import host

    known = [(platform.node(), "computer"), (str(Path.home()), "home"), (Path.home().name, "user")]
    known += [(os.environ.get(name, ""), "user") for name in ("USER", "LOGNAME", "USERNAME")]
    for address in (place, *(_server_url(each) for each in running)):
        if address:
            known += [
                (address, "server"),
                (host(address), "server"),
                (host(address).partition(":")[0], "server"),
            ]
    for session in running:
        known += [(str(peer.get("name", "")), "peer") for peer in peers_of(session)]
        known += [(str(peer.get("file") or ""), "file") for peer in peers_of(session)]
        folder = str(session.get("folder") or "")
        known += [(folder, "folder"), (Path(folder).name, "folder")]
    return known


def _server_url(session: dict[str, object]) -> str:
    server = session.get("server")
    return str(server.get("url") or "") if isinstance(server, dict) else ""


def _session(session: dict[str, object]) -> dict[str, object]:
    """A session by an allow-list: what is not known to be harmless is not there."""
    server = session.get("server")
    peers = [
        {
            **{name: peer.get(name) for name in _SAFE},
            "address": address_class(str(peer.get("address") or "").rpartition(":")[0]),
            "why_not_direct": bool(peer.get("why_not_direct")),
        }
        for peer in peers_of(session)
    ]
    return {
        "role": session.get("role"),
        "has_folder": bool(session.get("folder")),
        "server_state": server.get("state") if isinstance(server, dict) else None,
        "files": session.get("files"),
        "uptime_s": session.get("uptime_s"),
        "events": session.get("events"),
        "peers": peers,
    }


def _versions() -> dict[str, object]:
    names = [name.split(";")[0] for name in requires("weft") or [] if "extra ==" not in name]
    libraries = {}
    for line in names:
        name = "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in line).split()[0]
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            libraries[name] = "not installed"
    return {
        "weft": version("weft"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libraries": libraries,
    }


def _crash() -> str:
    from peer.edge.identity import data_dir

    try:
        lines = (data_dir() / "crash.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LOG_LINES:])


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _list(files: dict[str, str], counts: dict[str, int]) -> None:
    click.echo("", err=True)
    for name, content in files.items():
        click.echo(f"  {name:<15} {size(len(content.encode())):>10}", err=True)
    taken = (
        ", ".join(f"{number} × {what}" for what, number in counts.items()) or "nothing was there to take out"
    )
    total = count(sum(counts.values()), "place")
    click.echo(f"\n  replaced in {total}: {taken}", err=True)
    click.echo("  not collected at all: texts, names of files and people, keys, links\n", err=True)


def _write(target: Path, files: dict[str, str]) -> None:
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        message = f"{target} is there already"
        problem = Problem("E-EXISTS", ExitCode.WOULD_OVERWRITE, message, do="weft report -o another.zip")
        raise Failure(problem) from error
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror}"
        raise Failure(Problem("E-DISK", ExitCode.FAILURE, message, do="weft report -o FILE")) from error
    with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
