"""What people are told when no path that both sides allow leads to a peer: side, step, cause, what to do."""

from collections.abc import Collection
from typing import Final

from peer.core.policy import ways

__all__ = ["NOTHING_YET", "NOT_THROUGH", "NO_TURN", "TURN_REFUSES", "fell_silent", "no_path"]

NOTHING_YET: Final = "nothing answered yet"
"""Why there is no direct path while the first attempt is under way."""
NOT_THROUGH: Final = "the two networks let no direct path through so far"
"""The same while a TURN server carries everything."""

NO_TURN: Final = "no TURN server answers"
TURN_REFUSES: Final = "the TURN server answers and refuses"
"""Begin the reason of an attempt that had nothing but TURN; what is said here says more."""

_CREDENTIAL_CODES: Final = (401, 431, 441)
_FULL_CODES: Final = (486, 508)
_WORDS: Final = {"udp": "UDP", "tcp": "TCP", "tls": "TLS"}
_RELAX: Final = (
    "start this side and the other one with --path auto, so that contents may go through the server"
)


def fell_silent(path: str) -> str:
    """Why a direct path of this kind was given up."""
    return f"nothing came through the {'TURN server' if path == 'turn' else 'direct path'} any more"


def no_path(
    name: str,
    *,
    ours: str,
    theirs: str,
    offered: Collection[str],
    reached: str | None,
    refused: int | None,
    reason: str,
) -> str:
    """Say why the peer *name* cannot be reached.

    Args:
        ours, theirs: the words of `--path` on the two sides.
        offered: transports of the TURN servers that we know of.
        reached: the one over which a TURN server answered here, if any did.
        refused: the error code (RFC 8656 section 19) of a TURN server that answered here and said no, if
            one did.
        reason: how the last attempt ended.
    """
    allowed = ways(ours, theirs)
    if not allowed:
        return (
            f"no path to {name} is allowed: this side wants --path {ours}, the other one --path {theirs}, "
            f"and nothing is both. Start one of the two with --path auto."
        )
    wish = f"--path {ours}" if ours != "auto" else f"{name}'s --path {theirs}"
    if refused is not None and "turn" in allowed:
        cause = _refusal(refused)
    else:
        cause = _cause(name, allowed, offered, reached)
    return f"no path to {name} that {wish} allows: {cause}{_ending(reason)}."


def _ending(reason: str) -> str:
    """How the last attempt ended, unless that says nothing more."""
    return "" if reason == NOTHING_YET or reason.startswith((NO_TURN, TURN_REFUSES)) else f" ({reason})"


def _refusal(code: int) -> str:
    if code in _CREDENTIAL_CODES:
        return (
            f"the TURN server answers this side and refuses its credential (error {code}), so its operator "
            "must act: the secret of weft serve and that of the TURN server differ, or a clock is off; "
            f"whoever named it by --ice-server must correct the password. Or {_RELAX}"
        )
    if code in _FULL_CODES:
        return (
            f"the TURN server answers this side and has no room for another path (error {code}), so its "
            f"operator must raise its quota or its range of ports. Or {_RELAX}"
        )
    return (
        f"the TURN server answers this side and says no (error {code}), so its operator must look into "
        f"its log. Or {_RELAX}"
    )


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
