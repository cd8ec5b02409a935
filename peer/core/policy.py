"""What each word of `--path` allows.

    word     addresses that are tried            contents through the server
    auto     own, as seen by STUN, of TURN       yes
    lan      own                                 no
    direct   own, as seen by STUN, of TURN       no
    turn     of TURN                             no
    relay    none                                yes

Two peers use what both allow.  What introduces them to each other goes through the server in any case.
"""

from typing import Final

__all__ = ["POLICIES", "agreed_path", "allows_relay", "ruled_out", "ways", "why_none"]

POLICIES: Final = ("auto", "lan", "direct", "turn", "relay")

_EVERY: Final = frozenset(("host", "stun", "turn"))
_WAYS: Final = {"lan": frozenset(("host",)), "turn": frozenset(("turn",)), "relay": frozenset[str]()}


def ways(*policies: str) -> frozenset[str]:
    """Which of `host`, `stun` and `turn` all *policies* allow; a word that we do not know allows all."""
    return _EVERY.intersection(*(_WAYS.get(policy, _EVERY) for policy in policies))


def allows_relay(*policies: str) -> bool:
    """Whether all *policies* let contents go through the server; a word that we do not know does."""
    return not {"lan", "direct", "turn"}.intersection(policies)


def agreed_path(ours: str, theirs: str) -> str:
    """The word for a path that two sides see so: `turn` if one says it, `lan` only if both do."""
    if "turn" in (ours, theirs):
        return "turn"
    return "lan" if ours == theirs == "lan" else "direct"


def why_none(ours: str, theirs: str) -> str:
    """Why two policies that have no direct path in common have none, for people."""
    if not ways(ours):
        return f"--path {ours} was chosen here"
    if not ways(theirs):
        return f"--path {theirs} was chosen on the other side"
    return f"--path {ours} here and --path {theirs} on the other side have no path in common"


def ruled_out(ours: str, theirs: str) -> str:
    """Which choice keeps two on different networks from being direct, for people; empty if none does."""
    both = ways(ours, theirs)
    if "stun" in both:
        return ""
    if not both:
        return why_none(ours, theirs)
    return (
        f"--path {ours} was chosen here"
        if both == ways(ours)
        else f"--path {theirs} was chosen on the other side"
    )
