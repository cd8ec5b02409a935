"""`weft doctor`: look at everything that connecting needs, and name what is wrong and what helps."""

import asyncio
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from peer.cli.options import Output, output_options
from peer.cli.settings import config_file, load

if TYPE_CHECKING:
    from peer.edge.probes.finding import Finding

__all__ = ["SCHEMA", "doctor", "examine", "record", "server_to_look_at"]

SCHEMA: Final = 1

GROUP_NAMES: Final = ("computer", "lan", "internet", "server")
"""What `--only` takes; the same as `peer.edge.probes.finding.GROUPS`, which is imported later."""

WIDEST: Final = 120
"""Columns beyond which lines get hard to read."""


@click.command()
@click.option("--server", metavar="URL", envvar="WEFT_SERVER", show_envvar=True, help="Where people meet.")
@click.option("--peer", "peer", metavar="NAME", help="Also say how NAME, who is connected, is reached.")
@click.option("--only", multiple=True, type=click.Choice(GROUP_NAMES), help="Look at this group only.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Where this computer would serve (8787).")
@click.option("--self-test", is_flag=True, help="Join two sessions on this computer, without any network.")
@output_options
def doctor(
    server: str | None,
    peer: str | None,
    only: tuple[str, ...],
    port: int | None,
    self_test: bool,
    output: Output,
) -> int:
    """Find out what keeps people from connecting, and what helps.

    Exits with 0 when all is good, 10 when it works with notes, and 1 when something needed is broken.

    \b
    Examples:
      weft doctor --server pad.example.org
      weft doctor --only lan
      weft doctor --self-test         does this installation work at all?
    """
    place = None if self_test else server_to_look_at(server)
    show = not output.json and not output.quiet
    if show and sys.stderr.isatty():
        click.echo(
            "  running the self-test …" if self_test else "  looking, for 15 seconds at most …", err=True
        )
    from peer.cli.findings import exit_code  # the first line must not wait for these

    if self_test:
        from peer.cli.selftest import run_self_test

        findings = run_self_test()
    else:
        findings = examine(place, only, port)
        findings += _peer(peer, findings)
    if output.json:
        click.echo(json.dumps(record(findings, place)))
    elif show:
        _show(findings, place, output)
    return exit_code(findings)


def server_to_look_at(given: str | None) -> str | None:
    """The server as the person named it, by flag, environment or settings; else that of a running session."""
    if given:
        return given
    settings = load(config_file())
    if settings.get("server"):
        return str(settings["server"])
    from peer.cli.sessions import sessions

    for _, session in sessions(None):
        server = session.get("server")
        if isinstance(server, dict) and server.get("url"):
            return str(server["url"])
    return None


def examine(place: str | None, only: Sequence[str] = (), port: int | None = None) -> list["Finding"]:
    """Look at everything, or at the groups *only*; *port* is where this computer would serve."""
    from peer.edge.identity import config_dir
    from peer.edge.probes import examination
    from peer.edge.probes.finding import GROUPS
    from peer.edge.probes.ports import SERVE_PORT
    from peer.edge.server_url import ServerUrl

    question = examination.Question(
        server=ServerUrl.parse(place) if place else None,
        groups=frozenset(only) or frozenset(GROUPS),
        config=config_dir(),
        port=port or SERVE_PORT,
        port_wanted=port is not None,
    )
    return asyncio.run(examination.examine(question))


def _peer(name: str | None, findings: Sequence["Finding"]) -> list["Finding"]:
    if name is None:
        return []
    from peer.cli.sessions import find_peer
    from peer.cli.wording import host, path_words
    from peer.edge.probes.peer_path import probe

    _, session, found = find_peer(name)
    server = session.get("server")
    url = server.get("url") if isinstance(server, dict) else None
    return probe(
        found, lambda path, address: path_words(path, host(str(url or "the server")), address), findings
    )


def record(findings: Sequence["Finding"], place: str | None) -> dict[str, object]:
    """Everything for programs."""
    from peer.cli.findings import as_record, exit_code

    return {
        "schema": SCHEMA,
        "t": round(time.time(), 3),
        "type": "doctor",
        "weft": _version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "server": place,
        "exit": int(exit_code(findings)),
        "findings": [as_record(each) for each in findings],
    }


def _version() -> str:
    from importlib.metadata import version

    return version("weft")


def _show(findings: Sequence["Finding"], place: str | None, output: Output) -> None:
    from peer.cli.findings import legend, lines
    from peer.cli.paint import paint, wants_color
    from peer.cli.wording import host

    color = wants_color(output.color, sys.stdout.isatty(), os.environ)
    width = min(shutil.get_terminal_size((80, 24)).columns, WIDEST)
    head = (
        f"weft {_version()} · python {platform.python_version()} · {platform.system()} {platform.release()}"
    )
    click.echo(paint(head, "dim", color), color=True)
    click.echo(legend(color), color=True)
    for line in lines(findings, width=width, color=color, server=host(place) if place else ""):
        click.echo(line, color=True)
