"""Why there was no connection, in a few words."""

import errno
import socket
import ssl

import pytest

from peer.edge.endings import unconnected


class Wrapped(Exception):
    """As aiohttp wraps what went wrong."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("Cannot connect to host x:443 ssl:default [nobody wants to read this]")
        self.os_error = cause


def distrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "nothing listens there (connection refused)"),
        (OSError(errno.ENETUNREACH, "x"), "no way leads there (network unreachable)"),
        (socket.gaierror(-2, "x"), "its name is not found"),
        (ssl.SSLError(1, "x"), "it speaks no TLS, or another kind"),
        (distrusted(), "its certificate is not believed (certificate has expired)"),
        (OSError("something else"), "something else"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_reason_is_told_without_the_names_of_classes(cause: Exception, words: str) -> None:
    assert unconnected(cause).reason == f"no connection: {words}"
    if not isinstance(cause, ssl.SSLCertVerificationError):
        assert unconnected(Wrapped(cause)).reason == f"no connection: {words}"
