"""`weft turn-check`: try a TURN server, step by step."""

import asyncio
import json
import math
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.options import Output, output_options
from peer.cli.wording import plain, wrap

if TYPE_CHECKING:
    import ssl

    from peer.edge.turn_check import Step

__all__ = ["lines", "turn_check"]

SCHEMA: Final = 1

LIFE_SECONDS: Final = 300
"""Of the credential that we make for ourselves: longer than any check, shorter than a coffee."""

DETAIL_LIMIT: Final = 400
"""Characters of a sentence; the server may have written a part of it."""

SECRET_LIMIT: Final = 65_536
"""Bytes of a file of secrets; it has some lines."""

UNDER_STEP: Final = 6
"""Columns before what goes on below a step: its sign stays alone at the left."""

_MARKS: Final = {"ok": "ok", "note": "note", "failed": "FAIL", "skipped": "-"}
_EXITS: Final = {"ok": ExitCode.OK, "note": ExitCode.DEGRADED, "failed": ExitCode.FAILURE}


@click.command("turn-check")
@click.argument("url")
@click.option(
    "--secret-file", type=click.Path(path_type=Path), help="The file of `weft serve --turn-secret-file`."
)
@click.option("--user", default="", help="User of a server with fixed passwords, or from a list of servers.")
@click.option("--password", envvar="WEFT_TURN_PASSWORD", default="", show_envvar=True, help="Their password.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="Trust the certificates in this PEM file.")
@output_options
def turn_check(
    url: str, secret_file: Path | None, user: str, password: str, ca_file: Path | None, output: Output
) -> int:
    """Try the TURN server at URL: does it relay what it should, and refuse what it must?

    Ends with 0 if all is well, with 10 if it works with notes, with 1 if it is broken or open to abuse.

    \b
    Examples:
      weft turn-check turn:turn.example.org --secret-file turn-secret
      weft turn-check turns:turn.example.org:443 --secret-file turn-secret
    """
    credential, expired = (user, password), None
    if secret_file is not None:
        credential, expired = _signed(secret_file)
    from peer.edge.turn_check import check_turn, verdict

    checking = check_turn(url, *credential, expired=expired, tls=_trust(ca_file))
    steps = asyncio.run(checking)
    outcome = verdict(steps)
    if output.json:
        listed = [
            {
                "name": step.name,
                "transport": step.transport,
                "outcome": step.outcome,
                "ms": step.ms,
                "detail": step.detail,
                "do": step.do,
            }
            for step in steps
        ]
        click.echo(json.dumps({"schema": SCHEMA, "url": url, "outcome": outcome, "steps": listed}))
    elif not output.quiet:
        width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 0
        click.echo("\n".join(line for step in steps for line in lines(step, width)))
    return _EXITS[outcome]


def lines(step: "Step", width: int = 0) -> list[str]:
    """One step for people, in *width* columns; 0 for lines of any length, as programs like them."""
    head = f"{_MARKS[step.outcome]:<4}  {step.transport:<3}  {step.ms:>7.1f} ms  {step.name:<23} "
    found = _wrapped(head + plain(step.detail, DETAIL_LIMIT), width, UNDER_STEP)
    do = f"{' ' * UNDER_STEP}do: {plain(step.do, DETAIL_LIMIT)}"
    return [*found, *_wrapped(do, width, UNDER_STEP + 4)] if step.do else found


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    return wrap(text, width, indent=indent) if width else [text]


def _signed(path: Path) -> tuple[tuple[str, str], tuple[str, str]]:
    """A credential that is good now, and one that was good yesterday."""
    from signaling.turn import sign, turn_secrets

    try:
        with path.open("rb") as file:
            secret = turn_secrets(file.read(SECRET_LIMIT).decode())[0]
    except (OSError, ValueError) as error:
        raise Failure(_no_secret(path, error)) from error
    now = math.ceil(time.time())
    return sign(secret, now + LIFE_SECONDS, "turn-check"), sign(secret, now - 24 * 3600, "turn-check")


def _no_secret(path: Path, error: OSError | ValueError) -> Problem:
    do = "name the file that  weft serve --turn-secret-file  reads"
    if isinstance(error, FileNotFoundError):
        do += f", or make one with  weft turn-config --domain NAME --secret-file {shlex.quote(str(path))}"
    return Problem("E-TURN-SECRET", ExitCode.USAGE, f"{path} cannot be used: {_why(error)}", do=do)


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _trust(ca_file: Path | None) -> "ssl.SSLContext | None":
    if ca_file is None:
        return None
    import ssl

    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # of which ssl.SSLError is one
        message = f"{ca_file} cannot be used: {_why(error)}"
        raise Failure(Problem("E-CA-FILE", ExitCode.USAGE, message, do="name a PEM file")) from error
