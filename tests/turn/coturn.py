"""A coturn of one test, on loopback, with a configuration that our generator wrote."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from signaling.turn import sign
from signaling.turn_command import templates
from signaling.turn_config import TurnConfig, render
from tests.conftest import PATIENCE as SLOWNESS

PATIENCE: Final = 10.0 * SLOWNESS
SECRET: Final = "north-wind-and-the-sun"
OLD_SECRET: Final = "the-one-before-that-one"


@dataclass(frozen=True, slots=True)
class Coturn:
    """A server that runs."""

    port: int
    tls_port: int
    log: Path

    @property
    def url(self) -> str:
        """Over UDP and TCP."""
        return f"turn:127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """Over TLS."""
        return f"turns:127.0.0.1:{self.tls_port}"

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")


def free_port() -> int:
    """A port that nobody uses, neither over UDP nor over TCP."""
    for _ in range(50):
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.bind(("127.0.0.1", 0))
            port: int = stream.getsockname()[1]
            with contextlib.suppress(OSError):
                datagrams.bind(("127.0.0.1", port))
                # the range that servers relay from
                if not 49_152 <= port <= 49_999:
                    return port
    raise AssertionError("no port is free")


def credential(life: float = 600.0, *, secret: str = SECRET, who: str = "someone") -> tuple[str, str]:
    """A credential that ends *life* seconds from now."""
    return sign(secret, round(datetime.now(UTC).timestamp() + life), who)


@contextlib.asynccontextmanager
async def coturn(
    folder: Path, *, change: Callable[[str], str] = lambda text: text, **settings: Any
) -> AsyncIterator[Coturn]:
    """Run a server until the block ends; *change* edits its configuration, as an operator might."""
    chosen: dict[str, Any] = {
        "domain": "turn.example.org",
        "secrets": (SECRET, OLD_SECRET),
        "external": ("127.0.0.1",),
        "port": free_port(),
        "tls_port": free_port(),
    }
    config = TurnConfig(**(chosen | settings))
    server = Coturn(config.port, config.tls_port, folder / "log")
    process = _start(folder, change(render(config, templates())["turnserver.conf"]))
    try:
        await _until_listening(process, server)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(folder: Path, text: str) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "turnserver.conf"
    file.write_text(text)
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            [
                "turnserver",
                *("-c", str(file)),
                "--pidfile=",
                f"--userdb={folder / 'turndb'}",
                "--allow-loopback-peers",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
        )


async def _until_listening(process: "subprocess.Popen[bytes]", server: Coturn) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert process.poll() is None, f"coturn ended:\n{server.said()}"
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.close()
                await writer.wait_closed()
                # the listeners are there a moment before what answers them
                if "auth thread" in server.said():
                    return
            await asyncio.sleep(0.02)


def certificate(folder: Path, *, days: float = 90.0) -> tuple[str, str, ssl.SSLContext]:
    """A certificate for 127.0.0.1, its key, and somebody who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "turn.example.org")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(signed.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(chain), str(private), ssl.create_default_context(cafile=str(chain))
