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

__all__ = ["POLICIES", "allows_relay", "ways"]

POLICIES: Final = ("auto", "lan", "direct", "turn", "relay")

_EVERY: Final = frozenset(("host", "stun", "turn"))
_WAYS: Final = {"lan": frozenset(("host",)), "turn": frozenset(("turn",)), "relay": frozenset[str]()}


def ways(*policies: str) -> frozenset[str]:
    """Which of `host`, `stun` and `turn` all *policies* allow; a word that we do not know allows all."""
    return _EVERY.intersection(*(_WAYS.get(policy, _EVERY) for policy in policies))


def allows_relay(*policies: str) -> bool:
    """Whether all *policies* let contents go through the server; a word that we do not know does."""
    return not {"lan", "direct", "turn"}.intersection(policies)
