"""What a web server shows before anybody trusts it: its clock, its certificate, and whether it is there.

Certificates are read without being believed, so that an expired one can be named with its date; whether it
is to be believed is asked in a second handshake.
"""

import asyncio
import contextlib
import email.utils
import errno
import os
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final

from cryptography import x509

__all__ = ["PATIENCE", "Look", "Unseen", "look", "resolve"]

PATIENCE: Final = 4.0
"""Seconds for each step: to find the name, to connect, to shake hands, to answer."""
HEAD_LIMIT: Final = 16 * 1024
"""Bytes of an answer's head."""


class Unseen(Exception):
    """The server was not reached: *step* is `name`, `route`, `refused`, `silent`, `tls` or `web`."""

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(detail)
        self.step = step


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen.

    Attributes:
        address: where it answered.
        connect_ms: until TCP stood.
        status: of HTTP.
        skew: seconds that our clock is ahead of the server's; `None` if it says no time.
        days: until its certificate expires (negative: since); `None` without TLS.
        distrust: why its certificate is not believed, or an empty string.
    """

    address: str
    connect_ms: float
    status: int
    skew: float | None
    days: float | None
    distrust: str


async def resolve(host: str, port: int, *, kind: int = socket.SOCK_STREAM) -> list[tuple[str, int]]:
    """The addresses of *host*, IPv4 first.

    Raises:
        Unseen: the name leads nowhere.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PATIENCE):
            found = await loop.getaddrinfo(host, port, type=kind)
    except TimeoutError as error:
        raise Unseen("name", f"{host} was not found within {PATIENCE:g} s") from error
    except (OSError, UnicodeError) as error:
        raise Unseen("name", f"{host} is not found") from error
    addresses = [(str(each[4][0]), port) for each in found]
    return list(dict.fromkeys(sorted(addresses, key=lambda each: ":" in each[0])))


async def look(host: str, port: int, path: str, *, tls: bool) -> Look:
    """Look at the server.

    Raises:
        Unseen: how far we came, and why not farther.
    """
    addresses = await resolve(host, port)
    began = time.monotonic()
    reader, writer, address = await _connect(addresses, _blind() if tls else None, host)
    connect_ms = round((time.monotonic() - began) * 1000, 1)
    try:
        days = _days_left(writer) if tls else None
        status, skew = await _get(reader, writer, host, path)
    finally:
        writer.close()
    distrust = await _distrust(address, port, host) if tls else ""
    return Look(address, connect_ms, status, skew, days, distrust)


def _blind() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter, str]


async def _connect(addresses: list[tuple[str, int]], context: ssl.SSLContext | None, host: str) -> Stream:
    """Connect to the first address that answers; all are tried at once."""
    tries = [asyncio.create_task(_connect_one(each, context, host)) for each in addresses[:4]]
    try:
        waiting: set[asyncio.Task[Stream]] = set(tries)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if each.exception() is None:
                    return each.result()
    finally:
        for each in tries:
            each.cancel()
        await asyncio.gather(*tries, return_exceptions=True)
    error = tries[0].exception()
    raise error if error is not None else Unseen("name", f"{host} has no address")


async def _connect_one(address: tuple[str, int], context: ssl.SSLContext | None, host: str) -> Stream:
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                *address, ssl=context, server_hostname=host if context else None
            )
    except TimeoutError as error:
        raise Unseen("silent", f"nothing answered within {PATIENCE:g} s") from error
    except ssl.SSLError as error:
        raise Unseen("tls", error.reason or str(error)) from error
    except OSError as error:
        raise _unconnected(error) from error
    return reader, writer, address[0]


def _unconnected(error: OSError) -> Unseen:
    steps = {
        errno.ECONNREFUSED: "refused",
        errno.ENETUNREACH: "route",
        errno.EHOSTUNREACH: "silent",
        errno.EPERM: "forbidden",
    }
    # asyncio puts a sentence with the address around the system's own words.
    number = error.errno or 0
    words = os.strerror(number).lower() if number > 0 else error.strerror or str(error)
    return Unseen(steps.get(number, "silent"), words)


async def _get(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, path: str
) -> tuple[int, float | None]:
    """Ask for *path*; return the status, and how far ahead our clock is."""
    began = time.time()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    try:
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
    except TimeoutError as error:
        raise Unseen("web", f"it took the question and gave no answer within {PATIENCE:g} s") from error
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Unseen("web", "what answers there does not speak HTTP") from error
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split()
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise Unseen("web", "what answers there does not speak HTTP")
    return int(words[1]), _skew(lines, (began + time.time()) / 2)


def _skew(lines: list[str], asked: float) -> float | None:
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "date":
            with contextlib.suppress(ValueError, TypeError):
                # the header has whole seconds: on average half a second has passed since
                return asked - email.utils.parsedate_to_datetime(value.strip()).timestamp() - 0.5
    return None


def _days_left(writer: asyncio.StreamWriter) -> float | None:
    tls = writer.get_extra_info("ssl_object")
    shown = tls.getpeercert(binary_form=True) if tls is not None else None
    if not shown:
        return None
    try:
        until = x509.load_der_x509_certificate(shown).not_valid_after_utc
    except ValueError:
        return None
    return (until.timestamp() - time.time()) / 86_400


async def _distrust(address: str, port: int, host: str) -> str:
    """Why a browser would not believe this server, or an empty string."""
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(
                address, port, ssl=ssl.create_default_context(), server_hostname=host
            )
    except ssl.SSLCertVerificationError as error:
        return error.verify_message or "it cannot be verified"
    except (OSError, TimeoutError) as error:
        return str(error) or "the second handshake was not answered"
    writer.close()
    return ""
