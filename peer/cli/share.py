"""`weft share`: make a folder a session, or go on with the session that it is."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import click

from peer.cli.beginning import chosen_name, chosen_server, guard_large_folder, make_view, recovered
from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.ice_servers import chosen_ice_servers
from peer.cli.local_server import is_for_this_machine, warning
from peer.cli.options import Options, session_options
from peer.cli.settings import config_file, load
from peer.cli.view import SessionLike

__all__ = ["share"]


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@session_options
def share(path: Path | None, options: Options) -> int:
    """Share PATH (the current folder if left out) with whoever has the link.

    \b
    Examples:
      weft share notes/                            meet on the local network
      weft share notes/ --server pad.example.org   or from anywhere
      weft share                      go on with the session of this folder
      weft share -q notes/ | mail -s "join me" ben@example.org
    """
    folder = path or Path()
    settings = load(config_file())
    server = chosen_server(options, settings)
    ice_servers = chosen_ice_servers(options.ice_servers, settings)
    _check(folder, server, options)
    guard_large_folder(folder, options)
    view = make_view(options, "share", folder, server=server or "")
    view.opening()
    if server and is_for_this_machine(server) and (options.server_given or not _was_shared(folder)):
        view.warning("W-LOCAL-SERVER", warning(server))

    def opening() -> AbstractAsyncContextManager[SessionLike]:
        from peer import api
        from peer.edge import registry

        name, place = chosen_name(options, settings), server
        if registry.is_known(folder):
            # It has a name and a server: only a flag changes them, no general setting.
            name, place = options.name, options.server if options.server_given else None
        return api.share(
            folder,
            server=place,
            name=name,
            path_policy=options.path_policy,
            lan=options.lan,
            at=options.at,
            ice_servers=ice_servers,
        )

    from peer.cli.running import run  # the first line must not wait for asyncio

    return run(view, opening)


def _check(folder: Path, server: str | None, options: Options) -> None:
    can_meet = server or options.lan or options.at
    if _was_shared(folder) or (folder.exists() and can_meet) or recovered(folder):
        return
    if not folder.exists():
        raise Failure(
            Problem("E-NO-FOLDER", ExitCode.USAGE, f"{folder} does not exist", do=f"mkdir {folder}")
        )
    raise Failure(
        Problem(
            "E-NO-SERVER",
            ExitCode.USAGE,
            "no server is named, and the local network is not to be used: there is nowhere to meet",
            likely="--no-lan or WEFT_NO_LAN is set, and no --server, WEFT_SERVER or server in config.toml",
            do=f"weft share {folder} --server https://pad.example.org   or with one of your own:\n"
            f"weft serve   and   weft share {folder} --server http://127.0.0.1:8787",
        )
    )


def _was_shared(folder: Path) -> bool:
    return (folder / ".weft" / "session.json").exists()
