"""The person's own STUN and TURN servers: from flags, the environment, or `config.toml`.

A flag is `URL[,USER,PASSWORD]`.  `WEFT_ICE_SERVERS` is the same JSON that the server takes, `config.toml` has
tables `[[ice_servers]]`; both have `urls`, and for TURN `username` and `credential`.
"""

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.settings import Settings

if TYPE_CHECKING:
    from peer.edge.ice_servers import IceServer

__all__ = ["VARIABLE", "chosen_ice_servers"]

VARIABLE: Final = "WEFT_ICE_SERVERS"

SERVERS_LIMIT: Final = 8
"""Each is tried in turn; more would only cost time."""

_KEYS: Final = {"urls", "username", "credential"}
_FORM: Final = 'urls = ["turn:host"], username = "…", credential = "…"'


def chosen_ice_servers(flags: Sequence[str], settings: Settings) -> "tuple[IceServer, ...]":
    """The servers that the person has named; flags go before the environment, that before the file.

    Raises:
        Failure: one of them cannot be used.
    """
    variable = os.environ.get(VARIABLE)
    if flags:
        found = [_from_flag(flag) for flag in flags]
    elif variable:
        found = [_from_table(table, VARIABLE) for table in _listed(_decoded(variable), VARIABLE)]
    else:
        listed = _listed(settings.get("ice_servers", []), "config.toml")
        found = [_from_table(table, "ice_servers in config.toml") for table in listed]
    if len(found) > SERVERS_LIMIT:
        raise _bad(f"{len(found)} servers are named, and {SERVERS_LIMIT} are the most", "name fewer")
    return tuple(found)


def _from_flag(text: str) -> "IceServer":
    url, *rest = text.split(",", 2)
    if len(rest) == 1:
        raise _bad(f"--ice-server {url},{rest[0]} has a user and no password", "write URL,USER,PASSWORD")
    return _checked([url], *rest, source="--ice-server")


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _bad(
            f"{VARIABLE} is not JSON: {error}", f'{VARIABLE}=\'[{{"urls": ["stun:host"]}}]\''
        ) from error


def _listed(found: object, source: str) -> list[object]:
    if not isinstance(found, list):
        raise _bad(f"{source} has to hold a list of servers", _FORM)
    return found


def _from_table(table: object, source: str) -> "IceServer":
    if not isinstance(table, dict) or not table.keys() <= _KEYS:
        raise _bad(f"{source} has a server with other keys than {', '.join(sorted(_KEYS))}", _FORM)
    urls = table.get("urls")
    texts = [table.get("username"), table.get("credential")]
    if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
        raise _bad(f"{source} has a server without a list of urls", _FORM)
    if not all(text is None or isinstance(text, str) for text in texts):
        raise _bad(f"{source} has a username or credential that is no text", _FORM)
    return _checked(urls, *texts, source=source)


def _checked(
    urls: Sequence[str], username: str | None = None, credential: str | None = None, *, source: str
) -> "IceServer":
    """The server, each URL with its transport."""
    from peer.edge.ice_servers import IceServer
    from signaling.turn import ice_urls

    told: list[str] = []
    for url in urls:
        if url.startswith("turn") and not (username and credential):
            raise _bad(f"{source}: {url} needs a user and a password", "a TURN server serves nobody else")
        try:
            told += ice_urls(url)
        except ValueError as error:
            raise _bad(f"{source}: {error}", "correct the address") from error
    return IceServer(tuple(told), username, credential)


def _bad(message: str, do: str) -> Failure:
    return Failure(Problem("E-ICE-SERVER", ExitCode.USAGE, message, do=do))
