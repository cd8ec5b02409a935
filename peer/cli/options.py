"""Flags that several commands share; those of output count before and after the command's name."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Final, Literal

import click
from click.core import ParameterSource

__all__ = ["Options", "Output", "interactive", "output_options", "session_options"]

Policy = Literal["auto", "lan", "direct", "turn", "relay"]

POLICIES: Final = ("auto", "lan", "direct", "turn", "relay")
COLORS: Final = ("auto", "never", "always")


@dataclass(frozen=True, slots=True)
class Output:
    """Who reads what a command says."""

    json: bool
    quiet: bool
    color: str


@dataclass(frozen=True, slots=True)
class Options:
    """What `share` and `join` have in common; *server_given*: as a flag, not by the environment."""

    output: Output
    server: str | None
    server_given: bool
    name: str | None
    path_policy: Policy
    presence: bool
    yes: bool
    no_input: bool
    ice_servers: tuple[str, ...] = ()
    lan: bool = True
    at: tuple[str, ...] = ()


def interactive(no_input: bool) -> bool:
    """Whether a person can be asked something."""
    return (
        not no_input
        and os.environ.get("WEFT_NO_INPUT", "") == ""
        and sys.stdin.isatty()
        and sys.stderr.isatty()
    )


_OUTPUT: Final = (
    click.option("-q", "--quiet", is_flag=True, help="Print the link and nothing else."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON record per line on stdout."),
    click.option(
        "--color", type=click.Choice(COLORS), envvar="WEFT_COLOR", show_envvar=True, help="Use colours."
    ),
)

_SESSION: Final = (
    click.option(
        "--server", metavar="URL", envvar="WEFT_SERVER", show_envvar=True, help="Where people meet."
    ),
    click.option(
        "--name", metavar="NAME", envvar="WEFT_NAME", show_envvar=True, help="What others call you."
    ),
    click.option(
        "--path",
        "path_policy",
        type=click.Choice(POLICIES),
        default="auto",
        envvar="WEFT_PATH",
        show_envvar=True,
        help="Which way to the others: auto takes the direct one and relays until it is found.",
    ),
    click.option("--at", metavar="HOST:PORT", multiple=True, help="Where on the network somebody is."),
    click.option(
        "--no-lan",
        is_flag=True,
        envvar="WEFT_NO_LAN",
        show_envvar=True,
        help="Neither look for others on the local network nor be found there.",
    ),
    click.option(
        "--ice-server",
        "ice_servers",
        metavar="URL[,USER,PASSWORD]",
        multiple=True,
        help="A STUN or TURN server of your own, asked before those of the server.",
    ),
    click.option("--presence", is_flag=True, help="Also show where people are."),
    click.option("-y", "--yes", is_flag=True, help="Answer every question with yes."),
    click.option("--no-input", is_flag=True, envvar="WEFT_NO_INPUT", help="Never ask; fail instead."),
)


def _output(quiet: bool, as_json: bool, color: str | None) -> Output:
    outer = click.get_current_context().find_root().params
    output = Output(
        as_json or bool(outer.get("as_json")),
        quiet or bool(outer.get("quiet")),
        color or outer.get("color") or "auto",
    )
    if output.json and output.quiet:
        raise click.UsageError("--quiet and --json exclude each other: records or the link alone")
    return output


def output_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give *command* the flags of output, as one argument `output`."""

    @wraps(command)
    def taking(quiet: bool, as_json: bool, color: str | None, **others: object) -> int:
        return command(output=_output(quiet, as_json, color), **others)

    decorated: Callable[..., int] = taking
    for option in reversed(_OUTPUT):
        decorated = option(decorated)
    return decorated


def session_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give *command* the flags of a session and of output, as one argument `options`."""

    @wraps(command)
    def taking(
        output: Output,
        server: str | None,
        name: str | None,
        path_policy: Policy,
        at: tuple[str, ...],
        no_lan: bool,
        presence: bool,
        yes: bool,
        no_input: bool,
        ice_servers: tuple[str, ...],
        **others: object,
    ) -> int:
        source = click.get_current_context().get_parameter_source("server")
        given = source is ParameterSource.COMMANDLINE
        options = Options(
            output,
            server,
            given,
            name,
            path_policy,
            presence,
            yes,
            no_input,
            ice_servers,
            lan=not no_lan,
            at=at,
        )
        return command(options=options, **others)

    decorated = output_options(taking)
    for option in reversed(_SESSION):
        decorated = option(decorated)
    return decorated
