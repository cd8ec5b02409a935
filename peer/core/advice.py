"""What people are told when no path that both sides allow leads to a peer: side, step, cause, what to do."""

from collections.abc import Collection
from typing import Final

from peer.core.policy import ways

__all__ = ["no_path"]

_WORDS: Final = {"udp": "UDP", "tcp": "TCP", "tls": "TLS"}
_RELAX: Final = (
    "start this side and the other one with --path auto, so that contents may go through the server"
)


def no_path(
    name: str, *, ours: str, theirs: str, offered: Collection[str], reached: str | None, reason: str
) -> str:
    """Say why the peer *name* cannot be reached.

    Args:
        ours, theirs: the words of `--path` on the two sides.
        offered: transports of the TURN servers that we know of.
        reached: the one over which a TURN server answered here, if any did.
        reason: how the last attempt ended.
    """
    allowed = ways(ours, theirs)
    if not allowed:
        return (
            f"no path to {name} is allowed: this side wants --path {ours}, the other one --path {theirs}, "
            f"and nothing is both. Start one of the two with --path auto."
        )
    wish = f"--path {ours}" if ours != "auto" else f"{name}'s --path {theirs}"
    return f"no path to {name} that {wish} allows: {_cause(name, allowed, offered, reached)} ({reason})."


def _cause(name: str, allowed: Collection[str], offered: Collection[str], reached: str | None) -> str:
    if allowed == {"host"}:
        return (
            "the two are not on one local network, or it keeps its devices apart, as guest networks do. "
            f"Bring both to one network, or {_RELAX}"
        )
    if not offered:
        return (
            "the routers of the two networks let nothing through, and the server names no TURN server that "
            f"could help. Have its operator add one (weft serve --turn), or {_RELAX}"
        )
    if reached is None:
        tried = ", ".join(_WORDS[kind] for kind in offered)
        return (
            f"no TURN server answers this side (tried {tried}), so this network blocks it, or it is down. "
            f"Run weft doctor here, or {_RELAX}"
        )
    return (
        f"a TURN server answers here over {_WORDS[reached]}, so most likely {name}'s side does not reach it, "
        f"or it refuses to relay between the two. Run weft doctor there, or {_RELAX}"
    )
