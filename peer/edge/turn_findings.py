"""What a check of a TURN server found, and who must do what about it: all its sentences are here."""

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from peer.edge.turn_client import Rejected, Target

__all__ = [
    "DENY",
    "FORBIDDEN",
    "NOBODY_LISTENS",
    "NO_CREDENTIAL",
    "OPEN",
    "OTHER_FAMILY",
    "SILENT",
    "UNAUTHORIZED",
    "USE_SECRET",
    "Finding",
    "Outcome",
    "Step",
    "explain_rejected",
    "explain_unanswered",
    "judge_certificate",
    "verdict",
]

Outcome = Literal["ok", "note", "failed", "skipped"]

NOBODY_LISTENS: Final = "nothing listens at"
SILENT: Final = "does not answer"
"""Words of a step `reach` that failed: a refusal, which is an answer, and none at all."""

UNAUTHORIZED: Final = 401
"""STUN error codes (RFC 8489 §14.8, RFC 8656 §19)."""
FORBIDDEN: Final = 403
OTHER_FAMILY: Final = 443
_QUOTA: Final = 486
_NO_PORTS: Final = 508
_NOT_ALLOWED_NOW: Final = (_QUOTA, _NO_PORTS)

_CERTIFICATE_DAYS: Final = 14
"""A certificate that ends sooner than this was not renewed in time."""

_OPERATOR: Final = "the operator of the TURN server"
NO_CREDENTIAL: Final = "give a credential (--secret-file, or --user and --password)"
USE_SECRET: Final = f"{_OPERATOR} must put use-auth-secret into turnserver.conf, and take lt-cred-mech out"
DENY: Final = (
    f"{_OPERATOR} must put the denied-peer-ip lines that `weft turn-config` writes into turnserver.conf, "
    "and restart coturn"
)
OPEN: Final = (
    f"{_OPERATOR} must correct the denied-peer-ip lines; the log of coturn names the range. "
    "Coturn 4.6 takes a range that begins with :: for all of IPv4"
)
_WRONG_CREDENTIAL: Final = (
    f"{_OPERATOR} must see that the first line of the secret file of `weft serve` is a static-auth-secret "
    "in turnserver.conf, and that both clocks are right"
)
_AWAY: Final = {
    "udp": "if others reach it, this network blocks UDP: use ?transport=tcp or a turns: address here",
    "tcp": "if others reach it, this network blocks the port: use a turns: address on port 443 here",
    "tls": "if others reach it, this network blocks the port: use port 443",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried.

    Attributes:
        name: `reach`, `allocate`, `permission`, `data`, `outside`, `public`, `expired`, or `private ADDRESS`.
        transport: `udp`, `tcp` or `tls`.
        outcome: `ok`, `note` (works, but somebody should know), `failed`, or `skipped`.
        ms: how long it took, in milliseconds.
        detail: what was found, for people.
        do: who must do what; empty where there is nothing to do.
    """

    name: str
    transport: str
    outcome: Outcome
    ms: float
    detail: str
    do: str = ""


@dataclass(slots=True)
class Finding:
    """What a step will be; begins as a success without words."""

    detail: str = ""
    outcome: Outcome = "ok"
    do: str = ""

    def failed(self, detail: str, do: str) -> None:
        """It did not work."""
        self.outcome, self.detail, self.do = "failed", detail, do


def verdict(steps: Sequence[Step]) -> Outcome:
    """What *steps* come to: `failed` if nothing carries data, peers are shut out, or something is open."""
    works = {step.transport for step in steps if step.name == "data" and step.outcome in ("ok", "note")}
    if not works or any(step.outcome == "failed" and _matters_everywhere(step) for step in steps):
        return "failed"
    return "note" if any(step.outcome in ("note", "failed") for step in steps) else "ok"


def _matters_everywhere(step: Step) -> bool:
    """Whether *step* says something about the server, and not only about one transport to it."""
    return step.name in ("outside", "public", "expired") or step.name.startswith("private ")


def judge_certificate(finding: Finding, end: str | None, now: float) -> None:
    """Remark on a certificate that ends soon; *now* is Unix time."""
    days = (ssl.cert_time_to_seconds(end) - now) / 86_400 if end else _CERTIFICATE_DAYS
    if days < _CERTIFICATE_DAYS:
        finding.outcome = "note"
        finding.detail += f"; its certificate ends in {days:.0f} days"
        finding.do = f"{_OPERATOR} must renew the certificate, then: systemctl kill -s SIGUSR2 coturn"


def explain_rejected(finding: Finding, error: Rejected, step: str, relayed: set[str]) -> None:
    """Say who must act when the server says no."""
    match error.code:
        case code if code == UNAUTHORIZED:
            finding.failed("it refuses the credential", _WRONG_CREDENTIAL)
        case code if code == FORBIDDEN and step == "permission":
            lines = " and ".join(f"allowed-peer-ip={address}" for address in sorted(relayed))
            finding.failed(
                "two people who both need this server cannot meet there: it denies its own address",
                f"{_OPERATOR} must add {lines} to turnserver.conf (`weft turn-config` does)",
            )
        case code if code in _NOT_ALLOWED_NOW:
            finding.failed(
                f"it has no room for another allocation ({error})",
                f"{_OPERATOR} must raise user-quota, total-quota or max-port; or try again in ten minutes",
            )
        case _:
            finding.failed(f"it says no: {error}", f"{_OPERATOR} must look into the log of coturn")


def explain_unanswered(finding: Finding, error: Exception, step: str, target: Target) -> None:
    """Say who must act when nothing comes back."""
    cause = error.__cause__ or error
    match cause:
        case _ if step != "reach":
            finding.failed(f"nothing came back: {error}", _firewall(step))
        case socket.gaierror():
            finding.failed(
                f"the name {target.host} is not known: {cause.strerror}",
                f"check the spelling; {_OPERATOR} must have an address record for it",
            )
        case ConnectionRefusedError():
            finding.failed(
                f"{NOBODY_LISTENS} {target}",
                f"{_OPERATOR} must start coturn, or correct the port: in turnserver.conf, in "
                "`weft serve --turn`, or in your own --ice-server",
            )
        case ssl.SSLCertVerificationError():
            finding.failed(
                f"its certificate does not prove that it is {target.host}: {cause.verify_message}",
                f"{_OPERATOR} must name a valid certificate in cert= and pkey=, then: "
                "systemctl kill -s SIGUSR2 coturn",
            )
        case ssl.SSLError() | ConnectionResetError() if target.transport == "tls":
            finding.failed(
                f"there is no TLS at {target}: {cause.strerror or cause}",
                f"{_OPERATOR} must set tls-listening-port={target.port}, cert and pkey in turnserver.conf",
            )
        case _:
            finding.failed(
                f"{target} {SILENT}: {error}",
                f"{_OPERATOR} must open the port in the firewall, and see that coturn runs; "
                + _AWAY[target.transport],
            )


def _firewall(step: str) -> str:
    if step in ("data", "outside"):
        inside = "; on the server itself this proves nothing, try it elsewhere" if step == "outside" else ""
        return f"{_OPERATOR} must open the UDP ports from min-port to max-port in the firewall{inside}"
    return f"try again; if it stays so, {_OPERATOR} must look into the log of coturn"
