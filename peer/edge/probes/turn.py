"""Does each TURN server that we are told of carry data, by each transport?  All are tried at once."""

import asyncio
from collections.abc import Sequence
from typing import Final

from peer.edge.probes.finding import Finding, broken, note, ok, skipped
from peer.edge.turn_check import Step, check_turn
from peer.edge.turn_client import Target, targets
from peer.edge.turn_findings import NOBODY_LISTENS, SILENT
from peer.errors import UsageError
from signaling.messages import IceServer

__all__ = ["ANSWER_SECONDS", "TARGETS", "probe"]

ANSWER_SECONDS: Final = 2.5
"""For each step: three tries over UDP."""
TARGETS: Final = 8
"""Ways that are tried; no server names more."""

Account = tuple[Target, str | None, str | None]


async def probe(servers: Sequence[IceServer]) -> list[Finding]:
    """Try everything that *servers* name."""
    accounts, bad = _accounts(servers)
    if not accounts and not bad:
        return [skipped("server.turn", "TURN", "the server names none; its encrypted relay does the same")]
    checked = await asyncio.gather(*(_check(each) for each in accounts[:TARGETS]))
    works = any(_failed(steps) is None for steps in checked)
    findings = [_judge(account[0], steps, works) for account, steps in zip(accounts, checked, strict=False)]
    return bad + findings


def _accounts(servers: Sequence[IceServer]) -> tuple[list[Account], list[Finding]]:
    found: dict[Target, Account] = {}
    bad = []
    for server in servers:
        for url in server.urls:
            if not url.startswith("turn"):
                continue
            try:
                for target in targets(url):
                    found[target] = (target, server.username, server.credential)
            except UsageError as error:
                bad.append(broken("server.turn", "TURN", "an address cannot be used", cause=str(error)))
    return list(found.values()), bad


async def _check(account: Account) -> list[Step]:
    target, username, credential = account
    host = f"[{target.host}]" if ":" in target.host else target.host
    scheme, transport = ("turns", "tcp") if target.transport == "tls" else ("turn", target.transport)
    url = f"{scheme}:{host}:{target.port}?transport={transport}"
    return await check_turn(url, username, credential, policy=False, answer_seconds=ANSWER_SECONDS)


def _failed(steps: Sequence[Step]) -> Step | None:
    return next((step for step in steps if step.outcome == "failed"), None)


def _judge(target: Target, steps: Sequence[Step], works: bool) -> Finding:
    """One transport; that it is not reached is a note where another way *works*."""
    ids = (f"server.turn_{target.transport}", f"TURN {target.transport}")
    where = f"{target.host}:{target.port}"
    data = {"steps": {step.name: step.outcome for step in steps}, "host": target.host, "port": target.port}
    failed = _failed(steps)
    if failed is None:
        return ok(*ids, where, ms=min(step.ms for step in steps), data=data)
    if failed.name == "reach":
        say = note if works else broken
        return say(
            *ids, failed.detail, cause=_unreached(target, failed.detail, works=works), do=failed.do, data=data
        )
    cause = "the secret of the server and that of the TURN server differ" if _is_refusal(failed) else ""
    return broken(*ids, f"{where}: {failed.detail}", cause=cause, do=failed.do, data=data)


def _is_refusal(step: Step) -> bool:
    return step.name == "allocate" and "refuses the credential" in step.detail


def _unreached(target: Target, detail: str, *, works: bool) -> str:
    """Why, as far as it can be told: a refusal is an answer, and some details say it all."""
    kind = target.transport.upper()
    if NOBODY_LISTENS in detail:
        if works:
            return f"its machine refuses {kind} at this port, or a firewall does; another way works"
        return (
            f"its machine answers, so it is up; no TURN server is at that port, or a firewall refuses {kind}"
        )
    if SILENT not in detail:
        return ""
    if works:
        return f"this network blocks {kind} to it; another way to a TURN server works"
    return f"the TURN server is down, or this network blocks {kind} to it"
