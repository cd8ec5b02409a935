"""Does a TURN server do what Weft needs, and refuse what it must?  Each answer with its time.

    reach → allocate → permission → data            over each transport that the URL names
    public, expired, private ADDRESS …          once, over the first transport that works

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
from typing import Final

from peer.edge import turn_client
from peer.edge.turn_client import ANSWER_SECONDS, Rejected, Target, TurnClient, Unanswered
from peer.edge.turn_findings import (
    DENY,
    FORBIDDEN,
    NO_CREDENTIAL,
    OPEN,
    OTHER_FAMILY,
    UNAUTHORIZED,
    USE_SECRET,
    Finding,
    Outcome,
    Step,
    explain_rejected,
    explain_unanswered,
    judge_certificate,
    verdict,
)

__all__ = ["PRIVATE", "Outcome", "Step", "check_turn", "verdict"]

PRIVATE: Final = {
    "10.254.253.252": "a private network",
    "172.31.253.252": "a private network",
    "192.168.253.252": "a private network",
    "100.127.253.252": "a provider's inner network",
    "127.0.0.1": "the server itself",
    "169.254.169.254": "where clouds keep the secrets of a machine",
    "::1": "the server itself",
    "fd00::fdfc": "a private network",
    "fe80::fdfc": "the local network",
}
"""One address of each network that nobody may be relayed into, and what it is.

Not the first ones: a server's own address is allowed, and often one of those."""

_LOOPBACK_6: Final = "::1"

_PUBLIC: Final = "1.1.1.1"
"""Some address of the internet. Nothing is sent there: a permission is a line in the server's table."""

_PROBE_BYTES: Final = 1000
"""A packet about as large as the ones that sessions send."""

_TRIES: Final = 2
"""Packets may be lost on their way, though hardly twice."""


class _Stopped(Exception):
    """What follows makes no sense; the step that failed is in the list."""


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
                await self._permit_public(first)
                await self._refuse_expired(expired)
                await self._refuse_private(first)
        return True

    async def _reach(self, opened: contextlib.AsyncExitStack) -> TurnClient:
        with self._step("reach") as finding:
            client = await opened.enter_async_context(self._connected(*self._user))
            seen = await client.greet()
            finding.detail = f"{self._target} answers, and sees us as {_shown(seen)}"
            judge_certificate(finding, client.certificate_end, time.time())
        return client

    async def _carry(self, first: TurnClient, opened: contextlib.AsyncExitStack) -> None:
        """Two allocations, and data between them."""
        with self._step("allocate") as finding:
            if not all(self._user):
                finding.failed("there is no credential to try it with", NO_CREDENTIAL)
                raise _Stopped
            ours = await first.allocate()
            second = await opened.enter_async_context(self._connected(*self._user))
            theirs = await second.allocate()
            self._relayed = {ours[0], theirs[0]}
            finding.detail = f"it relays for us at {_shown(ours)}"
        await self._meet(first, second)
        if self._target.transport == "udp":
            await self._from_outside(first)

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

    async def _from_outside(self, client: TurnClient) -> None:
        """Two allocations talk inside the server; only a plain socket goes through its firewall."""
        assert client.relayed is not None
        with contextlib.suppress(_Stopped), self._step("outside") as finding:
            async with turn_client.outside(self._seconds) as plain:
                try:
                    seen = await plain.seen_as(self._target)
                except socket.gaierror:
                    finding.outcome, finding.detail = "skipped", "it has no IPv4 address to try this with"
                    return
                if await _refusal_of(client.permit(seen[0]), (FORBIDDEN, OTHER_FAMILY)):
                    finding.outcome = "skipped"
                    finding.detail = f"the server sees us at {_shown(seen)}, where it relays to nobody"
                    return
                await client.open_to(seen)
                await _in_and_out(client, plain, client.relayed)
                finding.detail = "a plain socket reached us through the relay, and was reached"

    async def _permit_public(self, client: TurnClient) -> None:
        """A mistake in a list of denied ranges can close everything."""
        with contextlib.suppress(_Stopped), self._step("public") as finding:
            if await _refusal_of(client.permit(_PUBLIC), (FORBIDDEN,)):
                finding.failed(f"it refuses to relay into the internet, for instance to {_PUBLIC}", OPEN)
            else:
                finding.detail = "it relays into the internet"

    async def _refuse_expired(self, expired: tuple[str, str] | None) -> None:
        """A credential that ran out must be of no use."""
        with contextlib.suppress(_Stopped), self._step("expired") as finding:
            if expired is None:
                finding.outcome = "skipped"
                finding.detail = "without the secret there is no expired credential to try it with"
                return
            async with self._connected(*expired) as late:
                refusal = await _refusal_of(late.allocate(), (UNAUTHORIZED,))
            if refusal:
                finding.detail = "a credential that ran out is refused"
            else:
                finding.failed("it accepts a credential that ran out", USE_SECRET)

    async def _refuse_private(self, client: TurnClient) -> None:
        """Nobody may be relayed into a private network."""
        async with contextlib.AsyncExitStack() as opened:
            six = client
            with contextlib.suppress(Unanswered, OSError):
                other = await opened.enter_async_context(self._connected(*self._user))
                if not await _refusal_of(other.allocate(ipv6=True)):
                    six = other
                    self._relayed |= {other.relayed[0]} if other.relayed else set()
            for address in PRIVATE:
                await self._refuse(six if ":" in address else client, address)

    async def _refuse(self, client: TurnClient, address: str) -> None:
        probed = _another(address) if address in self._relayed else address
        with contextlib.suppress(_Stopped), self._step(f"private {address}") as finding:
            if probed == _LOOPBACK_6 in self._relayed:
                finding.outcome, finding.detail = "skipped", "the server relays from there itself"
            elif await _refusal_of(client.permit(probed), (FORBIDDEN, OTHER_FAMILY)):
                finding.detail = f"nobody is relayed to {probed}, {PRIVATE[address]}"
            else:
                finding.failed(f"it relays to {probed}, {PRIVATE[address]}, for whoever asks", DENY)

    # --- how a step becomes one -----------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _connected(self, username: str, credential: str) -> AsyncIterator[TurnClient]:
        async with turn_client.connected(
            self._target, username, credential, tls=self._tls, seconds=self._seconds
        ) as client:
            yield client

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[Finding]:
        """Time one step and keep what it found.

        Raises:
            _Stopped: it failed.
        """
        finding = Finding()
        began = time.perf_counter()
        try:
            yield finding
        except Rejected as error:
            explain_rejected(finding, error, name, self._relayed)
        except (Unanswered, OSError) as error:
            explain_unanswered(finding, error, name, self._target)
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


async def _in_and_out(client: TurnClient, plain: turn_client.Outside, relayed: tuple[str, int]) -> None:
    """A packet from a plain socket to our relayed address, and one back to where it came from.

    Raises:
        Unanswered: one of them did not arrive.
    """
    packet = os.urandom(_PROBE_BYTES)
    for turn in range(_TRIES):
        plain.send(packet, relayed)
        try:
            arrived, peer = await client.receive()
            await client.send(arrived, peer)
            if (await plain.receive())[0] == packet:
                return
        except Unanswered:
            if turn == _TRIES - 1:
                raise
    raise Unanswered("other packets than ours came back")


def _another(address: str) -> str:
    """The address after *address*, in the same network; ::1 is alone in its own."""
    return address if address == _LOOPBACK_6 else str(ipaddress.ip_address(address) + 1)


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
