"""What stands on the internet of the laboratory: a real `weft serve` and a real coturn, with certificates."""

import datetime
import ipaddress
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from demo.programs import Program
from tests.e2e.town import until
from tests.netlab.lab import Host

__all__ = ["Authority", "Coturn", "Server"]

START_SECONDS: Final = 20.0

SHORT: Final = """
# an hour is long for a test: everything that is asked for again is asked for within a minute
stale-nonce=60
max-allocate-lifetime=60
userdb={place}/users.db
pidfile={place}/coturn.pid
"""


class Authority:
    """Certifies the addresses of the laboratory, for this run."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the laboratory")])
        own = self._begin(self._name, self._key.public_key())
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.file = place / "authority.pem"
        self.file.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    @property
    def environment(self) -> dict[str, str]:
        """Makes a program believe this authority, and no other."""
        return {"SSL_CERT_FILE": str(self.file)}

    def certify(self, address: str) -> tuple[Path, Path]:
        """A certificate for *address*, or for a name, and its key, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        san = x509.SubjectAlternativeName([_general(address)])
        made = self._begin(name, key.public_key()).add_extension(san, critical=False)
        files = self._place / f"{address}.pem", self._place / f"{address}.key"
        files[0].write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _begin(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )


def _general(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Coturn:
    """A TURN server as `weft turn-config` sets it up: 3478 by UDP and TCP, 443 by TLS.

    Attributes:
        secret: the file with the secret that it shares with the signaling server.
    """

    def __init__(self, host: Host, place: Path, authority: Authority) -> None:
        self.host = host
        self.secret = place / "turn-secret"
        self._place = place / "coturn"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = place / "coturn.txt"
        self._config = self._place / "turnserver.conf"
        certificate, key = authority.certify(host.called)
        asked = {
            "domain": host.called,
            "external-ip": host.address,
            "secret-file": self.secret,
            "tls-cert": certificate,
            "tls-key": key,
            "output": self._place,
        }
        weft = Path(sys.executable).with_name("weft")
        options = [f"--{name}={value}" for name, value in asked.items()]
        options += [f"--external-ip={host.address6}"] if host.address6 else []
        subprocess.run([weft, "turn-config", *options], check=True, capture_output=True)
        with self._config.open("a") as file:
            file.write(SHORT.format(place=self._place))

    @property
    def urls(self) -> list[str]:
        """The ways to it."""
        return [f"turn:{self.host.called}:3478", f"turns:{self.host.called}:443"]

    def start(self) -> None:
        """Begin to serve."""
        self._process = self.host.start(["turnserver", "-c", str(self._config)], self._log)
        until(self._listens, START_SECONDS, "coturn")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"coturn ended: {self._log.read_text()[-2000:]}"
        return self.host.tcp((self.host.address, 3478), 1) and self.host.tcp((self.host.address, 443), 1)

    def kill(self) -> None:
        """End it as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def said(self) -> str:
        """Its log."""
        return self._log.read_text(errors="replace")


class Server:
    """A signaling server with TLS on port 443, which is also open where nearly nothing is."""

    def __init__(
        self, host: Host, place: Path, authority: Authority, turn: Coturn, turn_seconds: float
    ) -> None:
        self.host = host
        self.url = f"https://{host.called}"
        self._place = place
        self._count = 0
        self._program: Program | None = None
        certificate, key = authority.certify(host.called)
        self._config = place / "server.toml"
        settings: dict[str, object] = {
            "host": host.called if host.address6 else host.address,  # a name means all its addresses
            "port": 443,
            "tls_certificate": str(certificate),
            "tls_key": str(key),
            "drain_seconds": 1.0,
            "stun": [f"stun:{turn.host.called}:3478"],
            "turn": turn.urls,
            "turn_secret_file": str(turn.secret),
            "turn_seconds": turn_seconds,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        self._config.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Begin to serve."""
        self._count += 1
        self._program = Program(
            f"server{self._count}",
            self._place / f"server{self._count}",
            ["serve", "--config", str(self._config)],
            inside=self.host.inside,
        )
        self._program.wait_for("server.listening", START_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._program is not None:
            os.kill(self._program.pid, signal.SIGKILL)
            self._program.end()

    def last_words(self) -> str:
        """What it said last."""
        return self._program.last_words() if self._program is not None else ""
