"""Which sessions run on this machine, and who is in them."""

from pathlib import Path

from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.wording import place, plain

__all__ = ["choose", "find_peer", "no_session", "peers_of", "sessions", "shared_folder"]

Found = tuple[Path, dict[str, object]]


def shared_folder(path: Path) -> Path | None:
    """The folder of a session that *path* is in."""
    path = path.resolve()
    return next((each for each in (path, *path.parents) if (each / ".weft/session.json").is_file()), None)


def sessions(folder: Path | None) -> list[Found]:
    """The running sessions of *folder*, or all of them; sockets that nobody serves are passed over."""
    from peer.edge.control import ask, running, socket_path
    from peer.errors import Unreachable

    sockets = [socket_path(shared_folder(folder) or folder)] if folder else running()
    found = []
    for socket in sockets:
        try:
            found.append((socket, ask(socket, "status")))
        except Unreachable:
            continue
    return found


def peers_of(session: dict[str, object]) -> list[dict[str, object]]:
    """Who is in *session*."""
    peers = session.get("peers")
    return [each for each in peers if isinstance(each, dict)] if isinstance(peers, list) else []


def find_peer(name: str, folder: Path | None = None) -> tuple[Path, dict[str, object], dict[str, object]]:
    """The socket of the session with *name*, the session, and the peer; case does not matter.

    Raises:
        Failure: no session runs, nobody has that name, or several have.
    """
    running = sessions(folder)
    if not running:
        raise Failure(no_session(folder))
    return choose(name, running)


def choose(name: str, running: list[Found]) -> tuple[Path, dict[str, object], dict[str, object]]:
    """The one with *name* among the peers of all *running* sessions; fails as `find_peer` does."""
    everyone = [(socket, session, peer) for socket, session in running for peer in peers_of(session)]
    for exact in (str, str.casefold):
        found = [each for each in everyone if exact(str(each[2].get("name", ""))) == exact(name)]
        found = found or [each for each in everyone if each[2].get("id") == name]
        # Several sessions of this machine may know the same person: any way there is as good.
        ids = list(dict.fromkeys(str(peer.get("id")) for _, _, peer in found))
        if len(ids) == 1:
            return found[0]
        if found:
            raise Failure(_several(name, ids))
    raise Failure(_nobody(name, sorted({plain(str(peer.get("name"))) for _, _, peer in everyone})))


def no_session(folder: Path | None) -> Problem:
    """What is said to one who asks for a session, of *folder* if it is given, that does not run."""
    where = f" in {place(folder)}" if folder else ""
    return Problem("E-NO-SESSION", ExitCode.NO_SESSION, f"no session is running{where}", do="weft status")


def _several(name: str, ids: list[str]) -> Problem:
    message = f"{len(ids)} people are called {plain(name)}: say which one by its id"
    return Problem("E-WHICH", ExitCode.USAGE, message, do=f"weft ping {ids[0]}", names=tuple(ids))


def _nobody(name: str, there: list[str]) -> Problem:
    if not there:
        message, do = f"{plain(name)} is not connected; nobody is", "weft status"
    else:
        message, do = (
            f"{plain(name)} is not connected; there are: {', '.join(there)}",
            f"weft ping {there[0]}",
        )
    return Problem("E-NO-PEER", ExitCode.UNREACHABLE, message, do=do)
