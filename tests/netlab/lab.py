"""A small internet of network namespaces: hosts, routers with NATs, and weather.

Everything is in a mount and network namespace of its own, so nothing of it is visible outside, several
laboratories run side by side, and none needs names that nobody else uses.  A keeper process holds the two;
it waits for the end of a pipe from here, and then kills whatever runs inside.  So the laboratory ends
with whoever made it, however that ends, and namespaces end with their last process.

    host anna -- eth0 . segment 10.1.0.0/24 . lan -- router -- wan . internet 5.9.0.0/16 . eth0 -- host srv

A segment is a bridge in the namespace of the router that it belongs to.  Everything has IPv4; what is asked
to has IPv6 as well, or alone: a router then routes a prefix of its own behind a firewall, without any NAT.
Names are in a file that all hosts share.  Routers have a default route even
though it leads nowhere: a packet to a private address has to vanish as on the internet, and not to come
back as an error, which TURN servers take for a reason to give up.
"""

import ctypes
import ipaddress
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from tests.netlab.nats import Kind, firewall, guest_rules, ruleset
from tests.netlab.wire import Wire

__all__ = ["ROOT", "Host", "Lab", "LabError", "Nat", "Segment"]

ROOT: Final = Path(__file__).parents[2]
START_SECONDS: Final = 10.0
COMMAND_SECONDS: Final = 20.0
"""For `ip` and `nft`, which take milliseconds unless the machine is out of breath."""

_CLONE_NEWNET: Final = 0x40000000

_KEEPER: Final = """
mount -t tmpfs -o mode=755 laboratory /run
mkdir /run/netns
mount --bind /dev/null /etc/resolv.conf
touch /run/hosts
mount --bind /run/hosts /etc/hosts
ip link set lo up
echo ready
cat > /dev/null
own=$(readlink /proc/self/ns/mnt)
for round in 1 2; do
  for process in /proc/[0-9]*; do
    number=${process#/proc/}
    if [ "$(readlink "$process/ns/mnt")" = "$own" ] && [ "$number" != $$ ]; then kill -9 "$number"; fi
  done
done 2> /dev/null
exit 0
"""


_ROUTE: Final = """
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose
"""
"""The second: a connection that a router has forgotten does not come back by itself, as with real ones."""

_ROUTE_6: Final = "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"

_SITE: Final = "2a01:4f8:1"
"""All IPv6 prefixes of the laboratory begin with this; it has to look like the internet's."""
_NOBODY: Final = f"{_SITE}:dead"
"""A prefix in which packets vanish."""


class LabError(Exception):
    """The laboratory could not be built; the sentence says what failed."""


@dataclass(slots=True)
class Segment:
    """One network: a bridge in the namespace *router*, whose own address is the gateway."""

    router: str
    bridge: str
    prefix: str
    bits: int
    used: int = 1
    gateway: bool = True
    prefix6: str = ""

    def take(self) -> str:
        """The next free address."""
        self.used += 1
        return f"{self.prefix}.{self.used}"

    def beside(self, address: str) -> str:
        """The IPv6 address that belongs to the IPv4 *address*; empty if there is no IPv6 here."""
        number = int(ipaddress.IPv4Address(address)) - int(ipaddress.IPv4Address(f"{self.prefix}.0"))
        return str(ipaddress.IPv6Address(f"{self.prefix6}::{number:x}")) if self.prefix6 else ""


@dataclass(slots=True)
class Host:
    """One machine, which is on one segment, or on none.

    Attributes:
        versions: of IP, which it has as far as its segment has them.
        address, address6: empty without IPv4, or without IPv6.
        domain: its name, if it has one.
    """

    lab: "Lab"
    name: str
    address: str = ""
    segment: Segment | None = None
    versions: tuple[int, ...] = (4,)
    address6: str = ""
    domain: str = ""

    @property
    def called(self) -> str:
        """How others reach it: by name, or by address."""
        return self.domain or self.address

    @property
    def inside(self) -> list[str]:
        """What to put before a command, so that it runs here; the process stays the same one."""
        return [
            "nsenter",
            f"--mount=/proc/{self.lab.keeper}/ns/mnt",
            f"--net={self.lab.namespace(self.name)}",
            "--",
        ]

    def run(self, *command: str, text: str = "") -> str:
        """Run a short command here, with *text* as its input, and return what it printed."""
        return _run([*self.inside, *command], text)

    def start(
        self, command: Sequence[str], output: Path, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a program here; what it says goes to *output*."""
        with output.open("wb") as out:
            return subprocess.Popen(
                [*self.inside, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def nft(self, rules: str) -> None:
        """Load rules of nftables."""
        self.run("nft", "-f", "-", text=rules)

    def udp(self, port: int = 0, version: int = 4) -> socket.socket:
        """A UDP socket of this host, for the calling process."""
        opened = self._socket(socket.SOCK_DGRAM, version)
        opened.bind(("0.0.0.0" if version == 4 else "::", port))
        return opened

    def tcp(self, address: tuple[str, int], seconds: float) -> bool:
        """Whether a TCP connection to *address* comes about within *seconds*."""
        with self._socket(socket.SOCK_STREAM) as opened:
            opened.settimeout(seconds)
            return opened.connect_ex(address) == 0

    def _socket(self, kind: socket.SocketKind, version: int = 4) -> socket.socket:
        """Made in a thread, for a namespace belongs to a thread; a socket keeps the one it was made in."""
        opened: list[socket.socket] = []

        def make() -> None:
            with open(self.lab.namespace(self.name)) as namespace:
                if ctypes.CDLL(None).setns(namespace.fileno(), _CLONE_NEWNET) == 0:
                    family = socket.AF_INET if version == 4 else socket.AF_INET6
                    opened.append(socket.socket(family, kind))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not opened:
            raise LabError(f"no socket could be opened on {self.name}")
        return opened[0]

    def plug(self, segment: Segment, wire: Wire | None = None) -> None:
        """Put this host on a segment, with a new address; it leaves the one it was on."""
        if self.segment is not None:
            self.unplug()
        address = segment.take()
        self.segment = segment
        self.address = address if 4 in self.versions else ""
        self.address6 = segment.beside(address) if 6 in self.versions else ""
        self.lab.plug(self.name, "eth0", self.address, segment, wire, self.address6)

    def unplug(self) -> None:
        """Pull the cable out; the interface is gone, as when a wireless network is left."""
        self.segment = None
        self.lab.script(f"ip -n {self.name} link del eth0")

    def weather(self, loss: int = 0) -> None:
        """Lose this share of the packets in each direction, in percent; 100 is everything."""
        rule = "drop" if loss == 100 else f"numgen random mod 100 < {loss} drop"
        ways = [
            f"  chain {way} {{\n    type filter hook {way} device eth0 priority 0\n    {rule}\n  }}"
            for way in ("ingress", "egress")
        ]
        clear = "table netdev weather {}\ndelete table netdev weather\n"
        self.nft(clear + ("table netdev weather {\n" + "\n".join(ways) + "\n}\n" if loss else ""))


@dataclass(slots=True)
class Nat:
    """A router: what is plugged into its `lan` sees the rest through a NAT of this kind."""

    host: Host
    kind: Kind
    lan: Segment
    inner: "Nat | None" = field(default=None)
    guests: Segment | None = None

    def restart(self) -> None:
        """Forget every connection, as a router does that is switched off and on."""
        self.host.run("conntrack", "-F")


class Lab:
    """One laboratory, for as long as it is entered.

    Attributes:
        internet: the segment that everybody reaches.
        place: a directory for what programs in it write.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.hosts: dict[str, Host] = {}
        self.nats: dict[str, Nat] = {}
        self.internet = Segment("inet", "net", "5.9.0", 16, prefix6=f"{_SITE}:0")
        self._segments = 0
        self._ports = 0
        self._lock = threading.RLock()
        self._wires: list[subprocess.Popen[bytes]] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = ["unshare", "--mount", "--net", "--", "sh", "-eu", "-c", _KEEPER]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self.__exit__()
            raise LabError("no namespaces of our own: this needs root, and a kernel that allows it")
        self._namespace("inet")
        self._bridge(self.internet)
        Host(self, "inet").run("sh", "-c", _ROUTE_6)
        self.script(f"ip -n inet -6 route add blackhole {_NOBODY}::/64")
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.wait(START_SECONDS)
            process.stdout.close()
        for wire in self._wires:
            wire.wait(START_SECONDS)

    @property
    def keeper(self) -> int:
        """The process that holds the namespaces."""
        if self._process is None:
            raise LabError("the laboratory is closed")
        return self._process.pid

    def namespace(self, name: str) -> str:
        """Where the network namespace of *name* can be opened."""
        return f"/proc/{self.keeper}/root/run/netns/{name}"

    def script(self, text: str) -> None:
        """Run shell commands beside all hosts, inside the laboratory."""
        keeper = self.keeper
        enter = ["nsenter", f"--mount=/proc/{keeper}/ns/mnt", f"--net=/proc/{keeper}/ns/net", "--"]
        _run([*enter, "sh", "-eu", "-c", text])

    # --- building -------------------------------------------------------------------------------------

    def host(
        self,
        name: str,
        segment: Segment | None = None,
        wire: Wire | None = None,
        versions: tuple[int, ...] = (4,),
    ) -> Host:
        """A new machine; on the internet itself unless a *segment* is named, at once unless a *wire* is."""
        with self._lock:
            self._namespace(name)
            host = self.hosts[name] = Host(self, name, versions=versions)
            host.plug(segment or self.internet, wire)
            return host

    def nat(
        self,
        name: str,
        kind: Kind,
        behind: "Nat | None" = None,
        *,
        guarded: bool = True,
        ipv6: bool = False,
    ) -> Nat:
        """A new router with a NAT, on the internet, or *behind* another one (as with CGNAT).

        With *ipv6* it also has a prefix of its own, and a firewall in front of that.
        """
        with self._lock:
            lan = self.segment(name, lone=False, ipv6=ipv6)
            host = self.hosts[name] = Host(self, name, versions=(4, 6) if ipv6 else (4,))
            outside = behind.lan if behind is not None else self.internet
            host.segment, host.address = outside, outside.take()
            host.address6 = outside.beside(host.address) if ipv6 else ""
            self.plug(name, "wan", host.address, outside, None, host.address6)
            host.run("sh", "-c", _ROUTE)
            host.nft(ruleset(kind, host.address, f"{lan.prefix}.2", guarded=guarded))
            if ipv6:
                self._route_prefix(host, lan, outside, kind)
            nat = self.nats[name] = Nat(host, kind, lan, behind)
            return nat

    def _route_prefix(self, host: Host, lan: Segment, outside: Segment, kind: Kind) -> None:
        host.run("sh", "-c", _ROUTE_6)
        host.nft(firewall(kind))
        self.script(f"ip -n {outside.router} -6 route add {lan.prefix6}::/64 via {host.address6}")

    def guests(self, nat: Nat, *, hairpin: bool) -> Segment:
        """A second network behind *nat*, from which the first cannot be reached, nor from the first.

        With *hairpin*, packets to the router's outside address come back in as if they came from outside.
        """
        with self._lock:
            self._segments += 1
            router = nat.host.name
            nat.guests = Segment(router, "guests", f"10.{self._segments}.0", 24)
            self._bridge(nat.guests)
            nat.host.nft(guest_rules(nat.host.address, hairpin=hairpin))
            return nat.guests

    def segment(self, name: str, *, lone: bool = True, ipv6: bool = False) -> Segment:
        """A new network with a name; *lone*: with no way out of it."""
        with self._lock:
            self._segments += 1
            lan = Segment(name, "lan", f"10.{self._segments}.0", 24, gateway=not lone)
            lan.prefix6 = f"{_SITE}:{self._segments:x}" if ipv6 else ""
            self._namespace(name)
            self._bridge(lan)
            return lan

    def behind(self, kind: Kind, name: str, versions: tuple[int, ...] = (4,)) -> Host:
        """A new machine behind a NAT of its own of this *kind*, and with IPv6 behind a firewall."""
        if kind is Kind.NONE:
            return self.host(name, versions=versions)
        return self.host(name, self.nat(f"{name}.nat", kind, ipv6=6 in versions).lan, versions=versions)

    def call(self, host: Host, domain: str, *, dead6: bool = False) -> None:
        """Give *host* a name, for all; with *dead6* its IPv6 address is one where packets vanish."""
        host.domain = domain
        known = [host.address, f"{_NOBODY}::1" if dead6 else host.address6]
        lines = "".join(f"{address} {domain}\n" for address in known if address)
        self.script(f"printf '%s' '{lines}' >> /run/hosts")

    def plug(
        self,
        name: str,
        interface: str,
        address: str,
        segment: Segment,
        wire: Wire | None = None,
        address6: str = "",
    ) -> None:
        """Connect a namespace with a segment by a cable."""
        with self._lock:
            self._ports += 1
            port = f"port{self._ports}"
        if wire is None:
            ends = f"{interface} netns {name} type veth peer name {port} netns {segment.router}"
            self.script(f"ip link add {ends}")
        else:
            self._lay(wire, name, interface, segment.router, port)
        lines = [f"ip -n {segment.router} link set {port} master {segment.bridge} up"]
        if address:
            lines.append(f"ip -n {name} addr add {address}/{segment.bits} dev {interface}")
        if address6:
            lines.append(f"ip -n {name} addr add {address6}/64 dev {interface} nodad")
        lines.append(f"ip -n {name} link set {interface} up")
        if segment.gateway and address:
            lines.append(f"ip -n {name} route add default via {segment.prefix}.1")
        if segment.gateway and address6:
            lines.append(f"ip -n {name} -6 route add default via {segment.prefix6}::1")
        self.script("\n".join(lines))

    def _lay(self, wire: Wire, name: str, interface: str, router: str, port: str) -> None:
        """Lay a cable that takes its time; a process of ours is that cable."""
        ends = (f"/run/netns/{name}", interface, f"/run/netns/{router}", port)
        output = self.place / f"{port}.txt"
        command = [sys.executable, "-m", "tests.netlab.wire", *wire.command(*ends)]
        keeper = Host(self, "inet")  # any namespace will do: the cable goes where its ends are
        process = keeper.start(command, output, {"PYTHONPATH": str(ROOT)})
        deadline = time.monotonic() + START_SECONDS
        while output.read_text() != "ready\n":
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"no cable could be laid: {output.read_text().strip()}")
            time.sleep(0.005)
        self._wires.append(process)

    def _namespace(self, name: str) -> None:
        self.script(f"ip netns add {name}; ip -n {name} link set lo up")

    def _bridge(self, segment: Segment) -> None:
        router, bridge = segment.router, segment.bridge
        lines = [f"ip -n {router} link add {bridge} type bridge", f"ip -n {router} link set {bridge} up"]
        if segment.gateway:
            lines.append(f"ip -n {router} addr add {segment.prefix}.1/{segment.bits} dev {bridge}")
        if segment.gateway and segment.prefix6:
            lines.append(f"ip -n {router} addr add {segment.prefix6}::1/64 dev {bridge} nodad")
        self.script("\n".join(lines))


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    if done.returncode:
        raise LabError(f"{' '.join(command[4:])[:300]} failed: {done.stderr.strip()}")
    return done.stdout
