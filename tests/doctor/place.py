"""Two network namespaces that one test makes: a home with one computer, and the world with a server.

    home   wlan0 192.168.77.2, default route 192.168.77.1
    world  192.168.77.1, and behind it 203.0.113.1 and .2 (documentation addresses, RFC 5737)

Both vanish with the processes that hold them, which live for two minutes at most, whatever happens.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["DOCTOR_SECONDS", "SECRET", "SERVER", "STUN", "Place", "until"]

SERVER: Final = "203.0.113.1"
SECOND: Final = "203.0.113.2"
STUN: Final = f"{SERVER}:3478"
SECRET: Final = "the-secret-of-this-test-0123456789abcdef-0123456789abcdef-0123456789"
HOLD_SECONDS: Final = 120
DOCTOR_SECONDS: Final = 15.0
"""What the doctor promises, even when everything is dead."""


def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until *holds*; fail with *what* after *seconds*."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)


class Place:
    """Where one test plays; `close` ends everything that it started, by process."""

    def __init__(self, directory: Path, patience: float) -> None:
        self.directory = directory
        self.patience = patience
        self._programs: list[subprocess.Popen[bytes]] = []
        self._home = self._hold()
        self._world = self._hold()
        self._wire()

    # --- namespaces -----------------------------------------------------------------------------------

    def _hold(self) -> int:
        """A namespace, as the process that keeps it."""
        program = self._start(["unshare", "--net", "--", "sleep", str(HOLD_SECONDS)])
        own = os.readlink("/proc/self/ns/net")

        def apart() -> bool:
            return os.readlink(f"/proc/{program.pid}/ns/net") != own

        until(apart, 5 * self.patience, "a network namespace")
        return program.pid

    def _wire(self) -> None:
        self.run("ip link add wlan0 type veth peer name world0 netns " + str(self._world), home=True)
        for line in (
            "ip link set lo up",
            "ip addr add 192.168.77.1/24 dev world0",
            "ip link set world0 up",
            f"ip addr add {SERVER}/32 dev lo",
            f"ip addr add {SECOND}/32 dev lo",
        ):
            self.run(line)
        for line in (
            "ip link set lo up",
            "ip addr add 192.168.77.2/24 dev wlan0",
            "ip link set wlan0 up",
            "ip route add default via 192.168.77.1",
        ):
            self.run(line, home=True)

    def inside(self, *, home: bool) -> list[str]:
        """What to put before a command so that it runs in one of the namespaces."""
        return ["nsenter", f"--net=/proc/{self._home if home else self._world}/ns/net", "--"]

    def run(self, line: str, *, home: bool = False) -> None:
        """Run one command in a namespace; it has to succeed."""
        command = [*self.inside(home=home), *line.split()]
        done = subprocess.run(command, capture_output=True, timeout=20 * self.patience, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr.decode()}"

    def rule(self, rules: str, *, home: bool = True) -> None:
        """Load an nftables ruleset."""
        file = self.directory / "rules.nft"
        file.write_text(rules)
        self.run(f"nft -f {file}", home=home)

    # --- programs -------------------------------------------------------------------------------------

    def _start(self, command: Sequence[str], log: str = "", **others: str) -> subprocess.Popen[bytes]:
        out = (self.directory / log).open("wb") if log else subprocess.DEVNULL
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT if log else out,
            env={**os.environ, **others},
        )
        self._programs.append(program)
        return program

    def serve(self, settings: Mapping[str, object] | None = None) -> None:
        """Run `weft serve` in the world, with these settings beside its address."""
        config = self.directory / "serve.toml"
        top = {"host": SERVER, "port": 8787, **(settings or {})}
        rows = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
        config.write_text("\n".join(rows) + "\n")
        command = [*self.inside(home=False), weft(), "serve", "--config", str(config)]
        self._start(command, "serve.log")
        self.wait_for_port(8787)

    def coturn(self) -> None:
        """Run a real coturn in the world, with the two addresses that RFC 5780 wants."""
        config = self.directory / "turnserver.conf"
        config.write_text(
            "\n".join(
                [
                    f"listening-ip={SERVER}",
                    f"listening-ip={SECOND}",
                    f"relay-ip={SERVER}",
                    "realm=doctor.test",
                    "use-auth-secret",
                    f"static-auth-secret={SECRET}",
                    "fingerprint",
                    "no-tls",
                    "no-dtls",
                    "no-cli",
                    "rfc5780",
                    "allow-loopback-peers",
                    f"allowed-peer-ip={SERVER}",
                    f"userdb={self.directory / 'turndb'}",
                    f"pidfile={self.directory / 'turn.pid'}",
                    "log-file=stdout",
                    "",
                ]
            )
        )
        self._start([*self.inside(home=False), "turnserver", "-c", str(config)], "turn.log")
        self.wait_for_port(3478)

    def wait_for_port(self, port: int) -> None:
        """Wait until somebody in the world listens on *port*."""
        command = [*self.inside(home=False), "ss", "-Hltn", f"sport = :{port}"]

        def listens() -> bool:
            ended = [program.args for program in self._programs if program.poll() is not None]
            assert not ended, f"ended at once, see its log: {ended}"
            return bool(subprocess.run(command, capture_output=True, check=True).stdout.strip())

        until(listens, 20 * self.patience, f"something that listens on port {port}")

    def program(self, source: str, *arguments: str) -> None:
        """Run a small Python program in the world."""
        self._start([*self.inside(home=False), sys.executable, "-c", source, *arguments], "program.log")

    # --- the doctor -----------------------------------------------------------------------------------

    def doctor(
        self, *options: str, home: bool = True, before: Sequence[str] = (), **others: str
    ) -> "Diagnosis":
        """Run `weft doctor --json` at home; it has to answer in time, whatever is broken."""
        command = [*self.inside(home=home), *before, weft(), "doctor", "--json", *options]
        own = {
            f"WEFT_{kind.upper()}_DIR": str(self.directory / kind) for kind in ("config", "data", "runtime")
        }
        limit = DOCTOR_SECONDS * self.patience
        done = subprocess.run(
            command, capture_output=True, env={**os.environ, **own, **others}, timeout=limit, check=False
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        assert done.stdout, done.stderr.decode()
        return Diagnosis(json.loads(done.stdout), done.returncode)

    def close(self) -> None:
        """End everything, the namespaces last."""
        for program in reversed(self._programs):
            program.kill()
            program.wait()


class Diagnosis:
    """What the doctor said."""

    def __init__(self, record: dict[str, object], code: int) -> None:
        self.record = record
        self.code = code
        findings = record["findings"]
        assert isinstance(findings, list)
        self.findings: list[dict[str, object]] = findings

    def verdict(self, id_: str) -> str:
        """The verdict on one check."""
        return str(self.finding(id_)["verdict"])

    def finding(self, id_: str) -> dict[str, object]:
        """One check."""
        found = [each for each in self.findings if each["id"] == id_]
        assert found, f"the doctor did not look at {id_}: {self}"
        return found[0]

    def words(self, id_: str) -> str:
        """Everything that is said of one check."""
        found = self.finding(id_)
        return f"{found['found']} because {found['cause']} do {found['do']}"

    def not_good(self) -> set[str]:
        """The ids of what is broken or could be better."""
        return {str(each["id"]) for each in self.findings if each["verdict"] in ("note", "broken")}

    def __repr__(self) -> str:
        return "\n".join(f"{each['id']}: {each['verdict']}: {each['found']}" for each in self.findings)


def weft() -> str:
    """The command as it is installed beside this Python."""
    return str(Path(sys.executable).with_name("weft"))
