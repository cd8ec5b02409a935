"""The command `weft`.

Nothing heavy is imported here: commands are loaded when they are called, and each shows its first line
before it imports what takes its time.
"""

import importlib
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import click

from peer.cli import errors
from peer.cli.errors import Failure, Problem, explain
from peer.cli.exit_codes import ExitCode, table

__all__ = ["main", "run_command", "weft"]

_COMMANDS: Final = {
    "share": ("peer.cli.share:share", "Share a folder with whoever has the link."),
    "join": ("peer.cli.join:join", "Take part in a session, or go on with it."),
    "status": ("peer.cli.status:status", "Show who is here and how they are connected."),
    "ping": ("peer.cli.ping:ping", "Measure the way to somebody, and name it."),
    "doctor": ("peer.cli.doctor:doctor", "Find out what keeps people from connecting."),
    "report": ("peer.cli.report:report", "Pack what a helper needs to know, without anything private."),
    "stop": ("peer.cli.status:stop", "End the session of a folder."),
    "serve": ("signaling.command:serve", "Run a server at which people meet."),
    "turn-config": ("signaling.turn_command:turn_config", "Write the files for a TURN server."),
    "turn-check": ("peer.cli.turn_check:turn_check", "Try a TURN server, step by step."),
    "version": ("peer.cli.main:version", "Show what is installed."),
    "help": ("peer.cli.main:help_", "Explain a command, or the exit codes."),
}
"""Where each command is, and what the overview says of it without loading it."""

_ALIASES: Final = {"s": "share", "start": "share", "j": "join"}

_OVERVIEW: Final = """\
People work on the same files at the same time, straight from machine to machine.

\b
Examples:
  weft share notes/                                     prints a link
  weft join LINK notes/                                 on another machine of this network
  weft share notes/ --server https://pad.example.org    for people anywhere
"""


class _Commands(click.Group):
    """Commands that are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = _ALIASES.get(cmd_name, cmd_name)
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name][0].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        return found if isinstance(found, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if _ALIASES.get(word, word) not in _COMMANDS and not word.startswith("-"):
            raise Failure(_unknown(word))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


def _unknown(word: str) -> Problem:
    """What to say to somebody who typed *word* where a command belongs; nothing is run by guess."""
    message = f"weft has no command {word!r}"
    if word.lower().startswith(("weft:", "http://", "https://")):
        return Problem("E-USAGE", ExitCode.USAGE, "this is a link, not a command", do="weft join LINK DIR")
    if Path(word).exists():
        return Problem(
            "E-USAGE", ExitCode.USAGE, message, likely="it is a file or folder", do=f"weft share {word}"
        )
    from difflib import get_close_matches

    close = get_close_matches(word, [*_COMMANDS, *_ALIASES], n=1)
    do = f"weft {_ALIASES.get(close[0], close[0])}" if close else "weft help"
    return Problem("E-USAGE", ExitCode.USAGE, message, do=do)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    help=_OVERVIEW,
    epilog="More: weft help COMMAND, weft help exit-codes",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("-q", "--quiet", is_flag=True, hidden=True)
@click.option("--json", "as_json", is_flag=True, hidden=True)
@click.option("--color", type=click.Choice(("auto", "never", "always")), hidden=True)
@click.option("-V", "--version", "show_version", is_flag=True, help="Show the version and exit.")
@click.pass_context
def weft(context: click.Context, quiet: bool, as_json: bool, color: str | None, show_version: bool) -> int:
    """Show the overview when there is no command."""
    if show_version:
        click.echo(f"weft {_version()}")
        context.exit(ExitCode.OK)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    return ExitCode.OK


@click.command()
def version() -> int:
    """Show what is installed."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    click.echo(f"weft {_version()} · python {platform.python_version()} · {system}")
    return ExitCode.OK


def _version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("weft")
    except PackageNotFoundError:
        return "(not installed)"


@click.command("help")
@click.argument("topic", required=False)
@click.pass_context
def help_(context: click.Context, topic: str | None) -> int:
    """Explain a command, or with the topic exit-codes what the exit codes say."""
    if topic == "exit-codes":
        click.echo("Exit codes; an unknown one means failure.\n\n" + table())
        return ExitCode.OK
    root = context.find_root()
    if topic is None:
        click.echo(weft.get_help(root))
        return ExitCode.OK
    command = weft.get_command(root, topic)
    if command is None:
        raise Failure(_unknown(topic))
    click.echo(command.get_help(click.Context(command, info_name=topic, parent=root)))
    return ExitCode.OK


def run_command(arguments: Sequence[str]) -> int:
    """Run `weft` with these arguments and return its exit code; whatever fails is shown."""
    try:
        result = weft.main(list(arguments), prog_name="weft", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _write_nowhere()
        return ExitCode.FAILURE
    except Exception as error:  # the last stop of everything that goes wrong
        return _report(explain(error), as_json="--json" in arguments)
    return int(result) if isinstance(result, int) else ExitCode.OK


def _report(problem: Problem, *, as_json: bool) -> int:
    if as_json:
        from peer.cli.ndjson import Records
        from peer.cli.outlet import binary

        records = Records(binary(sys.stdout), "weft")
        records.failed(problem)
        records.close()
    else:
        click.echo("\n".join(errors.lines(problem)), err=True)
    return problem.exit


def _write_nowhere() -> None:
    # What Python still holds for a closed stdout would fail once more when it ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def main() -> NoReturn:
    """Run the command line of this process."""
    sys.exit(run_command(sys.argv[1:]))
