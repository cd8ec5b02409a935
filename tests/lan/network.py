"""A switch and some machines, each a network namespace of its own that is gone when the test is.

A namespace lives as long as a process in it that reads from us: whatever ends the test ends that, too.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

__all__ = ["Capture", "Host", "Network", "Weft", "missing", "until"]

LIMIT: Final = 20.0
WEFT: Final = (str(Path(sys.executable).with_name("weft")),)
ROOT: Final = Path(__file__).parents[2]

CAPTURE: Final = """
import socket, sys
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
packets.bind(("switch", 0))
print("ready", flush=True)
while True:
    frame = packets.recv(65535)
    sys.stdout.write(frame.hex() + "\\n")
    sys.stdout.flush()
"""


def missing() -> str | None:
    """Why namespaces cannot be made here; `None` if they can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are a thing of Linux"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    for program in ("hostname", "ip", "nft", "nsenter", "unshare"):
        if subprocess.run(["which", program], capture_output=True, check=False).returncode:
            return f"needs {program}, which is not installed here"
    made = subprocess.run(["unshare", "-mnu", "true"], capture_output=True, check=False)
    return None if made.returncode == 0 else "this machine allows no new network namespaces"


def until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until *holds*, and return how long that took; fail with *what* after *seconds*."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() < begin + seconds, f"{what}: not within {seconds:g} s"
        time.sleep(0.01)
    return time.monotonic() - begin


class Space:
    """One network namespace."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "-mnu", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        own = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(f"/proc/{self.pid}/ns/net") != own, LIMIT, "a new network namespace")
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        return self._holder.pid

    def inside(self, *command: str) -> list[str]:
        """*command*, to be run in here."""
        return ["nsenter", "-t", str(self.pid), "-n", "-u", *command]

    def run(self, *command: str, text: str | None = None) -> str:
        """Run *command* in here; it must succeed."""
        done = subprocess.run(
            self.inside(*command), input=text, capture_output=True, text=True, check=False, timeout=LIMIT
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def close(self) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.close()  # `cat` ends
        self._holder.wait()


class Host(Space):
    """A machine on the switch, with any number of interfaces."""

    def __init__(self, name: str, place: Path) -> None:
        super().__init__()
        self.name = name
        self.place = place / name
        self.place.mkdir(parents=True)
        self.run("hostname", f"host-of-{name}")

    def block(self, *rules: str) -> None:
        """Drop packets, both ways."""
        body = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; {'; '.join(rules)}; }}\n"
            for hook in ("input", "output")
        )
        self.run("nft", "-f", "-", text=f"table inet weft {{ {body} }}")

    def swallow(self, interface: str) -> None:
        """Drop everything on this interface, both ways; its light stays on, and nobody is told."""
        body = "".join(
            f"chain {hook} {{ type filter hook {hook} priority -1; {way}ifname {interface} drop; }}\n"
            for hook, way in (("input", "i"), ("output", "o"))
        )
        self.run("nft", "-f", "-", text=f"table inet swallow {{ {body} }}")

    def open(self) -> None:
        """Take the rules of `block` away."""
        self.run("nft", "delete", "table", "inet", "weft")

    def has_link_local(self) -> bool:
        """Whether the machine has an IPv6 address that it may use."""
        shown = self.run("ip", "-6", "addr", "show", "dev", "lan0", "scope", "link")
        return "fe80" in shown and "tentative" not in shown

    def weft(self, *arguments: str) -> "Weft":
        """Start `weft` here."""
        return Weft(self, arguments)


class Place(Protocol):
    """Where a program runs, and where the home of its user is."""

    name: str
    place: Path

    def inside(self, *command: str) -> list[str]:
        """*command*, to be run there."""
        ...


class Weft:
    """One `weft` process on one machine."""

    def __init__(self, host: Place, arguments: tuple[str, ...]) -> None:
        self.name = host.name
        self._out, self._err = host.place / "records", host.place / "errors"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("WEFT_")}
        own = {f"WEFT_{kind.upper()}_DIR": str(host.place / kind) for kind in ("config", "data", "runtime")}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.started, self.began_at = time.monotonic(), time.time()
            self._process = subprocess.Popen(
                host.inside(*WEFT, *arguments, "--json"),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**inherited, **own, "PYTHONPATH": str(ROOT), "LOGNAME": f"user-{host.name}"},
            )

    @property
    def pid(self) -> int:
        """Of the process itself: `nsenter` becomes it."""
        return self._process.pid

    def everything(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.read_bytes().split(b"\n")[:-1]]

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.everything() if record["type"] == kind]

    def wait_for(self, kind: str, **values: object) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [each for each in self.records(kind) if values.items() <= each.items()]

        until(lambda: bool(found()) or self._process.poll() is not None, LIMIT, f"{self.name}: {kind}")
        assert found(), f"{self.name} ended: {self.last_words()}"
        return found()[0]

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def leave(self) -> float:
        """Press Ctrl-C, and return how long the goodbye took."""
        began = time.monotonic()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self.kill()
        return time.monotonic() - began

    def last_words(self) -> str:
        return self._out.read_text(errors="replace")[-3000:] + self._err.read_text(errors="replace")[-3000:]


class Capture:
    """Everything that passes a switch."""

    def __init__(self, space: Space, place: Path) -> None:
        self._file = place / "frames"
        with self._file.open("wb") as out:
            self._process = subprocess.Popen(space.inside(sys.executable, "-c", CAPTURE), stdout=out)
        until(lambda: self._file.read_text().startswith("ready\n"), LIMIT, "the capture")

    def frames(self) -> list[bytes]:
        """What has passed so far."""
        return [bytes.fromhex(line) for line in self._file.read_text().split("\n")[1:-1]]

    def has(self, text: bytes) -> bool:
        """Whether *text* has passed."""
        return any(text in frame for frame in self.frames())

    def end(self) -> list[bytes]:
        """Stop, and return every frame."""
        self._process.kill()
        self._process.wait()
        return self.frames()


class Network:
    """A switch, and the machines that are plugged in."""

    def __init__(self, place: Path) -> None:
        self._place = place
        place.mkdir(parents=True, exist_ok=True)
        self.switch = Space()
        self.hosts: list[Host] = []
        self.wefts: list[Weft] = []
        self._ports = 0
        self.switch.run("ip", "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
        self.switch.run("ip", "link", "set", "switch", "up")

    def host(self, name: str, *, ipv4: bool = True, ipv6: bool = True) -> Host:
        """A machine that is plugged in, without a route to anywhere else."""
        host = Host(name, self._place)
        self.hosts.append(host)
        if not ipv6:
            host.run(
                "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"
            )
        address = f"10.77.0.{len(self.hosts)}/24" if ipv4 else None
        self.plug(host, "lan0", address)
        if ipv6:
            until(host.has_link_local, LIMIT, "a link-local address")
        return host

    def wire(self, one: Host, other: Host, interface: str, network: str) -> None:
        """A cable from *one* to *other*, who have the addresses 1 and 2 of *network* (`10.9.0`) on it."""
        one.run(
            *("ip", "link", "add", interface, "type", "veth", "peer", "name", interface),
            *("netns", str(other.pid)),
        )
        for number, host in enumerate((one, other), start=1):
            host.run("ip", "addr", "add", f"{network}.{number}/24", "dev", interface)
            host.run("ip", "link", "set", interface, "up")

    def plug(self, host: Host, interface: str, address: str | None, *, dead: bool = False) -> None:
        """Give *host* another interface; a *dead* one leads nowhere, though its light is on."""
        self._ports += 1
        port = f"port{self._ports}"
        self.switch.run(
            *("ip", "link", "add", port, "type", "veth", "peer", "name", interface, "netns", str(host.pid))
        )
        if not dead:
            self.switch.run("ip", "link", "set", port, "master", "switch")
        self.switch.run("ip", "link", "set", port, "up")
        if address is not None:
            host.run("ip", "addr", "add", address, "dev", interface)
        host.run("ip", "link", "set", interface, "up")

    def capture(self) -> Capture:
        """Write down everything that passes from now on."""
        return Capture(self.switch, self._place)

    def start(self, host: Host, *arguments: str) -> Weft:
        """Start `weft` on *host*; it is ended with the test."""
        weft = host.weft(*arguments)
        self.wefts.append(weft)
        return weft

    def last_words(self) -> str:
        return "\n".join(f"--- {weft.name}\n{weft.last_words()}" for weft in self.wefts)

    def close(self) -> None:
        for weft in self.wefts:
            weft.kill()
        for space in (*self.hosts, self.switch):
            space.close()
