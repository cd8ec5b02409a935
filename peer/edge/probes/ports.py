"""Is the port free at which this computer would listen?"""

import errno
import socket
from pathlib import Path
from typing import Final

from peer.edge.probes.finding import Finding, broken, note, ok

__all__ = ["SERVE_PORT", "probe"]

SERVE_PORT: Final = 8787
"""Where `weft serve` listens when nobody says otherwise."""

_LISTENING: Final = "0A"
"""The state of a listening socket in /proc/net/tcp (proc(5))."""


def probe(port: int, *, wanted: bool) -> Finding:
    """Try to listen on *port*; *wanted*: the person named it, so it matters."""
    ids = ("computer.port", f"port {port}")
    trouble = _taken(port)
    if not trouble:
        return ok(*ids, "free", data={"port": port})
    if trouble == "may-not":
        return note(
            *ids, "you may not listen there", cause="ports below 1024 are the system's", do="choose one above"
        )
    who = _holder(port)
    by = f"taken by {who}" if who else "taken by another program"
    cause = "`weft serve` cannot listen there"
    if who.startswith("weft") and not wanted:
        return ok(*ids, f"{by}: a Weft server runs here already", data={"port": port})
    say = broken if wanted else note
    do = f"sudo ss -ltnp 'sport = :{port}'   or another one:  weft serve --port {port + 1}"
    return say(*ids, by, cause=cause, do=do, data={"port": port})


def _taken(port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("0.0.0.0", port))
        except PermissionError:
            return "may-not"
        except OSError as error:
            return "taken" if error.errno == errno.EADDRINUSE else ""
    return ""


def _holder(port: int) -> str:
    """The name and number of the program that listens there, if the system tells us."""
    inodes = _listeners(port)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                target = str(descriptor.readlink())
                if target.startswith("socket:[") and target[8:-1] in inodes:
                    name = (process / "comm").read_text().strip()
                    return f"{name} (process {process.name})"
        except OSError:
            continue  # it has ended meanwhile, or is not ours
    return ""


def _listeners(port: int) -> set[str]:
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found
