"""Does a TURN server do what Weft needs, and refuse what it must?  Each answer with its time.

    reach → allocate → permission → data            over each transport that the URL names
    expired, private ADDRESS …                      once, over the first transport that works

A step that failed says who must do what.  Nothing here is worth more than the two allocations it makes:
they are given back at the end.
"""

import asyncio
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
_NO_SUCH_FAMILY: Final = 440
_OTHER_FAMILY: Final = 443
_QUOTA: Final = 486
_NO_PORTS: Final = 508
_REFUSALS: Final = (_FORBIDDEN, _OTHER_FAMILY)

_PROBE_BYTES: Final = 1000
"""A packet about as large as the ones that sessions send."""

_CERTIFICATE_DAYS: Final = 14
"""A certificate that ends sooner than this was not renewed in time."""

_LIMIT: Final = "denied-peer-ip lines that `weft turn-config` writes"


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
        with contextlib.suppress(_Stopped):
            await check.carry()
            if not settled:
                settled = True
                await check.refuse_expired(expired)
                await check.refuse_private()
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

    async def carry(self) -> None:
        """From nothing to data that went through the server and came back.

        Raises:
            _Stopped: it did not.
        """
        async with contextlib.AsyncExitStack() as opened:
            with self._step("reach") as finding:
                first = await opened.enter_async_context(self._connected(*self._user))
                seen = await first.greet()
                finding.detail = f"{self._target} answers, and sees us as {_shown(seen)}"
                self._judge_certificate(finding, first.certificate_end)
            if not all(self._user):
                self._add_no_credential()
            with self._step("allocate") as finding:
                ours = await first.allocate()
                finding.detail = f"it relays for us at {_shown(ours)}"
                second = await opened.enter_async_context(self._connected(*self._user))
                theirs = await second.allocate()
            self._relayed = {ours[0], theirs[0]}
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
            await _there(first, second)
            await _there(second, first)
            finding.detail = f"{_PROBE_BYTES} bytes went there and back"

    async def refuse_expired(self, expired: tuple[str, str] | None) -> None:
        """A credential that ran out must be of no use."""
        with self._step("expired") as finding:
            if expired is None:
                finding.outcome = "skipped"
                finding.detail = "without the secret no expired credential can be made to try it with"
                return
            try:
                async with self._connected(*expired) as late:
                    await late.allocate()
            except Rejected as error:
                if error.code == _UNAUTHORIZED:
                    finding.detail = "a credential that ran out is refused"
                    return
                raise
            finding.failed(
                "it accepts a credential that ran out",
                "the operator of the TURN server must use use-auth-secret in turnserver.conf, without lt-cred-mech",
            )

    async def refuse_private(self) -> None:
        """Nobody may be relayed into a private network."""
        async with self._connected(*self._user) as four, self._connected(*self._user) as six:
            with contextlib.suppress(_Stopped), self._step("allocate") as finding:
                finding.detail = "another relayed address, to try what must be refused"
                await four.allocate()
            has_six = await self._has_ipv6(six)
            for address in PRIVATE:
                client = six if ":" in address and has_six else four
                with contextlib.suppress(_Stopped):
                    await self._refuse(client, address)

    async def _has_ipv6(self, client: TurnClient) -> bool:
        try:
            await client.allocate(ipv6=True)
        except Rejected:
            return False
        return True

    async def _refuse(self, client: TurnClient, address: str) -> None:
        probed = _another(address) if address in self._relayed else address
        with self._step(f"private {address}") as finding:
            try:
                await client.permit(probed)
            except Rejected as error:
                if error.code in _REFUSALS:
                    finding.detail = f"nobody is relayed to {probed}, {PRIVATE[address]}"
                    return
                raise
            finding.failed(
                f"it relays to {probed}, {PRIVATE[address]}, for whoever asks",
                f"the operator of the TURN server must take the {_LIMIT} into turnserver.conf, and restart coturn",
            )

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
            finding.failed(*_rejected(error, name, self._relayed))
        except (Unanswered, OSError) as error:
            finding.failed(*_unanswered(error, name, self._target))
        ms = round((time.perf_counter() - began) * 1000, 1)
        self.steps.append(
            Step(name, self._target.transport, finding.outcome, ms, finding.detail, finding.do)
        )
        if finding.outcome == "failed":
            raise _Stopped
