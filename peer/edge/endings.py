"""Why a visit to the signaling server ended, and whether and when to come again."""

import errno
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from signaling import messages

if TYPE_CHECKING:
    from aiohttp import WSServerHandshakeError

__all__ = ["Ending", "closed", "raise_if_error", "refused_before", "to_address", "unconnected"]

_ABNORMAL: Final = 1006
"""RFC 6455 section 7.4.1: the connection ended without a closing frame."""


class Ending(Exception):
    """Why a visit ended; *wait* is how long the server asked us to stay away, in seconds."""

    def __init__(self, reason: str, *, final: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final
        self.wait = wait


def closed(code: int | None, words: object, restarting: float | None) -> Ending:
    """Judge a connection that was closed with *code*; *restarting* is the wait that was announced before."""
    if restarting is not None:
        return Ending("it was stopped, or is restarting", wait=restarting)
    if code is None or code == _ABNORMAL:
        return Ending("the connection broke off")
    detail = f": {words}" if isinstance(words, str) and words else ""
    return Ending(f"it closed the connection ({code}){detail}", final=not messages.is_retryable(code))


def raise_if_error(message: messages.FromServer | messages.Relayed | None) -> None:
    """Raise `Ending` if *message* is the server's last word, otherwise ignore it."""
    if isinstance(message, messages.Error):
        wait = None if message.retry_after_ms is None else message.retry_after_ms / 1000
        raise Ending(
            f"{message.message} ({message.code} {message.name})",
            final=not messages.is_retryable(message.code),
            wait=wait,
        )


_NO_CONNECTION: Final = {
    errno.ECONNREFUSED: "nothing listens there (connection refused)",
    errno.ENETUNREACH: "no way leads there (network unreachable)",
    errno.EHOSTUNREACH: "its machine does not answer (host unreachable)",
    errno.ETIMEDOUT: "its machine does not answer (timed out)",
}


def unconnected(error: Exception) -> Ending:
    """Say in a few words why there was no connection; the library's own have brackets and class names."""
    distrust = getattr(error, "certificate_error", None) or error
    if (words := getattr(distrust, "verify_message", "")) != "":
        return Ending(f"no connection: its certificate is not believed ({words})")
    cause = getattr(error, "os_error", error)
    if isinstance(cause, socket.gaierror):
        return Ending("no connection: its name is not found")
    if isinstance(cause, ssl.SSLError):
        return Ending("no connection: it speaks no TLS, or another kind")
    known = _NO_CONNECTION.get(getattr(cause, "errno", None) or 0)
    return Ending(f"no connection: {known or cause}")


def refused_before(error: "WSServerHandshakeError") -> Ending:
    """Read an HTTP answer that came instead of a WebSocket (`docs/protocol-signaling.md` section 6)."""
    headers: Mapping[str, str] = error.headers or {}
    code, _, name = headers.get("Weft-Error", "").partition(" ")
    after = headers.get("Retry-After", "")
    wait = float(after) if after.isascii() and after.isdigit() else None
    if not (code.isascii() and code.isdigit()):
        return Ending(f"what answers there is not a Weft server (HTTP {error.status})", wait=wait)
    return Ending(
        f"it refused the connection: {name.replace('-', ' ')} ({code})",
        final=not messages.is_retryable(int(code)),
        wait=wait,
    )


def to_address(text: str) -> bytes:
    """Read an address; raise `Ending` if it is none."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Ending(f"it sent an address that cannot be read: {error}") from error
