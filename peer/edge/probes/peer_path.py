"""How a peer of a running session is reached, and why not better."""

from collections.abc import Callable, Mapping
from typing import Final

from peer.edge.probes.finding import Finding, note, ok

__all__ = ["probe"]

_RELAYED: Final = ("relay", "turn")


def probe(peer: Mapping[str, object], words: Callable[[str], str]) -> Finding:
    """Judge what the session's status says of *peer*; *words* names a path for people."""
    name = str(peer.get("name", "-"))
    ids = ("peer.path", name[:16])
    path = peer.get("path")
    rtt = peer.get("rtt_ms")
    ms = float(rtt) if isinstance(rtt, int | float) else None
    address = f" {peer['address']}" if peer.get("address") else ""
    if not isinstance(path, str):
        cause = "no path that your --path allows has been found yet"
        return note(*ids, "not reached at the moment", cause=cause, do=f"weft ping {name}")
    found = words(path) + address + (f", {ms:.0f} ms" if ms is not None else "")
    if path not in _RELAYED:
        return ok(*ids, found, data={"path": path})
    why = str(peer.get("why_not_direct") or "the two networks let no direct path through so far")
    return note(*ids, found, cause=why, do=f"weft ping {name} --until-direct", data={"path": path})
