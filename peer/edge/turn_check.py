"""Does a TURN server do what Weft needs, and refuse what it must?  Each answer with its time.

    reach → allocate → permission → data            over each transport that the URL names
    expired, private ADDRESS …                  once, over the first transport that works

A step that failed says who must do what.  Nothing here is worth more than the two allocations it makes:
they are given back at the end.
"""

import contextlib
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from peer.edge import turn_client
from peer.edge.turn_client import ANSWER_SECONDS, Rejected, Target, TurnClient, Unanswered

__all__ = ["PRIVATE", "Outcome", "Step", "check_turn", "verdict"]

Outcome = Literal["ok", "note", "failed", "skipped"]

PRIVATE: Final = {
    "10.0.0.1": "a private network",
    "172.16.0.1": "a private network",
    "192.168.0.1": "a private network",
    "100.64.0.1": "a provider's inner network",
    "127.0.0.1": "the server itself",
    "169.254.169.254": "where clouds keep the secrets of a machine",
    "::1": "the server itself",
    "fd00::1": "a private network",
    "fe80::1": "the local network",
}
"""One address of each network that nobody may be relayed into, and what it is."""

_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_OTHER_FAMILY: Final = 443
_QUOTA: Final = 486
_NO_PORTS: Final = 508
_NOT_ALLOWED_NOW: Final = (_QUOTA, _NO_PORTS)

_PROBE_BYTES: Final = 1000
"""A packet about as large as the ones that sessions send."""

_TRIES: Final = 2
"""Packets may be lost on their way, though hardly twice."""

_CERTIFICATE_DAYS: Final = 14
"""A certificate that ends sooner than this was not renewed in time."""

_OPERATOR: Final = "the operator of the TURN server"
_NO_CREDENTIAL: Final = "give a credential (--secret-file, or --user and --password)"
_USE_SECRET: Final = f"{_OPERATOR} must put use-auth-secret into turnserver.conf, and take lt-cred-mech out"
_DENY: Final = (
    f"{_OPERATOR} must put the denied-peer-ip lines that `weft turn-config` writes into turnserver.conf, "
    "and restart coturn"
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
        name: `reach`, `allocate`, `permission`, `data`, `expired`, or `private ADDRESS`.
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


class _Stopped(Exception):
    """What follows makes no sense; the step that failed is in the list."""


@dataclass(slots=True)
class _Finding:
    """What a step will be; begins as a success without words."""

    detail: str = ""
    outcome: Outcome = "ok"
    do: str = ""

    def failed(self, detail: str, do: str) -> None:
        self.outcome, self.detail, self.do = "failed", detail, do


async def check_turn(
    url: str,
    username: str | None,
    credential: str | None,
    *,
    expired: tuple[str, str] | None = None,
    policy: bool = True,
    tls: ssl.SSLContext | None = None,
    answer_seconds: float = ANSWER_SECONDS,
) -> list[Step]:
    """Try the TURN server at *url* with one credential; never raises because of what the server does.

    *expired* is a username and credential that ran out, which must be refused; without one that is not
    tried.  Without *policy* nothing is tried that a server should refuse.  *tls* is whom to trust.  Takes
    at most *answer_seconds* for each step; a server that is fine answers in milliseconds.

    Raises:
        UsageError: *url* is no `turn:` or `turns:` URL.
    """
    found: list[Step] = []
    settled = not policy
    for target in turn_client.targets(url):
        check = _Check(target, username or "", credential or "", tls, answer_seconds)
        works = await check.run(expired, policy=not settled)
        settled = settled or works
        found += check.steps
    return found


def verdict(steps: Sequence[Step]) -> Outcome:
    """What *steps* come to: `failed` if nothing carries data or something private is open."""
    works = {step.transport for step in steps if step.name == "data" and step.outcome in ("ok", "note")}
    open_door = any(step.outcome == "failed" and _is_policy(step) for step in steps)
    if open_door or not works:
        return "failed"
    return "note" if any(step.outcome in ("note", "failed") for step in steps) else "ok"


def _is_policy(step: Step) -> bool:
    return step.name == "expired" or step.name.startswith("private ")


class _Check:
    """The steps over one transport."""

    def __init__(
        self, target: Target, username: str, credential: str, tls: ssl.SSLContext | None, seconds: float
    ) -> None:
        self.steps: list[Step] = []
        self._target = target
        self._user = (username, credential)
        self._tls = tls
        self._seconds = seconds
        self._relayed: set[str] = set()

    async def run(self, expired: tuple[str, str] | None, *, policy: bool) -> bool:
        """Try everything; whether data went there and back."""
        async with contextlib.AsyncExitStack() as opened:
            try:
                first = await self._reach(opened)
                await self._carry(first, opened)
            except _Stopped:
                return False
            if policy:
                await self._refuse_expired(expired)
                await self._refuse_private(first)
        return True

    async def _reach(self, opened: contextlib.AsyncExitStack) -> TurnClient:
        with self._step("reach") as finding:
            client = await opened.enter_async_context(self._connected(*self._user))
            seen = await client.greet()
            finding.detail = f"{self._target} answers, and sees us as {_shown(seen)}"
            _judge_certificate(finding, client.certificate_end, time.time())
        return client

    async def _carry(self, first: TurnClient, opened: contextlib.AsyncExitStack) -> None:
        """Two allocations, and data between them."""
        with self._step("allocate") as finding:
            if not all(self._user):
                finding.failed("there is no credential to try it with", _NO_CREDENTIAL)
                raise _Stopped
            ours = await first.allocate()
            second = await opened.enter_async_context(self._connected(*self._user))
            theirs = await second.allocate()
            self._relayed = {ours[0], theirs[0]}
            finding.detail = f"it relays for us at {_shown(ours)}"
        await self._meet(first, second)

    async def _meet(self, first: TurnClient, second: TurnClient) -> None:
        """Let two relayed addresses talk with each other."""
        assert first.relayed is not None
        assert second.relayed is not None
        with self._step("permission") as finding:
            await first.permit(second.relayed[0])
            await second.permit(first.relayed[0])
            finding.detail = "two of its relayed addresses may talk with each other"
        with self._step("data") as finding:
            await first.open_to(second.relayed)
            await second.open_to(first.relayed)
            await _there(first, second)
            await _there(second, first)
            finding.detail = f"{_PROBE_BYTES} bytes went there and back"

    async def _refuse_expired(self, expired: tuple[str, str] | None) -> None:
        """A credential that ran out must be of no use."""
        with contextlib.suppress(_Stopped), self._step("expired") as finding:
            if expired is None:
                finding.outcome = "skipped"
                finding.detail = "without the secret there is no expired credential to try it with"
                return
            async with self._connected(*expired) as late:
                refusal = await _refusal_of(late.allocate(), (_UNAUTHORIZED,))
            if refusal:
                finding.detail = "a credential that ran out is refused"
            else:
                finding.failed("it accepts a credential that ran out", _USE_SECRET)

    async def _refuse_private(self, client: TurnClient) -> None:
        """Nobody may be relayed into a private network."""
        async with contextlib.AsyncExitStack() as opened:
            six = client
            with contextlib.suppress(Unanswered, OSError):
                other = await opened.enter_async_context(self._connected(*self._user))
                if not await _refusal_of(other.allocate(ipv6=True)):
                    six = other
            for address in PRIVATE:
                await self._refuse(six if ":" in address else client, address)

    async def _refuse(self, client: TurnClient, address: str) -> None:
        probed = _another(address) if address in self._relayed else address
        with contextlib.suppress(_Stopped), self._step(f"private {address}") as finding:
            if await _refusal_of(client.permit(probed), (_FORBIDDEN, _OTHER_FAMILY)):
                finding.detail = f"nobody is relayed to {probed}, {PRIVATE[address]}"
            else:
                finding.failed(f"it relays to {probed}, {PRIVATE[address]}, for whoever asks", _DENY)

    # --- how a step becomes one -----------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _connected(self, username: str, credential: str) -> AsyncIterator[TurnClient]:
        async with turn_client.connected(
            self._target, username, credential, tls=self._tls, seconds=self._seconds
        ) as client:
            yield client

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[_Finding]:
        """Time one step and keep what it found.

        Raises:
            _Stopped: it failed.
        """
        finding = _Finding()
        began = time.perf_counter()
        try:
            yield finding
        except Rejected as error:
            _explain_rejected(finding, error, name, self._relayed)
        except (Unanswered, OSError) as error:
            _explain_unanswered(finding, error, name, self._target)
        except _Stopped:
            pass
        ms = round((time.perf_counter() - began) * 1000, 1)
        self.steps.append(Step(name, self._target.transport, finding.outcome, ms, finding.detail, finding.do))
        if finding.outcome == "failed":
            raise _Stopped


async def _refusal_of(work: Awaitable[object], codes: Sequence[int] = ()) -> bool:
    """Whether the server says no to *work*, with one of *codes* if there are any.

    Raises:
        Rejected: it said no for another reason, which proves nothing.
    """
    try:
        await work
    except Rejected as error:
        if codes and error.code not in codes:
            raise
        return True
    return False


async def _there(sender: TurnClient, receiver: TurnClient) -> None:
    """Send a packet from one relayed address to another, again if it was lost.

    Raises:
        Unanswered: it did not arrive.
    """
    assert receiver.relayed is not None
    packet = os.urandom(_PROBE_BYTES)
    for turn in range(_TRIES):
        await sender.send(packet, receiver.relayed)
        try:
            while (await receiver.receive())[0] != packet:
                pass
        except Unanswered:
            if turn == _TRIES - 1:
                raise
        else:
            return


def _judge_certificate(finding: _Finding, end: str | None, now: float) -> None:
    """Remark on a certificate that ends soon; *now* is Unix time."""
    days = (ssl.cert_time_to_seconds(end) - now) / 86_400 if end else _CERTIFICATE_DAYS
    if days < _CERTIFICATE_DAYS:
        finding.outcome = "note"
        finding.detail += f"; its certificate ends in {days:.0f} days"
        finding.do = f"{_OPERATOR} must renew the certificate, then: systemctl kill -s SIGUSR2 coturn"


def _another(address: str) -> str:
    """The address after *address*, in the same network."""
    return str(ipaddress.ip_address(address) + 1)


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _explain_rejected(finding: _Finding, error: Rejected, step: str, relayed: set[str]) -> None:
    """Say who must act when the server says no."""
    match error.code:
        case code if code == _UNAUTHORIZED:
            finding.failed("it refuses the credential", _WRONG_CREDENTIAL)
        case code if code == _FORBIDDEN and step == "permission":
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


def _explain_unanswered(finding: _Finding, error: Exception, step: str, target: Target) -> None:
    """Say who must act when nothing comes back."""
    cause = error.__cause__ or error
    if step != "reach":
        return finding.failed(f"nothing came back: {error}", _firewall(step))
    match cause:
        case socket.gaierror():
            finding.failed(
                f"the name {target.host} is not known: {cause.strerror}",
                f"check the spelling; {_OPERATOR} must have an address record for it",
            )
        case ConnectionRefusedError():
            finding.failed(
                f"nothing listens at {target}",
                f"{_OPERATOR} must start coturn, or correct the port here or in turnserver.conf",
            )
        case ssl.SSLCertVerificationError():
            finding.failed(
                f"its certificate does not prove that it is {target.host}: {cause.verify_message}",
                f"{_OPERATOR} must name a valid certificate in cert= and pkey=, then: "
                "systemctl kill -s SIGUSR2 coturn",
            )
        case ssl.SSLError() | ConnectionResetError():
            finding.failed(
                f"there is no TLS at {target}: {cause.strerror or cause}",
                f"{_OPERATOR} must set tls-listening-port={target.port}, cert and pkey in turnserver.conf",
            )
        case _:
            finding.failed(
                f"{target} does not answer: {error}",
                f"{_OPERATOR} must open the port in the firewall, and see that coturn runs; "
                + _AWAY[target.transport],
            )
    return None


def _firewall(step: str) -> str:
    if step == "data":
        return f"{_OPERATOR} must open the UDP ports from min-port to max-port in the firewall"
    return f"try again; if it stays so, {_OPERATOR} must look into the log of coturn"
