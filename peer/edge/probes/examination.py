"""All probes together: at once where they do not need each other, each with its own limit of time.

    at once      keys, settings, watches, port   ·   interfaces → multicast   ·   route
                 server → (room) → STUN → NAT   ·   TURN   ·   relay

The longest way is the one to a server that answers and whose STUN and TURN do not: 8 + 3 + 4 s at most.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peer.edge.probes import internet, keys, multicast, nat_by_relay, ports, relay, server, turn, watches
from peer.edge.probes.finding import GROUPS, Finding, attempt, skipped
from peer.edge.probes.interfaces import interfaces
from peer.edge.probes.interfaces import probe as probe_interfaces
from peer.edge.server_url import ServerUrl
from signaling.messages import IceServer

__all__ = ["Question", "examine"]

LOCAL_SECONDS: Final = 3.0
SERVER_SECONDS: Final = 8.0
STUN_SECONDS: Final = 4.0
NAT_SECONDS: Final = 3.5
TURN_SECONDS: Final = 6.0
RELAY_SECONDS: Final = 5.0
"""Each ends by itself earlier; these are for what nobody thought of."""

_DEFAULT_STUN_PORT: Final = 3478

Step = tuple[str, str, Awaitable[list[Finding]], float]


@dataclass(frozen=True, slots=True)
class Question:
    """What to look at.

    Attributes:
        server: where people meet, or `None`.
        groups: keys of `GROUPS`; what is not among them is neither looked at nor touched.
        config: the configuration directory.
        port: where this computer would serve.
        port_wanted: the person named that port.
        proc: where the system tells of itself.
        progress: is told the title of each check that has ended.
    """

    server: ServerUrl | None
    groups: Collection[str] = frozenset(GROUPS)
    config: Path = Path()
    port: int = ports.SERVE_PORT
    port_wanted: bool = False
    proc: Path = Path("/proc")
    progress: Callable[[str], None] = lambda title: None


async def examine(question: Question) -> list[Finding]:
    """Look at everything that *question* names; findings in the order of their groups."""
    parts = [_computer(question), _network(question), _outside(question)]
    found = [each for part in await asyncio.gather(*parts) for each in part]
    order = {group: number for number, group in enumerate(GROUPS)}
    wanted = [each for each in found if each.group in question.groups]
    return sorted(wanted, key=lambda each: order[each.group])


async def _all(question: Question, steps: Sequence[Step]) -> list[Finding]:
    async def one(step: Step) -> list[Finding]:
        id_, title, work, seconds = step
        found = await attempt(id_, title, work, seconds=seconds)
        question.progress(title)
        return found

    return [each for found in await asyncio.gather(*map(one, steps)) for each in found]


async def _computer(question: Question) -> list[Finding]:
    if "computer" not in question.groups:
        return []

    async def looked_at(look: Callable[[], list[Finding]]) -> list[Finding]:
        return await asyncio.to_thread(look)

    def port() -> list[Finding]:
        return [ports.probe(question.port, wanted=question.port_wanted)]

    return await _all(
        question,
        [
            ("computer.keys", "keys", looked_at(lambda: keys.probe(question.config)), LOCAL_SECONDS),
            (
                "computer.watches",
                "file watching",
                looked_at(lambda: [watches.probe(question.proc)]),
                LOCAL_SECONDS,
            ),
            ("computer.port", "port", looked_at(port), LOCAL_SECONDS),
        ],
    )


async def _network(question: Question) -> list[Finding]:
    if "lan" not in question.groups:
        return []

    async def both() -> list[Finding]:
        found = await asyncio.to_thread(interfaces)
        return [probe_interfaces(found), await multicast.probe(found, needed=question.server is None)]

    return await _all(question, [("lan.interfaces", "interfaces", both(), LOCAL_SECONDS)])


# --- outside ----------------------------------------------------------------------------------------------


async def _outside(question: Question) -> list[Finding]:
    """The server first: it says which STUN and TURN servers there are."""
    if not {"internet", "server", "computer"} & set(question.groups):
        return []
    if question.server is None:
        return _without_server()
    visit: list[server.Visit] = []

    async def visited() -> list[Finding]:
        assert question.server is not None
        visit.append(await server.probe(question.server))
        return visit[0].findings

    found = await _all(question, [("server.reach", "server", visited(), SERVER_SECONDS)])
    entered = visit[0] if visit else server.Visit([])
    reached = any(each.id == "server.reach" and each.verdict != "broken" for each in found)
    found.append(internet.probe_route(server_is_near=reached))
    return found + await _beyond(question, entered)


def _without_server() -> list[Finding]:
    none = "none is set; people meet on this network only"
    unknown = "a server would tell which STUN and TURN servers to ask"
    return [
        internet.probe_route(server_is_near=True),
        skipped("internet.udp", "UDP out", unknown),
        skipped("server.reach", "server", none),
    ]


async def _beyond(question: Question, visit: server.Visit) -> list[Finding]:
    """What only somebody who was let in knows to ask."""
    groups, place = set(question.groups), question.server
    steps: list[Step] = []
    if "internet" in groups and visit.entered:
        steps.append(("internet.udp", "UDP out", _stun_and_nat(visit), STUN_SECONDS + NAT_SECONDS))
    if "server" in groups and visit.entered and place is not None:
        steps.append(("server.turn", "TURN", turn.probe(visit.ice_servers), TURN_SECONDS))

        async def relayed() -> list[Finding]:
            return [await relay.probe(place)]

        steps.append(("server.relay", "relay", relayed(), RELAY_SECONDS))
    return await _all(question, steps)


async def _stun_and_nat(visit: server.Visit) -> list[Finding]:
    found, asked = await internet.probe_stun(_stun_hosts(visit.ice_servers))
    nat = await internet.probe_nat(asked, lambda: nat_by_relay.ask(visit.ice_servers)) if asked else []
    return found + nat


def _stun_hosts(servers: Sequence[IceServer]) -> list[tuple[str, int]]:
    """Who answers STUN: STUN servers, and TURN servers over UDP, which do it as well."""
    hosts = []
    for url in sorted((url for each in servers for url in each.urls), key=lambda url: url[:5] != "stun:"):
        scheme, _, rest = url.partition(":")
        where, _, query = rest.partition("?")
        if scheme not in ("stun", "turn") or query == "transport=tcp":
            continue
        host, _, port = where.rpartition(":") if where.count(":") == 1 or "]:" in where else (where, "", "")
        hosts.append((host.strip("[]"), int(port) if port.isdigit() else _DEFAULT_STUN_PORT))
    return list(dict.fromkeys(hosts))
