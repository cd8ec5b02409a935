"""`weft join`: take part in a session by its link, or go on with the one that a folder belongs to."""

import os
import sys
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import click

from peer.cli.beginning import chosen_name, chosen_server, guard_large_folder, make_view, recovered
from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.ice_servers import chosen_ice_servers
from peer.cli.options import Options, interactive, session_options
from peer.cli.settings import Settings, config_file, load
from peer.cli.view import SessionLike

__all__ = ["join", "looks_like_link"]

LINK_LIMIT: Final = 8192
"""Characters read from stdin; a link has some 500."""


@click.command()
@click.argument("link", required=False)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@session_options
def join(link: str | None, folder: Path | None, options: Options) -> int:
    """Join the session of LINK in the folder DIR (the current one if left out).

    Without a LINK, go on with the session that DIR belongs to. LINK may be - to read it from stdin, or
    be in WEFT_LINK, where other users of this machine cannot see it.

    \b
    Examples:
      weft join 'weft:AUkB...' notes/
      weft join                       go on with the session of this folder
      weft join 'weft:AUkB...' notes/ --at 192.168.1.20:47801
      pbpaste | weft join - notes/
    """
    settings = load(config_file())
    own = chosen_ice_servers(options.ice_servers, settings)
    invitation, target = _read_arguments(link, folder, options)
    if invitation:
        guard_large_folder(target, options)
    view = make_view(options, "join", target)
    view.opening()

    def opening() -> AbstractAsyncContextManager[SessionLike]:
        name = chosen_name(options, settings)
        policy, lan, at = options.path_policy, options.lan, options.at
        server = _check_link(invitation, options, settings) if invitation else None
        from peer import api

        if invitation:
            return api.join(
                invitation,
                target,
                server=server,
                name=name,
                path_policy=policy,
                lan=lan,
                at=at,
                ice_servers=own,
            )
        server = options.server if options.server_given else None
        return api.join(
            target,
            None,
            server=server,
            name=options.name,
            path_policy=policy,
            lan=lan,
            at=at,
            ice_servers=own,
        )

    from peer.cli.running import run  # the first line must not wait for asyncio

    return run(view, opening)


def looks_like_link(text: str) -> bool:
    """Whether *text* is meant as an invitation, not as a folder."""
    return text == "-" or text.lower().startswith(("weft:", "http://", "https://"))


def _read_arguments(link: str | None, folder: Path | None, options: Options) -> tuple[str | None, Path]:
    """The invitation, if there is one, and the folder to use."""
    if link == "":
        raise _no_link("the link is empty")  # a variable of a script that was never set
    if link and folder is None and not looks_like_link(link):
        folder = Path(link)
        link = None
        if not folder.is_dir() and not recovered(folder):
            raise _no_link(f"{folder} is neither a link nor a folder")
    link = link or os.environ.get("WEFT_LINK") or None
    if link is None:
        known = _enclosing(folder or Path()) or recovered(folder or Path())
        if known:
            return None, known
        link = _ask_for_link(folder or Path(), options)
    if link == "-":
        link = (sys.stdin.readline if sys.stdin.isatty() else sys.stdin.read)(LINK_LIMIT).strip()
    if not looks_like_link(link):
        raise _no_link("this is no link: one begins with weft: or https://")
    return link, folder or Path()


def _enclosing(folder: Path) -> Path | None:
    folder = folder.resolve()
    return next((each for each in (folder, *folder.parents) if (each / ".weft/session.json").is_file()), None)


def _ask_for_link(folder: Path, options: Options) -> str:
    if interactive(options.no_input):
        return str(click.prompt("  Link (from whoever ran `weft share`)", err=True)).strip()
    raise Failure(
        Problem(
            "E-NO-SESSION",
            ExitCode.NO_SESSION,
            f"{folder.resolve()} belongs to no session",
            do="weft join LINK DIR   with the link that `weft share` printed on the other side",
        )
    )


def _no_link(message: str) -> Failure:
    return Failure(
        Problem("E-LINK", ExitCode.BAD_INVITATION, message, do="copy the whole link and paste it in quotes")
    )


def _check_link(link: str, options: Options, settings: Settings) -> str | None:
    """Find a mistyped link here and not at the server; return the server to use in place of its own."""
    from peer.core.invitation import parse_invitation
    from peer.errors import UsageError

    try:
        invitation = parse_invitation(link)
        invitation.check_date(time.time())
    except UsageError as error:
        raise _no_link(str(error)) from error
    if options.server_given or not invitation.servers:
        return chosen_server(options, settings)
    return None
