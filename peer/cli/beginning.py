"""What `share` and `join` do alike before their session is opened."""

import os
import sys
from pathlib import Path
from typing import IO

import click

from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.options import Options, interactive
from peer.cli.outlet import binary, stream_is_terminal
from peer.cli.settings import Settings
from peer.cli.view import View
from peer.cli.wording import place

__all__ = ["chosen_name", "chosen_server", "guard_large_folder", "make_view", "recovered"]


def chosen_name(options: Options, settings: Settings) -> str | None:
    """What the others will call this side, if the person has said so."""
    return options.name or settings.get("name")


def chosen_server(options: Options, settings: Settings) -> str | None:
    """The server's address as the person wrote it, if there is one."""
    return options.server or settings.get("server")


def recovered(folder: Path) -> Path | None:
    """*folder*, if only its mark was lost; looked at when something is wrong, since it costs time.

    Raises:
        FolderVanished: its files are gone too.
    """
    from peer.edge import registry

    replica = registry.find(folder)
    return replica.folder if replica else None


def guard_large_folder(folder: Path, options: Options) -> None:
    """Make sure that nobody puts their whole home, or the whole disk, into a session by mistake.

    Raises:
        Failure: it is one of these and nobody said yes.
    """
    whole = folder.resolve()
    if options.yes or whole not in (Path.home().resolve(), Path(whole.anchor)):
        return
    if interactive(options.no_input) and click.confirm(f"  All of {whole} ?", default=False, err=True):
        return
    raise Failure(
        Problem(
            "E-LARGE-FOLDER",
            ExitCode.USAGE,
            f"{whole} is your whole home folder or disk",
            likely="a folder inside of it was meant",
            do="name that folder, or say that you mean it:  --yes",
        )
    )


def _columns(stream: IO[bytes]) -> int:
    """How wide the terminal is now; 0 if it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def make_view(options: Options, command: str, folder: Path, *, server: str = "") -> View:
    """The view that the flags ask for."""
    from peer.cli import render
    from peer.cli.paint import wants_color

    out, err = binary(sys.stdout), binary(sys.stderr)
    if options.output.json:
        from peer.cli.ndjson import Records

        return Records(out, command, presence=options.presence)
    is_terminal = stream_is_terminal(err)
    setting = render.Setting(
        command=command,
        subject=place(folder),
        server=server,
        policy=options.path_policy,
        color=wants_color(options.output.color, is_terminal, os.environ),
        presence=options.presence,
        columns=lambda: _columns(err) if is_terminal else 0,
    )
    if options.output.quiet:
        return render.Quiet(out, err, setting)
    return render.Terminal(err, setting)
