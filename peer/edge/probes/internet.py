"""Is there a way out, does UDP get through, and what does the router do to it?

The words for NATs are those of RFC 4787 §4 and §5.  Mapping is told by asking two addresses from one port;
filtering by having the server answer from an address that was never asked, which needs a server with two
(RFC 5780 §4.4).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from peer.edge.probes import stun
from peer.edge.probes.finding import Finding, broken, note, ok, skipped
from peer.edge.probes.nat_by_relay import Through
from peer.edge.probes.web import Unseen, resolve

__all__ = ["Asked", "probe_nat", "probe_route", "probe_stun"]

SERVERS: Final = 4
"""STUN addresses that are asked; two are enough to tell."""

_ROUTE: Final = ("internet.route", "way out")
_UDP: Final = ("internet.udp", "UDP out")
_STUN: Final = ("internet.stun", "STUN")
_MAPPING: Final = ("internet.nat_mapping", "router")
_FILTERING: Final = ("internet.nat_filtering", "router lets in")

_NOWHERE: Final = ("192.0.2.1", 9)
"""An address for documentation (RFC 5737): asking for the way there sends nothing."""
_NOWHERE_6: Final = ("2001:db8::1", 9)


AskRelay = Callable[[], Awaitable[Through | None]]


async def _ask_nobody() -> Through | None:
    return None


@dataclass(frozen=True, slots=True)
class Asked:
    """One address that should answer STUN: the host as the server names it, and what came back."""

    name: str
    address: tuple[str, int]
    answer: stun.Answer | None
    trouble: str
    detail: str


def probe_route(*, server_is_near: bool = False) -> Finding:
    """Whether the system knows a way to the rest of the world; nothing is sent."""
    ipv4, ipv6 = _own_address(socket.AF_INET, _NOWHERE), _own_address(socket.AF_INET6, _NOWHERE_6)
    if ipv4 or ipv6:
        shown = [f"IPv4 from {ipv4}" if ipv4 else "no IPv4", f"IPv6 from {ipv6}" if ipv6 else "no IPv6"]
        return ok(*_ROUTE, ", ".join(shown), data={"ipv4": bool(ipv4), "ipv6": bool(ipv6)})
    cause = "no interface has a default route: this computer is offline, or on a network of its own"
    say = note if server_is_near else broken
    return say(
        *_ROUTE, "no route to the internet", cause=cause, do="ip route", data={"ipv4": False, "ipv6": False}
    )


def _own_address(family: int, far: tuple[str, int]) -> str:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(far)
            return str(sock.getsockname()[0])
    except OSError:
        return ""


async def probe_stun(hosts: Sequence[tuple[str, int]]) -> tuple[list[Finding], list[Asked]]:
    """Ask each of *hosts*; say whether UDP gets out at all, and which of them is dead."""
    if not hosts:
        nobody = "the server names no STUN or TURN server"
        return [skipped(*_UDP, nobody), skipped(*_STUN, nobody)], []
    asked = list(await asyncio.gather(*(_ask(host, port) for host, port in hosts[:SERVERS])))
    return [_udp(asked), _dead(asked)], asked


async def _ask(host: str, port: int) -> Asked:
    name = f"{host}:{port}"
    try:
        addresses = await resolve(host, port, kind=socket.SOCK_DGRAM)
    except Unseen as error:
        return Asked(name, (host, port), None, "name", str(error))
    # one address of each kind: a computer may have IPv4 or IPv6 only, and IPv4 says more of the router
    kinds = {":" in address[0]: address for address in reversed(addresses)}
    tried = await asyncio.gather(*(_ask_one(name, kinds[each]) for each in sorted(kinds)))
    by_use = sorted(tried, key=lambda each: (each.answer is None, each.trouble == "no-route"))
    return by_use[0]


async def _ask_one(name: str, address: tuple[str, int]) -> Asked:
    try:
        return Asked(name, address, await stun.ask(address), "", "")
    except stun.NoAnswer as error:
        return Asked(name, address, None, error.kind, str(error))


def _udp(asked: Sequence[Asked]) -> Finding:
    # a refusal is an answer, too: it came back by the same way
    through = [each for each in asked if each.answer or each.trouble == "refused"]
    if through:
        best = min((each.answer.ms for each in through if each.answer), default=None)
        return ok(*_UDP, "gets through", ms=best)
    if any(each.trouble == "no-route" for each in asked):
        return note(
            *_UDP, "there is no way to send it", cause="no route leads to the STUN server", do="ip route"
        )
    data: dict[str, object] = {"asked": [each.name for each in asked]}
    if any(each.trouble == "forbidden" for each in asked):
        return note(
            *_UDP,
            "blocked by this computer's own firewall",
            cause="a rule here refuses outgoing UDP; Weft relays everything",
            do="sudo nft list ruleset",
            data={**data, "blocked": "here"},
        )
    if all(each.trouble == "name" for each in asked):
        return skipped(*_UDP, "the STUN server's name is not found")
    names = ", ".join(each.name for each in asked)
    return note(
        *_UDP,
        f"blocked: {names} did not answer",
        cause="a firewall on the way drops UDP"
        + ("" if len(asked) > 1 else ", or that one server is down")
        + "; Weft relays everything",
        do="ask whoever runs this network to let UDP out, or use another one",
        data={**data, "blocked": "on the way"},
    )


def _dead(asked: Sequence[Asked]) -> Finding:
    dead = [each for each in asked if each.answer is None]
    data: dict[str, object] = {"dead": [each.name for each in dead], "asked": [each.name for each in asked]}
    if not dead:
        best = min(each.answer.ms for each in asked if each.answer)
        return ok(*_STUN, ", ".join(each.name for each in asked), ms=best, data=data)
    words = {"refused": "nothing listens there", "name": "its name is not found"}
    shown = ", ".join(f"{each.name} ({words.get(each.trouble, each.detail)})" for each in dead)
    sure = any(each.answer for each in asked) or any(each.trouble in words for each in dead)
    if not sure:
        return skipped(*_STUN, "cannot be told apart from blocked UDP")
    return broken(
        *_STUN,
        f"no answer from {shown}",
        cause="the server names a STUN server that is down or mistyped"
        if any(each.answer for each in asked) or "name" in {each.trouble for each in dead}
        else "the STUN server is down: its machine answers, the program does not",
        do="tell whoever runs the server:  weft serve --stun stun:HOST:3478",
        data=data,
    )


# --- NAT ------------------------------------------------------------------------------------------------


async def probe_nat(asked: Sequence[Asked], ask_relay: AskRelay = _ask_nobody) -> list[Finding]:
    """Say what the router does to outgoing ports, and what it lets in.

    Where STUN has one address only, *ask_relay* gives what a TURN server sees.
    """
    answering = [each for each in asked if each.answer]
    alive = [each for each in answering if ":" not in each.address[0]]
    if not alive:
        why = "there is no IPv4 here, and IPv6 has no NAT" if answering else "no STUN answer to tell by"
        return [skipped(*_MAPPING, why), skipped(*_FILTERING, why)]
    other = next((each for each in alive if each.answer and each.answer.other), None)
    through = await ask_relay() if other is None else None
    async with stun.open_socket() as port:
        mapping = await _mapping(port, alive, through)
    if other is not None:
        async with stun.open_socket() as port:
            return [mapping, await _filtering(port, other.address)]
    if through is None:
        return [mapping, skipped(*_FILTERING, "cannot be told: the STUN server has one address only")]
    return [mapping, _let_in(through)]


def _let_in(through: Through) -> Finding:
    if through.lets_in:
        found = "answers from other ports of addresses that were asked, at least"
        return ok(*_FILTERING, found, data={"kind": "address-dependent"})
    return _strict()


def _strict() -> Finding:
    found, kind = "answers from exactly the port that was asked", "address-and-port-dependent"
    return ok(*_FILTERING, found, data={"kind": kind})


async def _mapping(port: stun.OpenSocket, alive: Sequence[Asked], through: Through | None = None) -> Finding:
    """Where several servers see one and the same local port."""
    targets = list(dict.fromkeys(each.address for each in alive))
    targets += [each.answer.other for each in alive if each.answer and each.answer.other]
    seen: dict[tuple[str, int], tuple[str, int]] = {}
    for target in list(dict.fromkeys(targets))[:SERVERS]:
        try:
            seen[target] = (await port.ask(target)).mapped
        except stun.NoAnswer:
            continue
    mapped, asked = set(seen.values()), len(seen)
    if asked == 1 and through is not None:
        mapped, asked = {through.first, through.second}, 2
    public = sorted({address for address, _ in mapped})
    data: dict[str, object] = {"mapped": len(mapped), "asked": asked}
    if not mapped:
        return skipped(*_MAPPING, "no STUN answer to tell by")
    if len(mapped) == 1 and set(public) <= {_own_address(socket.AF_INET, target) for target in seen}:
        return ok(
            *_MAPPING, f"no NAT: {', '.join(public)} is this computer's own", data={**data, "kind": "none"}
        )
    if asked < 2:
        return ok(*_MAPPING, f"seen as {public[0]}; with one STUN address its kind cannot be told", data=data)
    if len(mapped) == 1:
        return ok(
            *_MAPPING, f"easy NAT: one port for all, seen as {public[0]}", data={**data, "kind": "easy"}
        )
    return note(
        *_MAPPING,
        f"hard NAT: another port for each destination ({len(mapped)} of {asked} tests)",
        cause="direct paths work with easy partners only; with others Weft relays",
        data={**data, "kind": "hard"},
    )


async def _filtering(port: stun.OpenSocket, server: tuple[str, int]) -> Finding:
    async def let_in(*, address: bool) -> bool:
        try:
            await port.ask(server, address=address, port=True)
        except stun.NoAnswer:
            return False
        return True

    if await let_in(address=True):
        return ok(*_FILTERING, "answers from anywhere", data={"kind": "endpoint-independent"})
    if await let_in(address=False):
        return ok(*_FILTERING, "answers from addresses that were asked", data={"kind": "address-dependent"})
    return _strict()
