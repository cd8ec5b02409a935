"""A real TURN server (coturn) on loopback addresses of this machine, for as long as a test runs."""

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from peer.edge.ice_servers import IceServer

USER, PASSWORD = "weft", "secret"
START_SECONDS = 20.0


@dataclass(frozen=True)
class Coturn:
    """Where the server listens, the certificate that makes its TLS believable, and its process."""

    port: int
    tls_port: int
    certificate: Path
    pid: int

    def server(self, *kinds: str) -> IceServer:
        """How clients know it, for these of `ladder.KINDS`."""
        urls = {
            "udp": f"turn:127.0.0.1:{self.port}?transport=udp",
            "tcp": f"turn:127.0.0.1:{self.port}?transport=tcp",
            "tls": f"turns:127.0.0.1:{self.tls_port}?transport=tcp",
        }
        return IceServer(tuple(urls[kind] for kind in kinds), USER, PASSWORD)


@contextlib.asynccontextmanager
async def coturn(folder: Path, *more: str) -> AsyncIterator[Coturn]:
    """Run `turnserver` until the block is left."""
    certificate, key = make_certificate(folder)
    port, tls_port = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        "turnserver",
        "-n",
        "--listening-ip=127.0.0.1",
        "--relay-ip=127.0.0.1",
        f"--listening-port={port}",
        f"--tls-listening-port={tls_port}",
        f"--cert={certificate}",
        f"--pkey={key}",
        "--allow-loopback-peers",
        "--lt-cred-mech",
        f"--user={USER}:{PASSWORD}",
        "--realm=weft.test",
        "--no-cli",
        "--no-dtls",
        f"--pidfile={folder / 'turnserver.pid'}",
        f"--userdb={folder / 'turndb'}",
        "--log-file=stdout",
        "--simple-log",
        *more,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=sys.stderr,
        cwd=folder,
    )
    try:
        await accepting(port)
        await accepting(tls_port)
        yield Coturn(port, tls_port, certificate, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def accepting(port: int) -> None:
    """Wait until somebody listens there."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weft.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "turn.crt", folder / "turn.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
