"""Is this computer's clock right?  Compared with the server's: certificates and invitations have dates."""

from typing import Final

from peer.edge.probes.finding import Finding, broken, note, ok, skipped

__all__ = ["BROKEN_SECONDS", "NOTE_SECONDS", "probe"]

NOTE_SECONDS: Final = 30.0
"""More than any clock that is kept right ever differs."""
BROKEN_SECONDS: Final = 300.0
"""Credentials with dates begin to fail; Kerberos chose the same."""

_DO: Final = "sudo timedatectl set-ntp true"


def probe(skew: float | None, server: str) -> Finding:
    """Judge *skew*, the seconds that our clock is ahead of the server's; `None` if nobody told the time."""
    if skew is None:
        return skipped("computer.clock", "clock", "nobody to compare it with")
    away = abs(skew)
    if away < NOTE_SECONDS:
        # the server tells whole seconds, so less than one is no difference
        differs = "right to the second" if away < 2 else f"{away:.0f} s from the server's"
        return ok("computer.clock", "clock", differs, data={"skew_s": round(skew, 1)})
    side = "ahead of" if skew > 0 else "behind"
    found = f"{_span(away)} {side} that of {server}"
    cause = "one of the two clocks is wrong; certificates and invitations then seem to have run out"
    say = broken if away >= BROKEN_SECONDS else note
    return say("computer.clock", "clock", found, cause=cause, do=_DO, data={"skew_s": round(skew, 1)})


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
