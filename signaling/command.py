"""`weft serve`: the server as a command.

Text for people goes to stderr; with `--json`, one event per line to stdout. The first SIGTERM or
Ctrl-C asks all clients to come back and waits for them to leave; a second one ends at once.
"""

import asyncio
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import Field, fields
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import click

from signaling.listening import where
from signaling.settings import ENVIRONMENT_PREFIX, Settings, SettingsError, read_settings

__all__ = ["serve"]

_USAGE: Final = 2
_INTERRUPTED: Final = 130
_TERMINATED: Final = 143

_NOT_FLAGS: Final = frozenset(
    ("ice_servers", "tls_certificate", "tls_key", "allowed_origins", "trusted_proxies", "turn_secret")
)
"""Lists and secrets belong into the file or the environment."""

_ADVICE: Final = {
    errno.EADDRINUSE: "stop the program that listens there, or take another port:  weft serve --port {other}",
    errno.EACCES: "ports below 1024 need special rights; take another one:  weft serve --port 8787",
    errno.EADDRNOTAVAIL: "this machine does not have that address:  weft serve --host 127.0.0.1   or 0.0.0.0",
}
"""What to do about a port or address that cannot be had."""

_F = TypeVar("_F", bound=Callable[..., object])


def _flag(setting: "Field[object]") -> Callable[[_F], _F]:
    name = setting.name.replace("_", "-")
    kind = setting.type if isinstance(setting.type, type) else str
    meaning = str(setting.metadata["meaning"])
    variable = f"{ENVIRONMENT_PREFIX}{setting.name.upper()}"
    many = setting.default == ()
    start = "none; may be given several times" if many else setting.default
    return click.option(
        f"--{name}/--no-{name}" if kind is bool else f"--{name}",
        setting.name,
        type=kind,
        default=None,
        multiple=many,
        callback=_given if many else None,
        metavar=None if kind is bool else "URL" if many else kind.__name__.upper(),
        help=f"{meaning[0].upper()}{meaning[1:]}.  [env var: {variable}; default: {start}]",
    )


def _given(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> list[str] | None:
    """A list that was not given at all leaves the settings of the file as they are."""
    return list(values) or None


def _flags(command: _F) -> _F:
    for setting in reversed([each for each in fields(Settings) if each.name not in _NOT_FLAGS]):
        command = _flag(setting)(command)
    return command


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="WEFT_CONFIG",
    show_envvar=True,
    help="TOML file with settings; the environment and flags go before it.",
)
@click.option(
    "--turn-secret-file",
    metavar="FILE",
    help="Secrets shared with the TURN server, one a line; the first signs.  "
    "[env var: WEFT_TURN_SECRET_FILE]",
)
@click.option("--json", "as_json", is_flag=True, help="Write events as one JSON object per line to stdout.")
@click.option("--check", is_flag=True, help="Only check the settings, then exit.")
@_flags
def serve(config: Path | None, as_json: bool, check: bool, **flags: object) -> None:
    """Run the signaling server, through which members of a session find each other.

    It learns no secrets and stores nothing. Settings come from the TOML file, then WEFT_* variables,
    then flags; a later one wins.
    """
    try:
        settings = read_settings(config, os.environ, flags)
        if check:
            click.echo("the settings are fine", err=True)
            return
        code = _run(_serve(settings, as_json))
    except SettingsError as problem:
        _fail(str(problem), "weft serve --help   shows all settings", "E-SETTINGS")
    except OSError as problem:
        number, place = problem.errno or 0, f"{settings.host} port {settings.port}"
        advice = _ADVICE.get(number, "check --host and --port").format(other=settings.port % 65535 + 1)
        name = "E-PORT" if number in (errno.EADDRINUSE, errno.EACCES) else "E-HOST"
        _fail(f"cannot listen on {place}: {_plain(problem)}", advice, name)
    if code:
        raise SystemExit(code)


def _fail(problem: str, advice: str, code: str) -> NoReturn:
    # in the form that all errors of the command line have
    click.echo(f"error: {problem}  [{code}]", err=True)
    click.echo(f"  do      {advice}", err=True)
    raise SystemExit(_USAGE)


def _plain(problem: OSError) -> str:
    # asyncio wraps the system's own words into a sentence with the address; name lookups have no number.
    number = problem.errno or 0
    return (os.strerror(number) if number > 0 else problem.strerror or str(problem)).lower()


def _run(main: Coroutine[object, object, int]) -> int:
    """Run *main* on uvloop where there is one: it relays about twice as much per second."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


async def _serve(settings: Settings, as_json: bool) -> int:
    # aiohttp takes 150 ms to import; `--help` and wrong flags should not wait for it.
    from signaling.journal import Journal
    from signaling.server import RoomServer

    # aiohttp's own lines would show IP addresses.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    report = Journal(sys.stdout if as_json else sys.stderr, as_json=as_json).report
    server = RoomServer(settings, report=report)
    stopped_by = _catch_signals()
    await server.start()
    tls = settings.tls_certificate is not None
    click.echo("\n".join(where(settings.host, server.port, tls=tls)), err=True)
    if as_json:
        report("server.listening", {"url": server.url, "port": server.port, "pid": os.getpid()})
    number = await stopped_by
    report("server.draining", {"connections": server.connections})
    await server.drain()
    await server.stop()
    report("server.stopped", {})
    return _INTERRUPTED if number == signal.SIGINT else 0


def _catch_signals() -> "asyncio.Future[int]":
    """Return a future for the first signal; the second one ends the process on the spot."""
    loop = asyncio.get_running_loop()
    first: asyncio.Future[int] = loop.create_future()

    def caught(number: int) -> None:
        if first.done():
            # There is nothing to save, and whoever asks twice does not want to wait.
            os._exit(_INTERRUPTED if number == signal.SIGINT else _TERMINATED)
        first.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, caught, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(caught, number))
    return first
